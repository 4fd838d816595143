package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

const haltTimeout = 2 * time.Second // for webhooks that are being called to answer

// Draining tells whether Drain or Abandon was called.
func (s *System) Draining() bool { return s.draining.Load() }

// Abandon stops sending and writing at once, and then the tree, without
// keeping anything: for a process that is no longer the active one of its
// store. Call it once, instead of Drain.
func (s *System) Abandon() error {
	s.draining.Store(true)
	s.cancelSends()
	s.cancel()
	return s.stopTree()
}

func (s *System) stopTree() error {
	err := s.actors.Root.StopFuture(s.root).Wait()
	s.cancel()
	s.actors.Shutdown()
	s.work.Wait()
	s.workers.close()
	if err != nil {
		return fmt.Errorf("stop the tree: %w", err)
	}
	return nil
}

// Drain stops the tree without losing anything: nothing new is accepted or
// sent; what is being sent may finish until ctx ends, and is cut off then;
// outcomes are made durable; the rest stays pending in the store for the next
// start. Call it once. It returns an error when the tree itself did not come
// to rest, and has stopped it all the same.
func (s *System) Drain(ctx context.Context) error {
	s.draining.Store(true)
	defer s.cancel()
	var errs []error
	calls := s.haltWebhooks(ctx)
	if _, err := s.ask(s.lanes, &halt{}, remaining(ctx)); err != nil {
		s.cancelSends()
		if _, err := s.ask(s.lanes, &halt{}, askTimeout); err != nil {
			errs = append(errs, fmt.Errorf("wait for sends that were cut off: %w", err))
		}
	}
	settling := make([]actor.Future, len(s.ranges))
	for i, pid := range s.ranges {
		settling[i] = s.actors.Root.RequestFuture(pid, &settle{}, remaining(ctx))
	}
	for i, future := range settling {
		if err := future.Wait(); err != nil {
			errs = append(errs, fmt.Errorf("settle %s: %w", s.ranges[i].Id, err))
		}
	}
	calls()
	if _, err := s.ask(s.journal, &flush{}, remaining(ctx)); err != nil {
		errs = append(errs, fmt.Errorf("flush the journal: %w", err))
	}
	errs = append(errs, s.stopTree())
	return errors.Join(errs...)
}

// haltWebhooks begins to stop the webhooks, and gives what waits until none is
// being called, for a while. A call that takes longer is cut off with the tree,
// and made again after the next start.
func (s *System) haltWebhooks(ctx context.Context) (wait func()) {
	if s.webhooks == nil {
		return func() {}
	}
	halting := s.actors.Root.RequestFuture(s.webhooks, &halt{}, min(remaining(ctx), haltTimeout))
	return func() { halting.Wait() } //nolint:errcheck // see above
}

// remaining is the time that ctx leaves, at least a second: a step that comes
// late still gets its chance.
func remaining(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return max(time.Until(deadline), time.Second)
	}
	return 10 * time.Second
}
