package actors

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/stretchr/testify/require"
)

// How the feed agrees with what it tells of, whatever fails.

// feedComplaints says where the feed does not agree with what is known of these
// notifications, and of all that it tells of.
func (r *rig) feedComplaints(ids ...push.ID) (wrong []string) {
	final := make(map[push.ID][]push.Event)
	for _, id := range ids {
		final[id] = nil
	}
	for _, e := range r.allEvents() {
		switch {
		case e.Type < push.EventRetrying:
			final[e.Notification] = append(final[e.Notification], e)
		case e.Type <= push.EventRefused && slices.ContainsFunc(final[e.Notification], func(f push.Event) bool { return f.Subscription == e.Subscription }):
			wrong = append(wrong, fmt.Sprintf("%s of %s is told after its end", e.Type, e.Notification))
		}
	}
	for id, events := range final {
		deliveries := r.fate(id).Deliveries
		if len(events) != len(deliveries) {
			wrong = append(wrong, fmt.Sprintf("%s has %d deliveries, and these are told: %v", id, len(deliveries), told(events)))
		}
		for _, d := range deliveries {
			if !slices.ContainsFunc(events, func(e push.Event) bool {
				return e.Subscription == d.Subscription && e.Type == push.EventOf(d.State) && e.Attempts == d.Attempts && e.Reason == d.Reason && e.At.Equal(d.DoneAt)
			}) {
				wrong = append(wrong, fmt.Sprintf("%s at %s is %s, and that is not told", id, d.Subscription.Short(), d.State))
			}
		}
	}
	return wrong
}

// removals are how often each subscription was told to be gone.
func (r *rig) removals() map[push.Digest]int {
	removed := make(map[push.Digest]int)
	for _, e := range r.allEvents() {
		if e.Type == push.EventSubscriptionRemoved && strings.HasPrefix(e.Reason, "gone: ") {
			removed[e.Subscription]++
		}
	}
	return removed
}

// watchedStore knows in which order events were committed, and lets a test
// hold commits of records back.
type watchedStore struct {
	store.Store
	hold func(store.Group) // before a commit with events

	mu       sync.Mutex
	together int // groups with events under way
	most     int
	order    []push.ID
}

func (s *watchedStore) Commit(ctx context.Context, group store.Group) error {
	if len(group.Events) == 0 {
		return s.Store.Commit(ctx, group)
	}
	s.note(1)
	defer s.note(-1)
	if s.hold != nil {
		s.hold(group)
	}
	err := s.Store.Commit(ctx, group)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, e := range group.Events {
			s.order = append(s.order, e.ID)
		}
	}
	return err
}

func (s *watchedStore) note(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.together += n
	s.most = max(s.most, s.together)
}

func newWatchedRig(t *testing.T, watched *watchedStore) *rig {
	return newRig(t, func(c *Config) {
		watched.Store, c.Store, c.Writers = c.Store, watched, 3
	})
}

func TestFeed_IsCommittedInTheOrderOfItsIDs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		watched := &watchedStore{hold: func(g store.Group) { time.Sleep(time.Duration(len(g.Events)%7) * time.Millisecond) }}
		r := newWatchedRig(t, watched)
		r.subscribe("ann", "laptop")
		for i := range 200 {
			go func() { // one whose accept the crash takes with it was promised to nobody
				_, _ = r.Notify([]Draft{
					{User: userNamed("ann"), Content: []byte("{}"), TTL: time.Hour},
					{User: userNamed(fmt.Sprint("user-", i)), Content: []byte("{}"), TTL: time.Hour},
				})
			}()
			if i == 100 {
				r.failOnce(func(e Event) bool { committed, ok := e.(GroupCommitted); return ok && committed.Records > 0 })
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Minute)
		require.NotEmpty(t, eventsOf[ActorFailed](r), "the journal has crashed")
		require.Equal(t, 1, watched.most)
		require.Greater(t, len(watched.order), 300)
		require.True(t, slices.IsSortedFunc(watched.order, push.ID.Compare))
		require.Empty(t, r.feedComplaints())
	})
}

