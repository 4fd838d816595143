package storetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

var eventFacts = []fact{
	{"IsListedAsItHappened", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		n, sub := samples.Notification(ann), samples.IPhone(ann)
		full := samples.Event(push.EventRetrying, n, sub)
		full.EventDetail = push.EventDetail{
			Kind: push.APNs, Host: "api.push.apple.com", Attempts: 70_000, Status: 503, Reason: `BadTopic: "é" 😀 \u0000`,
			MessageID: `0:1500415314455276%31bd1c9631bd1c96/"é" 😀`, Next: samples.Now(),
			Lane: "shop:apns:com.example@api.push.apple.com", Cause: "credentials", From: `an "odd" user`,
		}
		bare := push.Event{ID: IDAt(samples.Now()), App: push.DefaultApp, Type: push.EventLanePaused, At: samples.Now()}
		commit(t, s, store.Group{Accepted: []push.Notification{n}, Events: []push.Event{bare, full}})
		require.Equal(t, []push.Event{full, bare}, listEvents(t, s, push.DefaultApp))
	}},
	{"HasItsTimesToTheMillisecondInUTC", func(t *testing.T, s store.Store) {
		elsewhere := time.FixedZone("elsewhere", 5*3600)
		event := push.Event{
			ID: IDAt(Start), App: "shop", Type: push.EventLanePaused, At: time.Date(2026, 7, 1, 12, 0, 0, 123_999_999, elsewhere),
			EventDetail: push.EventDetail{Next: time.Date(2026, 7, 1, 12, 0, 1, 123_999_999, elsewhere)},
		}
		commit(t, s, store.Group{Events: []push.Event{event}})
		got := listEvents(t, s, "shop")[0]
		require.Equal(t, time.Date(2026, 7, 1, 7, 0, 0, 123_000_000, time.UTC), got.At)
		require.Equal(t, time.Date(2026, 7, 1, 7, 0, 1, 123_000_000, time.UTC), got.Next)
	}},
	{"IsListedInPagesByItsID", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		n, sub := samples.Notification(ann), samples.Browser(ann)
		var all []push.Event
		for range 7 {
			all = append(all, samples.Event(push.EventDelivered, n, sub))
		}
		commit(t, s, store.Group{Accepted: []push.Notification{n}, Events: []push.Event{all[4], all[0], all[6]}})
		commit(t, s, store.Group{Events: []push.Event{all[5], all[3], all[2], all[1]}})
		page := func(after, upTo push.ID, limit int) []push.Event {
			t.Helper()
			events, err := s.ListEvents(t.Context(), push.DefaultApp, after, upTo, limit)
			require.NoError(t, err)
			return events
		}
		require.Equal(t, all[:3], page(push.ID{}, MaxID, 3))
		require.Equal(t, all[3:6], page(all[2].ID, MaxID, 3), "after is not listed again")
		require.Equal(t, all[6:], page(all[5].ID, MaxID, 3))
		require.Nil(t, page(all[6].ID, MaxID, 3))
		require.Equal(t, all[2:5], page(all[1].ID, all[4].ID, 10), "upTo is listed")
		require.Nil(t, page(push.ID{}, push.ID{}, 10))
	}},
	{"IsItsAppsAlone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		mine, theirs := laneEvent(samples, "shop"), laneEvent(samples, "other")
		commit(t, s, store.Group{Events: []push.Event{mine, theirs}})
		require.Equal(t, []push.Event{mine}, listEvents(t, s, "shop"))
		require.Equal(t, []push.Event{theirs}, listEvents(t, s, "other"))
		require.Nil(t, listEvents(t, s, "third"))
	}},
	{"OfANotificationThatIsNotKeptIsPassedOver", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		kept, gone, sub := samples.Notification(ann), samples.Notification(ann), samples.Browser(ann)
		early, late := gone, samples.Notification(ann)
		early.ID = IDAt(Start.AddDate(0, 0, -40))
		commit(t, s, accepted(kept))
		wanted, ofNone := samples.Event(push.EventDelivered, kept, sub), laneEvent(samples, push.DefaultApp)
		commit(t, s, store.Group{Events: []push.Event{
			samples.Event(push.EventDelivered, gone, sub), samples.Event(push.EventDelivered, early, sub),
			wanted, samples.Event(push.EventDelivered, late, sub), ofNone,
		}})
		require.Equal(t, []push.Event{wanted, ofNone}, listEvents(t, s, push.DefaultApp), "the others of its group are written")
	}},
	{"OfAFinishedNotificationIsWritten", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		n, sub := samples.Notification(ann), samples.Browser(ann)
		first, second := samples.Event(push.EventDelivered, n, sub), samples.Event(push.EventShown, n, sub)
		commit(t, s, store.Group{Accepted: []push.Notification{n}, Finished: []push.ID{n.ID}, Events: []push.Event{first}})
		commit(t, s, store.Group{Events: []push.Event{second}})
		require.Equal(t, []push.Event{first, second}, listEvents(t, s, push.DefaultApp))
	}},
	{"OfManyDaysAndNotificationsAreWrittenAtOnce", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		_, err := s.Maintain(t.Context(), Start, Before(Start), 10)
		require.NoError(t, err)
		var group store.Group
		for days := -2; days < 6; days++ {
			n := samples.Notification(ann)
			n.ID = IDAt(n.AcceptedAt.AddDate(0, 0, days))
			event := samples.Event(push.EventDelivered, n, samples.Phone(ann))
			event.ID = n.ID
			group.Accepted, group.Events = append(group.Accepted, n), append(group.Events, event)
		}
		commit(t, s, group)
		require.Equal(t, group.Events, listEvents(t, s, push.DefaultApp))
		require.Equal(t, group.Events[7].ID, lastEvent(t, s))
	}},
	{"LastEventIsZeroAtFirst", func(t *testing.T, s store.Store) {
		require.Zero(t, lastEvent(t, s))
	}},
	{"LastEventIsTheNewestOfAllApps", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		var all []push.Event
		for _, app := range []string{"b", "d", "a", "c", "b"} {
			all = append(all, laneEvent(samples, app))
		}
		commit(t, s, store.Group{Events: all[:4]})
		require.Equal(t, all[3].ID, lastEvent(t, s))
		commit(t, s, store.Group{Events: all[4:]})
		require.Equal(t, all[4].ID, lastEvent(t, s))
	}},
}

