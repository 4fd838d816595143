package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

const recentMax = 20 // notifications in an explanation of a user

// ExplainUser says why a user did, or did not, get a notification. What is known is
// gathered here; the other files of the name make sentences of it.
func (s *Server) ExplainUser(ctx context.Context, request ExplainUserRequestObject) (ExplainUserResponseObject, error) {
	if err := checkUser("user", request.User); err != nil {
		return nil, err
	}
	known := facts{now: time.Now(), user: push.User{App: callerOf(ctx).app, ID: request.User}}
	if id := request.Params.Notification; id != "" {
		if err := s.gatherNotification(ctx, &known, id); err != nil {
			return nil, err
		}
	}
	found, err := s.config.Store.ListSubscriptions(ctx, []push.User{known.user})
	if err != nil {
		return nil, stored(err)
	}
	known.subscriptions = found[known.user]
	switch {
	case known.isOverview():
		err = s.gatherRecent(ctx, &known)
	case known.isTheirs():
		err = s.gatherCourse(ctx, &known)
	}
	if err != nil {
		return nil, err
	}
	s.gatherLanes(ctx, &known)
	return ExplainUser200JSONResponse(known.explanation()), nil
}

func (s *Server) gatherNotification(ctx context.Context, known *facts, given string) error {
	id, err := push.ParseID(given)
	if err != nil {
		return invalid("notification", "%s.", err)
	}
	known.account, err = s.account(ctx, known.user.App, id)
	if errors.Is(err, store.ErrNotFound) {
		return problem{
			status: http.StatusNotFound, code: "not_found", field: "notification",
			detail: "The app has no such notification: its ID is another one, or it is older than notifications are kept (BELFRY_RETENTION). Without an ID, the user's newest ones are listed.",
		}
	}
	return err
}

// gatherRecent finds the user's newest notifications and what became of them.
func (s *Server) gatherRecent(ctx context.Context, known *facts) error {
	recent, err := s.config.Store.ListRecent(ctx, known.user, recentMax)
	if err != nil {
		return stored(err)
	}
	known.since = recent.Since
	for _, id := range recent.IDs {
		one, err := s.account(ctx, known.user.App, id)
		if errors.Is(err, store.ErrNotFound) {
			continue // it has just been removed
		}
		if err != nil {
			return err
		}
		known.recent = append(known.recent, one)
	}
	return nil
}

// gatherCourse finds how the notification came to be where it is.
func (s *Server) gatherCourse(ctx context.Context, known *facts) (err error) {
	if known.attempts, err = s.config.Store.ListAttempts(ctx, known.user.App, known.Notification.ID); err != nil {
		return stored(err)
	}
	known.ends = make(map[push.Digest]push.Event)
	looks := endLooks
	for _, d := range known.Deliveries {
		switch d.State {
		case push.StateUnsubscribed:
			if err := s.gatherEnd(ctx, known, d, &looks); err != nil {
				return err
			}
		case push.StateSuperseded:
			if known.successor, err = s.successor(ctx, known.account); err != nil {
				return err
			}
		}
	}
	return nil
}

// successor finds which of the user's newest notifications took the place of
// one. It is zero if that is not among them.
func (s *Server) successor(ctx context.Context, of account) (push.ID, error) {
	recent, err := s.config.Store.ListRecent(ctx, of.Notification.User, recentMax)
	if err != nil {
		return push.ID{}, stored(err)
	}
	slices.SortFunc(recent.IDs, push.ID.Compare)
	for _, id := range recent.IDs {
		if id.Compare(of.Notification.ID) <= 0 {
			continue
		}
		record, err := s.config.Store.GetNotification(ctx, of.Notification.User.App, id)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return push.ID{}, stored(err)
		case record.Notification.CollapseKey == of.Notification.CollapseKey:
			return id, nil
		}
	}
	return push.ID{}, nil
}

// gatherLanes finds the ways to push hosts that are not open, of those that the
// user's subscriptions go by. It asks for each once. What a lane does not say is
// left out: the rest of the explanation is wanted most when something is stuck.
func (s *Server) gatherLanes(ctx context.Context, known *facts) {
	type way struct {
		kind          push.Kind
		host, account string
	}
	asked := make(map[way]actors.Node)
	known.lanes = make(map[push.Digest]actors.Node)
	for _, sub := range known.subscriptions {
		by := way{sub.Kind, sub.Host(), sub.Account()}
		lane, ok := asked[by]
		if !ok {
			var err error
			lane, err = s.config.System.Lane(ctx, sub)
			if err != nil && !errors.Is(err, actors.ErrNoActor) {
				s.config.Log.WarnContext(ctx, "an explanation lacks the state of a lane", "kind", by.kind, "host", by.host, "error", err)
			}
			asked[by] = lane
		}
		if lane.Cause != "" {
			known.lanes[sub.Digest] = lane
		}
	}
}
