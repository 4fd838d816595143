package storetest

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

var deleteUserFacts = []fact{
	{"ForgetsEverythingOfTheUserAlone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		mine, theirs := samples.Browser(ann), samples.Browser(bob)
		elsewhere := samples.Browser(push.User{App: "other", ID: ann.ID})
		subs := []push.Subscription{mine, theirs, elsewhere, samples.Phone(ann)}
		notifications := map[push.User][]push.Notification{}
		for _, sub := range subs {
			putSubscription(t, s, sub)
			finished, pending := samples.Notification(sub.User), samples.Notification(sub.User)
			notifications[sub.User] = append(notifications[sub.User], finished, pending)
			commit(t, s, store.Group{
				Accepted:   []push.Notification{finished, pending},
				Deliveries: []push.Delivery{samples.Delivery(finished, sub), samples.Delivery(pending, sub)},
				Finished:   []push.ID{finished.ID},
			})
		}

		forgotten, err := s.DeleteUser(t.Context(), ann)
		require.NoError(t, err)
		require.Equal(t, store.Forgotten{Subscriptions: 2, Notifications: 4}, forgotten)
		require.Empty(t, listSubscriptions(t, s, ann))
		require.Empty(t, listPendingOf(t, s, ann))
		for _, n := range notifications[ann] {
			_, err := s.GetNotification(t.Context(), n.User.App, n.ID)
			require.ErrorIs(t, err, store.ErrNotFound)
		}
		for _, sub := range []push.Subscription{theirs, elsewhere} {
			require.Len(t, listSubscriptions(t, s, sub.User), 1)
			require.Len(t, listPendingOf(t, s, sub.User), 1)
			for _, n := range notifications[sub.User] {
				require.Len(t, getNotification(t, s, n).Deliveries, 1)
			}
		}
		requireNoTrace(t, s, notifications[ann])
	}},
	{"ForgetsWhatIsParkedToo", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		mine, theirs := samples.Notification(ann), samples.Notification(bob)
		commit(t, s, accepted(mine, theirs))
		commit(t, s, store.Group{Parked: []store.Parking{parking(mine, Start), parking(theirs, Start)}})
		forgotten, err := s.DeleteUser(t.Context(), ann)
		require.NoError(t, err)
		require.Equal(t, store.Forgotten{Notifications: 1}, forgotten)
		require.Equal(t, []store.Due{dueOf(theirs, Start)}, listDue(t, s, Start))
		requireNoTrace(t, s, []push.Notification{mine})
	}},
	{"ForgetsReceiptsAndEventsOfTheUserAlone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		theirs, elsewhere := samples.Browser(bob), samples.Browser(push.User{App: "other", ID: ann.ID})
		var kept, gone []push.Notification
		var receipts []push.Receipt
		var events []push.Event
		for _, sub := range []push.Subscription{samples.Browser(ann), theirs, elsewhere} {
			n := samples.Notification(sub.User)
			receipt, event := samples.Receipt(push.ReceiptShown, n, sub), samples.Event(push.EventShown, n, sub)
			added := samples.Event(push.EventSubscriptionAdded, push.Notification{User: sub.User}, sub)
			commit(t, s, store.Group{
				Accepted: []push.Notification{n}, Receipts: []push.Receipt{receipt}, Events: []push.Event{event, added},
			})
			if sub.User == ann {
				gone = append(gone, n)
				continue
			}
			kept, receipts, events = append(kept, n), append(receipts, receipt), append(events, event, added)
		}
		lane := laneEvent(samples, push.DefaultApp)
		commit(t, s, store.Group{Events: []push.Event{lane}})

		forgotten, err := s.DeleteUser(t.Context(), ann)
		require.NoError(t, err)
		require.Equal(t, store.Forgotten{Notifications: 1}, forgotten)
		require.Equal(t, append(events[:2:2], lane), listEvents(t, s, push.DefaultApp))
		require.Equal(t, events[2:], listEvents(t, s, "other"))
		for i, n := range kept {
			require.Equal(t, receipts[i:i+1], getNotification(t, s, n).Receipts)
		}
		requireNoTrace(t, s, gone)
	}},
	{"ForgetsEventsThatNameTheUserAsTheOneBefore", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		sub := samples.Browser(bob)
		fromAnn, fromCarl := movedEvent(samples, ann.ID, sub), movedEvent(samples, "carl", sub)
		about := laneEvent(samples, push.DefaultApp)
		about.From = ann.ID // names nobody: no subscription moved
		elsewhere := movedEvent(samples, ann.ID, samples.Browser(push.User{App: "other", ID: "bob"}))
		commit(t, s, store.Group{Events: []push.Event{fromAnn, fromCarl, about, elsewhere}})
		_, err := s.DeleteUser(t.Context(), ann)
		require.NoError(t, err)
		require.Equal(t, []push.Event{fromCarl, about}, listEvents(t, s, push.DefaultApp))
		require.Equal(t, []push.Event{elsewhere}, listEvents(t, s, "other"))
	}},
	{"ForgetsOldEventsToo", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		_, err := s.Maintain(t.Context(), Start, Before(Start), 10)
		require.NoError(t, err)
		n, sub := samples.Notification(ann), samples.Browser(ann)
		var events []push.Event
		for days := -3; days < 4; days++ {
			event := samples.Event(push.EventRetrying, n, sub)
			event.ID = IDAt(event.At.AddDate(0, 0, days))
			events = append(events, event)
		}
		commit(t, s, store.Group{Accepted: []push.Notification{n}, Events: events})
		_, err = s.DeleteUser(t.Context(), ann)
		require.NoError(t, err)
		require.Nil(t, listEvents(t, s, push.DefaultApp))
		commit(t, s, accepted(n))
		require.Nil(t, listAttempts(t, s, n))
	}},
	{"IsNotBroughtBackByALateEvent", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		n, sub := samples.Notification(ann), samples.Browser(ann)
		commit(t, s, accepted(n))
		_, err := s.DeleteUser(t.Context(), ann)
		require.NoError(t, err)
		commit(t, s, store.Group{
			Receipts: []push.Receipt{samples.Receipt(push.ReceiptShown, n, sub)},
			Events:   []push.Event{samples.Event(push.EventDelivered, n, sub)},
		})
		require.Nil(t, listEvents(t, s, push.DefaultApp))
		requireNoTrace(t, s, []push.Notification{n})
	}},
	{"OfAnUnknownUserForgetsNothing", func(t *testing.T, s store.Store) {
		forgotten, err := s.DeleteUser(t.Context(), ann)
		require.NoError(t, err)
		require.Zero(t, forgotten)
	}},
	{"WhileDeliveriesAreWrittenLeavesNoTrace", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		sub := samples.Browser(ann)
		putSubscription(t, s, sub)
		notifications := samples.Notifications(ann, 100)
		commit(t, s, accepted(notifications...))

		var written atomic.Int32
		halfway := make(chan struct{})
		var race errgroup.Group
		for worker := range 2 {
			race.Go(func() error {
				for i := worker; i < len(notifications); i += 2 {
					n := notifications[i]
					err := s.Commit(t.Context(), store.Group{
						Deliveries: []push.Delivery{samples.Delivery(n, sub)},
						Gone:       []store.SubscriptionGone{goneOf(sub)},
						Finished:   []push.ID{n.ID},
						Receipts:   []push.Receipt{samples.Receipt(push.ReceiptShown, n, sub)},
						Events:     []push.Event{samples.Event(push.EventDelivered, n, sub)},
					})
					if err != nil {
						return err
					}
					if written.Add(1) == int32(len(notifications)/2) {
						close(halfway)
					}
				}
				return nil
			})
		}
		race.Go(func() error {
			<-halfway
			_, err := s.DeleteUser(t.Context(), ann)
			return err
		})
		require.NoError(t, race.Wait())
		require.Nil(t, listEvents(t, s, push.DefaultApp))
		requireNoTrace(t, s, notifications)
	}},
}

// requireNoTrace accepts the notifications once more: what was left of their
// deliveries and receipts would show.
func requireNoTrace(t *testing.T, s store.Store, notifications []push.Notification) {
	t.Helper()
	commit(t, s, accepted(notifications...))
	for _, n := range notifications {
		require.Equal(t, store.Record{Notification: n, Pending: true}, getNotification(t, s, n))
	}
}
