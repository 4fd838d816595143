package actors

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/stretchr/testify/require"
)

// feed reads all of the default app's events, page by page.
func (r *rig) feed(types ...push.EventType) (all []push.Event) {
	r.t.Helper()
	var after push.ID
	for {
		events, next, err := r.Events(r.t.Context(), push.DefaultApp, after, types, 7)
		require.NoError(r.t, err)
		all = append(all, events...)
		if next == after {
			return all
		}
		after = next
	}
}

// told are the words of events, in order.
func told(events []push.Event) (words []string) {
	for _, e := range events {
		words = append(words, e.Type.String())
	}
	return words
}

func TestFeed_TellsOfEachEndOfADelivery(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop",
			answer{result: push.Result{Outcome: push.Delivered, Status: 201, MessageID: "m-1"}}, outcome(push.Rejected, 413))
		ids := append(r.notify("ann"), r.notify("ann")...)
		r.settle()
		ids = append(ids, r.notify("nobody")...)
		r.settle()
		events := r.feed()
		require.Equal(t, []string{"subscription.added", "delivery.delivered", "delivery.rejected", "delivery.no_subscription"}, told(events))
		sub := subscriptionAt("ann", "laptop")
		require.Equal(t, push.Event{
			ID: events[1].ID, App: push.DefaultApp, Type: push.EventDelivered, At: r.fate(ids[0]).Deliveries[0].DoneAt,
			User: "ann", Notification: ids[0], Subscription: sub.Digest,
			EventDetail: push.EventDetail{Kind: push.WebPush, Host: "push.example", Attempts: 1, Status: 201, MessageID: "m-1"},
		}, events[1])
		require.Equal(t, push.EventDetail{Kind: push.WebPush, Host: "push.example", Attempts: 1, Status: 413, Reason: "told so"}, events[2].EventDetail)
		require.Equal(t, ids[2], events[3].Notification)
		require.Equal(t, "nobody", events[3].User)
		require.Zero(t, events[3].EventDetail)
	})
}

func TestFeed_TellsOfWhatWasNotSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(time.Hour))
		expired := r.notifyTTL(time.Minute, "ann")[0]
		draft := Draft{User: sub.User, Content: []byte("{}"), TTL: time.Hour, CollapseKey: "k"}
		superseded, err := r.Notify([]Draft{draft})
		require.NoError(t, err)
		newer, err := r.Notify([]Draft{draft})
		require.NoError(t, err)
		cancelled, unsubscribed := r.notify("ann")[0], r.notify("ann")[0]
		r.settle()
		require.NoError(t, r.Cancel(t.Context(), push.DefaultApp, cancelled))
		require.NoError(t, r.Cancel(t.Context(), push.DefaultApp, newer[0]))
		time.Sleep(2 * time.Minute)
		require.Contains(t, told(r.feed()), "delivery.delivered", "at last")
		r.service.script("laptop", retryAfter(30*time.Second))
		last := r.notify("ann")[0]
		time.Sleep(time.Second)
		require.NoError(t, r.Unsubscribe(t.Context(), sub.User, sub.Digest))
		time.Sleep(time.Minute)
		final := map[push.ID]string{}
		for _, e := range r.feed() {
			if e.Type < push.EventRetrying {
				require.Empty(t, final[e.Notification])
				final[e.Notification] = e.Type.String()
			}
		}
		require.Equal(t, map[push.ID]string{
			expired: "delivery.expired", superseded[0]: "delivery.superseded", newer[0]: "delivery.cancelled",
			cancelled: "delivery.cancelled", unsubscribed: "delivery.delivered", last: "delivery.unsubscribed",
		}, final)
	})
}

func TestFeed_TellsOnceThatASubscriptionIsGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		hold := make(chan struct{})
		r.service.script("laptop", answer{hold: hold, result: push.Result{Outcome: push.Gone, Status: 410, Reason: "told so"}})
		r.notify("ann", "ann", "ann")
		r.settle()
		close(hold)
		r.settle()
		events := r.feed()
		require.Equal(t, []string{"subscription.added", "delivery.gone", "subscription.removed", "delivery.gone", "delivery.gone"}, told(events))
		require.Equal(t, "gone: told so", events[2].Reason)
		require.Equal(t, "push.example", events[2].Host)
		require.Zero(t, events[2].Notification)
	})
}

