package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// register puts a subscription in the store, in place of the one it replaces
// if it says so.
func (s *Server) register(ctx context.Context, app tenant, who caller, body *Registration) (sub push.Subscription, created bool, err error) {
	user := push.User{App: who.app, ID: who.user}
	found, err := s.config.Store.ListSubscriptions(ctx, []push.User{user})
	if err != nil {
		return push.Subscription{}, false, stored(err)
	}
	known := found[user]
	if sub, err = app.subscriptionOf(user, known, body); err != nil {
		return push.Subscription{}, false, err
	}
	if err := s.check(ctx, sub); err != nil {
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
	if err := checkRoom(known, sub, old); err != nil {
		return push.Subscription{}, false, err
	}
	put, err := s.put(ctx, who, old, sub)
	if err != nil {
		return push.Subscription{}, false, err
	}
	sub.CreatedAt, sub.KeyMismatch = put.CreatedAt, put.KeyMismatch
	return sub, put.Created, nil
}

// check asks the kind of push service whether it could send there.
func (s *Server) check(ctx context.Context, sub push.Subscription) error {
	err := s.config.Checkers[sub.Kind].CheckSubscription(ctx, sub)
	if errors.As(err, new(*push.InvalidError)) {
		return err
	}
	return stored(err)
}

// subscriptionsMax is how many one user may have: a notification goes to all.
const subscriptionsMax = 100

// checkRoom refuses a subscription that is one too many for its user.
func checkRoom(known []push.Subscription, sub push.Subscription, old push.Digest) error {
	for _, k := range known {
		if k.Digest == sub.Digest || k.Digest == old {
			return nil
		}
	}
	if len(known) < subscriptionsMax {
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

// subscriptionOf reads a registration. Those that the user has already are
// known.
func (t tenant) subscriptionOf(user push.User, known []push.Subscription, body *Registration) (push.Subscription, error) {
	kind, err := push.ParseKind(cmp.Or(body.Kind, push.WebPush.String()))
	if err != nil {
		return push.Subscription{}, invalid("kind", "%s.", err)
	}
	if err := body.checkMembers(kind); err != nil {
		return push.Subscription{}, err
	}
	if !slices.Contains(t.kinds, kind) {
		return push.Subscription{}, problem{
			status: http.StatusConflict, code: "no_credential", field: "kind",
			detail: fmt.Sprintf("The app %s has no credential for %s, so nothing could be sent there. Give it one, with belfry app %s %s or PUT /v1/apps/%s/credentials/{name}.", t.Name, kind, kind, t.Name, t.Name),
		}
	}
	now := time.Now().Truncate(time.Millisecond)
	sub := push.Subscription{User: user, Kind: kind, CreatedAt: now, RegisteredAt: now, SeenAt: now}
	switch kind {
	case push.APNs:
		err = t.readAPNs(&sub, body)
	case push.FCM:
		err = t.readFCM(&sub, body)
	default:
		err = t.readWebPush(&sub, known, body)
	}
	return sub, err
}

// checkMembers refuses members that are not for the kind.
func (r *Registration) checkMembers(kind push.Kind) error {
	web, apple, google := push.WebPush.String(), push.APNs.String(), push.FCM.String()
	return members{
		{"endpoint", r.Endpoint != "", []string{web}},
		{"keys", r.Keys != BrowserKeys{}, []string{web}},
		{"expirationTime", r.ExpirationTime != nil, []string{web}},
		{"vapid_public_key", r.VapidPublicKey != "", []string{web}},
		{"token", r.Token != "", []string{apple, google}},
		{"topic", r.Topic != "", []string{apple}},
		{"environment", r.Environment != "", []string{apple}},
		{"project", r.Project != "", []string{google}},
	}.check(kind.String())
}

// readWebPush reads what PushSubscription.toJSON() gave.
func (t tenant) readWebPush(sub *push.Subscription, known []push.Subscription, body *Registration) (err error) {
	sub.Endpoint = push.Endpoint(body.Endpoint)
	sub.Digest = push.DigestOf(sub.Endpoint)
	if sub.VAPIDKey, err = t.vapidKeyFor(sub.Digest, known, body.VapidPublicKey); err != nil {
		return err
	}
	if sub.P256dh, err = push.DecodeBase64(body.Keys.P256dh); err != nil {
		return invalid("keys.p256dh", "keys.p256dh is not base64url. Send what PushSubscription.toJSON() gives.")
	}
	if sub.Auth, err = push.DecodeBase64(body.Keys.Auth); err != nil {
		return invalid("keys.auth", "keys.auth is not base64url. Send what PushSubscription.toJSON() gives.")
	}
	if body.ExpirationTime != nil {
		sub.ExpiresAt = time.UnixMilli(*body.ExpirationTime)
		if !sub.ExpiresAt.After(sub.SeenAt) || *body.ExpirationTime > maxMillis {
			return invalid("expirationTime", "expirationTime is not a time to come, in milliseconds since 1970.")
		}
	}
	return nil
}

// maxMillis is the end of the year 9999: what RFC 3339 can say.
const maxMillis = 253402300799999

// vapidKeyFor is the key that a browser subscribed with: the one it says, that
// of the same subscription before, or the current one.
func (t tenant) vapidKeyFor(digest push.Digest, known []push.Subscription, given string) ([]byte, error) {
	if given != "" {
		return t.vapidKeyOf(given)
	}
	for _, k := range known {
		if k.Digest == digest {
			return k.VAPIDKey, nil
		}
	}
	return t.vapidKey(), nil
}

// readAPNs reads what an app on one of Apple's devices says.
func (t tenant) readAPNs(sub *push.Subscription, body *Registration) (err error) {
	sub.Endpoint = push.Endpoint(strings.ToLower(body.Token)) // apps write it in either case, and it is the same
	sub.Digest = push.DigestOf(sub.Endpoint)
	if sub.Environment, err = push.ParseEnvironment(cmp.Or(body.Environment, push.Production.String())); err != nil {
		return invalid("environment", "%s.", err)
	}
	sub.Topic, err = theOne("topic", body.Topic, t.topics())
	return err
}

// readFCM reads what an app on an Android device says.
func (t tenant) readFCM(sub *push.Subscription, body *Registration) (err error) {
	sub.Endpoint = push.Endpoint(body.Token)
	sub.Digest = push.DigestOf(sub.Endpoint)
	sub.Project, err = theOne("project", body.Project, t.projects())
	return err
}

// theOne is what was given, or what alone there is to choose.
func theOne(field, given string, choice []string) (string, error) {
	switch {
	case given != "":
		return given, nil
	case len(choice) == 1:
		return choice[0], nil
	default:
		return "", invalid(field, "%s is missing, and the app's credentials serve %d. Say which: %s.", field, len(choice), strings.Join(choice, ", "))
	}
}
