package actors

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
)

const (
	reviveBase    = 100 * time.Millisecond // the first pause before a crashed subscription starts anew; doubles
	reviveLimit   = 30 * time.Second       // the longest such pause
	reviveMax     = 5                      // crashes on one notification before it is rejected there
	crashedReason = "Belfry failed to deliver this notification several times: see its log"
)

// user caches a user's subscriptions, hands each notification to all of them
// and tells the journal what became of it. It keeps what every subscription
// was given and has not concluded, in order: a subscription that crashes gets
// it again.
//
// While its cache is not current it keeps notifications waiting, so one that
// is accepted after a change goes to the subscriptions as they are then.
type user struct {
	system *System
	key    push.User
	self   *actor.PID

	current  bool // the cache is what the store says
	branches map[push.Digest]*branch
	waiting  []*deliver            // for the cache
	open     map[push.ID]*openWork // given to subscriptions and not finished
	handled  uint64                // counted messages
	last     int                   // generation of a subscription: names are never used twice
	ending   bool                  // stopping: who came now would never be told to leave

	settle gathering // of settledDown, from every subscription
}

// branch is a subscription as its user sees it.
type branch struct {
	subscription push.Subscription
	pid          *actor.PID // nil when it has no work, or between two generations
	generation   int
	removed      bool                // no longer this user's: nothing new goes there
	work         []push.Notification // given and not concluded, in order
	failures     failures
	suspect      push.ID // the notification it crashed on last
	crashes      int     // on that one
}

// openWork is a notification that is being delivered.
type openWork struct {
	left int                     // deliveries that are not final
	live map[push.Digest]attempt // where an attempt failed and another follows
}

func newUser(s *System, key push.User) *user {
	return &user{
		system:   s,
		key:      key,
		branches: make(map[push.Digest]*branch),
		open:     make(map[push.ID]*openWork),
	}
}

func (u *user) Receive(ctx actor.Context) {
	defer addStack()
	if u.ending {
		return
	}
	switch message := ctx.Message().(type) {
	case *actor.Started:
		u.self = ctx.Self()
	case *actor.Stopping:
		u.ending = true
	case *deliver:
		u.onDeliver(ctx, message)
	case *supply:
		u.onSupply(ctx, message.subscriptions)
	case *invalidate:
		u.handled++
		u.current = false
	case *concluded:
		u.onConcluded(ctx, message)
	case *progressed:
		u.onProgressed(message)
	case *revive:
		u.onRevive(ctx, message)
	case *track:
		u.onTrack(ctx, message)
	case *drain:
		u.onDrain(ctx, message)
	case *settle:
		u.onSettle(ctx)
	case *settledDown:
		u.settle.arrived(ctx)
	case *inspect:
		u.onInspect(ctx, message)
	}
}

func (u *user) onDeliver(ctx actor.Context, d *deliver) {
	u.handled++
	if !u.current {
		u.waiting = append(u.waiting, d)
		return
	}
	u.fanOut(ctx, d)
}

// onSupply takes over the subscriptions as the store has them.
func (u *user) onSupply(ctx actor.Context, subscriptions []push.Subscription) {
	u.handled++
	u.current = true
	known := make(map[push.Digest]bool, len(subscriptions))
	for _, sub := range subscriptions {
		known[sub.Digest] = true
		u.attach(ctx, sub)
	}
	for digest, b := range u.branches {
		if !known[digest] {
			u.detach(ctx, digest, b)
		}
	}
	waiting := u.waiting
	u.waiting = nil
	for _, d := range waiting {
		u.fanOut(ctx, d)
	}
}

func (u *user) attach(ctx actor.Context, sub push.Subscription) {
	b := u.branches[sub.Digest]
	if b == nil {
		b = &branch{}
		u.branches[sub.Digest] = b
	}
	if b.pid != nil && !b.subscription.SameKeys(sub) {
		ctx.Send(b.pid, &renew{subscription: sub})
	}
	b.subscription, b.removed = sub, false
}

