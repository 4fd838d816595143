package actors

import (
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
)

const (
	pauseBase    = time.Minute      // the first pause after our credentials were refused; doubles
	pauseLimit   = 15 * time.Minute // the longest such pause
	refusedUsers = 3                // users refused in a row, with none delivered to, that make a lane pause
	pruneEvery   = time.Second      // how often a lane looks for work that expired while it waited
)

// lane is the way to one push host. It carries messages in the order in which
// they were asked for, a bounded number at a time, each in a goroutine of its
// own that answers the subscription and gives the permit back.
//
// When the push host refuses our credentials, the lane pauses: work waits,
// nothing is deleted. After the pause one message goes as a probe; the lane
// resumes if that is not refused too.
//
// An endpoint is a URL that a stranger gave us, and a strange path on a great
// push host may be answered by 401 for ever. So a lane pauses only when several
// users in a row were refused, with nothing delivered in between. Its probe is for a user who
// was not refused, if there is one, and its pauses grow only while such are
// refused too. Until it pauses, who is refused tries again with back-off.
type lane struct {
	system *System
	key    laneKey
	life   uint64 // of this incarnation; a send of an earlier one holds no permit

	queue    []waitingSend
	inFlight int
	handled  *uint64 // counted messages, of all incarnations
	halted   bool
	halting  *actor.PID // gets halted once nothing is under way

	paused  time.Time          // until then; zero when not paused
	pauses  int                // in a row
	reason  string             // of the pause
	refused map[push.User]bool // since it delivered last
	last    push.Outcome
	pruning bool // a prune message will come
}

type waitingSend struct {
	from    *actor.PID
	message push.Message
}

func newLane(s *System, key laneKey, handled *uint64) *lane {
	return &lane{system: s, key: key, life: s.lives.Add(1), handled: handled, halted: s.Draining(), refused: make(map[push.User]bool)}
}

func (l *lane) Receive(ctx actor.Context) {
	defer addStack()
	switch message := ctx.Message().(type) {
	case *carry:
		l.onCarry(ctx, message)
	case *withdraw:
		l.onWithdraw(ctx)
	case *sent:
		l.onSent(ctx, message)
	case *probe:
		l.pump(ctx)
	case *prune:
		l.onPrune(ctx)
	case *halt:
		l.onHalt(ctx)
	case *drain:
		l.onDrain(ctx, message)
	case *actor.Restarting:
		l.onRestarting(ctx)
	case *inspect:
		l.onInspect(ctx, message)
	}
}

func (l *lane) onCarry(ctx actor.Context, c *carry) {
	*l.handled++
	l.queue = append(l.queue, waitingSend{from: ctx.Sender(), message: c.message})
	l.pump(ctx)
}

func (l *lane) onWithdraw(ctx actor.Context) {
	*l.handled++
	for i, w := range l.queue {
		if w.from.Equal(ctx.Sender()) {
			l.queue = append(l.queue[:i:i], l.queue[i+1:]...)
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
	if len(l.queue) > 0 && !l.pruning {
		l.pruning = true
		l.system.after(pruneEvery, ctx.Self(), &prune{})
	}
}

// next takes the first of the queue or, as a probe, the first that is for a
// user who was not refused.
func (l *lane) next() waitingSend {
	i := 0
	if !l.paused.IsZero() {
		i = max(0, slices.IndexFunc(l.queue, func(w waitingSend) bool { return !l.refused[w.message.Notification.User] }))
	}
	next := l.queue[i]
	copy(l.queue[1:i+1], l.queue[:i]) // what stands before it stays in order
	l.queue[0] = waitingSend{}
	l.queue = l.queue[1:]
	return next
}

// permits is how many sends may be under way now.
func (l *lane) permits(now time.Time) int {
	switch {
	case l.halted || now.Before(l.paused):
		return 0
	case !l.paused.IsZero():
		return 1 // the probe
	default:
		return l.system.config.LaneInFlight
	}
}

func (l *lane) begin(ctx actor.Context, w waitingSend, now time.Time) {
	if expired(w, now) {
		ctx.Send(w.from, &carried{verdict: verdictExpired})
		return
	}
	w.message.TTL = w.message.Notification.ExpiresAt.Sub(now)
	l.inFlight++
	self, probing := ctx.Self(), !l.paused.IsZero()
	l.system.work.Go(func() {
		answer := l.perform(w.message)
		l.system.send(self, &sent{from: w.from, user: w.message.Notification.User, answer: answer, probe: probing, life: l.life})
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
	began := time.Now()
	result := l.system.config.Providers[l.key.kind].Send(l.system.sending, message)
	l.system.config.Observe(AttemptMade{
		Notification: message.Notification.ID,
		User:         message.Notification.User,
		Subscription: message.Subscription.Digest,
		Lane:         l.key.String(),
		Result:       result,
		Took:         time.Since(began),
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

// note draws the lane's conclusions from one result.
func (l *lane) note(ctx actor.Context, s *sent) {
	result := s.answer.result
	l.last = result.Outcome
	switch result.Outcome {
	case push.Delivered:
		clear(l.refused)
	case push.Refused:
		known := l.refused[s.user]
		l.refused[s.user] = true
		if s.probe || l.paused.IsZero() && len(l.refused) >= refusedUsers {
			l.pause(ctx, result, !known)
		}
		return
	}
	if s.probe {
		l.paused, l.pauses, l.reason = time.Time{}, 0, ""
		l.system.config.Observe(LaneResumed{Lane: l.key.String()})
	}
}

func (l *lane) pause(ctx actor.Context, result push.Result, grow bool) {
	if grow || l.pauses == 0 {
		l.pauses++
	}
	length := min(pauseBase<<min(l.pauses-1, 10), pauseLimit)
	l.paused = time.Now().Add(length)
	l.reason = fmt.Sprintf("%d %s", result.Status, result.Reason)
	l.system.after(length, ctx.Self(), &probe{})
	l.system.config.Observe(LanePaused{Lane: l.key.String(), Reason: l.reason, Until: l.paused})
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
	l.pump(ctx)
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
	if d.sent == *l.handled && len(l.queue) == 0 && l.inFlight == 0 && !time.Now().Before(l.paused) {
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
	node := Node{Kind: "lane", State: "running", Queue: len(l.queue), InFlight: l.inFlight, LastOutcome: outcomeWord(l.last)}
	switch {
	case l.halted:
		node.State = "halted"
	case time.Now().Before(l.paused):
		node.State, node.NextAttempt = "paused: "+l.reason, l.paused
	case !l.paused.IsZero():
		node.State = "probing after a pause: " + l.reason
	}
	ctx.Respond(describe(ask, node, nil))
}
