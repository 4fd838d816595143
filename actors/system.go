package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// Errors of System's methods, besides those of store.
var (
	// ErrUnavailable: the store could not do it now. Nothing was promised; a
	// request that met it may be tried again.
	ErrUnavailable = errors.New("the store is not available")
	// ErrOverloaded: more is waiting to be accepted than the store can take.
	ErrOverloaded = errors.New("too much is waiting to be accepted")
	// ErrBacklogFull: as much as Config.Backlog waits to be delivered.
	ErrBacklogFull = errors.New("too much is waiting to be delivered")
	// ErrDraining: the system is shutting down and takes nothing new.
	ErrDraining = errors.New("shutting down")
	// ErrKeyReused: the idempotency key was used for another request.
	ErrKeyReused = errors.New("the idempotency key was used for another request")
	// ErrNoActor: there is no actor at this path.
	ErrNoActor = errors.New("no such actor")
)

// Config says what a System works with. Zero values take the defaults.
type Config struct {
	Store     store.Store                 // required; acquired and migrated
	Providers map[push.Kind]push.Provider // required; how each kind of subscription is reached
	Observe   func(Event)                 // gets every event, from many goroutines, and must not block
	Log       *slog.Logger                // for what the actor library has to say; default: nothing

	Writers      int           // groups committed at the same time; default 1
	Ranges       int           // actors among which the shards are divided; default 16, at most push.Shards
	Window       int           // notifications one of them holds in memory; default 2,048
	LaneInFlight int           // sends under way to one push host; default 128
	SendInFlight int           // sends under way altogether; default 1,024
	RestAfter    time.Duration // a longer wait is spent in the store, not in memory; default a minute
	Backlog      int           // notifications that may wait to be delivered before ErrBacklogFull; default 10 million
	IdleAfter    time.Duration // an actor without work leaves memory after this; default 30 s
	Retention    time.Duration // finished notifications are kept for this long; default 30 days
	UnusedAfter  time.Duration // subscriptions without a sign of life for this long are removed; default 180 days

	EventRetention time.Duration // events are kept for this long; default 3 days, negative for recording none
	Webhooks       Caller        // how webhooks are called; default: they are not
}

func (c *Config) validate() error {
	if c.Store == nil {
		return errors.New("Config.Store is missing")
	}
	if len(c.Providers) == 0 {
		return errors.New("Config.Providers is empty")
	}
	if c.Ranges < 0 || c.Ranges > push.Shards {
		return fmt.Errorf("Config.Ranges is %d: use 1 to %d", c.Ranges, push.Shards)
	}
	return nil
}