// detach lets a subscription go that is no longer this user's. What it was
// given and did not send will not be sent.
func (u *user) detach(ctx actor.Context, digest push.Digest, b *branch) {
	b.removed = true
	switch {
	case b.pid != nil:
		ctx.Send(b.pid, &abandon{})
	case len(b.work) == 0:
		delete(u.branches, digest)
	default:
		// Between two generations: what the crashed one has concluded may still
		// be on its way, so revive concludes the rest.
	}
}

// fanOut gives a notification to every subscription that it was not delivered to.
func (u *user) fanOut(ctx actor.Context, d *deliver) {
	if u.open[d.notification.ID] != nil {
		return // it is being delivered
	}
	done := make(map[push.Digest]bool, len(d.done))
	for _, digest := range d.done {
		done[digest] = true
	}
	var targets []*branch
	for digest, b := range u.branches {
		if !b.removed && !done[digest] {
			targets = append(targets, b)
		}
	}
	if len(targets) == 0 {
		u.finishWithout(ctx, d)
		return
	}
	u.open[d.notification.ID] = &openWork{left: len(targets)}
	for _, b := range targets {
		b.work = append(b.work, d.notification)
		switch {
		case b.pid != nil:
			ctx.Send(b.pid, &send{notification: d.notification})
		case len(b.work) == 1: // not between two generations
			u.start(ctx, b)
		}
	}
}

// finishWithout finishes a notification that has nowhere left to go.
func (u *user) finishWithout(ctx actor.Context, d *deliver) {
	r := &record{user: u.key, finished: true}
	r.delivery.Notification = d.notification.ID
	if len(d.done) == 0 {
		r.delivery.State = push.StateNoSubscription
		r.delivery.DoneAt = time.Now()
	}
	u.record(ctx, r)
}

func (u *user) record(ctx actor.Context, r *record) {
	ctx.Send(u.system.journal, r)
	if r.delivery.State != 0 {
		u.system.config.Observe(DeliveryConcluded{User: u.key, Delivery: r.delivery})
	}
}

// start spawns a subscription's next generation and gives it all it has to do.
func (u *user) start(ctx actor.Context, b *branch) {
	u.last++
	b.generation = u.last
	sub, generation := b.subscription, b.generation
	name := fmt.Sprintf("%s-%s.%d", sub.Kind, sub.Digest.Short(), generation)
	b.pid = spawn(ctx, name, func() actor.Actor { return newSubscription(u.system, sub, generation) })
	for _, n := range b.work {
		ctx.Send(b.pid, &send{notification: n, before: u.open[n.ID].live[sub.Digest]})
	}
}

// onConcluded passes a delivery on to the journal. A subscription without
// work left is stopped: nothing is on its way to it, for it was given only
// what it concluded. While the system drains it stays, because settle may be on its way.
func (u *user) onConcluded(ctx actor.Context, c *concluded) {
	b := u.branches[c.delivery.Subscription]
	if b == nil || b.generation != c.generation || len(b.work) == 0 || b.work[0].ID != c.delivery.Notification {
		return // it was given to a later generation too
	}
	u.conclude(ctx, b, c.delivery)
	if c.delivery.State == push.StateGone {
		b.removed = true
	}
	if len(b.work) > 0 {
		return
	}
	if b.pid != nil && !u.system.Draining() {
		ctx.Stop(b.pid)
		b.pid = nil
	}
	if b.removed && b.pid == nil {
		delete(u.branches, c.delivery.Subscription)
	}
}

// conclude takes the first notification of a branch's work as final there.
func (u *user) conclude(ctx actor.Context, b *branch, delivery push.Delivery) {
	b.work = b.work[1:]
	work := u.open[delivery.Notification]
	work.left--
	delete(work.live, delivery.Subscription)
	finished := work.left == 0
	if finished {
		delete(u.open, delivery.Notification)
	}
	u.record(ctx, &record{user: u.key, delivery: delivery, finished: finished})
}