// What the journal had under way when it crashed is recorded: it is not sent
// again, nor told again.
func TestFeed_WhatACrashedJournalHadUnderWayIsToldOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		held := make(chan struct{})
		var once sync.Once
		watched := &watchedStore{hold: func(g store.Group) {
			if g.Events[0].Type == push.EventDelivered {
				once.Do(func() { <-held })
			}
		}}
		r := newWatchedRig(t, watched)
		r.bugs = true
		r.subscribe("ann", "laptop")
		r.settle()
		first := r.notify("ann")
		r.settle()
		r.send(r.journal, (*record)(nil)) // a bug, and the journal starts anew
		time.Sleep(time.Second)
		latest := r.LatestEvent()
		r.subscribe("bob", "phone")
		time.Sleep(time.Second)
		require.Equal(t, latest, r.LatestEvent(), "what is newer waits for its turn")
		close(held)
		time.Sleep(time.Minute)
		require.Equal(t, []string{"subscription.added", "delivery.delivered", "subscription.added"}, told(r.feed()))
		require.Equal(t, first, r.service.got("laptop"))
		require.True(t, slices.IsSortedFunc(watched.order, push.ID.Compare))
		require.Equal(t, 1, watched.most)
	})
}

func TestFeed_ACrashOfTheJournalTellsNothingTwice(t *testing.T) {
	for name, match := range map[string]func(Event) bool{
		"after a commit":        func(e Event) bool { c, ok := e.(GroupCommitted); return ok && c.Records > 0 && c.Err == nil },
		"after a commit failed": func(e Event) bool { _, ok := e.(StoreFailed); return ok },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r, flaky := newFlakyRig(t)
				r.subscribe("ann", "laptop")
				r.subscribe("ann", "phone")
				r.service.script("phone", outcome(push.Retry, 503), outcome(push.Gone, 410))
				r.service.takes(time.Second)
				ids := r.notify("ann", "ann", "nobody", "ann")
				r.failOnce(match)
				flaky.failing.Store(name != "after a commit")
				time.Sleep(2500 * time.Millisecond)
				flaky.failing.Store(false)
				time.Sleep(time.Minute)
				require.Len(t, eventsOf[ActorFailed](r), 1)
				for _, id := range ids {
					require.False(t, r.fate(id).Pending)
				}
				require.Empty(t, r.feedComplaints(ids...))
			})
		})
	}
}

// The connection breaks in the middle of a commit, and the store kept it.
func TestFeed_WhatTheStoreKeptWithoutSayingSoIsToldOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var db *unsteadyStore
		r := newRig(t, func(c *Config) {
			db = &unsteadyStore{Store: c.Store}
			c.Store = db
		})
		r.subscribe("ann", "laptop")
		r.service.script("laptop", outcome(push.Retry, 503))
		r.service.takes(time.Second)
		id := r.notify("ann")[0]
		r.settle()
		db.silent.Store(true) // for the event of the attempt
		time.Sleep(1500 * time.Millisecond)
		require.False(t, db.silent.Load())
		r.settle()
		db.silent.Store(true) // for the delivery
		time.Sleep(time.Minute)
		require.False(t, db.silent.Load())
		require.Equal(t, []string{"subscription.added", "delivery.retrying", "delivery.delivered"}, told(r.feed()))
		require.Empty(t, r.feedComplaints(id))
		require.Len(t, eventsOf[StoreFailed](r), 2)
	})
}

func TestFeed_AFailingStoreDelaysItAndNoMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, flaky := newFlakyRig(t)
		r.subscribe("ann", "laptop")
		r.service.takes(time.Second)
		ids := r.notify("ann", "ann", "ann")
		r.settle()
		flaky.failing.Store(true)
		time.Sleep(10 * time.Second)
		latest := r.LatestEvent()
		require.Equal(t, []string{"subscription.added"}, told(r.feed()))
		flaky.failing.Store(false)
		time.Sleep(2 * resumeLimit)
		require.Len(t, r.feed(push.EventDelivered), 3)
		require.Positive(t, r.LatestEvent().Compare(latest))
		require.Empty(t, r.feedComplaints(ids...))
	})
}

func TestFeed_AGroupHoldsABoundedNumberOfEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		most := 0
		watched := &watchedStore{hold: func(g store.Group) { most = max(most, len(g.Events)); time.Sleep(time.Second) }}
		r := newWatchedRig(t, watched)
		gone := make([]string, 600)
		for i := range gone {
			gone[i] = fmt.Sprint("user-", i)
			_, err := r.store.PutSubscription(t.Context(), subscriptionAt(gone[i], gone[i]))
			require.NoError(t, err)
			r.service.script(gone[i], answer{result: push.Result{Outcome: push.Gone}}) // not counted by the lane: it has no status
		}
		ids := r.notify(gone...)
		time.Sleep(time.Hour)
		require.Len(t, r.allEvents(), 1200)
		require.Greater(t, most, groupMax/2)
		require.LessOrEqual(t, most, groupMax)
		require.Empty(t, r.feedComplaints(ids...))
	})
}
