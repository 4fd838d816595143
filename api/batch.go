package api

import (
	"context"
	"fmt"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
)

const batchMax = 1000 // notifications in one request

// CreateNotificationBatch accepts what can be accepted of many different
// notifications, together, and says what is wrong with each of the others.
func (s *Server) CreateNotificationBatch(ctx context.Context, request CreateNotificationBatchRequestObject) (CreateNotificationBatchResponseObject, error) {
	list := request.Body.Notifications
	if len(list) == 0 || len(list) > batchMax {
		return nil, invalid("notifications", "There are %d notifications. Send 1 to %d at a time.", len(list), batchMax)
	}
	if err := chargeKey(ctx, len(list)); err != nil {
		return nil, err
	}
	app, err := s.tenantOf(ctx)
	if err != nil {
		return nil, err
	}
	key, err := keyOf(app.Name, request.Params.IdempotencyKey, request.Body)
	if err != nil {
		return nil, err
	}
	results := make([]BatchResult, len(list))
	var drafts []actors.Draft
	var places []int // of the drafts, in the request
	for i := range list {
		draft, err := s.batchDraft(app, &list[i])
		if err != nil {
			p, _ := problemOf(err)
			if p.field != "" {
				p.field = fmt.Sprintf("notifications[%d].%s", i, p.field)
			}
			results[i].Problem = p.shown()
			continue
		}
		drafts, places = append(drafts, draft), append(places, i)
	}
	ids, err := s.notify(ctx, key, drafts)
	if err != nil {
		return nil, err
	}
	for n, i := range places {
		results[i].Id, results[i].User = ids[n].String(), drafts[n].User.ID
	}
	return CreateNotificationBatch202JSONResponse{Results: results}, nil
}

// batchDraft checks one notification of a batch.
func (s *Server) batchDraft(app tenant, body *NewNotifications) (actors.Draft, error) {
	if body.Users != nil {
		return actors.Draft{}, invalid("users", "users is not for a batch. Give user, in a notification of its own for each.")
	}
	if _, err := usersOf(body); err != nil {
		return actors.Draft{}, err
	}
	draft, err := s.draftOf(app, body)
	draft.User = push.User{App: app.Name, ID: body.User}
	return draft, err
}
