package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

var deleteUnusedFacts = []fact{
	{"RemovesWhatWasSeenLastBeforeAndGivesIt", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		browser, phone, iPhone := resting(samples, samples.Browser(ann)), samples.Phone(bob), samples.IPhone(bob)
		browser.KeyMismatch = true
		elsewhere := samples.Phone(push.User{App: "other", ID: ann.ID})
		seen, renewed := samples.Phone(ann), samples.Phone(bob)
		renewed.SeenAt = Start
		for _, sub := range []push.Subscription{browser, phone, iPhone, elsewhere, seen, renewed} {
			putSubscription(t, s, sub)
		}
		renewed.SeenAt = seen.SeenAt
		commit(t, s, store.Group{Seen: []store.SubscriptionSeen{{UserSubscription: keyOf(renewed), At: renewed.SeenAt}}})

		require.ElementsMatch(t, []push.Subscription{browser, phone, iPhone, elsewhere}, deleteUnused(t, s, seen.SeenAt, 10))
		require.Equal(t, []push.Subscription{seen}, listSubscriptions(t, s, ann))
		require.Equal(t, []push.Subscription{renewed}, listSubscriptions(t, s, bob))
		require.Empty(t, listSubscriptions(t, s, elsewhere.User))
		require.Nil(t, deleteUnused(t, s, seen.SeenAt, 10))
	}},
	{"RemovesAtMostTheLimit", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		var all, removed []push.Subscription
		for range 5 {
			sub := samples.Phone(ann)
			putSubscription(t, s, sub)
			all = append(all, sub)
		}
		now := samples.Now()
		for _, want := range []int{2, 2, 1, 0} {
			some := deleteUnused(t, s, now, 2)
			require.Len(t, some, want)
			removed = append(removed, some...)
			require.Len(t, listSubscriptions(t, s, ann), len(all)-len(removed))
		}
		require.ElementsMatch(t, all, removed)
	}},
	{"RacedByAnotherUserRemovesEachOrLeavesIt", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		var all []push.Subscription
		for range 60 {
			sub := samples.Phone(ann)
			putSubscription(t, s, sub)
			all = append(all, sub)
		}
		now := samples.Now()
		var removed []push.Subscription
		puts := make([]store.Put, len(all))
		var race errgroup.Group
		race.Go(func() error {
			for {
				some, err := s.DeleteUnused(t.Context(), now, 5)
				if err != nil || len(some) == 0 {
					return err
				}
				removed = append(removed, some...)
			}
		})
		race.Go(func() error {
			for i, sub := range all {
				sub.User, sub.SeenAt = bob, now
				put, err := s.PutSubscription(t.Context(), sub)
				if err != nil {
					return err
				}
				puts[i] = put
			}
			return nil
		})
		require.NoError(t, race.Wait())

		was := map[push.Digest]push.Subscription{}
		for _, sub := range removed {
			require.Equal(t, ann, sub.User)
			was[sub.Digest] = sub
		}
		require.Len(t, was, len(removed), "none is removed twice")
		require.Len(t, listSubscriptions(t, s, bob), len(all), "none is removed that was seen")
		require.Empty(t, append(deleteUnused(t, s, now, 100), listSubscriptions(t, s, ann)...))
		for i, put := range puts {
			_, removed := was[all[i].Digest]
			require.Equal(t, removed, put.Created)
			require.Equal(t, !removed, put.MovedFrom == ann.ID, "it moved or was made anew")
		}
	}},
	{"TakesOddUsers", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		var all []push.Subscription
		for i, id := range oddUsers {
			sub := samples.Phone(push.User{App: fmt.Sprint("app-", i), ID: id})
			putSubscription(t, s, sub)
			all = append(all, sub)
		}
		require.ElementsMatch(t, all, deleteUnused(t, s, samples.Now(), 100))
	}},
}

func deleteUnused(t *testing.T, s store.Store, before time.Time, limit int) []push.Subscription {
	t.Helper()
	unused, err := s.DeleteUnused(t.Context(), before, limit)
	require.NoError(t, err)
	return unused
}
