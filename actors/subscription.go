package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
)

// subscription delivers to one endpoint: one notification after the other, in
// the order in which it was given them, one in flight. It retries until the
// notification expires. It exists only while it has work; its user stops it.
type subscription struct {
	system       *System
	subscription push.Subscription
	generation   int
	lane         laneKey

	queue []*job // the first is in hand
	phase phase
	ended bool // the push service said so: all that is left ends as gone
	last  push.Outcome
	next  time.Time // when waiting
	timer *time.Timer
}

// job is a notification to deliver.
type job struct {
	notification push.Notification
	attempts     int
	last         push.Result // of the last attempt
	abandoned    bool        // not to be sent any more
}

// phase is what a subscription is doing with the first notification of its queue.
type phase uint8

const (
	idle    phase = iota // nothing: the queue is empty
	atLane               // waiting for the lane, or being sent
	waiting              // for the next attempt
)

func (p phase) String() string {
	switch p {
	case atLane:
		return "sending"
	case waiting:
		return "waiting to retry"
	default:
		return "idle"
	}
}

func newSubscription(s *System, sub push.Subscription, generation int) *subscription {
	return &subscription{system: s, subscription: sub, generation: generation, lane: laneOf(sub)}
}

func (s *subscription) Receive(ctx actor.Context) {
	defer addStack()
	switch message := ctx.Message().(type) {
	case *send:
		s.onSend(ctx, message)
	case *renew:
		s.onRenew(ctx, message.subscription)
	case *carried:
		s.onCarried(ctx, message)
	case *due:
		s.onDue(ctx)
	case *abandon:
		s.onAbandon(ctx)
	case *settle:
		ctx.Respond(&settledDown{})
	case *actor.Stopping:
		s.onStopping(ctx)
	case *inspect:
		s.onInspect(ctx, message)
	}
}

func (s *subscription) onSend(ctx actor.Context, m *send) {
	s.queue = append(s.queue, &job{notification: m.notification, attempts: m.before.attempts, last: m.before.result})
	s.proceed(ctx)
}

// onRenew takes the new keys for whatever has not begun to be sent.
func (s *subscription) onRenew(ctx actor.Context, sub push.Subscription) {
	s.subscription = sub
	if s.phase == atLane {
		ctx.Request(s.system.lanes, &withdraw{key: s.lane})
	}
}

// onStopping takes back what waits for its lane: the next generation, or
// nobody, sends it. What is under way cannot be taken back.
func (s *subscription) onStopping(ctx actor.Context) {
	s.stopTimer()
	if s.phase == atLane {
		ctx.Request(s.system.lanes, &withdraw{key: s.lane})
	}
}

// proceed takes the next notification in hand if there is none.
func (s *subscription) proceed(ctx actor.Context) {
	for s.phase == idle && len(s.queue) > 0 {
		switch {
		case s.ended:
			s.conclude(ctx, push.StateGone, "the push service had ended the subscription before")
		case s.queue[0].abandoned:
			s.conclude(ctx, push.StateUnsubscribed, "")
		default:
			s.hand(ctx)
		}
	}
}

// hand gives the notification in hand to the lane.
func (s *subscription) hand(ctx actor.Context) {
	s.phase = atLane
	ctx.Request(s.system.lanes, &carry{
		key:     s.lane,
		message: push.Message{Notification: s.queue[0].notification, Subscription: s.subscription},
	})
}

func (s *subscription) onCarried(ctx actor.Context, c *carried) {
	switch c.verdict {
	case verdictPanicked:
		panic(c.panic)
	case verdictExpired:
		s.expire(ctx)
	case verdictWithdrawn:
		s.phase = idle // abandoned, or to be handed in again with new keys
	case verdictSent:
		s.onResult(ctx, c.result)
	}
	s.proceed(ctx)
}

func (s *subscription) expire(ctx actor.Context) {
	reason := s.queue[0].last.Reason
	if s.queue[0].attempts == 0 {
		reason = "its time to live ended before it could be sent"
	}
	s.conclude(ctx, push.StateExpired, reason)
}

func (s *subscription) onResult(ctx actor.Context, result push.Result) {
	inHand := s.queue[0]
	inHand.attempts++
	inHand.last = result
	s.last = result.Outcome
	switch result.Outcome {
	case push.Delivered:
		s.conclude(ctx, push.StateDelivered, result.Reason)
	case push.Rejected:
		s.conclude(ctx, push.StateRejected, result.Reason)
	case push.Gone:
		s.ended = true
		s.conclude(ctx, push.StateGone, result.Reason)
	case push.Retry, push.Refused: // if the lane paused, it holds the next attempt back
		s.retry(ctx, inHand, retryWait(inHand.attempts, result))
	default:
		panic("a provider's result has " + result.Outcome.String())
	}
}

// retry waits and tries again, or until the notification expires if that is
// sooner.
func (s *subscription) retry(ctx actor.Context, inHand *job, wait time.Duration) {
	if inHand.abandoned {
		s.conclude(ctx, push.StateUnsubscribed, inHand.last.Reason)
		return
	}
	now := time.Now()
	wait = max(0, min(wait, inHand.notification.ExpiresAt.Sub(now)))
	s.next = now.Add(wait)
	ctx.Send(ctx.Parent(), &progressed{
		digest: s.subscription.Digest,
		id:     inHand.notification.ID,
		at:     attempt{attempts: inHand.attempts, result: inHand.last, next: s.next},
	})
	if wait == 0 {
		s.hand(ctx)
		return
	}
	s.phase = waiting
	s.timer = s.system.after(wait, ctx.Self(), &due{})
}

func (s *subscription) onDue(ctx actor.Context) {
	if s.phase == waiting {
		s.hand(ctx)
	}
}

// onAbandon ends all that it was given and did not send. What is at the lane
// is taken back if it has not begun; if it has, its result still counts.
func (s *subscription) onAbandon(ctx actor.Context) {
	for _, j := range s.queue {
		j.abandoned = true
	}
	switch s.phase {
	case atLane:
		ctx.Request(s.system.lanes, &withdraw{key: s.lane})
	case waiting:
		s.stopTimer()
		s.conclude(ctx, push.StateUnsubscribed, s.queue[0].last.Reason)
	}
	s.proceed(ctx)
}

// conclude tells the user that the notification in hand is final here.
func (s *subscription) conclude(ctx actor.Context, state push.State, reason string) {
	done := s.queue[0]
	s.queue[0] = nil
	s.queue = s.queue[1:]
	s.phase = idle
	ctx.Send(ctx.Parent(), &concluded{generation: s.generation, delivery: push.Delivery{
		Notification: done.notification.ID,
		Subscription: s.subscription.Digest,
		Kind:         s.subscription.Kind,
		Host:         s.lane.host,
		State:        state,
		Attempts:     done.attempts,
		Status:       done.last.Status,
		Reason:       reason,
		DoneAt:       time.Now(),
	}})
}

func (s *subscription) stopTimer() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

func (s *subscription) onInspect(ctx actor.Context, ask *inspect) {
	node := Node{
		Kind:        "subscription",
		State:       s.phase.String(),
		Queue:       len(s.queue),
		LastOutcome: outcomeWord(s.last),
	}
	switch s.phase {
	case atLane:
		node.Queue--
		node.InFlight = 1
	case waiting:
		node.NextAttempt = s.next
	}
	ctx.Respond(describe(ask, node, nil))
}