var attemptFacts = []fact{
	{"AreThoseOfOneNotificationThatWereNotTheLast", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		n, other, sub := samples.Notification(ann), samples.Notification(ann), samples.Browser(ann)
		var all []push.Event
		for _, eventType := range push.EventTypes() {
			all = append(all, samples.Event(eventType, n, sub))
		}
		refused, retrying := samples.Event(push.EventRefused, n, sub), samples.Event(push.EventRetrying, n, sub)
		elsewhere := samples.Event(push.EventRetrying, other, sub)
		commit(t, s, store.Group{Accepted: []push.Notification{n, other}, Events: append(all, elsewhere, retrying, refused)})
		want := []push.Event{refused, retrying}
		for i := len(all) - 1; i >= 0; i-- {
			if all[i].Type == push.EventRetrying || all[i].Type == push.EventRefused {
				want = append([]push.Event{all[i]}, want...)
			}
		}
		require.Len(t, want, 4)
		require.Equal(t, want, listAttempts(t, s, n))
		require.Equal(t, []push.Event{elsewhere}, listAttempts(t, s, other))
	}},
	{"AreFoundByTheirAppAlone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		n := samples.Notification(ann)
		commit(t, s, store.Group{Accepted: []push.Notification{n}, Events: []push.Event{samples.Event(push.EventRetrying, n, samples.Browser(ann))}})
		attempts, err := s.ListAttempts(t.Context(), "other", n.ID)
		require.NoError(t, err)
		require.Nil(t, attempts)
	}},
	{"AreTheNewestThousand", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		n, sub := samples.Notification(ann), samples.Browser(ann)
		var events []push.Event
		for range 1003 {
			events = append(events, samples.Event(push.EventRetrying, n, sub))
		}
		commit(t, s, store.Group{Accepted: []push.Notification{n}, Events: events})
		require.Equal(t, events[3:], listAttempts(t, s, n))
	}},
}

// RequireBeforeFeeds checks that a notification, its delivery and an app's key of
// before there were events are there as they were, with nothing of what is newer;
// and that they can have it from now on.
func RequireBeforeFeeds(t *testing.T, s store.Store, n push.Notification, delivery push.Delivery, key store.APIKey) {
	t.Helper()
	require.Equal(t, store.Record{Notification: n, Deliveries: []push.Delivery{delivery}}, getNotification(t, s, n))
	got, err := s.FindAPIKey(t.Context(), key.Hash)
	require.NoError(t, err)
	require.Equal(t, key, got)

	samples := NewSamples()
	receipt := push.Receipt{Notification: n.ID, Subscription: delivery.Subscription, Type: push.ReceiptShown, At: samples.Now()}
	event := samples.Event(push.EventShown, n, push.Subscription{Digest: delivery.Subscription})
	commit(t, s, store.Group{Receipts: []push.Receipt{receipt}, Events: []push.Event{event}})
	require.Equal(t, []push.Receipt{receipt}, getNotification(t, s, n).Receipts)
	require.Equal(t, []push.Event{event}, listEvents(t, s, n.User.App))
	require.True(t, putWebhook(t, s, samples.Webhook(key.App, "a")))
}

// laneEvent concerns no user.
func laneEvent(samples *Samples, app string) push.Event {
	now := samples.Now()
	return push.Event{
		ID: IDAt(now), App: app, Type: push.EventLanePaused, At: now,
		EventDetail: push.EventDetail{Kind: push.FCM, Lane: app + ":fcm:fcm.googleapis.com", Cause: "quota", Next: now.Add(time.Minute)},
	}
}

// movedEvent tells that a subscription is another user's now.
func movedEvent(samples *Samples, from string, sub push.Subscription) push.Event {
	event := samples.Event(push.EventSubscriptionMoved, push.Notification{User: sub.User}, sub)
	event.From = from
	return event
}

func listEvents(t *testing.T, s store.Store, app string) []push.Event {
	t.Helper()
	events, err := s.ListEvents(t.Context(), app, push.ID{}, MaxID, 1000)
	require.NoError(t, err)
	return events
}

func listAttempts(t *testing.T, s store.Store, n push.Notification) []push.Event {
	t.Helper()
	attempts, err := s.ListAttempts(t.Context(), n.User.App, n.ID)
	require.NoError(t, err)
	return attempts
}

func lastEvent(t *testing.T, s store.Store) push.ID {
	t.Helper()
	id, err := s.LastEvent(t.Context())
	require.NoError(t, err)
	return id
}
