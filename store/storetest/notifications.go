package storetest

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

var notificationFacts = []fact{
	{"UnknownIsNotFound", func(t *testing.T, s store.Store) {
		_, err := s.GetNotification(t.Context(), push.DefaultApp, IDAt(Start))
		require.ErrorIs(t, err, store.ErrNotFound)
	}},
	{"OfAnotherAppIsNotFound", func(t *testing.T, s store.Store) {
		n := NewSamples().Notification(ann)
		commit(t, s, accepted(n))
		_, err := s.GetNotification(t.Context(), "other", n.ID)
		require.ErrorIs(t, err, store.ErrNotFound)
	}},
	{"HasItsContentByteForByte", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		for _, content := range [][]byte{
			[]byte(`{ "title" : "spaces  and\tescapes \u00e9 é", "title":"twice" }`),
			{0, 1, 2, 0xff, 0xfe, '\\', '\''},
			bytes.Repeat([]byte("long "), 20_000),
		} {
			n := samples.Notification(ann)
			n.Content = content
			commit(t, s, accepted(n))
			require.Equal(t, content, getNotification(t, s, n).Notification.Content)
		}
	}},
	{"HasWhatIsForAppsAndItsTraceByteForByteWhereverItIsRead", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		for _, odd := range [][]byte{
			nil,
			[]byte(`{ "sound" : "spaces  and\tescapes \u00e9 é", "sound":"twice" }`),
			{0, 1, 2, 0xff, 0xfe, '\\', '\''},
			bytes.Repeat([]byte("long "), 20_000),
		} {
			n, parked := samples.Notification(ann), samples.Notification(ann)
			n.Native, parked.Native = odd, odd
			n.Trace, parked.Trace = odd, reversed(odd)
			commit(t, s, accepted(n, parked))
			commit(t, s, store.Group{Parked: []store.Parking{parking(parked, Start)}})
			require.Equal(t, n, getNotification(t, s, n).Notification)
			require.Equal(t, []push.Notification{n}, notificationsOf(listPending(t, s)))
			require.Equal(t, []push.Notification{n}, notificationsOf(listPendingOf(t, s, ann)))
			require.Equal(t, []push.Notification{parked}, notificationsOf(listDueOf(t, s, ann, Start)))
			commit(t, s, store.Group{Finished: []push.ID{n.ID, parked.ID}})
		}
	}},
	{"WithNothingForAppsOrNoTraceHasNil", func(t *testing.T, s store.Store) {
		n := NewSamples().Notification(ann)
		n.Native, n.Trace = []byte{}, []byte{}
		commit(t, s, accepted(n))
		require.Nil(t, getNotification(t, s, n).Notification.Native)
		require.Nil(t, getNotification(t, s, n).Notification.Trace)
	}},
	{"KeepsOddUsersApart", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		for _, id := range oddUsers {
			n := samples.Notification(User(id))
			commit(t, s, accepted(n))
			require.Equal(t, n, getNotification(t, s, n).Notification)
			require.Equal(t, []store.Pending{{Notification: n}}, listPendingOf(t, s, n.User))
		}
	}},
	{"HasTimesToTheMillisecondInUTC", func(t *testing.T, s store.Store) {
		n := NewSamples().Notification(ann)
		n.AcceptedAt = time.Date(2026, 7, 1, 12, 0, 0, 123_999_999, time.FixedZone("elsewhere", 5*3600))
		n.SendAt = n.AcceptedAt.Add(time.Second)
		n.ExpiresAt = n.AcceptedAt.Add(time.Millisecond)
		commit(t, s, accepted(n))
		got := getNotification(t, s, n).Notification
		require.Equal(t, time.Date(2026, 7, 1, 7, 0, 0, 123_000_000, time.UTC), got.AcceptedAt)
		require.Equal(t, time.Date(2026, 7, 1, 7, 0, 1, 123_000_000, time.UTC), got.SendAt)
		require.Equal(t, time.Date(2026, 7, 1, 7, 0, 0, 124_000_000, time.UTC), got.ExpiresAt)
	}},
	{"HasItsDeliveriesByTheTimeTheyWereDone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		n := samples.Notification(ann)
		first, second := samples.Delivery(n, samples.Browser(ann)), samples.Delivery(n, samples.Phone(ann))
		third := push.Delivery{
			Notification: n.ID, Subscription: push.Digest{9}, Kind: push.APNs, Host: "api.push.apple.com",
			State: push.StateRejected, Attempts: 70_000, Status: 400, Reason: `BadTopic: "é" 😀`,
			MessageID: `0:1500415314455276%31bd1c9631bd1c96/"é" 😀`, DoneAt: samples.Now(),
		}
		commit(t, s, store.Group{Accepted: []push.Notification{n}, Deliveries: []push.Delivery{third, first, second}})
		require.Equal(t, []push.Delivery{first, second, third}, getNotification(t, s, n).Deliveries)
	}},
	{"WithoutSubscriptionHasADeliveryThatSaysSo", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		n := samples.Notification(ann)
		none := push.Delivery{Notification: n.ID, State: push.StateNoSubscription, DoneAt: samples.Now()}
		commit(t, s, store.Group{Accepted: []push.Notification{n}, Deliveries: []push.Delivery{none}, Finished: []push.ID{n.ID}})
		require.Equal(t, []push.Delivery{none}, getNotification(t, s, n).Deliveries)
	}},
	{"LastIDIsZeroAtFirst", func(t *testing.T, s store.Store) {
		id, err := s.LastID(t.Context())
		require.NoError(t, err)
		require.Zero(t, id)
	}},
	{"LastIDIsThatOfTheNewestFinishedOrNot", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		all := samples.Notifications(ann, 3)
		commit(t, s, accepted(all[2], all[0]))
		commit(t, s, accepted(all[1]))
		commit(t, s, store.Group{Finished: []push.ID{all[2].ID}})
		id, err := s.LastID(t.Context())
		require.NoError(t, err)
		require.Equal(t, all[2].ID, id)
	}},
}

func getNotification(t *testing.T, s store.Store, n push.Notification) store.Record {
	t.Helper()
	record, err := s.GetNotification(t.Context(), n.User.App, n.ID)
	require.NoError(t, err)
	return record
}
