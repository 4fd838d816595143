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
		removed, err := s.Maintain(t.Context(), samples.Now(), Before(finished[2].AcceptedAt), 10)
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
			removed, err := s.Maintain(t.Context(), now, Before(now), 2)
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
		removed, err := s.Maintain(t.Context(), later, Before(later), 100)
		require.NoError(t, err)
		require.Equal(t, 1, removed)
		require.Equal(t, pending, notificationsOf(listPending(t, s)))
		require.Equal(t, []store.Due{dueOf(parked, Start)}, listDue(t, s, Start))
		require.Len(t, getNotification(t, s, pending[0]).Deliveries, 1)
		require.True(t, getNotification(t, s, parked).Pending)
		requireNoTrace(t, s, finished)
	}},
	{"RemovesReceiptsWithTheirNotification", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		finished := finishedNotifications(t, s, samples, 2)
		var receipts []push.Receipt
		for _, n := range finished {
			receipts = append(receipts, samples.Receipt(push.ReceiptShown, n, samples.Phone(ann)))
		}
		commit(t, s, store.Group{Receipts: receipts})
		removed, err := s.Maintain(t.Context(), samples.Now(), Before(finished[1].AcceptedAt), 10)
		require.NoError(t, err)
		require.Equal(t, 1, removed)
		require.Equal(t, receipts[1:], getNotification(t, s, finished[1]).Receipts)
		requireNoTrace(t, s, finished[:1])
	}},
	{"RemovesOldEventsWhateverBecameOfTheirNotifications", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		pending, sub := samples.Notification(ann), samples.Browser(ann)
		var events []push.Event
		for range 4 {
			events = append(events, samples.Event(push.EventRetrying, pending, sub))
		}
		commit(t, s, store.Group{Accepted: []push.Notification{pending}, Events: events})
		removed, err := s.Maintain(t.Context(), samples.Now(), store.Before{Events: events[2].At}, 10)
		require.NoError(t, err)
		require.Equal(t, 2, removed)
		require.Equal(t, events[2:], listEvents(t, s, push.DefaultApp))
		require.Equal(t, events[2:], listAttempts(t, s, pending))
		require.True(t, getNotification(t, s, pending).Pending)
	}},
	{"KeepsEventsOfANotificationThatItRemoves", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		finished := finishedNotifications(t, s, samples, 1)
		event := samples.Event(push.EventDelivered, finished[0], samples.Browser(ann))
		commit(t, s, store.Group{Events: []push.Event{event}})
		now := samples.Now()
		removed, err := s.Maintain(t.Context(), now, store.Before{Notifications: now}, 10)
		require.NoError(t, err)
		require.Equal(t, 1, removed)
		require.Equal(t, []push.Event{event}, listEvents(t, s, push.DefaultApp))
		requireNoTrace(t, s, finished)
	}},
	{"RemovesEventsOfAllAppsAtMostTheLimit", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		var events []push.Event
		for range 2 {
			for _, app := range []string{"a", "b", "c"} {
				events = append(events, laneEvent(samples, app))
			}
		}
		young := laneEvent(samples, "b")
		commit(t, s, store.Group{Events: append(events, young)})
		for _, want := range []int{4, 2, 0} {
			removed, err := s.Maintain(t.Context(), samples.Now(), store.Before{Events: young.At}, 4)
			require.NoError(t, err)
			require.Equal(t, want, removed)
		}
		require.Nil(t, listEvents(t, s, "a"))
		require.Equal(t, []push.Event{young}, listEvents(t, s, "b"))
		require.Nil(t, listEvents(t, s, "c"))
		require.Equal(t, young.ID, lastEvent(t, s))
	}},
	{"CountsEventsBesideNotifications", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		finished := finishedNotifications(t, s, samples, 3)
		events := []push.Event{laneEvent(samples, "a"), laneEvent(samples, "a"), laneEvent(samples, "a")}
		commit(t, s, store.Group{Events: events})
		now := samples.Now()
		for _, want := range []int{4, 2, 0} {
			removed, err := s.Maintain(t.Context(), now, Before(now), 2)
			require.NoError(t, err)
			require.Equal(t, want, removed)
		}
		requireNoTrace(t, s, finished)
	}},
	{"KeepsEverythingBeforeTimeBegan", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		finishedNotifications(t, s, samples, 1)
		commit(t, s, store.Group{Events: []push.Event{laneEvent(samples, "a")}})
		removed, err := s.Maintain(t.Context(), samples.Now(), Before(time.Time{}), 10)
		require.NoError(t, err)
		require.Zero(t, removed)
	}},
	{"LeavesRoomForEveryDay", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		_, err := s.Maintain(t.Context(), samples.Now(), Before(Start), 10)
		require.NoError(t, err)
		var all []push.Notification
		for days := -2; days < 6; days++ {
			n := samples.Notification(ann)
			n.ID = IDAt(n.AcceptedAt.AddDate(0, 0, days))
			all = append(all, n)
		}
		commit(t, s, accepted(all...))
		require.Equal(t, all, notificationsOf(listPending(t, s)))
		_, err = s.Maintain(t.Context(), samples.Now().AddDate(0, 0, 1), Before(Start), 10)
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