func (c *Config) setDefaults() {
	if c.Observe == nil {
		c.Observe = func(Event) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Writers = orDefault(c.Writers, 1)
	c.Ranges = orDefault(c.Ranges, 16)
	c.Window = orDefault(c.Window, 2048)
	c.LaneInFlight = orDefault(c.LaneInFlight, 128)
	c.SendInFlight = orDefault(c.SendInFlight, 1024)
	c.IdleAfter = orDefault(c.IdleAfter, 30*time.Second)
	c.RestAfter = orDefault(c.RestAfter, time.Minute)
	c.Backlog = orDefault(c.Backlog, 10_000_000)
	c.Retention = orDefault(c.Retention, 30*24*time.Hour)
	c.UnusedAfter = orDefault(c.UnusedAfter, 180*24*time.Hour)
	if c.EventRetention == 0 {
		c.EventRetention = 3 * 24 * time.Hour
	}
}

// before says up to when what is kept is old.
func (c *Config) before(now time.Time) store.Before {
	return store.Before{Notifications: now.Add(-c.Retention), Events: now.Add(-max(c.EventRetention, 0))}
}

// share is how much of a range's window one user may have.
func (c *Config) share() int { return max(1, c.Window/8) }

func orDefault[T int | time.Duration](value, fallback T) T {
	if value > 0 {
		return value
	}
	return fallback
}

const (
	rootName      = "belfry"
	maxWaiting    = 20_000           // notifications that may wait for their commit before ErrOverloaded; records, before receipts are refused
	acceptTimeout = 20 * time.Second // for an accept to be answered, commit included
	askTimeout    = 2 * time.Second  // for an answer that needs no I/O
	storeTimeout  = 15 * time.Second // for one call of the store made by an actor
)

// System is the running tree. Its methods may be called from any goroutine.
type System struct {
	config Config
	actors *actor.ActorSystem

	root     *actor.PID
	journal  *actor.PID
	lanes    *actor.PID
	ranges   []*actor.PID
	webhooks *actor.PID // gets newEvents; nil for nobody

	ids      idClock                 // used by the journal alone
	released atomic.Pointer[push.ID] // every notification up to this one is committed, or never will be
	waiting  atomic.Int64            // notifications that wait for their commit
	backlog  atomic.Int64            // notifications with work left, about: the janitor counts anew now and then

	eventIDs idClock // used for one batch of the journal's at a time
	feed     feed

	committing commits
	trouble    atomic.Pointer[trouble] // with the store, as long as the journal keeps records back
	draining   atomic.Bool
	lives      atomic.Uint64 // tells the incarnations of a lane, or of a range, and the generations of guests apart

	ctx         context.Context // of the store's calls: ends when the tree has stopped
	cancel      context.CancelFunc
	sending     context.Context // of sends: ends when a drain runs out of time
	cancelSends context.CancelFunc
	work        sync.WaitGroup // what runs beside actors
	workers     workers
	caches      cacheReads
	permits     chan struct{} // held by every send under way

	figures figures
	live    live

	done     chan struct{}
	failOnce sync.Once
	failure  error
}

// Start boots the tree and begins with what the store says is left to do.
func Start(ctx context.Context, config Config) (*System, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	config.setDefaults()
	// Before the first row of today is written, there is room for it.
	now := time.Now()
	if _, err := config.Store.Maintain(ctx, now, config.before(now), maintainBatch); err != nil {
		return nil, fmt.Errorf("tidy the store: %w", err)
	}
	last, err := config.Store.LastID(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the newest notification: %w", err)
	}
	event, err := config.Store.LastEvent(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the newest event: %w", err)
	}
	s := &System{
		config: config,
		actors: actor.NewActorSystem(
			actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return config.Log }),
			// Dead letters are not logged: they hold what must not be in a log. A
			// goroutine for each waits for the interval.
			actor.WithDeadLetterThrottleCount(0),
			actor.WithDeadLetterThrottleInterval(time.Millisecond),
		),
		ids:      idClock{last: last},
		eventIDs: idClock{last: later(event, last)}, // all events may be too old to be kept, and the clock have been set back
		permits:  make(chan struct{}, config.SendInFlight),
		done:     make(chan struct{}),
	}
	s.caches.system = s
	s.released.Store(&last)
	s.feed.latest.Store(&event)
	s.figures.since = now
	pending, err := config.Store.CountPending(ctx)
	if err != nil {
		return nil, fmt.Errorf("count what is pending: %w", err)
	}
	s.backlog.Store(int64(pending))
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.sending, s.cancelSends = context.WithCancel(s.ctx)
	s.journal = s.actors.NewLocalPID(rootName + "/journal")
	s.lanes = s.actors.NewLocalPID(rootName + "/lanes")
	if config.Webhooks != nil {
		s.webhooks = s.actors.NewLocalPID(rootName + "/webhooks")
	}
	for i := range config.Ranges {
		s.ranges = append(s.ranges, s.actors.NewLocalPID(rootName+"/registry/"+s.rangeName(i)))
	}
	s.root, err = s.actors.Root.SpawnNamed(s.props(func() actor.Actor { return newRoot(s) }), rootName)
	if err != nil {
		return nil, fmt.Errorf("start the root supervisor: %w", err)
	}
	// An answer means that it has started, and so that its children are there.
	for _, pid := range []*actor.PID{s.root, s.actors.NewLocalPID(rootName + "/registry")} {
		if _, err := s.ask(pid, &inspect{}, acceptTimeout); err != nil {
			return nil, fmt.Errorf("start %s: %w", pid.Id, err)
		}
	}
	return s, nil
}

