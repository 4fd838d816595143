package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
)

// subscription delivers to one endpoint: one notification after the other, in
// the order in which it was given them, one in flight. It retries until the
// notification expires; when the next attempt is far off it hands all back to
// its user. It exists only while it has work; its user stops it.
type subscription struct {
	system       *System
	subscription push.Subscription
	generation   int
	lane         laneKey

	queue []*job // the first is in hand
	phase phase
	sent  time.Time // RegisteredAt of what the lane was given
	gone  bool      // the push service said so: all that is left ends as gone
	row   int       // failed attempts in a row
	since time.Time // of the first of these; zero if that was before a rest
	last  push.Outcome
	next  time.Time // when waiting
	timer *time.Timer
}

// job is a notification to deliver.
type job struct {
	notification push.Notification
	attempts     int
	last         push.Result // of the last attempt
	end          push.State  // how it ends if it is not sent any more; zero if it is to be sent
}

// phase is what a subscription is doing with the first notification of its queue.
type phase uint8

const (
	idle    phase = iota // nothing: the queue is empty
	atLane               // waiting for the lane, or being sent
	waiting              // for the next attempt
	atRest               // all was handed back: what still comes was put off by the user
)

func (p phase) String() string {
	switch p {
	case atLane:
		return "sending"
	case waiting:
		return "waiting to retry"
	case atRest:
		return "resting"
	default:
		return "idle"
	}
}

func newSubscription(s *System, sub push.Subscription, generation int) *subscription {
	return &subscription{system: s, subscription: sub, generation: generation, lane: laneOf(sub), row: sub.Rest.Attempts}
}

func (s *subscription) Receive(ctx actor.Context) {
	defer addStack()
	switch message := ctx.Message().(type) {
	case *actor.Started:
		s.system.live.subscriptions.Add(1)
	case *actor.Stopped:
		s.system.live.subscriptions.Add(-1)
	case *send:
		s.onSend(ctx, message)
	case *renew:
		s.onRenew(ctx, message.subscription)
	case *carried:
		s.onCarried(ctx, message)
	case *due:
		s.onDue(ctx)
	case *abandon:
		s.end(ctx, push.StateUnsubscribed, func(*job) bool { return true })
	case *drop:
		s.end(ctx, push.StateCancelled, func(j *job) bool { return j.notification.ID == message.id })
		ctx.Send(ctx.Parent(), &dropped{asked: message.asked})
	case *settle:
		ctx.Respond(&settledDown{})
	case *actor.Stopping:
		s.onStopping(ctx)
	case *inspect:
		s.onInspect(ctx, message)
	}
}

// onSend takes a notification into the queue. An older one with the same
// collapse key need not be sent any more.
func (s *subscription) onSend(ctx actor.Context, m *send) {
	if s.phase == atRest {
		return
	}
	if key := m.notification.CollapseKey; key != "" {
		s.end(ctx, push.StateSuperseded, func(j *job) bool { return j.notification.CollapseKey == key })
	}
	s.queue = append(s.queue, &job{notification: m.notification, attempts: m.before.attempts, last: m.before.result})
	s.proceed(ctx)
}

// onRenew takes the new keys for whatever has not begun to be sent.
func (s *subscription) onRenew(ctx actor.Context, sub push.Subscription) {
	s.subscription = sub
	s.gone = false
	if s.phase == atLane {
		ctx.Request(s.system.lanes, &withdraw{key: s.lane})
	}
	s.lane = laneOf(sub)
}

// onStopping takes back what waits for its lane: the next generation, or
// nobody, sends it. What is under way cannot be taken back.
func (s *subscription) onStopping(ctx actor.Context) {
	s.stopTimer()
	if s.phase == atLane {
		ctx.Request(s.system.lanes, &withdraw{key: s.lane})
	}
}

// end takes back what the match is for. What is at the lane is taken back if
// it has not begun; if it has, its result still counts. A wait goes on for
// what comes next, since it is the endpoint that failed.
func (s *subscription) end(ctx actor.Context, state push.State, match func(*job) bool) {
	kept := make([]*job, 0, len(s.queue))
	for i, j := range s.queue {
		switch {
		case !match(j):
			kept = append(kept, j)
		case i == 0 && s.phase == atLane:
			j.end = state
			kept = append(kept, j)
			ctx.Request(s.system.lanes, &withdraw{key: s.lane})
		default:
			s.report(ctx, j, state, j.last.Reason)
		}
	}
	s.queue = kept
}

// proceed takes the next notification in hand if there is none.
func (s *subscription) proceed(ctx actor.Context) {
	for s.phase == idle && len(s.queue) > 0 {
		switch first := s.queue[0]; {
		case s.gone:
			s.conclude(ctx, push.StateGone, "the push service had ended the subscription before")
		case first.end != 0:
			s.conclude(ctx, first.end, first.last.Reason)
		default:
			s.hand(ctx)
		}
	}
}

