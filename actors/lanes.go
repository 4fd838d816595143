package actors

import (
	"cmp"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
)

const laneIdleAfter = 10 * time.Minute // a lane without work leaves memory after this

// laneKey names a lane: sends to one push host with one app's credentials.
type laneKey struct {
	app     string
	kind    push.Kind
	account string // push.Subscription.Account
	host    string
}

func laneOf(sub push.Subscription) laneKey {
	return laneKey{app: sub.User.App, kind: sub.Kind, account: sub.Account(), host: sub.Host()}
}

// String is the lane's name: app:kind:host, or app:kind:account@host. None of
// them has a slash, so it is a path segment too.
func (k laneKey) String() string {
	if k.account == "" {
		return fmt.Sprintf("%s:%s:%s", k.app, k.kind, k.host)
	}
	return fmt.Sprintf("%s:%s:%s@%s", k.app, k.kind, k.account, k.host)
}

// lanes finds or spawns the lane that a message goes through, and lets idle
// lanes go.
type lanes struct {
	system *System
	lanes  map[string]*laneGuest // by name
	byKey  map[laneKey]*laneGuest
	ending bool      // stopping: who came now would never be told to leave
	halt   gathering // of halted, from every lane
	timer  *time.Timer
}

// laneGuest is a lane as its parent sees it.
type laneGuest struct {
	guest
	key  laneKey
	held []heldMessage // for the next generation
}

type heldMessage struct {
	message any
	sender  *actor.PID
}

func newLanes(s *System) *lanes { return &lanes{system: s} }

func (l *lanes) Receive(ctx actor.Context) {
	defer addStack()
	if l.ending {
		// Whoever asks now may have started anew already, and would wait for ever.
		if _, asked := ctx.Message().(*carry); asked {
			ctx.Respond(laneFailed)
		}
		return
	}
	switch message := ctx.Message().(type) {
	case *actor.Started:
		l.lanes = make(map[string]*laneGuest)
		l.byKey = make(map[laneKey]*laneGuest)
		l.system.figures.shut.Clear()
		l.timer = l.system.after(laneIdleAfter, ctx.Self(), &tick{})
	case *actor.Stopping, *actor.Restarting:
		l.ending = true
		l.timer.Stop()
	case *carry:
		l.pass(ctx, message.key, message)
	case *withdraw:
		if l.byKey[message.key] != nil {
			l.pass(ctx, message.key, message)
		}
	case *reconsider:
		l.onReconsider(ctx, message)
	case *drained:
		l.onDrained(ctx, message)
	case *actor.Terminated:
		l.onTerminated(ctx, message)
	case *tick:
		l.onTick(ctx)
	case *halt:
		l.onHalt(ctx)
	case *halted:
		l.halt.arrived(ctx)
	case *survey:
		l.onSurvey(ctx, message)
	case *search:
		l.onSearch(ctx, message)
	case *inspect:
		l.onInspect(ctx, message)
	}
}

// pass hands a message on to its lane, with the sender to answer to.
func (l *lanes) pass(ctx actor.Context, key laneKey, message any) {
	lane := l.byKey[key]
	if lane == nil {
		lane = &laneGuest{key: key}
		name := key.String()
		l.lanes[name], l.byKey[key] = lane, lane
		l.open(ctx, name, lane)
	}
	if !lane.present() {
		lane.held = append(lane.held, heldMessage{message, ctx.Sender()})
		return
	}
	lane.tell(ctx, message, ctx.Sender())
}

// onReconsider passes it on uncounted: a lane that leaves has nothing to
// reconsider.
func (l *lanes) onReconsider(ctx actor.Context, r *reconsider) {
	for _, lane := range l.lanes {
		if lane.key.app == r.app && lane.present() {
			ctx.Send(lane.pid, r)
		}
	}
}

func (l *lanes) open(ctx actor.Context, name string, lane *laneGuest) {
	key, handled := lane.key, new(uint64)
	lane.enter(ctx, l.system, name, l.system.props(func() actor.Actor { return newLane(l.system, key, handled) }))
}

