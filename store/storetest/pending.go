package storetest

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

var pendingFacts = []fact{
	{"IsListedWithTheSubscriptionsThatAreDone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		all := samples.Notifications(ann, 2)
		one, two := samples.Delivery(all[0], samples.Browser(ann)), samples.Delivery(all[0], samples.Phone(ann))
		commit(t, s, store.Group{Accepted: all, Deliveries: []push.Delivery{one, two}})

		done := []push.Digest{one.Subscription, two.Subscription}
		slices.SortFunc(done, func(a, b push.Digest) int { return slices.Compare(a[:], b[:]) })
		want := []store.Pending{{Notification: all[0], Done: done}, {Notification: all[1]}}
		require.Equal(t, want, listPending(t, s))
		require.Equal(t, want, listPendingOf(t, s, ann))
	}},
	{"IsListedInPages", func(t *testing.T, s store.Store) {
		all := NewSamples().Notifications(ann, 7)
		commit(t, s, accepted(all...))
		page := func(after, upTo push.ID, limit int) []push.Notification {
			t.Helper()
			byShard, err := s.ListPending(t.Context(), AllShards, after, upTo, limit)
			require.NoError(t, err)
			byUser, err := s.ListPendingOf(t.Context(), ann, after, upTo, limit)
			require.NoError(t, err)
			require.Equal(t, byShard, byUser)
			return notificationsOf(byShard)
		}
		require.Equal(t, all[:3], page(push.ID{}, MaxID, 3))
		require.Equal(t, all[3:6], page(all[2].ID, MaxID, 3), "after is not listed again")
		require.Equal(t, all[6:], page(all[5].ID, MaxID, 3))
		require.Empty(t, page(all[6].ID, MaxID, 3))
		require.Equal(t, all[2:5], page(all[1].ID, all[4].ID, 10), "upTo is listed")
		require.Empty(t, page(push.ID{}, push.ID{}, 10))
	}},
	{"IsListedForAShardRange", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		var all []push.Notification
		for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			all = append(all, samples.Notification(User(id)), samples.Notification(User(id)))
		}
		commit(t, s, accepted(all...))
		shards := make([]push.Shard, len(all))
		for i, n := range all {
			shards[i] = n.User.Shard()
		}
		slices.Sort(shards)
		for _, shardRange := range []push.ShardRange{
			{First: shards[4], Last: shards[11]}, {First: shards[0], Last: shards[0]},
			{First: 0, Last: shards[7] - 1}, {First: shards[15] + 1, Last: push.Shards - 1},
		} {
			var want []push.Notification
			for _, n := range all {
				if shardRange.Contains(n.User.Shard()) {
					want = append(want, n)
				}
			}
			got, err := s.ListPending(t.Context(), shardRange, push.ID{}, MaxID, 100)
			require.NoError(t, err)
			require.Equal(t, want, notificationsOf(got))
		}
	}},
	{"IsListedForOneUserOfOneApp", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		elsewhere := push.User{App: "other", ID: ann.ID}
		mine, theirs := samples.Notification(ann), samples.Notification(elsewhere)
		commit(t, s, accepted(mine, theirs, samples.Notification(bob)))
		require.Equal(t, []store.Pending{{Notification: mine}}, listPendingOf(t, s, ann))
		require.Equal(t, []store.Pending{{Notification: theirs}}, listPendingOf(t, s, elsewhere))
		require.Nil(t, listPendingOf(t, s, User("nobody")))
	}},
	{"IsCountedParkedOrNot", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		require.Equal(t, 0, countPending(t, s))
		all := samples.Notifications(ann, 4)
		commit(t, s, accepted(all...))
		commit(t, s, store.Group{Parked: []store.Parking{parking(all[1], samples.Now())}, Finished: []push.ID{all[3].ID}})
		require.Equal(t, 3, countPending(t, s))
	}},
}

func countPending(t *testing.T, s store.Store) int {
	t.Helper()
	n, err := s.CountPending(t.Context())
	require.NoError(t, err)
	return n
}

func listPending(t *testing.T, s store.Store) []store.Pending {
	t.Helper()
	pending, err := s.ListPending(t.Context(), AllShards, push.ID{}, MaxID, 1000)
	require.NoError(t, err)
	return pending
}

func listPendingOf(t *testing.T, s store.Store, user push.User) []store.Pending {
	t.Helper()
	pending, err := s.ListPendingOf(t.Context(), user, push.ID{}, MaxID, 1000)
	require.NoError(t, err)
	return pending
}

func notificationsOf(pending []store.Pending) []push.Notification {
	var all []push.Notification
	for _, p := range pending {
		all = append(all, p.Notification)
	}
	return all
}
