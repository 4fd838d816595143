package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// ListSubscriptions says where a user can be reached.
func (s *Server) ListSubscriptions(ctx context.Context, request ListSubscriptionsRequestObject) (ListSubscriptionsResponseObject, error) {
	if err := checkUser("user", request.User); err != nil {
		return nil, err
	}
	user := push.User{App: callerOf(ctx).app, ID: request.User}
	found, err := s.config.Store.ListSubscriptions(ctx, []push.User{user})
	if err != nil {
		return nil, stored(err)
	}
	answer := ListSubscriptions200JSONResponse{Subscriptions: []Subscription{}}
	for _, sub := range found[user] {
		answer.Subscriptions = append(answer.Subscriptions, shown(sub))
	}
	return answer, nil
}

// PutSubscription registers a browser or phone for a user.
func (s *Server) PutSubscription(ctx context.Context, request PutSubscriptionRequestObject) (PutSubscriptionResponseObject, error) {
	if err := checkUser("user", request.User); err != nil {
		return nil, err
	}
	app, err := s.tenantOf(ctx)
	if err != nil {
		return nil, err
	}
	sub, created, err := s.register(ctx, app, caller{app: app.Name, user: request.User}, request.Body)
	if err != nil {
		return nil, err
	}
	if created {
		return PutSubscription201JSONResponse(registered(sub)), nil
	}
	return PutSubscription200JSONResponse(registered(sub)), nil
}

// DeleteSubscription removes a user's subscription.
func (s *Server) DeleteSubscription(ctx context.Context, request DeleteSubscriptionRequestObject) (DeleteSubscriptionResponseObject, error) {
	if err := checkUser("user", request.User); err != nil {
		return nil, err
	}
	if err := s.unregister(ctx, push.User{App: callerOf(ctx).app, ID: request.User}, request.Id); err != nil {
		return nil, err
	}
	return DeleteSubscription204Response{}, nil
}

// DeleteUser forgets a user.
func (s *Server) DeleteUser(ctx context.Context, request DeleteUserRequestObject) (DeleteUserResponseObject, error) {
	if err := checkUser("user", request.User); err != nil {
		return nil, err
	}
	user := push.User{App: callerOf(ctx).app, ID: request.User}
	// First, so that no browser registers again with what it has.
	if err := s.revokeTokens(ctx, user); err != nil {
		return nil, err
	}
	forgotten, err := s.config.System.Forget(ctx, user)
	if err != nil {
		return nil, err
	}
	return DeleteUser200JSONResponse{Subscriptions: forgotten.Subscriptions, Notifications: forgotten.Notifications}, nil
}

// PutMySubscription registers the calling browser or phone for the token's user.
func (s *Server) PutMySubscription(ctx context.Context, request PutMySubscriptionRequestObject) (PutMySubscriptionResponseObject, error) {
	who := callerOf(ctx)
	app, err := s.tenantOf(ctx)
	if err != nil {
		return nil, err
	}
	sub, created, err := s.register(ctx, app, who, request.Body)
	if err != nil {
		return nil, err
	}
	answer := registered(sub)
	answer.Renewal = makeRenewalToken(who, sub.Digest)
	if created {
		return PutMySubscription201JSONResponse(answer), nil
	}
	return PutMySubscription200JSONResponse(answer), nil
}

// DeleteMySubscription removes the calling browser's or phone's subscription.
func (s *Server) DeleteMySubscription(ctx context.Context, request DeleteMySubscriptionRequestObject) (DeleteMySubscriptionResponseObject, error) {
	who := callerOf(ctx)
	if !who.renewal.IsZero() {
		return nil, errBadToken
	}
	if err := s.unregister(ctx, push.User{App: who.app, ID: who.user}, request.Params.Id); err != nil {
		return nil, err
	}
	return DeleteMySubscription204Response{}, nil
}

func (s *Server) unregister(ctx context.Context, user push.User, id string) error {
	digest, err := push.ParseDigest(id)
	if err != nil {
		return invalid("id", "%s.", err)
	}
	err = s.config.System.Unsubscribe(ctx, user, digest)
	if errors.Is(err, store.ErrNotFound) {
		return problem{
			status: http.StatusNotFound, code: "not_found", field: "id",
			detail: "The user has no such subscription. It may have been removed, or moved to another user.",
		}
	}
	return err
}

// shown is a subscription as an answer shows it: without its secrets.
func shown(sub push.Subscription) Subscription {
	answer := Subscription{
		Id:        sub.Digest.String(),
		User:      sub.User.ID,
		Kind:      sub.Kind.String(),
		Host:      sub.Host(),
		Topic:     sub.Topic,
		Project:   sub.Project,
		CreatedAt: sub.CreatedAt.UTC(),
		SeenAt:    sub.SeenAt.UTC(),
		ExpiresAt: utc(sub.ExpiresAt),

		KeyMismatch: sub.KeyMismatch,
	}
	if sub.Kind == push.APNs {
		answer.Environment = sub.Environment.String()
	}
	if sub.Rest.Until.After(time.Now()) {
		answer.RestingUntil = utc(sub.Rest.Until)
	}
	return answer
}

// registered is a subscription as the answer to its registration shows it.
func registered(sub push.Subscription) Subscription {
	answer := shown(sub)
	answer.Resubscribe = sub.KeyMismatch
	return answer
}
