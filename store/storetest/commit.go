package storetest

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

var commitFacts = []fact{
	{"OfNothingChangesNothing", func(t *testing.T, s store.Store) {
		commit(t, s, store.Group{})
		require.Empty(t, listPending(t, s))
	}},
	{"AcceptsWithWorkLeft", func(t *testing.T, s store.Store) {
		n := NewSamples().Notification(ann)
		commit(t, s, accepted(n))
		require.Equal(t, store.Record{Notification: n, Pending: true}, getNotification(t, s, n))
		require.Equal(t, []store.Pending{{Notification: n}}, listPending(t, s))
	}},
	{"TakesItsRowsInAnyOrder", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		all := samples.Notifications(ann, 5)
		shuffled := []push.Notification{all[3], all[0], all[4], all[2], all[1]}
		commit(t, s, accepted(shuffled...))
		require.Equal(t, all, notificationsOf(listPending(t, s)))
	}},
	{"RefusesADuplicateIDAndAllThatCameWithIt", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		first, sub := samples.Notification(ann), samples.Browser(ann)
		putSubscription(t, s, sub)
		createApp(t, s, samples, "shop")
		webhook := samples.Webhook("shop", "a")
		putWebhook(t, s, webhook)
		commit(t, s, accepted(first))

		again := first
		again.Content = []byte(`{"title":"another"}`)
		for _, twins := range [][]push.Notification{
			{samples.Notification(ann), again},
			slices.Repeat([]push.Notification{samples.Notification(ann)}, 2),
		} {
			err := s.Commit(t.Context(), store.Group{
				Accepted:   twins,
				Deliveries: []push.Delivery{samples.Delivery(first, sub)},
				Gone:       []store.SubscriptionGone{goneOf(sub)},
				Rests:      []store.SubscriptionRest{{UserSubscription: keyOf(sub), Rest: samples.Rest(first)}},
				Seen:       []store.SubscriptionSeen{{UserSubscription: keyOf(sub), At: samples.Now()}},
				Mismatched: []store.UserSubscription{keyOf(sub)},
				Parked:     []store.Parking{parking(first, Start)},
				Finished:   []push.ID{first.ID},
				Receipts:   []push.Receipt{samples.Receipt(push.ReceiptShown, first, sub)},
				Events:     []push.Event{samples.Event(push.EventDelivered, first, sub)},
				Webhooks:   []store.WebhookProgress{progressOf(webhook, samples)},
			})
			require.ErrorIs(t, err, store.ErrExists)
			require.Nil(t, listEvents(t, s, push.DefaultApp))
			require.Equal(t, []store.Webhook{webhook}, listWebhooks(t, s, "shop"))
			require.Equal(t, store.Record{Notification: first, Pending: true}, getNotification(t, s, first))
			require.Equal(t, []store.Pending{{Notification: first}}, listPending(t, s))
			require.Equal(t, []push.Subscription{sub}, listSubscriptions(t, s, ann))
		}
	}},
	{"RefusesADuplicateEventAndAllThatCameWithIt", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		webhook := samples.Webhook("shop", "a")
		putWebhook(t, s, webhook)
		n, sub := samples.Notification(ann), samples.Browser(ann)
		first := samples.Event(push.EventDelivered, n, sub)
		commit(t, s, store.Group{Accepted: []push.Notification{n}, Events: []push.Event{first}})

		again := samples.Event(push.EventShown, n, sub)
		again.ID = first.ID
		for _, twins := range [][]push.Event{
			{samples.Event(push.EventShown, n, sub), again},
			slices.Repeat([]push.Event{samples.Event(push.EventShown, n, sub)}, 2),
		} {
			late := samples.Notification(ann)
			err := s.Commit(t.Context(), store.Group{
				Accepted: []push.Notification{late},
				Finished: []push.ID{n.ID},
				Receipts: []push.Receipt{samples.Receipt(push.ReceiptShown, n, sub)},
				Events:   twins,
				Webhooks: []store.WebhookProgress{progressOf(webhook, samples)},
			})
			require.ErrorIs(t, err, store.ErrExists)
			require.Equal(t, []push.Event{first}, listEvents(t, s, push.DefaultApp))
			require.Equal(t, store.Record{Notification: n, Pending: true}, getNotification(t, s, n))
			require.Equal(t, []store.Webhook{webhook}, listWebhooks(t, s, "shop"))
			_, err = s.GetNotification(t.Context(), push.DefaultApp, late.ID)
			require.ErrorIs(t, err, store.ErrNotFound)
		}
	}},
	{"WritesAWholeLifeAtOnce", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		n, sub := samples.Notification(ann), samples.Browser(ann)
		delivery := samples.Delivery(n, sub)
		commit(t, s, store.Group{
			Accepted:   []push.Notification{n},
			Deliveries: []push.Delivery{delivery},
			Finished:   []push.ID{n.ID},
		})
		require.Equal(t, store.Record{Notification: n, Deliveries: []push.Delivery{delivery}}, getNotification(t, s, n))
		require.Empty(t, listPending(t, s))
	}},
	{"WritesADeliveryOnce", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		n, sub := samples.Notification(ann), samples.Browser(ann)
		commit(t, s, accepted(n))
		first := samples.Delivery(n, sub)
		second := samples.Delivery(n, sub)
		second.State = push.StateExpired
		commit(t, s, store.Group{Deliveries: []push.Delivery{first}})
		commit(t, s, store.Group{Deliveries: []push.Delivery{second, second}})
		require.Equal(t, []push.Delivery{first}, getNotification(t, s, n).Deliveries)
	}},
	{"PassesOverADeliveryThatComesTooLate", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		n, other, sub := samples.Notification(ann), samples.Notification(ann), samples.Browser(ann)
		commit(t, s, accepted(n, other))
		commit(t, s, store.Group{Finished: []push.ID{n.ID}})
		commit(t, s, store.Group{Deliveries: []push.Delivery{
			samples.Delivery(n, sub), samples.Delivery(other, sub), samples.Delivery(samples.Notification(ann), sub),
		}})
		require.Empty(t, getNotification(t, s, n).Deliveries)
		require.Len(t, getNotification(t, s, other).Deliveries, 1, "the others of its group are written")
	}},
	{"FinishesWhatIsPendingAndPassesOverTheRest", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		all := samples.Notifications(ann, 3)
		commit(t, s, accepted(all...))
		commit(t, s, store.Group{Finished: []push.ID{all[2].ID, IDAt(Start), all[0].ID, all[0].ID}})
		require.Equal(t, all[1:2], notificationsOf(listPending(t, s)))
		require.False(t, getNotification(t, s, all[0]).Pending)
	}},
	{"RemovesWhatIsGoneUnlessItMoved", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		gone, moved, kept := samples.Browser(ann), samples.Browser(ann), samples.Browser(ann)
		for _, sub := range []push.Subscription{gone, moved, kept} {
			putSubscription(t, s, sub)
		}
		moved.User = bob
		putSubscription(t, s, moved)
		never, elsewhere := gone, kept
		never.Digest, elsewhere.User = push.Digest{1}, push.User{App: "other", ID: "ann"}
		before := moved
		before.User = ann
		commit(t, s, store.Group{Gone: []store.SubscriptionGone{goneOf(before), goneOf(gone), goneOf(never), goneOf(elsewhere)}})
		require.Equal(t, []push.Subscription{kept}, listSubscriptions(t, s, ann))
		require.Equal(t, []push.Subscription{moved}, listSubscriptions(t, s, bob))
	}},
	{"KeepsWhatWasRegisteredAnewBeforeItWasFoundGone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		first := samples.IPhone(ann)
		putSubscription(t, s, first)
		again := first
		again.RegisteredAt, again.SeenAt = samples.Now(), samples.Now()
		putSubscription(t, s, again)
		commit(t, s, store.Group{Gone: []store.SubscriptionGone{goneOf(first)}})
		require.Equal(t, []push.Subscription{again}, listSubscriptions(t, s, ann))
		commit(t, s, store.Group{Gone: []store.SubscriptionGone{goneOf(again)}})
		require.Empty(t, listSubscriptions(t, s, ann))
	}},
	{"TakesManyRows", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		all, sub := samples.Notifications(ann, 512), samples.Browser(ann)
		commit(t, s, accepted(all...))
		var done store.Group
		for _, n := range all {
			done.Deliveries = append(done.Deliveries, samples.Delivery(n, sub))
			done.Finished = append(done.Finished, n.ID)
		}
		commit(t, s, done)
		require.Empty(t, listPending(t, s))
		require.Len(t, getNotification(t, s, all[511]).Deliveries, 1)
	}},
	{"ManyAtOnceLoseNothing", func(t *testing.T, s store.Store) {
		samples, sub := NewSamples(), NewSamples().Browser(ann)
		const writers, groups, rows = 4, 8, 5
		var all errgroup.Group
		for range writers {
			all.Go(func() error {
				for range groups {
					batch := samples.Notifications(ann, rows)
					if err := s.Commit(t.Context(), accepted(batch...)); err != nil {
						return err
					}
					err := s.Commit(t.Context(), store.Group{
						Deliveries: []push.Delivery{samples.Delivery(batch[0], sub), samples.Delivery(batch[1], sub)},
						Finished:   []push.ID{batch[0].ID},
					})
					if err != nil {
						return err
					}
				}
				return nil
			})
		}
		require.NoError(t, all.Wait())
		pending := listPending(t, s)
		require.Len(t, pending, writers*groups*(rows-1))
		var done int
		for _, p := range pending {
			done += len(p.Done)
		}
		require.Equal(t, writers*groups, done)
	}},
	{"ManyOfTheSameRowsDoNotBlockEachOther", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		notifications := samples.Notifications(ann, 30)
		commit(t, s, accepted(notifications...))
		var group store.Group
		for _, n := range notifications {
			sub := samples.Phone(ann)
			putSubscription(t, s, sub)
			group.Deliveries = append(group.Deliveries, samples.Delivery(n, sub))
			group.Gone = append(group.Gone, goneOf(sub))
			group.Parked = append(group.Parked, parking(n, Start))
			group.Finished = append(group.Finished, n.ID)
		}
		backwards := store.Group{
			Deliveries: reversed(group.Deliveries), Gone: reversed(group.Gone),
			Parked: reversed(group.Parked), Finished: reversed(group.Finished),
		}
		var both errgroup.Group
		for _, group := range []store.Group{group, backwards, group, backwards} {
			both.Go(func() error { return s.Commit(t.Context(), group) })
		}
		require.NoError(t, both.Wait())
		require.Empty(t, listPending(t, s))
		require.Empty(t, listSubscriptions(t, s, ann))
		require.Equal(t, group.Deliveries[:1], getNotification(t, s, notifications[0]).Deliveries)
	}},
	{"ManyThatChangeTheSameSubscriptionsDoNotBlockEachOther", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		n, now := samples.Notification(ann), samples.Now()
		var rests []store.SubscriptionRest
		var seen []store.SubscriptionSeen
		var keys []store.UserSubscription
		for range 30 {
			sub := samples.Phone(ann)
			putSubscription(t, s, sub)
			rests = append(rests, store.SubscriptionRest{UserSubscription: keyOf(sub), Rest: samples.Rest(n)})
			seen = append(seen, store.SubscriptionSeen{UserSubscription: keyOf(sub), At: now})
			keys = append(keys, keyOf(sub))
		}
		var all errgroup.Group
		for _, group := range []store.Group{
			{Rests: rests[:15], Seen: seen[15:]},
			{Rests: rests[15:], Seen: seen[:15]},
			{Rests: rests[:15], Mismatched: keys[15:]},
			{Rests: rests[15:], Mismatched: keys[:15]},
			{Rests: reversed(rests), Seen: seen[20:], Mismatched: reversed(keys)},
			{Gone: []store.SubscriptionGone{{UserSubscription: rests[29].UserSubscription, RegisteredAt: samples.Now()}}, Rests: rests[:10], Seen: reversed(seen)},
		} {
			all.Go(func() error {
				for range 5 {
					if err := s.Commit(t.Context(), group); err != nil {
						return err
					}
				}
				return nil
			})
		}
		all.Go(func() error {
			_, err := s.DeleteUnused(t.Context(), now, 30)
			return err
		})
		require.NoError(t, all.Wait())
	}},
}

func keyOf(sub push.Subscription) store.UserSubscription {
	return store.UserSubscription{User: sub.User, Digest: sub.Digest}
}

func goneOf(sub push.Subscription) store.SubscriptionGone {
	return store.SubscriptionGone{UserSubscription: keyOf(sub), RegisteredAt: sub.RegisteredAt}
}

func accepted(notifications ...push.Notification) store.Group {
	return store.Group{Accepted: notifications}
}

func commit(t *testing.T, s store.Store, group store.Group) {
	t.Helper()
	require.NoError(t, s.Commit(t.Context(), group))
}

func reversed[T any](s []T) []T {
	s = slices.Clone(s)
	slices.Reverse(s)
	return s
}
