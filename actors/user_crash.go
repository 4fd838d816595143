package actors

import (
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
)

// What a user does when a subscription panics.

const (
	reviveBase    = 100 * time.Millisecond // the first pause before a crashed subscription starts anew; doubles
	reviveLimit   = 30 * time.Second       // the longest such pause
	reviveMax     = 5                      // crashes on one notification before it is rejected there
	crashedReason = "Belfry failed to deliver this notification several times: see its log"
)

// HandleFailure stops a subscription that panicked. After a pause, its next
// generation gets what it had not concluded.
func (u *user) HandleFailure(_ *actor.ActorSystem, ctx actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, _ any) {
	b := u.branchOf(child)
	if b == nil {
		ctx.StopChildren(child)
		return
	}
	now := time.Now()
	row := b.failures.add(now, reason)
	pause := backoff(reviveBase, reviveLimit, row)
	u.system.observe(failureOf(u.system, child, reason, b.failures.total, pause))
	b.pid = nil
	// Sent by a timer, so that it comes after every message that the crashed
	// one had sent before.
	u.system.after(pause, u.self, &revive{digest: b.subscription.Digest, generation: b.generation})
	ctx.StopChildren(child)
}

func (u *user) branchOf(pid *actor.PID) *branch {
	for _, b := range u.branches {
		if b.pid != nil && b.pid.Id == pid.Id {
			return b
		}
	}
	return nil
}

func (u *user) onRevive(ctx actor.Context, r *revive) {
	b := u.branches[r.digest]
	if b == nil || b.generation != r.generation || b.pid != nil {
		return
	}
	if b.removed {
		u.concludeAll(ctx, b, push.StateUnsubscribed)
		delete(u.branches, r.digest)
	}
	for _, work := range slices.Clone(b.work) {
		if work.cancelled {
			b.drop(work)
			u.conclude(ctx, b, work, push.StateCancelled, "")
			u.letGo(ctx, work)
		}
	}
	defer u.fetchMore(ctx)
	if len(b.work) == 0 {
		u.tidy(ctx, b)
		return
	}
	first := b.work[0]
	if b.suspect != first.notification.ID {
		b.suspect, b.crashes = first.notification.ID, 0
	}
	b.crashes++
	if b.crashes >= reviveMax {
		b.drop(first)
		u.conclude(ctx, b, first, push.StateRejected, crashedReason)
		u.letGo(ctx, first)
	}
	if len(b.work) > 0 {
		u.start(ctx, b)
	}
	u.tidy(ctx, b)
}
