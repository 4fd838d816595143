package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

const (
	lifecycleCallers = 256
	riverConns       = 32
	riverWorkers     = 500
)

// lifecycleSettings say how many call at a time.
type lifecycleSettings struct {
	database
	Callers int // 1: the next is begun when the one before has ended
}

func runLifecycle(ctx context.Context, b *bench) error {
	server, err := b.startPostgres()
	if err != nil {
		return err
	}
	defer server.Remove() //nolint:errcheck // it is a temporary directory
	start := func(name, job string, callers int) func() (contender, error) {
		return func() (contender, error) {
			url, err := server.CreateDatabase()
			if err != nil {
				return nil, err
			}
			w, err := startWorker(ctx, name, job, lifecycleSettings{database{URL: url}, callers})
			if err != nil {
				return nil, err
			}
			return &onPostgres{w, server.PID()}, nil
		}
	}
	return with(func(all ...contender) error { return b.alternate(ctx, all...) },
		start("Belfry", "lifecycle-belfry", lifecycleCallers), start("River", "lifecycle-river", lifecycleCallers),
		start("Belfry, idle", "lifecycle-belfry", 1), start("River, idle", "lifecycle-river", 1))
}

// noService takes everything at once.
type noService struct{}

// Send is push.Provider's.
func (noService) Send(context.Context, push.Message) push.Result {
	return push.Result{Outcome: push.Delivered, Status: 201}
}

// tally counts what has ended.
type tally struct {
	mu      sync.Mutex
	n       int
	changed chan struct{}
}

func newTally() *tally { return &tally{changed: make(chan struct{})} }

func (t *tally) add(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n += n
	close(t.changed)
	t.changed = make(chan struct{})
}

// await waits until n have ended.
func (t *tally) await(ctx context.Context, n int) error {
	for {
		t.mu.Lock()
		reached, changed := t.n >= n, t.changed
		t.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// finishing is a store that tells which notifications ended, durably.
type finishing struct {
	store.Store
	ended *tally
}

// Commit is store.Store's.
func (f finishing) Commit(ctx context.Context, group store.Group) error {
	err := f.Store.Commit(ctx, group)
	if err == nil && len(group.Finished) > 0 {
		f.ended.add(len(group.Finished))
	}
	return err
}

// untilEnded makes a closed loop of calls, and waits until all that they began
// has ended: at once after each, if there is one caller.
func untilEnded(ctx context.Context, callers int, ended *tally, begun *int, d time.Duration, begin func(call int64) error) (sample, error) {
	began := time.Now()
	found, err := closedLoop(ctx, callers, int64(*begun), d, func(ctx context.Context, call int64) error {
		if err := begin(call); err != nil || callers > 1 {
			return err
		}
		return ended.await(ctx, int(call)+1)
	})
	if err != nil {
		return found, err
	}
	*begun += found.Ops
	err = ended.await(ctx, *begun)
	found.TookMillis = millis(time.Since(began))
	return found, err
}

// living is Belfry's tree with a sender that does nothing.
type living struct {
	store   store.Store
	system  *actors.System
	ended   *tally
	begun   int
	callers int
}

func openLifecycle(ctx context.Context, s lifecycleSettings) (*living, error) {
	db, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	l := &living{store: db, ended: newTally(), callers: s.Callers}
	l.system, err = actors.Start(ctx, actors.Config{
		Store: finishing{db, l.ended}, Writers: s.writers(), Providers: map[push.Kind]push.Provider{push.WebPush: noService{}},
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	for _, sub := range browsers("https://push.example.com", sendUsers, nil) {
		if _, err := l.system.Subscribe(ctx, sub); err != nil {
			return nil, errors.Join(err, l.close())
		}
	}
	return l, nil
}

func (l *living) ready() map[string]string { return nil }

func (l *living) round(ctx context.Context, d time.Duration) (sample, error) {
	return untilEnded(ctx, l.callers, l.ended, &l.begun, d, func(call int64) error {
		_, err := l.system.Notify(draftFor(userNumber(int(call % sendUsers))))
		return err
	})
}

func (l *living) close() error { return errors.Join(l.system.Abandon(), l.store.Close()) }

// riverJob is a job that has as much to it as a notification.
type riverJob struct {
	User    string `json:"user"`
	Content string `json:"content"`
}

// Kind is river.JobArgs'.
func (riverJob) Kind() string { return "notification" }

type riverWorker struct {
	river.WorkerDefaults[riverJob]
	worked *tally // nil to count what is completed instead
}

// Work does nothing.
func (w *riverWorker) Work(context.Context, *river.Job[riverJob]) error {
	if w.worked != nil {
		w.worked.add(1)
	}
	return nil
}

// onRiver is the same work as River's. Idle, it is until the work begins, for its
// completions are recorded later in batches; otherwise until they are.
type onRiver struct {
	pool    *pgxpool.Pool
	client  *river.Client[pgx.Tx]
	ended   *tally
	begun   int
	callers int
	stop    func()
}

func openRiver(ctx context.Context, s lifecycleSettings) (*onRiver, error) {
	pool, err := s.pool(ctx, riverConns)
	if err != nil {
		return nil, err
	}
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, err
	}
	r := &onRiver{pool: pool, ended: newTally(), callers: s.Callers}
	worker := &riverWorker{}
	if s.Callers == 1 {
		worker.worked = r.ended
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, worker)
	r.client, err = river.NewClient(driver, &river.Config{
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: riverWorkers}}, Workers: workers,
		FetchCooldown: time.Millisecond, FetchPollInterval: 100 * time.Millisecond,
	})
	if err != nil {
		return nil, err
	}
	completed, end := r.client.SubscribeConfig(&river.SubscribeConfig{ChanSize: 1 << 20, Kinds: []river.EventKind{river.EventKindJobCompleted}})
	r.stop = end
	if worker.worked == nil {
		go func() {
			for range completed {
				r.ended.add(1)
			}
		}()
	}
	return r, r.client.Start(ctx)
}

func (r *onRiver) ready() map[string]string { return nil }

func (r *onRiver) round(ctx context.Context, d time.Duration) (sample, error) {
	return untilEnded(ctx, r.callers, r.ended, &r.begun, d, func(call int64) error {
		_, err := r.client.Insert(ctx, riverJob{User: userNumber(int(call % sendUsers)).ID, Content: string(commonContent)}, nil)
		return err
	})
}

func (r *onRiver) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := r.client.Stop(ctx)
	r.stop()
	r.pool.Close()
	return err
}