// Progress is what is known of a delivery that is not final.
type Progress struct {
	Subscription push.Digest
	Kind         push.Kind
	Host         string
	Attempts     int         // made so far
	Last         push.Result // of the last of them; zero before the first
	Next         time.Time   // when it is tried again; zero if it is queued or being sent
}

// Progress gives the live deliveries of a notification that has work left, in
// no certain order. While it is not in memory, those are the subscriptions
// that rest: it is with them what they rest for, or waits behind that, unless
// its delivery there is final. It may be empty while the notification waits
// for its user to be ready.
func (s *System) Progress(ctx context.Context, user push.User, id push.ID) ([]Progress, error) {
	answer, err := s.ask(s.rangeOf(user), &track{user: user, id: id}, askTimeout)
	if err != nil && !errors.Is(err, actor.ErrTimeout) { // that is a user who was just leaving
		return nil, fmt.Errorf("ask for the progress of %s: %w", id, err)
	}
	if answer, ok := answer.(*tracked); ok && len(answer.deliveries) > 0 {
		return answer.deliveries, nil
	}
	found, err := s.config.Store.ListSubscriptions(ctx, []push.User{user})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	var resting []Progress
	for _, sub := range found[user] {
		if !sub.Rest.IsZero() {
			resting = append(resting, restingProgress(sub, id))
		}
	}
	return resting, nil
}

// Backlog is how many notifications are accepted and have work left, about.
func (s *System) Backlog() int { return int(s.backlog.Load()) }

// WaitingForCommit is how many notifications wait to be accepted.
func (s *System) WaitingForCommit() int { return int(s.waiting.Load()) }

// Done is closed when the root supervisor gave up; Err says why. The process
// should end then, and be started anew by whatever started it.
func (s *System) Done() <-chan struct{} { return s.done }

// Err is why Done is closed, and nil before.
func (s *System) Err() error {
	select {
	case <-s.done:
		return s.failure
	default:
		return nil
	}
}

func (s *System) giveUp(err error) {
	s.failOnce.Do(func() {
		s.failure = err
		close(s.done)
	})
}

// rangeOf is the actor that owns the user's shard.
func (s *System) rangeOf(user push.User) *actor.PID {
	return s.ranges[s.rangeIndex(user.Shard())]
}

func (s *System) rangeIndex(shard push.Shard) int {
	return int(shard) * s.config.Ranges / push.Shards
}

func (s *System) send(to *actor.PID, message any) { s.actors.Root.Send(to, message) }

// ask sends a message and waits for the answer. Never inside Receive.
func (s *System) ask(to *actor.PID, message any, timeout time.Duration) (any, error) {
	return s.actors.Root.RequestFuture(to, message, timeout).Result()
}

// after sends a message when the time has come.
func (s *System) after(d time.Duration, to *actor.PID, message any) *time.Timer {
	return time.AfterFunc(d, func() { s.send(to, message) })
}

// beside runs do outside the actor that calls it. The tree has not stopped before
// it has ended.
func (s *System) beside(do func()) {
	s.work.Add(1)
	s.workers.Schedule(func() {
		defer s.work.Done()
		do()
	})
}

// background runs do outside the actor that calls it, and sends what it
// returns to that actor.
func (s *System) background(to *actor.PID, do func(ctx context.Context) any) {
	s.beside(func() {
		ctx, cancel := context.WithTimeout(s.ctx, storeTimeout)
		defer cancel()
		s.send(to, do(ctx))
	})
}
