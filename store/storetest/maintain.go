package storetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

var maintainFacts = []fact{
	{"RemovesOldNotificationsAndTheirDeliveries", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		finished := finishedNotifications(t, s, samples, 4)
		removed, err := s.Maintain(t.Context(), samples.Now(), finished[2].AcceptedAt, 10)
		require.NoError(t, err)
		require.Equal(t, 2, removed)
		for _, n := range finished[2:] {
			require.Len(t, getNotification(t, s, n).Deliveries, 1)
		}
		requireNoTrace(t, s, finished[:2])
	}},
	{"RemovesTheOldestFirstAndAtMostTheLimit", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		finished := finishedNotifications(t, s, samples, 5)
		now := samples.Now()
		for _, want := range []int{2, 2, 1, 0} {
			removed, err := s.Maintain(t.Context(), now, now, 2)
			require.NoError(t, err)
			require.Equal(t, want, removed)
			finished = finished[want:]
			for _, n := range finished {
				getNotification(t, s, n)
			}
		}
	}},
	{"NeverRemovesPendingWork", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		pending, parked := samples.Notifications(ann, 3), samples.Notification(ann)
		commit(t, s, accepted(append(pending, parked)...))
		commit(t, s, store.Group{Parked: []store.Parking{parking(parked, Start)}})
		finished := finishedNotifications(t, s, samples, 1)
		commit(t, s, store.Group{Deliveries: []push.Delivery{samples.Delivery(pending[0], samples.Browser(ann))}})

		later := samples.Now().AddDate(1, 0, 0)
		removed, err := s.Maintain(t.Context(), later, later, 100)
		require.NoError(t, err)
		require.Equal(t, 1, removed)
		require.Equal(t, pending, notificationsOf(listPending(t, s)))
		require.Equal(t, []store.Due{dueOf(parked, Start)}, listDue(t, s, Start))
		require.Len(t, getNotification(t, s, pending[0]).Deliveries, 1)
		require.True(t, getNotification(t, s, parked).Pending)
		requireNoTrace(t, s, finished)
	}},
	{"KeepsEverythingBeforeTimeBegan", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		finishedNotifications(t, s, samples, 1)
		removed, err := s.Maintain(t.Context(), samples.Now(), time.Time{}, 10)
		require.NoError(t, err)
		require.Zero(t, removed)
	}},
	{"LeavesRoomForEveryDay", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		_, err := s.Maintain(t.Context(), samples.Now(), Start, 10)
		require.NoError(t, err)
		var all []push.Notification
		for days := -2; days < 6; days++ {
			n := samples.Notification(ann)
			n.ID = IDAt(n.AcceptedAt.AddDate(0, 0, days))
			all = append(all, n)
		}
		commit(t, s, accepted(all...))
		require.Equal(t, all, notificationsOf(listPending(t, s)))
		_, err = s.Maintain(t.Context(), samples.Now().AddDate(0, 0, 1), Start, 10)
		require.NoError(t, err, "days that have rows already")
		last, err := s.LastID(t.Context())
		require.NoError(t, err)
		require.Equal(t, all[len(all)-1].ID, last)
	}},
}

func finishedNotifications(t *testing.T, s store.Store, samples *Samples, n int) []push.Notification {
	t.Helper()
	sub := samples.Browser(ann)
	group := store.Group{Accepted: samples.Notifications(ann, n)}
	for _, n := range group.Accepted {
		group.Deliveries = append(group.Deliveries, samples.Delivery(n, sub))
		group.Finished = append(group.Finished, n.ID)
	}
	commit(t, s, group)
	return group.Accepted
}
