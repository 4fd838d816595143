package actors

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
)

const (
	pruneEvery   = time.Second // how often a lane looks at what waits
	judgedAfter  = 10          // such looks, with something waiting, before its pace is judged
	shutQueueMax = 4096        // what may wait at a lane that is shut for a short time
)

// lane is the way to one push host. It carries messages in the order in which
// they were asked for, a bounded number at a time, each in a goroutine of its
// own that answers the subscription and gives the permit back. How many that
// are is up to its gate.
//
// What would wait here for longer than Config.RestAfter, because the lane is shut or slow, is
// turned away: the subscription rests, and memory is free for others.
//
// Its probe is for a user who was not refused, if there is one, so that an
// endpoint that is refused for ever does not keep the lane shut.
type lane struct {
	system *System
	key    laneKey
	name   string // the key's
	life   uint64 // of this incarnation; a send of an earlier one holds no permit

	queue    []waitingSend
	inFlight int
	handled  *uint64 // counted messages, of all incarnations
	halted   bool
	halting  *actor.PID // gets halted once nothing is under way

	gate    gate
	last    push.Outcome
	looks   int  // in a row at which something was waiting, while open
	pruning bool // a prune message will come
}

type waitingSend struct {
	from    *actor.PID
	message *push.Message // the carry's own
}

func newLane(s *System, key laneKey, handled *uint64) *lane {
	return &lane{system: s, key: key, name: key.String(), life: s.lives.Add(1), handled: handled, halted: s.Draining(), gate: newGate(key.kind)}
}

func (l *lane) Receive(ctx actor.Context) {
	defer addStack()
	switch message := ctx.Message().(type) {
	case *actor.Started:
		l.system.live.lanes.Add(1)
	case *actor.Stopped:
		l.system.live.lanes.Add(-1)
	case *carry:
		l.onCarry(ctx, message)
	case *withdraw:
		l.onWithdraw(ctx)
	case *sent:
		l.onSent(ctx, message)
	case *probe:
		l.pump(ctx)
	case *reconsider:
		l.gate.reconsider(time.Now())
		l.pump(ctx)
	case *prune:
		if message.life == l.life {
			l.onPrune(ctx)
		}
	case *halt:
		l.onHalt(ctx)
	case *drain:
		l.onDrain(ctx, message)
	case *actor.Restarting:
		l.system.live.lanes.Add(-1)
		l.onRestarting(ctx)
	case *inspect:
		l.onInspect(ctx, message)
	}
}

func (l *lane) onCarry(ctx actor.Context, c *carry) {
	*l.handled++
	l.queue = append(l.queue, waitingSend{from: ctx.Sender(), message: &c.message})
	l.pump(ctx)
	l.trim(ctx)
}

func (l *lane) onWithdraw(ctx actor.Context) {
	*l.handled++
	for i, w := range l.queue {
		if w.from.Equal(ctx.Sender()) {
			l.queue = slices.Delete(l.queue, i, i+1)
			ctx.Respond(&carried{verdict: verdictWithdrawn})
			return
		}
	}
}

// pump begins sends while there are permits.
func (l *lane) pump(ctx actor.Context) {
	now := time.Now()
	for len(l.queue) > 0 && l.permits(now) > l.inFlight {
		l.begin(ctx, l.next(), now)
	}
	if len(l.queue) == 0 {
		l.looks = 0
	} else if !l.pruning {
		l.pruning = true
		l.system.after(pruneEvery, ctx.Self(), &prune{life: l.life})
	}
}

// next takes the first of the queue or, as a probe, the first that is for a
// user who was not refused; or any, where subscriptions ended, for the first may
// be of the same old list.
func (l *lane) next() waitingSend {
	i := 0
	switch {
	case l.gate.cause == causeEnded:
		i = rand.N(len(l.queue))
	case l.gate.isShut():
		i = max(0, slices.IndexFunc(l.queue, func(w waitingSend) bool { return !l.gate.refused[w.message.Notification.User] }))
	}
	next := l.queue[i]
	copy(l.queue[1:i+1], l.queue[:i]) // what stands before it stays in order
	l.queue[0] = waitingSend{}
	l.queue = l.queue[1:]
	return next
}

func (l *lane) permits(now time.Time) int {
	if l.halted {
		return 0
	}
	return l.gate.permits(now, l.system.config.LaneInFlight)
}

// trim turns away what would wait too long, the latest first.
func (l *lane) trim(ctx actor.Context) {
	now, longest := time.Now(), l.system.config.RestAfter
	room, until := l.room(now)
	why := l.gate.result
	if !l.gate.isShut() {
		why = push.Result{Outcome: push.Retry, Reason: "the push host is slow, and much is waiting for it"}
	}
	for len(l.queue) > room {
		last := len(l.queue) - 1
		ctx.Send(l.queue[last].from, &carried{
			verdict: verdictShut,
			until:   until.Add(rand.N(max(longest, until.Sub(now)))), // not all at once
			result:  why,
		})
		l.queue[last] = waitingSend{}
		l.queue = l.queue[:last]
	}
}

// room is how many may wait here, and when the others should ask again.
func (l *lane) room(now time.Time) (int, time.Time) {
	few, longest := l.system.config.LaneInFlight, l.system.config.RestAfter
	switch {
	case l.halted:
		return math.MaxInt, time.Time{}
	case l.gate.until.Sub(now) > longest:
		return few, l.gate.until
	case l.gate.isShut() && now.Sub(l.gate.since) > longest: // pause after pause, however short
		return few, now.Add(longest)
	case l.gate.isShut() && l.gate.until.After(now):
		return shutQueueMax, l.gate.until
	case l.gate.isShut(): // the probe is under way
		return shutQueueMax, now.Add(longest)
	case l.looks >= judgedAfter:
		pace := l.gate.tally.sum(now, judgedAfter).sends
		return max(few, pace*int(longest/pruneEvery)/judgedAfter), now.Add(longest)
	default:
		return math.MaxInt, time.Time{}
	}
}