// The store does not list it any more once it took the removal. Until then it
// may be read again, when another subscription of the user changes.
func TestFeed_ASubscriptionThatTheStoreStillListsIsGoneOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, flaky := newFlakyRig(t)
		r.subscribe("ann", "laptop")
		gone := outcome(push.Gone, 410)
		r.service.script("laptop", gone, gone)
		r.service.takes(time.Second)
		r.notify("ann", "ann")
		r.settle()
		flaky.failing.Store(true)
		time.Sleep(1100 * time.Millisecond)
		r.subscribe("ann", "phone")
		r.settle()
		flaky.failing.Store(false)
		time.Sleep(2 * resumeLimit)
		r.notify("ann")
		time.Sleep(time.Minute)
		require.Len(t, r.feed(push.EventSubscriptionRemoved), 1)
		require.Len(t, r.service.attemptsAt("laptop"), 1)
	})
}

func TestFeed_TellsOfEachAttemptThatAnotherFollows(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", outcome(push.Retry, 503), retryAfter(time.Hour), outcome(push.Refused, 403))
		began := time.Now()
		id := r.notifyTTL(5*time.Hour, "ann")[0]
		time.Sleep(4 * time.Hour)
		events := r.feed()
		require.Equal(t, []string{
			"subscription.added", "delivery.retrying", "delivery.retrying", "delivery.refused", "delivery.delivered",
		}, told(events))
		at := r.service.attemptsAt("laptop")
		for i, e := range events[1:4] {
			require.Equal(t, id, e.Notification)
			require.Equal(t, i+1, e.Attempts)
			require.Equal(t, "push.example", e.Host)
			require.WithinDuration(t, at[i], e.At, time.Millisecond)
			require.WithinDuration(t, at[i+1], e.Next, time.Second, "the next attempt")
		}
		require.Equal(t, []int{503, 429, 403}, []int{events[1].Status, events[2].Status, events[3].Status})
		require.Equal(t, "slow down", events[2].Reason)
		require.Equal(t, 4, events[4].Attempts)
		require.WithinDuration(t, began, events[1].At, time.Second)
		attempts, err := r.store.ListAttempts(t.Context(), push.DefaultApp, id)
		require.NoError(t, err)
		require.Equal(t, events[1:4], attempts)
	})
}

func TestFeed_WhatALaneDoesNotCarryWasNotTried(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.LaneInFlight = 1 })
		r.register(phoneAt("ann", "token-1", "org.example", push.Production))
		r.register(phoneAt("bob", "token-2", "org.example", push.Production))
		r.service.script("token-1", answer{result: push.Result{Outcome: push.Retry, Status: 429, Reason: "enough", Pause: 10 * time.Minute}})
		r.notify("ann", "bob", "bob", "bob")
		time.Sleep(time.Hour)
		events := r.feed(push.EventRetrying)
		require.Len(t, events, 1, "the attempt for ann; bob's were not made")
		require.Equal(t, "ann", events[0].User)
	})
}

func TestFeed_TellsOfALane(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.register(phoneAt("ann", "token-1", "org.example", push.Production))
		r.service.script("token-1", outcome(push.Refused, 403), outcome(push.Refused, 403))
		r.notify("ann")
		time.Sleep(time.Hour)
		events := r.feed(push.EventLanePaused, push.EventLaneResumed)
		require.Equal(t, []string{"lane.paused", "lane.paused", "lane.resumed"}, told(events))
		paused := events[0]
		require.Equal(t, push.EventDetail{
			Kind: push.APNs, Host: "api.push.apple.com", Lane: "default:apns:org.example@api.push.apple.com",
			Cause: "credentials refused", Reason: "403 told so", Next: paused.Next,
		}, paused.EventDetail)
		require.WithinDuration(t, paused.At.Add(pauseBase), paused.Next, time.Millisecond)
		require.Empty(t, paused.User)
		require.Equal(t, paused.Lane, events[2].Lane)
		require.Empty(t, events[2].Cause)
	})
}