// hand gives the notification in hand to the lane.
func (s *subscription) hand(ctx actor.Context) {
	s.phase, s.sent = atLane, s.subscription.RegisteredAt
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
		s.conclude(ctx, push.StateExpired, expiredReason(s.queue[0].attempt()))
	case verdictWithdrawn:
		s.phase = idle // ended, or to be handed in again with new keys
	case verdictShut:
		s.rest(ctx, c.until, c.result, false)
	case verdictSent:
		s.onResult(ctx, c.result)
	}
	s.proceed(ctx)
}

func (j *job) attempt() attempt { return attempt{attempts: j.attempts, result: j.last} }

// expiredReason explains why a notification expired, by its last attempt.
func expiredReason(last attempt) string {
	if last.attempts == 0 {
		return "its time to live ended before it could be sent"
	}
	return last.result.Reason
}

func (s *subscription) onResult(ctx actor.Context, result push.Result) {
	inHand := s.queue[0]
	inHand.attempts++
	inHand.last = result
	s.last = result.Outcome
	switch result.Outcome {
	case push.Delivered:
		s.row = 0
		s.conclude(ctx, push.StateDelivered, result.Reason)
	case push.Rejected:
		s.row = 0
		s.conclude(ctx, push.StateRejected, result.Reason)
	case push.Gone:
		if s.subscription.RegisteredAt.After(s.sent) {
			s.phase = idle // it was registered anew meanwhile: that is another question
			if inHand.end == 0 {
				s.tellProgress(ctx, inHand, time.Now())
			}
			return
		}
		s.gone = true
		s.conclude(ctx, push.StateGone, result.Reason)
	case push.Retry, push.Refused: // if the lane paused, it holds the next attempt back
		if s.row == 0 {
			s.since = time.Now()
		}
		s.row++
		s.retry(ctx, inHand, retryWait(s.row, result))
	default:
		panic("a provider's result has " + result.Outcome.String())
	}
}

// retry waits and tries again, or until the notification expires if that is
// sooner. When it has been failing for long, however short the waits, it rests.
func (s *subscription) retry(ctx actor.Context, inHand *job, wait time.Duration) {
	if inHand.end != 0 {
		s.conclude(ctx, inHand.end, inHand.last.Reason)
		return
	}
	now := time.Now()
	wait = max(0, min(wait, inHand.notification.ExpiresAt.Sub(now)))
	if wait > 0 && now.Add(wait).Sub(s.since) > s.system.config.RestAfter {
		s.rest(ctx, now.Add(wait), inHand.last, true)
		return
	}
	s.next = now.Add(wait)
	s.tellProgress(ctx, inHand, s.next)
	if wait == 0 {
		s.hand(ctx)
		return
	}
	s.phase = waiting
	s.timer = s.system.after(wait, ctx.Self(), &due{})
}

// tellProgress tells the user that an attempt failed and when the next follows.
func (s *subscription) tellProgress(ctx actor.Context, inHand *job, next time.Time) {
	ctx.Send(ctx.Parent(), &progressed{
		digest: s.subscription.Digest,
		id:     inHand.notification.ID,
		at:     attempt{attempts: inHand.attempts, result: inHand.last, next: next},
	})
}

// onDue goes on with whatever is first by now.
func (s *subscription) onDue(ctx actor.Context) {
	if s.phase == waiting {
		s.phase = idle
		s.proceed(ctx)
	}
}

// rest hands everything back to the user until a time, or until the
// notification in hand expires if that is sooner. Tried tells whether that is
// because an attempt failed.
func (s *subscription) rest(ctx actor.Context, until time.Time, why push.Result, tried bool) {
	inHand := s.queue[0]
	if inHand.end != 0 {
		s.conclude(ctx, inHand.end, inHand.last.Reason)
		if len(s.queue) == 0 {
			return
		}
		inHand = s.queue[0]
	}
	if inHand.notification.ExpiresAt.Before(until) {
		until = inHand.notification.ExpiresAt
	}
	s.phase, s.queue = atRest, nil
	ctx.Send(ctx.Parent(), &rested{
		generation: s.generation,
		digest:     s.subscription.Digest,
		id:         inHand.notification.ID,
		at:         attempt{attempts: inHand.attempts, result: why, next: until},
		tried:      tried,
	})
}

// conclude tells the user that the notification in hand is final here.
func (s *subscription) conclude(ctx actor.Context, state push.State, reason string) {
	done := s.queue[0]
	s.queue[0] = nil
	s.queue = s.queue[1:]
	s.phase = idle
	s.report(ctx, done, state, reason)
}

// report tells the user that a notification is final here.
func (s *subscription) report(ctx actor.Context, done *job, state push.State, reason string) {
	ctx.Send(ctx.Parent(), &concluded{generation: s.generation, registered: s.sent, keyMismatch: done.last.KeyMismatch, delivery: push.Delivery{
		Notification: done.notification.ID,
		Subscription: s.subscription.Digest,
		Kind:         s.subscription.Kind,
		Host:         s.lane.host,
		State:        state,
		Attempts:     done.attempts,
		Status:       done.last.Status,
		Reason:       reason,
		MessageID:    done.last.MessageID,
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
