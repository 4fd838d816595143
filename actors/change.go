package actors

import (
	"context"
	"errors"
	"fmt"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// How subscriptions change, and users are forgotten.
//
// Events of these changes go to the journal when the store has taken the change:
// if the process, or the journal, fails in that moment, they are not told. None
// is told twice.

// Subscribe registers a subscription: see store.PutSubscription. Every
// notification accepted after it returns goes to it.
func (s *System) Subscribe(ctx context.Context, sub push.Subscription) (put store.Put, err error) {
	err = s.change(ctx, func(ctx context.Context) (err error) {
		put, err = s.config.Store.PutSubscription(ctx, sub)
		return err
	})
	if err == nil {
		s.tellChanged(sub.User, put)
		s.tell(putEvents(sub, put.MovedFrom, put.Created)...)
	}
	return put, err
}

// Resubscribe registers sub in place of the same user's subscription old: see
// store.ReplaceSubscription.
func (s *System) Resubscribe(ctx context.Context, old push.Digest, sub push.Subscription) (put store.Put, err error) {
	err = s.change(ctx, func(ctx context.Context) (err error) {
		put, err = s.config.Store.ReplaceSubscription(ctx, old, sub)
		return err
	})
	if err == nil {
		s.tellChanged(sub.User, put)
		events := putEvents(sub, put.MovedFrom, put.Created)
		if old != sub.Digest {
			events = append(events, removedEvent(sub.User, old, "replaced by another"))
		}
		s.tell(events...)
	}
	return put, err
}

func (s *System) tellChanged(user push.User, put store.Put) {
	if put.MovedFrom != "" {
		before := push.User{App: user.App, ID: put.MovedFrom}
		s.send(s.rangeOf(before), &changed{user: before})
	}
	s.send(s.rangeOf(user), &changed{user: user})
}

// Unsubscribe removes a subscription: see store.DeleteSubscription. What was
// queued for it is concluded as unsubscribed.
func (s *System) Unsubscribe(ctx context.Context, user push.User, digest push.Digest) error {
	err := s.change(ctx, func(ctx context.Context) error {
		return s.config.Store.DeleteSubscription(ctx, user, digest)
	})
	if err == nil {
		s.send(s.rangeOf(user), &changed{user: user})
		s.tell(removedEvent(user, digest, "unsubscribed"))
	}
	return err
}

// Reconsider tells that an app's credentials changed. Lanes that are paused
// because the old ones were refused try the new ones at once.
func (s *System) Reconsider(app string) { s.send(s.lanes, &reconsider{app: app}) }

// Forget removes a user with everything that is kept of them, work that has
// not been sent included: see store.DeleteUser. What is being sent at that
// moment cannot be taken back. There is no event of it.
func (s *System) Forget(ctx context.Context, user push.User) (forgotten store.Forgotten, err error) {
	// Events on their way to the store would come after it otherwise. That they
	// cannot get there is no reason to keep the user.
	_, _ = s.ask(s.journal, &flush{}, askTimeout)
	err = s.change(ctx, func(ctx context.Context) (err error) {
		forgotten, err = s.config.Store.DeleteUser(ctx, user)
		return err
	})
	if err == nil {
		s.send(s.rangeOf(user), &forget{user: user})
	}
	return forgotten, err
}

// change makes a change of subscriptions, whether or not the caller waits for
// it: one that was committed must reach the actors. After ErrUnavailable, which
// leaves it open whether it was, they all look again.
func (s *System) change(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	err := do(ctx)
	if err == nil || errors.Is(err, store.ErrNotFound) {
		return err
	}
	for _, pid := range s.ranges {
		s.send(pid, &doubt{})
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
