package storetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

var parkedFacts = []fact{
	{"IsListedWithWhatIsDueAlone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		all, until := samples.Notifications(ann, 3), samples.Now()
		commit(t, s, accepted(all...))
		delivery := samples.Delivery(all[1], samples.Browser(ann))
		commit(t, s, store.Group{Deliveries: []push.Delivery{delivery}, Parked: []store.Parking{parking(all[1], until)}})

		others := []store.Pending{{Notification: all[0]}, {Notification: all[2]}}
		require.Equal(t, others, listPending(t, s))
		require.Equal(t, others, listPendingOf(t, s, ann))
		require.Equal(t, []store.Due{dueOf(all[1], until)}, listDue(t, s, until))
		require.Equal(t, []store.Pending{{Notification: all[1], Done: []push.Digest{delivery.Subscription}}}, listDueOf(t, s, ann, until))
		require.Equal(t, store.Record{Notification: all[1], Pending: true, Deliveries: []push.Delivery{delivery}}, getNotification(t, s, all[1]))
	}},
	{"FromTheStartWaitsForItsSendAt", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		now, later := samples.Notification(ann), samples.Notification(ann)
		later.SendAt = later.AcceptedAt.AddDate(0, 0, 7)
		commit(t, s, accepted(later, now))
		require.Equal(t, []store.Pending{{Notification: now}}, listPending(t, s))
		require.Equal(t, []store.Due{dueOf(later, later.SendAt)}, listDue(t, s, later.SendAt))
		require.Equal(t, []store.Pending{{Notification: later}}, listDueOf(t, s, ann, later.SendAt))
		require.Equal(t, store.Record{Notification: later, Pending: true}, getNotification(t, s, later))
	}},
	{"AnewKeepsTheNewTimeAndItsSendAt", func(t *testing.T, s store.Store) {
		n := NewSamples().Notification(ann)
		n.SendAt = n.AcceptedAt.Add(time.Hour)
		commit(t, s, accepted(n))
		for _, until := range []time.Time{n.SendAt.Add(time.Hour), n.SendAt.Add(-time.Minute)} {
			commit(t, s, store.Group{Parked: []store.Parking{parking(n, until)}})
			require.Equal(t, []store.Due{dueOf(n, until)}, listDue(t, s, until))
			require.Equal(t, []store.Pending{{Notification: n}}, listDueOf(t, s, ann, until))
		}
	}},
	{"SeveralTimesAtOnceKeepsTheLast", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		one, two := samples.Notification(ann), samples.Notification(bob)
		commit(t, s, accepted(one, two))
		at := func(hours int) time.Time { return Start.Add(time.Duration(hours) * time.Hour) }
		commit(t, s, store.Group{Parked: []store.Parking{
			parking(one, at(5)), parking(two, at(1)), parking(one, at(1)), parking(two, at(9)), parking(one, at(3)), parking(two, at(2)),
		}})
		require.Equal(t, []store.Due{dueOf(two, at(2)), dueOf(one, at(3))}, listDue(t, s, at(9)))
	}},
	{"PassesOverWhatIsNotPending", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		all := samples.Notifications(ann, 2)
		commit(t, s, accepted(all...))
		commit(t, s, store.Group{Finished: []push.ID{all[0].ID}})
		commit(t, s, store.Group{Parked: []store.Parking{
			parking(all[0], Start), parking(samples.Notification(ann), Start), parking(all[1], Start),
		}})
		require.Equal(t, []store.Due{dueOf(all[1], Start)}, listDue(t, s, Start), "the others of its group are parked")
		require.False(t, getNotification(t, s, all[0]).Pending)
	}},
	{"StandsBetweenAcceptedAndFinished", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		all := samples.Notifications(ann, 2)
		commit(t, s, store.Group{
			Accepted: all,
			Parked:   []store.Parking{parking(all[0], Start), parking(all[1], Start)},
			Finished: []push.ID{all[1].ID},
		})
		require.Equal(t, []store.Due{dueOf(all[0], Start)}, listDue(t, s, Start))
		require.Empty(t, listPending(t, s))
	}},
	{"FinishedIsNoLongerDue", func(t *testing.T, s store.Store) {
		n := NewSamples().Notification(ann)
		commit(t, s, store.Group{Accepted: []push.Notification{n}, Parked: []store.Parking{parking(n, Start)}})
		commit(t, s, store.Group{Finished: []push.ID{n.ID}})
		require.Empty(t, listDue(t, s, Start))
		require.Empty(t, listDueOf(t, s, ann, Start))
		require.Zero(t, nextDue(t, s, AllShards, time.Time{}))
		require.False(t, getNotification(t, s, n).Pending)
	}},
	{"HasItsTimeToTheMillisecondInUTC", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		n, sendAt := samples.Notification(ann), samples.Notification(bob)
		until := time.Date(2026, 7, 1, 12, 0, 0, 123_999_999, time.FixedZone("elsewhere", 5*3600))
		sendAt.SendAt = until
		commit(t, s, store.Group{Accepted: []push.Notification{n, sendAt}, Parked: []store.Parking{parking(n, until)}})

		kept := time.Date(2026, 7, 1, 7, 0, 0, 123_000_000, time.UTC)
		both := []store.Due{dueOf(n, kept), dueOf(sendAt, kept)}
		require.Equal(t, both, listDue(t, s, kept))
		require.Empty(t, listDue(t, s, kept.Add(-1)))
		require.Equal(t, kept, nextDue(t, s, AllShards, kept.Add(-1)))
		require.Zero(t, nextDue(t, s, AllShards, kept))
		after, err := s.ListDue(t.Context(), AllShards, parking(n, until), until, 10)
		require.NoError(t, err)
		require.Equal(t, both[1:], after, "a place is cut to the millisecond like what is there")
	}},
	{"ByTheHundredsIsParked", func(t *testing.T, s store.Store) {
		all := NewSamples().Notifications(ann, 512)
		group := store.Group{Accepted: all}
		var want []store.Due
		for i, n := range all {
			until := Start.Add(time.Duration(i) * time.Second)
			group.Parked = append(group.Parked, parking(n, until))
			want = append(want, dueOf(n, until))
		}
		group.Parked = reversed(group.Parked)
		commit(t, s, group)
		require.Equal(t, want, listDue(t, s, Start.Add(time.Hour)))
	}},
}

func parking(n push.Notification, until time.Time) store.Parking {
	return store.Parking{Notification: n.ID, Until: until}
}

// RequireUnparked checks that the notification is pending and not parked, and
// that the subscription, which is the same user's only one, does not rest; and
// that they can be from now on.
func RequireUnparked(t *testing.T, s store.Store, n push.Notification, sub push.Subscription) {
	t.Helper()
	require.Equal(t, []store.Pending{{Notification: n}}, listPending(t, s))
	require.Empty(t, listDue(t, s, n.ExpiresAt))
	require.Equal(t, []push.Subscription{sub}, listSubscriptions(t, s, sub.User))

	sub = resting(NewSamples(), sub)
	commit(t, s, store.Group{
		Rests:  []store.SubscriptionRest{{UserSubscription: keyOf(sub), Rest: sub.Rest}},
		Parked: []store.Parking{parking(n, n.ExpiresAt)},
	})
	require.Empty(t, listPending(t, s))
	require.Equal(t, []store.Due{dueOf(n, n.ExpiresAt)}, listDue(t, s, n.ExpiresAt))
	require.Equal(t, []push.Subscription{sub}, listSubscriptions(t, s, sub.User))
}
