package actors

import (
	"slices"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
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
	d := u.takeWaiting(c.notification.ID)
	switch {
	case d == nil && c.turn == 0:
		ctx.Send(c.asker, &missing{turn: c.missed})
		return
	case d == nil:
		d = &deliver{notification: c.notification, done: c.done}
	}
	d.askers = append(slices.Clone(d.askers), c.asker)
	if u.current {
		u.fanOut(ctx, d)
	} else {
		u.waiting = append(u.waiting, d)
	}
}

// takeWaiting takes out a notification that waits for the cache: by itself, or
// in a page of what was parked. Nil if it does not.
func (u *user) takeWaiting(id push.ID) *deliver {
	if i := slices.IndexFunc(u.waiting, func(d *deliver) bool { return d.notification.ID == id }); i >= 0 {
		found := *u.waiting[i]
		u.waiting = slices.Delete(slices.Clone(u.waiting), i, i+1)
		return &found
	}
	held := u.returns.held
	if held == nil {
		return nil
	}
	i := slices.IndexFunc(held.pending, func(p store.Pending) bool { return p.Notification.ID == id })
	if i < 0 {
		return nil
	}
	found := held.pending[i]
	rest := *held
	rest.pending = slices.Delete(slices.Clone(held.pending), i, i+1)
	u.returns.held = &rest
	return &deliver{notification: found.Notification, done: found.Done}
}
