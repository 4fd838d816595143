package storetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

var idempotencyFacts = []fact{
	{"IsFoundWithWhatItWasAnswered", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		all := samples.Notifications(ann, 3)
		key := keyFor(samples, "shop", "a key, with ünïcödé", all...)
		commit(t, s, store.Group{Accepted: all, Keys: []store.IdempotencyKey{key}})
		got, err := s.FindIdempotencyKey(t.Context(), "shop", key.Key)
		require.NoError(t, err)
		require.Equal(t, key, got)
	}},
	{"UnknownIsNotFound", func(t *testing.T, s store.Store) {
		_, err := s.FindIdempotencyKey(t.Context(), "shop", "x")
		require.ErrorIs(t, err, store.ErrNotFound)
	}},
	{"IsItsAppsAlone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		a, b := samples.Notification(ann), samples.Notification(ann)
		commit(t, s, store.Group{Accepted: []push.Notification{a, b}, Keys: []store.IdempotencyKey{
			keyFor(samples, "shop", "same", a), keyFor(samples, "other", "same", b),
		}})
		got, err := s.FindIdempotencyKey(t.Context(), "other", "same")
		require.NoError(t, err)
		require.Equal(t, []push.ID{b.ID}, got.IDs)
		_, err = s.FindIdempotencyKey(t.Context(), "third", "same")
		require.ErrorIs(t, err, store.ErrNotFound)
	}},
	{"IsRefusedASecondTimeWithAllThatCameWithIt", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		first, second := samples.Notification(ann), samples.Notification(ann)
		commit(t, s, store.Group{Accepted: []push.Notification{first}, Keys: []store.IdempotencyKey{keyFor(samples, "shop", "k", first)}})
		err := s.Commit(t.Context(), store.Group{
			Accepted: []push.Notification{second}, Keys: []store.IdempotencyKey{keyFor(samples, "shop", "k", second)},
		})
		require.ErrorIs(t, err, store.ErrExists)
		require.Equal(t, []store.Pending{{Notification: first}}, listPending(t, s))
	}},
	{"IsRemovedByMaintainWhenItIsOld", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		n := samples.Notification(ann)
		old, young := keyFor(samples, "shop", "old", n), keyFor(samples, "shop", "young", n)
		young.CreatedAt = old.CreatedAt.Add(2 * time.Millisecond)
		commit(t, s, store.Group{Accepted: []push.Notification{n}, Keys: []store.IdempotencyKey{old, young}})
		now := old.CreatedAt.Add(store.IdempotencyAge + time.Millisecond)
		_, err := s.Maintain(t.Context(), now, Before(n.AcceptedAt), 10)
		require.NoError(t, err)
		_, err = s.FindIdempotencyKey(t.Context(), "shop", "old")
		require.ErrorIs(t, err, store.ErrNotFound)
		_, err = s.FindIdempotencyKey(t.Context(), "shop", "young")
		require.NoError(t, err)
	}},
}

func keyFor(samples *Samples, app, key string, answered ...push.Notification) store.IdempotencyKey {
	k := store.IdempotencyKey{App: app, Key: key, Request: [32]byte{1, 2, 3}, CreatedAt: samples.Now()}
	for _, n := range answered {
		k.IDs = append(k.IDs, n.ID)
	}
	return k
}
