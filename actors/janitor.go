package actors

import (
	"context"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
)

const (
	maintainEvery = time.Minute     // how often the store is tidied
	maintainBatch = 1000            // notifications, or subscriptions, removed at a time
	sweepEvery    = 5 * time.Minute // how often pending work that nobody holds is looked for
	auditEvery    = time.Hour       // how often all subscriptions and all pending work are read through
)

// janitor does what is due by the clock: it has the store remove finished
// notifications after their retention, and subscriptions without a sign of
// life; it counts the backlog; and it has the shard ranges look for work that nobody
// holds.
type janitor struct {
	system   *System
	cleaning bool
	auditing bool
	timers   []*time.Timer
}

func newJanitor(s *System) *janitor { return &janitor{system: s} }

func (j *janitor) Receive(ctx actor.Context) {
	defer addStack()
	switch message := ctx.Message().(type) {
	case *actor.Started:
		j.timers = []*time.Timer{
			j.system.after(0, ctx.Self(), &maintain{}),
			j.system.after(sweepEvery, ctx.Self(), &sweep{}),
			j.system.after(auditEvery, ctx.Self(), &audit{}),
		}
	case *actor.Stopping, *actor.Restarting:
		for _, timer := range j.timers {
			timer.Stop()
		}
	case *maintain:
		j.clean(ctx)
		j.timers[0] = j.system.after(maintainEvery, ctx.Self(), message)
	case *maintained:
		j.onMaintained(ctx, message)
	case *sweep:
		for _, pid := range j.system.ranges {
			ctx.Send(pid, message)
		}
		j.timers[1] = j.system.after(sweepEvery, ctx.Self(), message)
	case *audit:
		j.audit(ctx)
		j.timers[2] = j.system.after(auditEvery, ctx.Self(), message)
	case *audited:
		j.onAudited(ctx, message)
	case *inspect:
		j.onInspect(ctx, message)
	}
}

// clean removes one batch. The next follows at once while there is more, as
// an own transaction, so that others get their turn at the store.
func (j *janitor) clean(ctx actor.Context) {
	if j.cleaning {
		return
	}
	j.cleaning = true
	config := j.system.config
	j.system.background(ctx.Self(), func(ctx context.Context) any {
		now := time.Now()
		removed, err := config.Store.Maintain(ctx, now, config.before(now), maintainBatch)
		return &maintained{removed: removed, err: err}
	})
}

func (j *janitor) onMaintained(ctx actor.Context, m *maintained) {
	j.cleaning = false
	if m.err != nil {
		j.system.observe(StoreFailed{What: "remove finished notifications", Err: m.err})
	} else if m.removed >= maintainBatch {
		j.clean(ctx)
	}
}

// audit does what reads whole tables.
func (j *janitor) audit(ctx actor.Context) {
	if j.auditing {
		return
	}
	j.auditing = true
	config := j.system.config
	j.system.background(ctx.Self(), func(ctx context.Context) any {
		a := &audited{}
		if a.pending, a.err = config.Store.CountPending(ctx); a.err == nil {
			a.unused, a.err = config.Store.DeleteUnused(ctx, time.Now().Add(-config.UnusedAfter), maintainBatch)
		}
		return a
	})
}

func (j *janitor) onAudited(ctx actor.Context, a *audited) {
	j.auditing = false
	for _, sub := range a.unused {
		j.system.observe(SubscriptionUnused{
			User: sub.User, Subscription: sub.Digest, Kind: sub.Kind, Host: sub.Host(), SeenAt: sub.SeenAt,
		})
		ctx.Send(j.system.rangeOf(sub.User), &changed{user: sub.User})
		j.system.tell(subscriptionEvent(sub, push.EventSubscriptionRemoved, "unused"))
	}
	switch {
	case a.err != nil:
		j.system.observe(StoreFailed{What: "count pending work and remove unused subscriptions", Err: a.err})
		for _, pid := range j.system.ranges { // it may have removed some
			ctx.Send(pid, &doubt{})
		}
		return
	case len(a.unused) == maintainBatch:
		j.audit(ctx)
	}
	j.system.backlog.Store(int64(a.pending))
}

func (j *janitor) onInspect(ctx actor.Context, ask *inspect) {
	node := Node{Kind: "janitor", State: "idle"}
	if j.cleaning || j.auditing {
		node.State = "cleaning"
	}
	ctx.Respond(describe(ask, node, nil))
}