func (u *user) concludeAll(ctx actor.Context, b *branch, state push.State, reason string) {
	for len(b.work) > 0 {
		u.conclude(ctx, b, u.unsent(b, state, reason))
	}
}

// unsent is the delivery of a branch's first notification when its actor
// cannot say it.
func (u *user) unsent(b *branch, state push.State, reason string) push.Delivery {
	id := b.work[0].ID
	last := u.open[id].live[b.subscription.Digest]
	return push.Delivery{
		Notification: id,
		Subscription: b.subscription.Digest,
		Kind:         b.subscription.Kind,
		Host:         b.subscription.Host(),
		State:        state,
		Attempts:     last.attempts,
		Status:       last.result.Status,
		Reason:       reason,
		DoneAt:       time.Now(),
	}
}

func (u *user) onProgressed(p *progressed) {
	work := u.open[p.id]
	if work == nil {
		return
	}
	if work.live == nil {
		work.live = make(map[push.Digest]attempt, 1)
	}
	work.live[p.digest] = p.at
}

// HandleFailure stops a subscription that panicked. After a pause, its next
// generation gets what it had not concluded.
func (u *user) HandleFailure(_ *actor.ActorSystem, ctx actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, _ any) {
	b := u.branchOf(child)
	if b == nil {
		ctx.StopChildren(child)
		return
	}
	now := time.Now()
	row := b.failures.add(now)
	pause := backoff(reviveBase, reviveLimit, row)
	u.system.config.Observe(failureOf(u.system, child, reason, b.failures.total, pause))
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
		u.concludeAll(ctx, b, push.StateUnsubscribed, "")
		delete(u.branches, r.digest)
	}
	if len(b.work) == 0 {
		return
	}
	if b.suspect != b.work[0].ID {
		b.suspect, b.crashes = b.work[0].ID, 0
	}
	b.crashes++
	if b.crashes >= reviveMax {
		u.conclude(ctx, b, u.unsent(b, push.StateRejected, crashedReason))
	}
	if len(b.work) > 0 {
		u.start(ctx, b)
	}
}

func (u *user) onTrack(ctx actor.Context, t *track) {
	answer := &tracked{}
	work := u.open[t.id]
	for digest, b := range u.branches {
		for _, n := range b.work {
			if n.ID != t.id {
				continue
			}
			last := work.live[digest]
			answer.deliveries = append(answer.deliveries, Progress{
				Subscription: digest,
				Kind:         b.subscription.Kind,
				Host:         b.subscription.Host(),
				Attempts:     last.attempts,
				Last:         last.result,
				Next:         last.next,
			})
		}
	}
	ctx.Respond(answer)
}

func (u *user) onDrain(ctx actor.Context, d *drain) {
	if d.sent == u.handled && u.current && len(u.waiting) == 0 && len(u.open) == 0 {
		ctx.Respond(&drained{from: ctx.Self(), sent: d.sent})
	}
}

func (u *user) onSettle(ctx actor.Context) {
	u.settle = gathering{asker: ctx.Sender(), answer: &settledDown{}}
	for _, b := range u.branches {
		if b.pid != nil {
			u.settle.ask(ctx, b.pid, &settle{})
		}
	}
	u.settle.finish(ctx)
}

func (u *user) onInspect(ctx actor.Context, ask *inspect) {
	refs := make(map[string]childRef, len(u.branches))
	for _, b := range u.branches {
		if b.pid == nil && len(b.work) == 0 {
			continue // no work, no actor
		}
		name := fmt.Sprintf("%s-%s", b.subscription.Kind, b.subscription.Digest.Short())
		refs[name] = childRef{name: name, pid: b.pid, state: "crashed", restarts: b.failures.total}
	}
	node := Node{Kind: "user", State: "idle", Queue: len(u.waiting), InFlight: len(u.open)}
	switch {
	case !u.current:
		node.State = "loading subscriptions"
	case len(u.open) > 0:
		node.State = "delivering"
	}
	ctx.Respond(describe(ask, node, refs))
}
