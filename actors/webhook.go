package actors

import (
	"context"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

const (
	callBase  = 5 * time.Second        // the first wait before another call is at most this; doubles
	callCap   = time.Hour              // the longest wait of our own choice
	lookPause = 200 * time.Millisecond // between looks at a feed that has nothing of the webhook's types
	skipNoted = time.Minute            // how often it is noted what was passed over
)

// How a webhook is.
const (
	stateIdle     = "idle"
	stateSending  = "sending"
	stateRetrying = "retrying"
	stateEnded    = "ended"
)

// webhook sends an app's events to a URL in their order: a parcel at a time, and
// nothing later before it was taken.
//
//	idle      it has no parcel. It looks into the feed when there are new events, and
//	          costs nothing until then
//	sending   it has a parcel, which is being noted in the store, and then sent
//	retrying  the parcel was not taken, and is sent again at a time
//	ended     the receiver wants nothing more
//
// Where a parcel ends is noted before it is sent for the first time. So after a
// crash the same parcel is made anew, with the same ID, and a receiver that has it
// already can tell. Events older than they are kept are given up.
type webhook struct {
	system  *System
	slots   chan struct{}  // held by every call under way
	reads   chan struct{}  // held by every read of the feed under way
	webhook store.Webhook  // with how far it is
	amended *store.Webhook // what takes its place when the call under way has ended; nil for nothing
	life    int            // counts those: what was read for an earlier one is of no use
	ending  bool
	halted  bool
	halting *actor.PID // gets halted once no call is under way

	more     bool // there may be events that were not looked for
	looking  bool // a read is under way
	failures int  // of reads, in a row
	lookAt   time.Time
	look     *time.Timer // until then; nil for none

	parcel   *parcel            // nil if there is nothing to send
	asked    int                // notes that the journal was asked to make, and
	answered int                // that it said are durable
	notedAt  time.Time          // when it was last noted how far it is
	cancel   context.CancelFunc // of the call under way; nil if none is
	attempts int                // calls for this parcel
	result   CallResult         // of the last of them that was not taken
	next     time.Time          // when it is sent again; zero if it is not waiting
	retry    *time.Timer        // until then
}

func newWebhook(s *System, slots, reads chan struct{}, w store.Webhook) *webhook {
	return &webhook{system: s, slots: slots, reads: reads, webhook: w, halted: s.Draining(), more: true}
}

func (w *webhook) Receive(ctx actor.Context) {
	defer addStack()
	if w.ending {
		return
	}
	switch message := ctx.Message().(type) {
	case *actor.Started:
		w.pump(ctx)
	case *actor.Stopping, *actor.Restarting:
		w.onEnding()
	case *newEvents:
		w.more = true
		w.pump(ctx)
	case *lookAgain:
		w.look = nil
		w.pump(ctx)
	case *gathered:
		w.onGathered(ctx, message.read)
	case *flushed:
		w.onNoted(ctx)
	case *callAgain:
		w.onCallAgain(ctx, message)
	case *called:
		w.onCalled(ctx, message)
	case *amend:
		w.onAmend(ctx, message.webhook)
	case *halt:
		w.onHalt(ctx)
	case *reveal:
		ctx.Respond(&revealed{state: w.state()})
	case *inspect:
		w.onInspect(ctx, message)
	}
}

// pump looks for events, if there may be some and there is nothing else to do.
func (w *webhook) pump(ctx actor.Context) {
	if !w.more || w.looking || w.look != nil || w.parcel != nil || w.halted || w.webhook.Ended != "" {
		return
	}
	if wait := time.Until(w.lookAt); wait > 0 {
		w.look = w.system.after(wait, ctx.Self(), &lookAgain{})
		return
	}
	w.more, w.looking = false, true
	w.read(ctx.Self(), &parcelRead{webhook: w.webhook, life: w.life})
}

// read reads outside the actor, when its turn has come.
func (w *webhook) read(self *actor.PID, read *parcelRead) {
	w.system.beside(func() {
		select {
		case w.reads <- struct{}{}:
			defer func() { <-w.reads }()
		case <-w.system.ctx.Done(): // the read fails
		}
		ctx, cancel := context.WithTimeout(w.system.ctx, storeTimeout)
		defer cancel()
		read.run(ctx, w.system)
		w.system.send(self, &gathered{read: read})
	})
}

func (w *webhook) onGathered(ctx actor.Context, read *parcelRead) {
	w.looking = false
	switch {
	case read.life != w.life:
		w.more = true
	case read.err != nil:
		w.failures++
		w.more, w.lookAt = true, time.Now().Add(backoff(resumeBase, resumeLimit, w.failures))
		w.system.observe(StoreFailed{What: "read events for a webhook", Err: read.err})
	default:
		w.failures = 0
		w.take(ctx, read)
	}
	w.pump(ctx)
}

// take makes a parcel of what was read, and has it noted.
func (w *webhook) take(ctx actor.Context, read *parcelRead) {
	events := w.withoutOld(read.events)
	if len(events) == 0 {
		w.skip(ctx, read)
		return
	}
	w.parcel = &parcel{id: parcelID(w.webhook, read.upTo), upTo: read.upTo, events: events, noted: read.noted}
	if read.noted {
		w.call(ctx)
		return
	}
	w.webhook.UpTo = read.upTo
	w.asked++
	ctx.Request(w.system.journal, w.note())
}

// skip passes over what there is nothing to send of.
func (w *webhook) skip(ctx actor.Context, read *parcelRead) {
	if read.upTo.Compare(w.webhook.After) > 0 {
		w.more = w.more || read.upTo.Compare(w.system.LatestEvent()) < 0
		w.webhook.After = read.upTo
	}
	w.webhook.UpTo = push.ID{}
	if len(w.webhook.Types) == 0 {
		return
	}
	now := time.Now()
	w.lookAt = now.Add(lookPause)
	if now.Sub(w.notedAt) > skipNoted {
		ctx.Send(w.system.journal, w.note())
	}
}

// note is what to record of how far it is.
func (w *webhook) note() *record {
	w.notedAt = time.Now()
	return &record{change: store.WebhookProgress{
		App: w.webhook.App, Name: w.webhook.Name, CreatedAt: w.webhook.CreatedAt,
		After: w.webhook.After, UpTo: w.webhook.UpTo, Ended: w.webhook.Ended,
	}}
}

func (w *webhook) onNoted(ctx actor.Context) {
	w.answered++
	if w.parcel != nil && !w.parcel.noted && w.answered == w.asked {
		w.parcel.noted = true
		w.call(ctx)
	}
}

// onAmend takes up that the webhook was replaced. What was being sent is sent as
// the new one says.
func (w *webhook) onAmend(ctx actor.Context, now store.Webhook) {
	switch {
	case now.CreatedAt.Equal(w.webhook.CreatedAt):
	case w.cancel != nil:
		w.amended = &now
		w.cancel()
	default:
		w.adopt(now)
		w.pump(ctx)
	}
}

// adopt goes on as another webhook, at the place where this one is.
func (w *webhook) adopt(now store.Webhook) {
	w.stopTimers()
	upTo := now.UpTo
	if w.answered == w.asked { // then what is known here is durable, and newer
		upTo = w.webhook.UpTo
	}
	if w.webhook.After.Compare(now.After) > 0 {
		now.After = w.webhook.After
	}
	now.UpTo = upTo
	w.webhook, w.amended = now, nil
	w.life++
	w.parcel, w.attempts, w.result = nil, 0, CallResult{}
	w.more, w.lookAt = true, time.Time{}
}

func (w *webhook) onHalt(ctx actor.Context) {
	w.halted = true
	w.stopTimers()
	if w.cancel == nil {
		ctx.Respond(&halted{})
		return
	}
	w.halting = ctx.Sender()
}

func (w *webhook) onEnding() {
	w.ending = true
	w.stopTimers()
	if w.cancel != nil {
		w.cancel()
	}
}

func (w *webhook) stopTimers() {
	for _, timer := range []*time.Timer{w.look, w.retry} {
		if timer != nil {
			timer.Stop()
		}
	}
	w.look, w.retry, w.next = nil, nil, time.Time{}
}

func (w *webhook) state() WebhookState {
	switch {
	case w.webhook.Ended != "":
		return WebhookState{State: stateEnded, Reason: w.webhook.Ended}
	case w.parcel == nil:
		return WebhookState{State: stateIdle}
	}
	state := WebhookState{
		State: stateSending, Reason: w.result.Reason, Attempts: w.attempts, NextAttempt: w.next, BehindSince: w.parcel.events[0].At,
	}
	if !w.next.IsZero() {
		state.State = stateRetrying
	}
	return state
}

func (w *webhook) onInspect(ctx actor.Context, ask *inspect) {
	state := w.state()
	node := Node{Kind: "webhook", State: state.State, Reason: state.Reason, NextAttempt: state.NextAttempt}
	if w.cancel != nil {
		node.InFlight = 1
	}
	ctx.Respond(describe(ask, node, nil))
}
