package actors

import (
	"slices"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
)

// How a user takes a notification back.

// answer tells who cancelled the notification that it was seen to.
func (d *deliver) answer(ctx actor.Context) {
	for _, asker := range d.askers {
		ctx.Send(asker, &cancelled{})
	}
}

// onCancel takes a notification back wherever it has not begun to be sent. It
// answers once the subscriptions have seen to it.
func (u *user) onCancel(ctx actor.Context, c *cancel) {
	u.handled++
	work := u.open[c.notification.ID]
	if work == nil {
		u.cancelUnopened(ctx, c)
		return
	}
	work.cancelled = true
	asked := &gathering{asker: c.asker, answer: &cancelled{}}
	for _, b := range u.branches {
		switch {
		case !slices.Contains(b.work, work):
		case b.pid != nil:
			asked.missing++
			ctx.Send(b.pid, &drop{id: c.notification.ID, asked: asked})
		default: // between two generations
			b.drop(work)
			u.conclude(ctx, b, work, push.StateCancelled, "")
		}
	}
	for len(work.off) > 0 {
		b := work.off[0]
		work.takeOff(b)
		u.conclude(ctx, b, work, push.StateCancelled, "")
	}
	asked.finish(ctx)
	u.fetchMore(ctx)
}

// cancelUnopened cancels what waits for the cache, or in the store.
func (u *user) cancelUnopened(ctx actor.Context, c *cancel) {
	d := &deliver{notification: c.notification, done: c.done}
	if i := slices.IndexFunc(u.waiting, func(w *deliver) bool { return w.notification.ID == c.notification.ID }); i >= 0 {
		d.done, d.askers = u.waiting[i].done, u.waiting[i].askers
		u.waiting[i] = d
	} else if !u.current {
		u.waiting = append(u.waiting, d)
	}
	d.askers = append(slices.Clone(d.askers), c.asker)
	if u.current {
		u.fanOut(ctx, d)
	}
}
