package actors

import (
	"context"
	"maps"
	"net/url"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

const (
	tickEvery = time.Second // how often a shard range looks for idle users
	readMax   = 512         // pending notifications, or users, in one read of the store
	fetchMax  = 128         // users whose parked work is read together

	reloadAfter = time.Second      // the pause after the store failed to answer a read
	crashesMax  = 10               // crashes of a user in a row before it is left alone for a while
	crashRest   = 15 * time.Minute // that while
)

// shards owns the users of a range of shards, alone: it finds or spawns a
// user's actor, loads its subscriptions in batches, and lets it go when idle.
//
// It holds a window of notifications in memory, from the moment it hands them
// to their user until the journal says that they are finished. When the window
// is full, newly committed notifications stay in the store; they are read
// back in order when there is room again. The cursor divides the two: every
// notification up to it has been handed out, or is one of a user who has a full
// share of the window already and gets the rest when that is worked off. So
// one user whose endpoint is dead does not fill the window for all.
type shards struct {
	system *System
	own    push.ShardRange
	users  map[push.User]*resident

	// All users share these, a tenth of what one of them would take: they make the
	// user that is entering, at once, and none a second time, for users do not
	// start anew in place.
	userProps *actor.Props
	entering  push.User

	begun bool // the journal has committed what an earlier incarnation's users recorded

	window  map[push.ID]place // handed out and not finished
	backs   int               // of these, what was parked and came back
	cursor  push.ID           // up to here, all was handed out or is a behind user's
	newest  push.ID           // the newest committed one it knows of
	filling bool              // a read of the store is under way

	loading    bool        // subscriptions are being read
	loadFailed bool        // the last such read failed: the next one is made after a pause
	load       []push.User // whose subscriptions are wanted

	due      store.Parking    // up to here, what is due was told to its user
	nextDue  time.Time        // when to look for more; zero for not before something is parked
	looking  bool             // a read of who has work that is due is under way
	told     int              // users who were told, and have not got it
	fetches  []asked          // who wants what is due
	fetching bool             // a read of that is under way
	finished map[push.ID]bool // during that read

	cancelled map[push.ID]cancelMark // lately: a read that is under way may still find them

	suspects map[push.ID]bool // pending in the store, and held by nobody, at the last sweep
	sweeping bool

	settle gathering // of settledDown, from every user
	timer  *time.Timer

	life      uint64 // of this incarnation: what an earlier one asked for is not for this one
	forgotten uint64 // users; what was read before may hold what was theirs
	ending    bool   // stopping: who came now would never be told to leave
}

// place is a notification's in the window.
type place struct {
	owner *resident
	back  bool // it was parked and came back: it has room of its own
}

// resident is a user as the owner of its shard sees it.
type resident struct {
	guest
	user    push.User
	share   int     // notifications of this user in the window, but for those that came back
	last    push.ID // the newest of them
	skipped push.ID // the newest that was left in the store; beyond last, the user is behind
	catchUp bool    // a read of what was left is under way
	told    bool    // that something parked is due, and has not got it

	held    []any // messages for the next generation
	changes int   // of its subscriptions, in the store
	crashed bool  // waiting to be spawned anew, with its work read from the store
	reading bool  // that read is under way: what arrives is held
	wanted  bool  // it stands in shards.load
}

// The reads of the store, and what they found.
type (
	pendingRead struct {
		pending []store.Pending
		upTo    push.ID // it looked up to here
		full    bool    // there may be more before upTo
		err     error
	}
	cacheRead struct {
		users   []push.User
		changes map[push.User]int // of each, when the read began
		found   map[push.User][]push.Subscription
		err     error
	}
	userRead struct {
		user        push.User
		after, upTo push.ID
		limit       int
		pending     []store.Pending
		err         error
	}
	dueRead struct {
		after store.Parking
		upTo  time.Time
		due   []store.Due
		next  time.Time // when more is due; zero if there is none
		err   error
	}
	asked struct {
		store.UserAfter
		from string // the generation that did
	}
	fetchRead struct {
		users   []asked
		limit   int // for each
		pending map[push.User][]store.Pending
		err     error
	}
)

func newShards(s *System, own push.ShardRange) *shards {
	made := &shards{system: s, own: own, life: s.lives.Add(1)}
	made.userProps = s.props(func() actor.Actor { return newUser(s, made.entering) })
	return made
}

// ofLife is a message of a range to itself.
type ofLife struct {
	life    uint64
	message any
}

// readOfLife is one from a read of the store.
type readOfLife struct {
	ofLife
	forgotten uint64 // users, when it began
}

func (s *shards) Receive(ctx actor.Context) {
	defer addStack()
	if s.ending {
		return
	}
	switch message := ctx.Message().(type) {
	case *ofLife:
		if message.life == s.life {
			s.receive(ctx, message.message)
		}
	case *readOfLife:
		switch {
		case message.life != s.life:
		case message.forgotten != s.forgotten:
			s.discard(ctx, message.message)
			s.loadCaches(ctx)
		default:
			s.receive(ctx, message.message)
		}
	default:
		s.receive(ctx, message)
	}
}

// discard drops a read that may hold work of a user who was forgotten
// meanwhile, and has it made anew.
func (s *shards) discard(ctx actor.Context, read any) {
	switch read := read.(type) {
	case *filled:
		s.filling = false
		s.fill(ctx, 1)
	case *caughtUp:
		if r := s.users[read.read.user]; r != nil && r.catchUp {
			r.catchUp = false
			s.catchUp(ctx, r)
		}
	case *recovered:
		if r := s.users[read.read.user]; r != nil && r.reading {
			r.reading = false
			s.onRespawn(ctx, read.read.user)
		}
	case *swept:
		s.sweeping = false
	case *fetched:
		s.fetching = false
		s.fetches = append(read.read.users, s.fetches...)
		s.serveFetches(ctx)
	case *found:
		s.onFound(ctx, read.read)
	case *loaded:
		s.onLoaded(ctx, read.read)
	}
}

func (s *shards) receive(ctx actor.Context, message any) {
	s.handle(ctx, message)
	s.loadCaches(ctx)
}

func (s *shards) handle(ctx actor.Context, message any) {
	switch message := message.(type) {
	case *actor.Started:
		s.onStarted(ctx)
	case *actor.Stopping, *actor.Restarting:
		s.ending = true
		s.timer.Stop()
	case *coming:
		s.onComing(ctx, message.users)
	case *handOut:
		s.onHandOut(ctx, message.notifications)
	case *settled:
		s.onSettled(ctx, message.ids)
	case *fetch:
		s.onFetch(ctx, message)
	case *left:
		s.onLeft(ctx, message)
	case *cancel:
		s.onCancel(ctx, message)
	case *found:
		s.onFound(ctx, message.read)
	case *fetched:
		s.onFetched(ctx, message.read)
	case *filled:
		s.onFilled(ctx, message.read)
	case *loaded:
		s.onLoaded(ctx, message.read)
	case *changed:
		s.onChanged(ctx, message.user)
	case *doubt:
		s.onDoubt(ctx)
	case *forget:
		s.onForget(ctx, message.user)
	case *track:
		s.onTrack(ctx, message)
	case *drained:
		s.onDrained(ctx, message)
	case *actor.Terminated:
		s.onTerminated(ctx, message)
	case *respawn:
		s.onRespawn(ctx, message.user)
	case *recovered:
		s.onRecovered(ctx, message.read)
	case *caughtUp:
		s.onCaughtUp(ctx, message.read)
	case *sweep:
		s.onSweep(ctx)
	case *swept:
		s.onSwept(ctx, message.read)
	case *tick:
		s.onTick(ctx)
	case *begun:
		s.onBegun(ctx, message.err)
	case *reload:
		s.loadFailed = false
		if !s.begun {
			s.begin(ctx)
		}
		s.advance(ctx)
	case *settle:
		s.onSettle(ctx)
	case *settledDown:
		s.settle.arrived(ctx)
	case *search:
		s.onSearch(ctx, message)
	case *inspect:
		s.onInspect(ctx, message)
	}
}

// later sends a message to this incarnation when the time has come.
func (s *shards) later(ctx actor.Context, d time.Duration, message any) *time.Timer {
	return s.system.after(d, ctx.Self(), &ofLife{s.life, message})
}

// read asks the store outside the actor, and sends what it found to this incarnation.
func (s *shards) read(ctx actor.Context, do func(ctx context.Context) any) {
	life, forgotten := s.life, s.forgotten
	s.system.background(ctx.Self(), func(ctx context.Context) any {
		return &readOfLife{ofLife{life, do(ctx)}, forgotten}
	})
}

// onStarted begins with whatever the store says is left to do.
func (s *shards) onStarted(ctx actor.Context) {
	s.users = make(map[push.User]*resident)
	s.window = make(map[push.ID]place)
	s.cancelled = make(map[push.ID]cancelMark)
	s.suspects = make(map[push.ID]bool)
	s.newest = *s.system.released.Load()
	s.lookAt(time.Now())
	s.timer = s.later(ctx, tickEvery, &tick{})
	s.begin(ctx)
}

// begin waits until the journal has committed all that was recorded before:
// only then is the store's word on what is left, and on who rests, the last.
func (s *shards) begin(ctx actor.Context) {
	life := s.life
	s.system.background(ctx.Self(), func(context.Context) any {
		_, err := s.system.ask(s.system.journal, &flush{}, storeTimeout)
		return &ofLife{life, &begun{err: err}}
	})
}

func (s *shards) onBegun(ctx actor.Context, err error) {
	if err != nil {
		s.later(ctx, reloadAfter, &reload{})
		return
	}
	s.begun = true
	s.advance(ctx)
}

// advance goes on with whatever can be gone on with.
func (s *shards) advance(ctx actor.Context) {
	s.fill(ctx, 1)
	s.look(ctx)
	s.serveFetches(ctx)
}

// tell sends a counted message to a user, or keeps it for its next generation.
func (s *shards) tell(ctx actor.Context, r *resident, message any) {
	if r.present() {
		r.guest.tell(ctx, message, nil)
	} else {
		r.held = append(r.held, message)
	}
}

func (s *shards) enter(ctx actor.Context, user push.User, r *resident) {
	s.entering = user
	r.enter(ctx, s.system, userName(user), s.userProps)
	s.want(user, r)
}

// userName is the name of a user's actor: a path segment.
func userName(user push.User) string { return user.App + ":" + url.PathEscape(user.ID) }

// userCalled is the inverse of userName.
func userCalled(name string) (push.User, error) {
	app, escaped, _ := strings.Cut(name, ":")
	id, err := url.PathUnescape(escaped)
	return push.User{App: app, ID: id}, err
}

// userOf is the user that a PID is the actor of.
func userOf(pid *actor.PID) push.User {
	user, err := userCalled(guestName(pid))
	if err != nil {
		panic("actor name " + pid.Id + " is not a user's")
	}
	return user
}

func (s *shards) storeFailed(ctx actor.Context, what string, err error) {
	s.system.observe(StoreFailed{What: what, Err: err})
	s.later(ctx, reloadAfter, &reload{})
}

func (s *shards) onForget(ctx actor.Context, user push.User) {
	s.forgotten++
	if r := s.users[user]; r != nil {
		s.clear(r)
		r.held, r.crashed, r.reading = nil, false, false
		r.skipped = r.last
		switch {
		case r.present():
			r.stop(ctx)
		case r.pid == nil:
			delete(s.users, user)
		}
	}
	s.fill(ctx, s.half())
}

func (s *shards) onTrack(ctx actor.Context, t *track) {
	r := s.users[t.user]
	if r == nil || !r.present() {
		ctx.Respond(&tracked{})
		return
	}
	ctx.RequestWithCustomSender(r.pid, t, ctx.Sender())
}

func (s *shards) onTick(ctx actor.Context) {
	now := time.Now()
	idleAfter := s.system.config.IdleAfter
	if len(s.users) > s.system.config.Window { // more of them than can have something to do
		idleAfter = min(idleAfter, tickEvery)
	}
	for _, r := range s.users {
		r.offerDrain(ctx, now, idleAfter)
		s.catchUp(ctx, r)
	}
	maps.DeleteFunc(s.cancelled, func(_ push.ID, m cancelMark) bool { return now.Sub(m.at) > storeTimeout })
	s.advance(ctx)
	s.timer = s.later(ctx, tickEvery, &tick{})
}

// onDrained lets nobody go while the system drains: the question whether all
// results have arrived would get lost with who leaves.
func (s *shards) onDrained(ctx actor.Context, answer *drained) {
	if r := s.users[userOf(answer.from)]; r != nil && !r.behind() && !s.system.Draining() {
		r.letGo(ctx, answer)
	}
}

// onTerminated lets a user's record go, or its next generation come.
func (s *shards) onTerminated(ctx actor.Context, t *actor.Terminated) {
	releaseChild(ctx)
	user := userOf(t.Who)
	r := s.users[user]
	r.left()
	switch {
	case r.crashed:
		// respawn comes when the pause is over
	case len(r.held) == 0:
		delete(s.users, user)
	default:
		s.reenter(ctx, user, r)
	}
}

func (s *shards) reenter(ctx actor.Context, user push.User, r *resident) {
	r.crashed, r.reading = false, false
	s.enter(ctx, user, r)
	held := r.held
	r.held = nil
	for _, message := range held {
		s.tell(ctx, r, message)
	}
}

func (s *shards) onSettle(ctx actor.Context) {
	s.settle = gathering{asker: ctx.Sender(), answer: &settledDown{}}
	for _, r := range s.users {
		if r.present() {
			s.settle.ask(ctx, r.pid, &settle{})
		}
	}
	s.settle.finish(ctx)
}
