package api

import (
	"context"
	"sync"
)

// turns are taken by who changes an app, or reads it after a change: one at a
// time for each app.
type turns struct {
	mu    sync.Mutex
	taken map[string]chan struct{} // by app; closed when the turn is over
}

func newTurns() *turns { return &turns{taken: make(map[string]chan struct{})} }

// take waits until nobody has the app's turn. The error is ctx's.
func (t *turns) take(ctx context.Context, app string) (done func(), err error) {
	for ctx.Err() == nil {
		over, mine := t.tryTake(app)
		if mine {
			return func() { t.end(app) }, nil
		}
		select {
		case <-ctx.Done():
		case <-over:
		}
	}
	return nil, ctx.Err()
}

// tryTake takes the turn, unless somebody has it: then it tells when that is over.
func (t *turns) tryTake(app string) (over <-chan struct{}, mine bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if over, taken := t.taken[app]; taken {
		return over, false
	}
	t.taken[app] = make(chan struct{})
	return nil, true
}

func (t *turns) end(app string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.taken[app])
	delete(t.taken, app)
}

// retries are what goes on in the background, one for each app at most.
type retries struct {
	ctx   context.Context // of all of them
	end   context.CancelFunc
	group sync.WaitGroup

	mu   sync.Mutex
	apps map[string]bool // those that have one
}

func newRetries() *retries {
	ctx, end := context.WithCancel(context.Background())
	return &retries{ctx: ctx, end: end, apps: make(map[string]bool)}
}

// begin starts an app's, unless it has one. It calls forget before it ends.
func (r *retries) begin(app string, retry func(ctx context.Context, app string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.apps[app] || r.ctx.Err() != nil {
		return
	}
	r.apps[app] = true
	r.group.Go(func() { retry(r.ctx, app) })
}

func (r *retries) forget(app string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.apps, app)
}

// close ends all of them and waits. None begins afterwards.
func (r *retries) close() {
	r.mu.Lock()
	r.end()
	r.mu.Unlock()
	r.group.Wait()
}
