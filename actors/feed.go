package actors

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/belfryhq/belfry/push"
)

// How apps read their feeds. What makes events is in journal_events.go.

const (
	feedPage  = 1000   // events in one read of the store
	feedReach = 10_000 // events that one call looks at: those of other types are passed over in memory
)

// feed knows how far the apps' feeds go, and who waits for more.
type feed struct {
	latest atomic.Pointer[push.ID] // the newest event of a group that is durable

	mu      sync.Mutex
	waiting map[string]chan struct{} // by app
}

// Events gives an app's events that come after the one named, by ascending ID,
// at most limit, of the types given or of all if there are none; and the ID to
// go on after, whether or not there were any. Nothing is left out between two
// such answers. ErrUnavailable.
//
// Of what it passes over because of its type it looks at some 10,000 at a
// time: there may be more as long as next is before LatestEvent.
func (s *System) Events(ctx context.Context, app string, after push.ID, types []push.EventType, limit int) (events []push.Event, next push.ID, err error) {
	// What is durable when the store is asked is all there in its answer, up to here.
	upTo := s.LatestEvent()
	next = after
	for looked := 0; looked < feedReach && len(events) < limit && next.Compare(upTo) < 0; {
		size := feedPage
		if len(types) == 0 {
			size = min(size, limit-len(events))
		}
		page, err := s.config.Store.ListEvents(ctx, app, next, upTo, size)
		if err != nil {
			return nil, after, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		for _, event := range page {
			if len(events) == limit {
				return events, next, nil
			}
			if next = event.ID; len(types) == 0 || slices.Contains(types, event.Type) {
				events = append(events, event)
			}
		}
		if len(page) < size {
			next = upTo
		}
		looked += len(page)
	}
	return events, next, nil
}

// LatestEvent is the ID after which come the events that are not there yet.
func (s *System) LatestEvent() push.ID { return *s.feed.latest.Load() }

// EventsComing gives a channel that is closed when an app has events that were
// not there when it was asked for. Ask for it before Events.
func (s *System) EventsComing(app string) <-chan struct{} {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	coming := s.feed.waiting[app]
	if coming == nil {
		if s.feed.waiting == nil {
			s.feed.waiting = make(map[string]chan struct{})
		}
		coming = make(chan struct{})
		s.feed.waiting[app] = coming
	}
	return coming
}

// publish tells of the events of a batch that is durable. Batches come in the
// order of their events.
func (s *System) publish(b *batch) {
	if len(b.events) == 0 {
		return
	}
	latest := b.events[len(b.events)-1].ID
	s.feed.latest.Store(&latest)
	apps := b.apps()
	s.feed.wake(apps)
	if s.webhooks != nil {
		s.send(s.webhooks, &newEvents{apps: apps})
	}
}

func (f *feed) wake(apps []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.waiting) == 0 {
		return
	}
	for _, app := range apps {
		if coming := f.waiting[app]; coming != nil {
			close(coming)
			delete(f.waiting, app)
		}
	}
}