func TestFeed_TellsHowSubscriptionsChange(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.UnusedAfter = 24 * time.Hour })
		sub := r.subscribe("ann", "laptop")
		r.subscribe("ann", "laptop") // is known
		moved := r.subscribe("bob", "laptop")
		other := subscriptionAt("bob", "laptop-2")
		_, err := r.Resubscribe(t.Context(), moved.Digest, other)
		require.NoError(t, err)
		_, err = r.Resubscribe(t.Context(), other.Digest, other) // is known
		require.NoError(t, err)
		require.NoError(t, r.Unsubscribe(t.Context(), other.User, other.Digest))
		require.ErrorIs(t, r.Unsubscribe(t.Context(), other.User, other.Digest), store.ErrNotFound)
		old := r.subscribe("cid", "phone")
		r.subscribe("eve", "tablet")
		_, err = r.Forget(t.Context(), userNamed("eve"))
		require.NoError(t, err)
		time.Sleep(26 * time.Hour)

		events := r.feed()
		var got []string
		for _, e := range events {
			got = append(got, fmt.Sprint(e.Type, " ", e.User, " ", e.Subscription.Short(), " ", e.From, e.Reason))
		}
		require.Equal(t, []string{
			"subscription.added ann " + sub.Digest.Short() + " ",
			"subscription.moved bob " + sub.Digest.Short() + " ann",
			"subscription.added bob " + other.Digest.Short() + " ",
			"subscription.removed bob " + sub.Digest.Short() + " replaced by another",
			"subscription.removed bob " + other.Digest.Short() + " unsubscribed",
			"subscription.added cid " + old.Digest.Short() + " ",
			"subscription.removed cid " + old.Digest.Short() + " unused",
		}, got, "and nothing of a user who was forgotten")
	})
}

func TestFeed_OfAnotherAppIsAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		require.NoError(t, r.store.CreateApp(t.Context(), store.App{Name: "other", TokenSecret: make([]byte, 32)}))
		_, err := r.Notify([]Draft{{User: push.User{App: "other", ID: "ann"}, Content: []byte("{}"), TTL: time.Hour}})
		require.NoError(t, err)
		r.notify("ann")
		r.settle()
		require.Len(t, r.feed(), 1)
	})
}

func TestFeed_IsEmptyWhereEventsAreNotKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.EventRetention = -1 })
		sub := r.subscribe("ann", "laptop")
		r.service.script("laptop", outcome(push.Retry, 503), retryAfter(time.Hour), outcome(push.Gone, 410))
		id := r.notifyTTL(5*time.Hour, "ann")[0]
		time.Sleep(4 * time.Hour)
		require.NoError(t, r.Receive(t.Context(), sub.User, push.Receipt{Notification: id, Subscription: sub.Digest, Type: push.ReceiptShown, At: time.Now()}))
		require.Equal(t, []string{"gone"}, r.states(id))
		require.Len(t, r.fate(id).Receipts, 1)
		require.Empty(t, r.feed())
		require.Zero(t, r.LatestEvent())
	})
}

func TestFeed_GoesOnAfterARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.notify("ann")
		r.settle()
		before, latest := r.feed(), r.LatestEvent()
		require.Equal(t, before[len(before)-1].ID, latest)
		r.stop()
		r.start()
		require.Equal(t, latest, r.LatestEvent())
		r.notify("ann")
		r.settle()
		events, next, err := r.Events(t.Context(), push.DefaultApp, latest, nil, 10)
		require.NoError(t, err)
		require.Len(t, events, 1)
		require.Equal(t, r.LatestEvent(), next)
	})
}

func TestEvents_LooksOnlySoFarForATypeAtATime(t *testing.T) {
	r := newRig(t)
	users := make([]string, 500)
	for i := range users {
		users[i] = "nobody"
	}
	const n = feedReach + 1000
	for range n / len(users) {
		r.notify(users...)
	}
	r.untilDone()
	latest := r.LatestEvent()
	r.subscribe("ann", "laptop")
	require.Eventually(t, func() bool { return r.LatestEvent() != latest }, time.Minute, time.Millisecond)
	events, next, err := r.Events(t.Context(), push.DefaultApp, push.ID{}, []push.EventType{push.EventSubscriptionAdded}, 1)
	require.NoError(t, err)
	require.Empty(t, events)
	require.Negative(t, next.Compare(r.LatestEvent()), "there may be more")
	events, next, err = r.Events(t.Context(), push.DefaultApp, next, []push.EventType{push.EventSubscriptionAdded}, 1)
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Equal(t, events[0].ID, next)
}

// allEvents is the feed of the default app as it stands in the store.
func (r *rig) allEvents() []push.Event {
	r.t.Helper()
	events, err := r.store.ListEvents(r.t.Context(), push.DefaultApp, push.ID{}, lastID, 1_000_000)
	require.NoError(r.t, err)
	return events
}

