package actors

import (
	"context"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// How a webhook's parcel is sent, and what comes of it.

func (w *webhook) onCallAgain(ctx actor.Context, c *callAgain) {
	if w.parcel == c.parcel {
		w.retry, w.next = nil, time.Time{}
		w.call(ctx)
	}
}

// call begins to send the parcel.
func (w *webhook) call(ctx actor.Context) {
	if w.halted {
		return
	}
	if w.parcel.events = w.withoutOld(w.parcel.events); len(w.parcel.events) == 0 {
		w.finish(ctx)
		return
	}
	w.attempts++
	var calling context.Context
	calling, w.cancel = context.WithCancel(w.system.sending)
	self, webhook, parcel := ctx.Self(), w.webhook, *w.parcel
	w.system.beside(func() { w.system.send(self, w.perform(calling, webhook, parcel)) })
}

// perform makes one call. It runs in a goroutine of its own and touches nothing
// of the actor that changes. A panic there is handed to the actor, whose parent
// knows what to do.
func (w *webhook) perform(ctx context.Context, webhook store.Webhook, parcel parcel) (answer *called) {
	defer func() {
		if reason := recover(); reason != nil {
			answer = &called{panic: withStack(reason)}
		}
	}()
	select {
	case w.slots <- struct{}{}:
		defer func() { <-w.slots }()
	case <-ctx.Done():
		return &called{result: CallResult{Reason: "Belfry is stopping"}}
	}
	return &called{result: w.system.config.Webhooks.Call(ctx, webhook, parcel.id, parcel.events)}
}

func (w *webhook) onCalled(ctx actor.Context, c *called) {
	w.cancel()
	w.cancel = nil
	if w.halting != nil {
		defer ctx.Send(w.halting, &halted{}) // behind what is recorded here
		w.halting = nil
	}
	switch {
	case c.panic != nil:
		panic(c.panic)
	case c.result.Taken:
		w.finish(ctx)
	case w.amended != nil, w.system.Draining(): // it may have been cut off for that
	case c.result.Ended:
		w.end(ctx, c.result)
	default:
		w.fail(ctx, c.result)
	}
	if w.amended != nil {
		w.adopt(*w.amended)
	}
	w.pump(ctx)
}

// finish is done with the parcel: it was taken, or given up.
func (w *webhook) finish(ctx actor.Context) {
	w.webhook.After, w.webhook.UpTo = w.parcel.upTo, push.ID{}
	w.parcel, w.attempts, w.result = nil, 0, CallResult{}
	w.more = true
	ctx.Send(w.system.journal, w.note())
	w.pump(ctx)
}

func (w *webhook) end(ctx actor.Context, result CallResult) {
	w.webhook.Ended = result.Reason
	w.parcel, w.attempts = nil, 0
	ctx.Send(w.system.journal, w.note())
	w.system.observe(WebhookFailed{App: w.webhook.App, Name: w.webhook.Name, Result: result})
}

func (w *webhook) fail(ctx actor.Context, result CallResult) {
	w.result = result
	wait := backoff(callBase, callCap, w.attempts)
	if result.RetryAfter > 0 {
		wait = min(max(result.RetryAfter, retryAfterMin), retryAfterMax)
	}
	w.next = time.Now().Add(wait)
	w.retry = w.system.after(wait, ctx.Self(), &callAgain{parcel: w.parcel})
	w.system.observe(WebhookFailed{App: w.webhook.App, Name: w.webhook.Name, Result: result, Attempts: w.attempts, Next: w.next})
}
