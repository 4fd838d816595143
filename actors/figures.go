package actors

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/belfryhq/belfry/push"
)

// What is counted as it happens, so that looking at it costs nothing, however
// large the tree is.

const (
	failuresShown = 20  // the last panics that are remembered
	failureBytes  = 500 // of what an actor panicked with, at most
)

// figures are what happened since the start.
type figures struct {
	since time.Time

	accepted      atomic.Int64
	attempts      [push.Refused + 1]atomic.Int64        // by outcome
	deliveries    [push.StateCancelled + 1]atomic.Int64 // by state
	commits       atomic.Int64
	commitTime    atomic.Int64 // nanoseconds
	restarts      atomic.Int64
	storeFailures atomic.Int64

	shut sync.Map // lanes that are, by name; the lanes see to those that fail or leave

	mu       sync.Mutex
	failures []Failure // the last, the newest last
}

// live counts the actors that come and go.
type live struct{ users, subscriptions, lanes atomic.Int64 }

// observe counts an event and passes it on to Config.Observe.
func (s *System) observe(event Event) {
	s.figures.add(event)
	s.config.Observe(event)
}

func (f *figures) add(event Event) {
	switch e := event.(type) {
	case AttemptMade:
		if int(e.Result.Outcome) < len(f.attempts) {
			f.attempts[e.Result.Outcome].Add(1)
		}
	case DeliveryConcluded:
		f.deliveries[e.Delivery.State].Add(1)
	case GroupCommitted:
		if e.Err == nil {
			f.accepted.Add(int64(e.Notifications))
			f.commits.Add(1)
			f.commitTime.Add(int64(e.Took))
		}
	case LanePaused:
		f.shut.Store(e.Lane, true)
	case LaneResumed:
		f.shut.Delete(e.Lane)
	case StoreFailed:
		f.storeFailures.Add(1)
	case ActorFailed:
		f.restarts.Add(1)
		f.addFailure(Failure{At: time.Now(), Path: e.Path, Reason: short(e.Reason), Restarts: e.Restarts})
	}
}

func (f *figures) addFailure(failure Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.failures) == failuresShown {
		f.failures = slices.Delete(f.failures, 0, 1)
	}
	f.failures = append(f.failures, failure)
}

// latest are the last failures, the newest first.
func (f *figures) latest() []Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := slices.Clone(f.failures)
	slices.Reverse(list)
	return list
}

// counters are the figures by the names that Overview documents.
func (f *figures) counters() map[string]int64 {
	all := map[string]int64{
		"accepted":           f.accepted.Load(),
		"commits":            f.commits.Load(),
		"commit_nanoseconds": f.commitTime.Load(),
		"restarts":           f.restarts.Load(),
		"store_failures":     f.storeFailures.Load(),
	}
	for o := push.Delivered; o <= push.Refused; o++ {
		n := f.attempts[o].Load()
		all["attempt."+o.String()] = n
		all["attempts"] += n
	}
	for state := push.StateDelivered; state <= push.StateCancelled; state++ {
		all["delivery."+state.String()] = f.deliveries[state].Load()
	}
	return all
}

// short cuts what an actor panicked with to what is kept of it.
func short(reason string) string {
	if len(reason) <= failureBytes {
		return reason
	}
	const cut = "…"
	return strings.ToValidUTF8(reason[:failureBytes-len(cut)], "") + cut
}