// Readers go through the feed while it grows, in pages of any size, and each
// finds every event, once, in order.
func TestEvents_PagesSkipAndRepeatNothing(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Writers = 3 })
	for i := range 5 {
		r.subscribe(fmt.Sprint("user-", i), fmt.Sprint("browser-", i))
	}
	done := make(chan struct{})
	var writing, reading sync.WaitGroup
	for range 4 {
		writing.Go(func() {
			for i := range 100 {
				if _, err := r.Notify([]Draft{{User: userNamed(fmt.Sprint("user-", i%8)), Content: []byte("{}"), TTL: time.Hour}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	const readers = 4
	seen := make([][]push.Event, readers)
	for i := range readers {
		var types []push.EventType
		if i%2 == 1 {
			types = []push.EventType{push.EventDelivered}
		}
		reading.Go(func() {
			var after push.ID
			for finished := false; ; {
				select {
				case <-done:
					finished = true
				default:
				}
				coming := r.EventsComing(push.DefaultApp)
				events, next, err := r.Events(t.Context(), push.DefaultApp, after, types, 1+rand.N(20))
				if err != nil {
					t.Error(err)
					return
				}
				seen[i] = append(seen[i], events...)
				if next == after {
					if finished {
						return
					}
					select {
					case <-coming:
					case <-done:
					}
				}
				after = next
			}
		})
	}
	writing.Wait()
	r.untilDone()
	all := r.allEvents()
	close(done)
	reading.Wait()
	require.Equal(t, 5+400, len(all))
	delivered := slices.DeleteFunc(slices.Clone(all), func(e push.Event) bool { return e.Type != push.EventDelivered })
	for i := range readers {
		want := all
		if i%2 == 1 {
			want = delivered
		}
		require.True(t, slices.Equal(want, seen[i]), "reader %d saw %d events, not %d, or others", i, len(seen[i]), len(want))
	}
}

// untilDone waits, in real time, until nothing is left to do.
func (r *rig) untilDone() {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.Backlog() == 0 }, time.Minute, time.Millisecond)
}

func TestEventsComing_WakesThoseOfTheAppThatWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		first, again, other := r.EventsComing(push.DefaultApp), r.EventsComing(push.DefaultApp), r.EventsComing("other")
		r.settle()
		require.False(t, isClosed(first))
		r.notify("nobody")
		r.settle()
		require.True(t, isClosed(first))
		require.True(t, isClosed(again))
		require.False(t, isClosed(other))
		require.False(t, isClosed(r.EventsComing(push.DefaultApp)), "those are known")
	})
}

func TestEventsComing_NotBeforeTheyAreDurable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, flaky := newFlakyRig(t)
		r.subscribe("ann", "laptop")
		r.service.takes(time.Second)
		r.notify("ann")
		r.settle()
		flaky.failing.Store(true)
		coming, latest := r.EventsComing(push.DefaultApp), r.LatestEvent()
		time.Sleep(time.Minute)
		require.False(t, isClosed(coming))
		require.Equal(t, latest, r.LatestEvent())
		flaky.failing.Store(false)
		<-coming
		events, _, err := r.Events(t.Context(), push.DefaultApp, latest, nil, 10)
		require.NoError(t, err)
		require.Equal(t, []string{"delivery.delivered"}, told(events))
	})
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// failingReads fails to list events.
type failingReads struct{ store.Store }

func (failingReads) ListEvents(context.Context, string, push.ID, push.ID, int) ([]push.Event, error) {
	return nil, errNoStore
}

func TestEvents_UnavailableWhenTheStoreFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Store = failingReads{c.Store} })
		r.notify("nobody")
		r.settle()
		_, _, err := r.Events(t.Context(), push.DefaultApp, push.ID{}, nil, 10)
		require.ErrorIs(t, err, ErrUnavailable)
	})
}

// Who reads the feed, or is sent it, stands behind an event that is kept no more.
func TestFeed_GoesOnWhenItsEventsAreGoneAndTheClockWasSetBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		clock := idClock{}
		ahead := push.Notification{
			ID: clock.next(time.Now().Add(time.Hour)), User: userNamed("ann"), Content: []byte("{}"),
			AcceptedAt: time.Now().Add(time.Hour), ExpiresAt: time.Now().Add(2 * time.Hour),
		}
		r.stop()
		require.NoError(t, r.store.Commit(t.Context(), store.Group{Accepted: []push.Notification{ahead}, Finished: []push.ID{ahead.ID}}))
		r.start()
		r.notify("nobody")
		r.settle()
		require.Positive(t, r.feed()[0].ID.Compare(ahead.ID))
	})
}
