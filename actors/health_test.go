package actors

import (
	"context"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/stretchr/testify/require"
)

// hasOneComplaint sees to it that Health says what begins like that, and no more.
func (r *rig) hasOneComplaint(start string) {
	r.t.Helper()
	ill := r.Health()
	require.Len(r.t, ill, 1)
	require.Contains(r.t, ill[0], start)
}

func TestHealth_NothingIsWrongWhenAllWorks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", outcome(push.Retry, 503))
		r.notify("ann")
		require.Empty(t, r.Health())
		time.Sleep(time.Minute)
		require.Empty(t, r.Health())
	})
}

func TestHealth_TheStoreTakesNoOutcomes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, flaky := newFlakyRig(t)
		r.subscribe("ann", "laptop")
		r.service.takes(time.Second)
		r.notify("ann")
		r.settle()
		flaky.failing.Store(true)
		time.Sleep(time.Second)
		since := time.Now()
		time.Sleep(time.Minute)
		r.hasOneComplaint("The store has not taken outcomes since " + since.UTC().Format(time.RFC3339) + ":")
		flaky.failing.Store(false)
		time.Sleep(resumeLimit)
		require.Empty(t, r.Health())
	})
}

func TestHealth_TroubleEndsWithTheJournalThatHadIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, flaky := newFlakyRig(t)
		r.bugs = true
		r.subscribe("ann", "laptop")
		r.service.takes(time.Second)
		r.notify("ann")
		r.settle()
		flaky.failing.Store(true)
		time.Sleep(2 * time.Second)
		require.NotEmpty(t, r.Health())
		flaky.failing.Store(false)
		r.send(r.journal, (*record)(nil)) // a bug, and the journal starts anew
		time.Sleep(restartBase)
		r.settle()
		require.Empty(t, r.Health())
	})
}

// heldCommits commits when it is told to.
type heldCommits struct {
	store.Store
	hold chan struct{}
}

func (s *heldCommits) Commit(ctx context.Context, group store.Group) error {
	select {
	case <-s.hold:
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.Store.Commit(ctx, group)
}

func TestHealth_ACommitTakesLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var slow *heldCommits
		r := newRig(t, func(c *Config) {
			slow = &heldCommits{Store: c.Store, hold: make(chan struct{})}
			c.Store = slow
		})
		go r.Notify([]Draft{{User: userNamed("nobody"), Content: []byte("{}"), TTL: time.Hour}})
		time.Sleep(9 * time.Second)
		require.Empty(t, r.Health())
		time.Sleep(3 * time.Second)
		r.hasOneComplaint("A commit has been under way for 12 s:")
		close(slow.hold)
		time.Sleep(time.Second)
		require.Empty(t, r.Health())
	})
}

func TestHealth_TheJournalDoesNotAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		release := make(chan struct{})
		r.mu.Lock()
		r.onEvent = func(e Event) {
			if _, ok := e.(GroupCommitted); ok {
				<-release // its actor stands still
			}
		}
		r.mu.Unlock()
		r.subscribe("ann", "laptop")
		r.settle()
		began := time.Now()
		r.hasOneComplaint("The journal, which accepts and records everything, has not answered within 1 s:")
		require.Equal(t, healthTimeout, time.Since(began))
		close(release)
		r.settle()
		require.Empty(t, r.Health())
	})
}

func TestHealth_Draining(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.takes(5 * time.Second)
		r.notify("ann")
		r.settle()
		drained := make(chan error)
		go func() { drained <- r.Drain(context.Background()) }()
		r.settle()
		r.hasOneComplaint("It is shutting down:")
		require.NoError(t, <-drained)
		r.hasOneComplaint("It is shutting down:")
		r.System = nil
	})
}

func TestHealth_TheRootGaveUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.bugs = true
		for range failuresMax + 1 {
			r.send(r.journal, (*record)(nil)) // a bug
			time.Sleep(2 * restartCap)
		}
		<-r.Done()
		require.Contains(t, r.Health()[0], "The supervision tree gave up")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Error(t, r.Drain(ctx))
		r.System = nil
	})
}
