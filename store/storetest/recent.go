package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

var recentFacts = []fact{
	{"AreListedTheNewestFirst", func(t *testing.T, s store.Store) {
		all := NewSamples().Notifications(ann, 5)
		commit(t, s, accepted(all[1], all[4], all[0]))
		commit(t, s, accepted(all[3], all[2]))
		require.Equal(t, idsOf(reversed(all)), listRecent(t, s, ann, 10))
		require.Equal(t, idsOf(reversed(all))[:2], listRecent(t, s, ann, 2))
		require.Equal(t, idsOf(reversed(all)), listRecent(t, s, ann, 5))
	}},
	{"AreListedForOneUserOfOneApp", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		elsewhere := push.User{App: "other", ID: ann.ID}
		mine, theirs, older := samples.Notification(ann), samples.Notification(elsewhere), samples.Notification(ann)
		commit(t, s, accepted(mine, theirs, older, samples.Notification(bob)))
		require.Equal(t, []push.ID{older.ID, mine.ID}, listRecent(t, s, ann, 10))
		require.Equal(t, []push.ID{theirs.ID}, listRecent(t, s, elsewhere, 10))
		require.Nil(t, listRecent(t, s, User("nobody"), 10))
	}},
	{"AreListedFinishedParkedOrNot", func(t *testing.T, s store.Store) {
		all := NewSamples().Notifications(ann, 3)
		commit(t, s, accepted(all...))
		commit(t, s, store.Group{Finished: []push.ID{all[0].ID}, Parked: []store.Parking{parking(all[1], Start)}})
		require.Equal(t, idsOf(reversed(all)), listRecent(t, s, ann, 10))
	}},
}

func listRecent(t *testing.T, s store.Store, user push.User, limit int) []push.ID {
	t.Helper()
	recent, err := s.ListRecent(t.Context(), user, limit)
	require.NoError(t, err)
	require.Zero(t, recent.Since, "all that is kept was looked at")
	return recent.IDs
}

func idsOf(notifications []push.Notification) []push.ID {
	ids := make([]push.ID, len(notifications))
	for i, n := range notifications {
		ids[i] = n.ID
	}
	return ids
}