func (l *lanes) onDrained(ctx actor.Context, answer *drained) {
	if lane := l.lanes[guestName(answer.from)]; lane != nil && !l.system.Draining() {
		lane.letGo(ctx, answer)
	}
}

func (l *lanes) onTerminated(ctx actor.Context, t *actor.Terminated) {
	releaseChild(ctx)
	name := guestName(t.Who)
	lane := l.lanes[name]
	l.system.figures.shut.Delete(name)
	if len(lane.held) == 0 {
		delete(l.lanes, name)
		delete(l.byKey, lane.key)
		return
	}
	l.open(ctx, name, lane)
	for _, h := range lane.held {
		lane.tell(ctx, h.message, h.sender)
	}
	lane.held = nil
}

func (l *lanes) onTick(ctx actor.Context) {
	now := time.Now()
	for _, lane := range l.lanes {
		lane.offerDrain(ctx, now, laneIdleAfter)
	}
	l.timer = l.system.after(laneIdleAfter, ctx.Self(), &tick{})
}

func (l *lanes) onHalt(ctx actor.Context) {
	l.halt = gathering{asker: ctx.Sender(), answer: &halted{}}
	for _, lane := range l.lanes {
		if lane.present() {
			l.halt.ask(ctx, lane.pid, &halt{})
		}
	}
	l.halt.finish(ctx)
}

// HandleFailure lets a failed lane start anew in place. It answers what it
// held by itself; a result that it failed on is passed on here, so that no
// subscription waits for ever.
func (l *lanes) HandleFailure(system *actor.ActorSystem, ctx actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, message any) {
	lane := l.lanes[guestName(child)]
	l.system.figures.shut.Delete(guestName(child)) // it starts anew with an open gate
	row := lane.failures.add(time.Now(), reason)
	pause := backoff(restartBase, restartCap, row)
	l.system.observe(failureOf(l.system, child, reason, lane.failures.total, pause))
	if s, ok := actor.UnwrapEnvelopeMessage(message).(*sent); ok {
		system.Root.Send(s.from, s.answer)
	}
	time.AfterFunc(pause, func() { ctx.RestartChildren(child) })
}

// laneFailed answers what a failed lane had not begun.
var laneFailed = &carried{
	verdict: verdictSent,
	result:  push.Result{Outcome: push.Retry, Reason: "the lane failed and starts anew"},
}

func (l *lanes) onInspect(ctx actor.Context, ask *inspect) {
	ctx.Respond(describeMany(ask, Node{Kind: "lanes", State: "running"}, len(l.lanes), maps.All(l.lanes), refToLane))
}

// onSurvey asks no lane: there may be as many as strangers know host names.
func (l *lanes) onSurvey(ctx actor.Context, ask *survey) {
	type ranked struct {
		*laneGuest
		shut int // or 0
	}
	all := func(yield func(string, ranked) bool) {
		for name, lane := range l.lanes {
			one := ranked{laneGuest: lane}
			if _, shut := l.system.figures.shut.Load(name); shut {
				one.shut = 1
			}
			if !yield(name, one) {
				return
			}
		}
	}
	first, more := firstOf(all, ask.limit, func(a, b named[ranked]) int {
		return cmp.Or(cmp.Compare(b.child.shut, a.child.shut), cmp.Compare(b.child.sent, a.child.sent), strings.Compare(a.name, b.name))
	})
	answer := &inspected{more: more, total: len(l.lanes)}
	for _, lane := range first {
		answer.children = append(answer.children, refToLane(lane.name, lane.child.laneGuest))
	}
	ctx.Respond(answer)
}

func (l *lanes) onSearch(ctx actor.Context, ask *search) {
	matching := func(yield func(string, *laneGuest) bool) {
		for name, lane := range l.lanes {
			if strings.Contains(strings.ToLower(name), ask.part) && !yield(name, lane) {
				return
			}
		}
	}
	found, more := firstByName(matching, "", ask.limit, refToLane)
	ctx.Respond(&searched{found: found, more: more})
}

func refToLane(name string, lane *laneGuest) childRef {
	ref := lane.ref(name)
	ref.kind = "lane"
	return ref
}