func (l *lane) begin(ctx actor.Context, w waitingSend, now time.Time) {
	if expired(w, now) {
		ctx.Send(w.from, &carried{verdict: verdictExpired})
		return
	}
	message := *w.message
	message.TTL = message.Notification.ExpiresAt.Sub(now)
	l.inFlight++
	self, probing := ctx.Self(), l.gate.isShut()
	l.system.beside(func() {
		answer := l.perform(message)
		l.system.send(self, &sent{from: w.from, user: message.Notification.User, answer: answer, probe: probing, life: l.life})
	})
}

func expired(w waitingSend, now time.Time) bool { return !now.Before(w.message.Notification.ExpiresAt) }

// perform makes one attempt. It runs in the send's own goroutine and touches
// nothing of the lane that changes. A panic there would end the process; it is
// handed to the subscription's actor instead, whose supervisor knows what to do.
func (l *lane) perform(message push.Message) (answer *carried) {
	defer func() {
		if reason := recover(); reason != nil {
			answer = &carried{verdict: verdictPanicked, panic: withStack(reason)}
		}
	}()
	select {
	case l.system.permits <- struct{}{}:
		defer func() { <-l.system.permits }()
	case <-l.system.sending.Done():
		return &carried{verdict: verdictSent, result: push.Result{Outcome: push.Retry, Reason: "Belfry is stopping"}}
	}
	began := time.Now()
	result := l.system.config.Providers[l.key.kind].Send(l.system.sending, message)
	l.system.observe(AttemptMade{
		Notification: message.Notification.ID,
		User:         message.Notification.User,
		Subscription: message.Subscription.Digest,
		Lane:         l.name,
		Result:       result,
		Began:        began,
		Took:         time.Since(began),
		AcceptedAt:   message.Notification.AcceptedAt,
		Trace:        message.Notification.Trace,
	})
	return &carried{verdict: verdictSent, result: result}
}

// onSent passes the answer on last, so that what the subscription asks for
// next finds the lane paused if it is to be.
func (l *lane) onSent(ctx actor.Context, s *sent) {
	if s.life == l.life {
		l.inFlight--
		l.note(ctx, s)
	}
	ctx.Send(s.from, s.answer)
	l.pump(ctx)
	if l.halting != nil && l.inFlight == 0 {
		ctx.Send(l.halting, &halted{})
		l.halting = nil
	}
}

// note lets the gate draw its conclusions from one result. A provider that
// panicked says nothing about the push host.
func (l *lane) note(ctx actor.Context, s *sent) {
	if s.answer.verdict != verdictSent {
		return
	}
	l.last = s.answer.result.Outcome
	now := time.Now()
	switch l.gate.note(s.user, s.answer.result, s.probe, now) {
	case shut:
		l.looks = 0
		l.system.after(l.gate.until.Sub(now), ctx.Self(), &probe{})
		l.system.observe(LanePaused{
			Lane: l.name, Cause: l.gate.cause.String(), Reason: l.gate.reason(), Until: l.gate.until,
		})
		paused := l.key.event(push.EventLanePaused)
		paused.Cause, paused.Reason, paused.Next = l.gate.cause.String(), l.gate.reason(), l.gate.until
		l.system.tell(paused)
		l.trim(ctx)
	case opened:
		l.system.observe(LaneResumed{Lane: l.name})
		l.system.tell(l.key.event(push.EventLaneResumed))
	}
}

func (l *lane) onPrune(ctx actor.Context) {
	l.pruning = false
	now := time.Now()
	kept := l.queue[:0]
	for _, w := range l.queue {
		if expired(w, now) {
			ctx.Send(w.from, &carried{verdict: verdictExpired})
		} else {
			kept = append(kept, w)
		}
	}
	clear(l.queue[len(kept):])
	l.queue = kept
	if !l.gate.isShut() {
		l.looks++
	}
	l.pump(ctx)
	l.trim(ctx)
}

func (l *lane) onHalt(ctx actor.Context) {
	l.halted = true
	if l.inFlight == 0 {
		ctx.Respond(&halted{})
		return
	}
	l.halting = ctx.Sender()
}

func (l *lane) onDrain(ctx actor.Context, d *drain) {
	if d.sent == *l.handled && len(l.queue) == 0 && l.inFlight == 0 && !time.Now().Before(l.gate.until) {
		ctx.Respond(&drained{from: ctx.Self(), sent: d.sent})
	}
}

// onRestarting answers what had not begun. What is under way answers itself.
func (l *lane) onRestarting(ctx actor.Context) {
	for _, w := range l.queue {
		ctx.Send(w.from, laneFailed)
	}
}

func (l *lane) onInspect(ctx actor.Context, ask *inspect) {
	now := time.Now()
	node := Node{Kind: "lane", State: l.gate.state(now), Queue: len(l.queue), InFlight: l.inFlight, LastOutcome: outcomeWord(l.last)}
	switch {
	case l.halted:
		node.State = "halted"
	case now.Before(l.gate.until):
		node.NextAttempt = l.gate.until
	}
	if l.gate.isShut() {
		node.Cause, node.Reason = l.gate.cause.String(), l.gate.reason()
	}
	ctx.Respond(describe(ask, node, nil))
}
