package api

import (
	"context"
	"errors"
	"fmt"
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

// PutSubscription registers a browser for a user.
func (s *Server) PutSubscription(ctx context.Context, request PutSubscriptionRequestObject) (PutSubscriptionResponseObject, error) {
	if err := checkUser("user", request.User); err != nil {
		return nil, err
	}
	sub, created, err := s.register(ctx, caller{app: callerOf(ctx).app, user: request.User}, request.Body)
	if err != nil {
		return nil, err
	}
	if created {
		return PutSubscription201JSONResponse(shown(sub)), nil
	}
	return PutSubscription200JSONResponse(shown(sub)), nil
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
	forgotten, err := s.config.System.Forget(ctx, push.User{App: callerOf(ctx).app, ID: request.User})
	if err != nil {
		return nil, err
	}
	return DeleteUser200JSONResponse{Subscriptions: forgotten.Subscriptions, Notifications: forgotten.Notifications}, nil
}

// PutMySubscription registers the calling browser for the token's user.
func (s *Server) PutMySubscription(ctx context.Context, request PutMySubscriptionRequestObject) (PutMySubscriptionResponseObject, error) {
	who := callerOf(ctx)
	sub, created, err := s.register(ctx, who, request.Body)
	if err != nil {
		return nil, err
	}
	answer := shown(sub)
	answer.Renewal = makeRenewalToken(s.tenants[who.app].App, who.user, sub.Digest, time.Now())
	if created {
		return PutMySubscription201JSONResponse(answer), nil
	}
	return PutMySubscription200JSONResponse(answer), nil
}

// DeleteMySubscription removes the calling browser's subscription.
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

// register puts a browser's subscription in the store, in place of the one it
// replaces if it says so.
func (s *Server) register(ctx context.Context, who caller, body *BrowserSubscription) (sub push.Subscription, created bool, err error) {
	if sub, err = s.subscriptionOf(ctx, who, body); err != nil {
		return push.Subscription{}, false, err
	}
	old := sub.Digest
	if body.Replaces != "" {
		if old, err = push.ParseDigest(body.Replaces); err != nil {
			return push.Subscription{}, false, invalid("replaces", "%s.", err)
		}
	}
	if !who.renewal.IsZero() && old != who.renewal {
		return push.Subscription{}, false, invalid("replaces", "A renewal token replaces the one subscription it was made for. Give that one's id.")
	}
	if err := s.checkRoom(ctx, sub, old); err != nil {
		return push.Subscription{}, false, err
	}
	put, err := s.put(ctx, who, old, sub)
	if err != nil {
		return push.Subscription{}, false, err
	}
	sub.CreatedAt = put.CreatedAt
	return sub, put.Created, nil
}

// subscriptionsMax is how many one user may have: a notification goes to all.
const subscriptionsMax = 100

// checkRoom refuses a subscription that is one too many for its user.
func (s *Server) checkRoom(ctx context.Context, sub push.Subscription, old push.Digest) error {
	found, err := s.config.Store.ListSubscriptions(ctx, []push.User{sub.User})
	if err != nil {
		return stored(err)
	}
	for _, known := range found[sub.User] {
		if known.Digest == sub.Digest || known.Digest == old {
			return nil
		}
	}
	if len(found[sub.User]) < subscriptionsMax {
		return nil
	}
	return problem{
		status: http.StatusConflict, code: "too_many_subscriptions",
		detail: fmt.Sprintf("The user has %d subscriptions, and may have no more. Remove those that are no longer used.", subscriptionsMax),
	}
}

func (s *Server) put(ctx context.Context, who caller, old push.Digest, sub push.Subscription) (store.Put, error) {
	if old == sub.Digest && who.renewal.IsZero() {
		return s.config.System.Subscribe(ctx, sub)
	}
	put, err := s.config.System.Resubscribe(ctx, old, sub)
	if !errors.Is(err, store.ErrNotFound) {
		return put, err
	}
	// The old one is gone. A user token may register the new one all the same;
	// a renewal token only if it did so before and the answer was lost.
	if !who.renewal.IsZero() {
		known, err := s.isRegistered(ctx, sub)
		if err != nil {
			return store.Put{}, err
		}
		if !known {
			return store.Put{}, errBadToken
		}
	}
	return s.config.System.Subscribe(ctx, sub)
}

func (s *Server) isRegistered(ctx context.Context, sub push.Subscription) (bool, error) {
	found, err := s.config.Store.ListSubscriptions(ctx, []push.User{sub.User})
	if err != nil {
		return false, stored(err)
	}
	for _, known := range found[sub.User] {
		if known.Digest == sub.Digest {
			return true, nil
		}
	}
	return false, nil
}

// subscriptionOf reads what PushSubscription.toJSON() gave.
func (s *Server) subscriptionOf(ctx context.Context, who caller, body *BrowserSubscription) (push.Subscription, error) {
	now := time.Now().Truncate(time.Millisecond)
	sub := push.Subscription{
		User:      push.User{App: who.app, ID: who.user},
		Kind:      push.WebPush,
		Endpoint:  push.Endpoint(body.Endpoint),
		CreatedAt: now,
		SeenAt:    now,
	}
	sub.Digest = push.DigestOf(sub.Endpoint)
	var err error
	if sub.VAPIDKey, err = s.tenants[who.app].vapidKeyOf(body.VapidPublicKey); err != nil {
		return push.Subscription{}, err
	}
	if sub.P256dh, err = push.DecodeBase64(body.Keys.P256dh); err != nil {
		return push.Subscription{}, invalid("keys.p256dh", "keys.p256dh is not base64url. Send what PushSubscription.toJSON() gives.")
	}
	if sub.Auth, err = push.DecodeBase64(body.Keys.Auth); err != nil {
		return push.Subscription{}, invalid("keys.auth", "keys.auth is not base64url. Send what PushSubscription.toJSON() gives.")
	}
	if body.ExpirationTime != nil {
		sub.ExpiresAt = time.UnixMilli(*body.ExpirationTime)
		if !sub.ExpiresAt.After(now) || *body.ExpirationTime > maxMillis {
			return push.Subscription{}, invalid("expirationTime", "expirationTime is not a time to come, in milliseconds since 1970.")
		}
	}
	return sub, s.config.Checkers[sub.Kind].CheckSubscription(ctx, sub)
}

// maxMillis is the end of the year 9999: what RFC 3339 can say.
const maxMillis = 253402300799999

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
		CreatedAt: sub.CreatedAt.UTC(),
		SeenAt:    sub.SeenAt.UTC(),
		ExpiresAt: utc(sub.ExpiresAt),
	}
	if sub.Rest.Until.After(time.Now()) {
		answer.RestingUntil = utc(sub.Rest.Until)
	}
	return answer
}
