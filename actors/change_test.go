package actors

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/stretchr/testify/require"
)

func TestUnsubscribe_ExplainsWhatWasQueued(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(time.Minute))
		first, second := r.notify("ann")[0], r.notify("ann")[0]
		r.settle()
		require.NoError(t, r.Unsubscribe(t.Context(), sub.User, sub.Digest))
		r.settle()
		require.Equal(t, []string{"unsubscribed"}, r.states(first))
		require.Equal(t, 1, r.fate(first).Deliveries[0].Attempts)
		require.Equal(t, []string{"unsubscribed"}, r.states(second))
		time.Sleep(2 * time.Minute)
		require.Empty(t, r.service.got("laptop"))
	})
}

func TestUnsubscribe_TakesBackWhatWaitsForItsLane(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.LaneInFlight = 1 })
		r.subscribe("bob", "hangs")
		sub := r.subscribe("ann", "laptop")
		hold := make(chan struct{})
		r.service.script("hangs", answer{hold: hold})
		r.notify("bob")
		r.settle()
		id := r.notify("ann")[0]
		r.settle()
		require.NoError(t, r.Unsubscribe(t.Context(), sub.User, sub.Digest))
		r.settle()
		require.Equal(t, []string{"unsubscribed"}, r.states(id))
		close(hold)
		r.settle()
		require.Empty(t, r.service.got("laptop"))
	})
}

func TestUnsubscribe_LetsWhatIsInFlightFinish(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.subscribe("ann", "laptop")
		hold := make(chan struct{})
		r.service.script("laptop", answer{hold: hold})
		id := r.notify("ann")[0]
		r.settle()
		require.NoError(t, r.Unsubscribe(t.Context(), sub.User, sub.Digest))
		r.settle()
		close(hold)
		r.settle()
		require.Equal(t, []string{"delivered"}, r.states(id))
	})
}

func TestSubscribe_MovesABrowserToAnotherUser(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "shared")
		r.service.script("shared", retryAfter(time.Minute))
		anns := r.notify("ann")
		r.settle()
		r.subscribe("bob", "shared")
		r.settle()
		require.Equal(t, []string{"unsubscribed"}, r.states(anns[0]), "bob must not see it")
		bobs := r.notify("bob")
		r.settle()
		require.Equal(t, bobs, r.service.got("shared"))
	})
}

func TestSubscribe_BackAgainWhileTheOldOneIsInFlight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.subscribe("ann", "laptop")
		hold := make(chan struct{})
		r.service.script("laptop", answer{result: push.Result{Outcome: push.Retry}, hold: hold})
		first := r.notify("ann")[0]
		r.settle()
		require.NoError(t, r.Unsubscribe(t.Context(), sub.User, sub.Digest))
		r.settle()
		r.subscribe("ann", "laptop")
		second := r.notify("ann")[0]
		r.settle()
		close(hold)
		r.settle()
		require.Equal(t, []string{"unsubscribed"}, r.states(first))
		require.Equal(t, []string{"delivered"}, r.states(second))
	})
}

func TestSubscribe_NewKeysAreUsedForWhatIsQueued(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(time.Minute))
		r.notify("ann")
		r.settle()
		sub.Auth = []byte("sixteen new byte")
		_, err := r.Subscribe(t.Context(), sub)
		require.NoError(t, err)
		time.Sleep(2 * time.Minute)
		require.Equal(t, sub.Auth, r.service.messages("laptop")[0].Subscription.Auth)
	})
}

func TestForget_SendsNothingAnyMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(time.Minute))
		id := r.notify("ann")[0]
		r.settle()
		forgotten, err := r.Forget(t.Context(), userNamed("ann"))
		require.NoError(t, err)
		require.Equal(t, 1, forgotten.Subscriptions)
		time.Sleep(5 * time.Minute)
		require.Empty(t, r.service.got("laptop"))
		_, err = r.store.GetNotification(t.Context(), push.DefaultApp, id)
		require.Error(t, err)
		r.subscribe("ann", "laptop")
		again := r.notify("ann")
		r.settle()
		require.Equal(t, again, r.service.got("laptop"), "she may come back")
	})
}

func TestForget_TakesBackWhatWaitsForItsLane(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.LaneInFlight = 1 })
		r.subscribe("bob", "hangs")
		r.subscribe("ann", "shared")
		hold := make(chan struct{})
		r.service.script("hangs", answer{hold: hold})
		r.notify("bob")
		r.settle()
		r.notify("ann")
		r.settle()
		_, err := r.Forget(t.Context(), userNamed("ann"))
		require.NoError(t, err)
		r.subscribe("carl", "shared")
		r.settle()
		close(hold)
		r.settle()
		require.Empty(t, r.service.got("shared"), "carl must not see what was ann's")
	})
}

// lyingStore commits, and says that it could not.
type lyingStore struct{ store.Store }

func (s *lyingStore) DeleteSubscription(ctx context.Context, user push.User, d push.Digest) error {
	return errors.Join(context.Canceled, s.Store.DeleteSubscription(ctx, user, d))
}

func TestUnsubscribe_TakesEffectEvenIfItsAnswerWasLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Store = &lyingStore{c.Store} })
		sub := r.subscribe("ann", "laptop")
		r.notify("ann")
		r.settle()
		require.Error(t, r.Unsubscribe(t.Context(), sub.User, sub.Digest))
		id := r.notify("ann")[0]
		r.settle()
		require.Equal(t, []string{"no_subscription"}, r.states(id))
	})
}

func TestSubscribe_NewKeysAreUsedForWhatWaitsForItsLane(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.LaneInFlight = 1 })
		r.subscribe("bob", "hangs")
		sub := r.subscribe("ann", "laptop")
		hold := make(chan struct{})
		r.service.script("hangs", answer{hold: hold})
		r.notify("bob")
		r.settle()
		r.notify("ann")
		r.settle()
		sub.Auth = []byte("sixteen new byte")
		_, err := r.Subscribe(t.Context(), sub)
		require.NoError(t, err)
		r.settle()
		close(hold)
		r.settle()
		require.Len(t, r.service.messages("laptop"), 1)
		require.Equal(t, sub.Auth, r.service.messages("laptop")[0].Subscription.Auth)
	})
}
