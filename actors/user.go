package actors

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

const seenEvery = 30 * 24 * time.Hour // how old SeenAt may get before a delivery renews it

// user caches a user's subscriptions, hands each notification to all of them
// and tells the journal what became of it. It keeps what every subscription
// was given and has not concluded, in order: a subscription that crashes gets
// it again.
//
// While its cache is not current it keeps notifications waiting, so one that
// is accepted after a change goes to the subscriptions as they are then.
//
// How it leaves subscriptions alone that fail, and takes up again what waited
// for them meanwhile, is in user_rest.go; what it does when one panics, in
// user_crash.go.
type user struct {
	system *System
	key    push.User
	self   *actor.PID

	current  bool // the cache is what the store says
	branches map[push.Digest]*branch
	waiting  []*deliver            // for the cache
	open     map[push.ID]*openWork // in hand and not finished; nil without any
	handled  uint64                // counted messages
	last     int                   // generation of a subscription: names are never used twice
	ending   bool                  // stopping: who came now would never be told to leave

	// Subscriptions that the push service ended, and when these were registered.
	// The store may not have taken that yet, and still list them.
	ended map[push.Digest]time.Time

	returns returns
	settle  gathering // of settledDown, from every subscription
}

// branch is a subscription as its user sees it.
type branch struct {
	subscription push.Subscription
	pid          *actor.PID // nil when it has no work, or between two generations
	generation   int
	removed      bool        // no longer this user's: nothing new goes there
	work         []*openWork // given and not concluded, in order
	standing     standing    // towards subscription.Rest
	timer        *time.Timer // for the end of the rest
	failures     failures
	suspect      push.ID // the notification it crashed on last
	crashes      int     // on that one
}

// openWork is a notification that is being delivered.
type openWork struct {
	notification push.Notification
	left         int                     // branches it was given to that have not concluded it
	off          []*branch               // those it is put off at
	live         map[push.Digest]attempt // where an attempt failed and another follows
	cancelled    bool                    // not to be given to any more

	asked    bool      // the journal was asked to park it, and since then nobody was given it
	parked   bool      // the journal has done so
	parkings int       // how often it was asked
	until    time.Time // what it was asked last
}

func newUser(s *System, key push.User) *user {
	return &user{
		system:   s,
		key:      key,
		branches: make(map[push.Digest]*branch),
	}
}

func (u *user) Receive(ctx actor.Context) {
	defer addStack()
	if _, stopped := ctx.Message().(*actor.Stopped); stopped {
		u.system.live.users.Add(-1)
	}
	if u.ending {
		return
	}
	switch message := ctx.Message().(type) {
	case *actor.Terminated:
		releaseChild(ctx)
	case *actor.Started:
		u.self = ctx.Self()
		u.system.live.users.Add(1)
	case *actor.Stopping:
		u.onStopping()
	case *deliver:
		u.onDeliver(ctx, message)
	case *cancel:
		u.onCancel(ctx, message)
	case *supply:
		u.onSupply(ctx, message.subscriptions)
	case *invalidate:
		u.handled++
		u.current = false
	case *comeDue:
		u.onComeDue(ctx)
	case *restock:
		u.onRestock(ctx, message)
	case *concluded:
		u.onConcluded(ctx, message)
	case *progressed:
		u.onProgressed(ctx, message)
	case *rested:
		u.onRested(ctx, message)
	case *parked:
		u.onParked(ctx, message)
	case *wake:
		u.onWake(ctx)
	case *dropped:
		message.asked.arrived(ctx)
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

func (u *user) onStopping() {
	u.ending = true
	for _, b := range u.branches {
		b.stopTimer()
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
	maps.DeleteFunc(u.ended, func(digest push.Digest, _ time.Time) bool { return !known[digest] })
	waiting := u.waiting
	u.waiting = nil
	for _, d := range waiting {
		u.fanOut(ctx, d)
	}
	u.resumeReturns(ctx)
}

// attach takes a subscription over from the store. How one rests that is known
// already is known better here.
func (u *user) attach(ctx actor.Context, sub push.Subscription) {
	if registered, ok := u.ended[sub.Digest]; ok && !sub.RegisteredAt.After(registered) {
		return
	}
	delete(u.ended, sub.Digest)
	b := u.branches[sub.Digest]
	if b == nil {
		b = &branch{subscription: sub}
		if !sub.Rest.IsZero() {
			b.standing = resting
			b.timer = u.system.after(time.Until(sub.Rest.Until), ctx.Self(), &wake{})
		}
		u.branches[sub.Digest] = b
	}
	if b.pid != nil && (!b.subscription.SameKeys(sub) || sub.RegisteredAt.After(b.subscription.RegisteredAt)) {
		ctx.Send(b.pid, &renew{subscription: sub})
	}
	sub.Rest = b.subscription.Rest
	b.subscription, b.removed = sub, false
}

// detach lets a subscription go that is no longer this user's. What it was
// given and did not send will not be sent.
func (u *user) detach(ctx actor.Context, digest push.Digest, b *branch) {
	b.removed = true
	b.stopTimer()
	u.concludeOff(ctx, b, push.StateUnsubscribed)
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
		if !b.removed && !done[digest] && !(d.back && b.isNewerThan(d.notification)) {
			targets = append(targets, b)
		}
	}
	if len(targets) == 0 {
		u.finishWithout(ctx, d)
		d.answer(ctx)
		return
	}
	work := &openWork{notification: d.notification, left: len(targets), cancelled: len(d.askers) > 0}
	if u.open == nil {
		u.open = make(map[push.ID]*openWork)
	}
	u.open[d.notification.ID] = work
	for _, b := range targets {
		work.left-- // until it is given to b
		switch {
		case work.cancelled:
			u.conclude(ctx, b, work, push.StateCancelled, "")
		case b.standing.takesAtOnce():
			u.give(ctx, b, work)
		default:
			u.putOff(ctx, b, work)
		}
	}
	u.letGo(ctx, work)
	d.answer(ctx) // not before all of it is done, and not if it fails
}

// isNewerThan tells whether a subscription that does not rest was made after a
// notification was accepted, so that it was not meant for it.
func (b *branch) isNewerThan(n push.Notification) bool {
	return b.standing == awake && b.subscription.CreatedAt.After(n.AcceptedAt)
}

// give adds a notification to a subscription's work.
func (u *user) give(ctx actor.Context, b *branch, work *openWork) {
	work.left++
	work.asked = false
	b.work = append(b.work, work)
	switch {
	case b.pid != nil:
		ctx.Send(b.pid, &send{notification: work.notification, before: b.last(work)})
	case len(b.work) == 1: // not between two generations
		u.start(ctx, b)
	}
}

// last is what came of a notification at a branch so far.
func (b *branch) last(work *openWork) attempt {
	if last, ok := work.live[b.subscription.Digest]; ok {
		return last
	}
	if rest := b.subscription.Rest; rest.Notification == work.notification.ID {
		return attempt{attempts: rest.Attempts, result: push.Result{Outcome: push.Retry, Status: rest.Status, Reason: rest.Reason}}
	}
	return attempt{}
}

// finishWithout finishes a notification that has nowhere left to go.
func (u *user) finishWithout(ctx actor.Context, d *deliver) {
	r := &record{user: u.key, finished: true}
	r.delivery.Notification = d.notification.ID
	if len(d.done) == 0 {
		r.delivery.State = push.StateNoSubscription
		if len(d.askers) > 0 {
			r.delivery.State = push.StateCancelled
		}
		r.delivery.DoneAt = time.Now()
	}
	u.recordEnd(ctx, d.notification, r)
}

func (u *user) record(ctx actor.Context, r *record) { ctx.Send(u.system.journal, r) }

// recordEnd records what a notification came to, somewhere or at all.
func (u *user) recordEnd(ctx actor.Context, n push.Notification, r *record) {
	u.record(ctx, r)
	if r.delivery.State != 0 {
		u.system.observe(DeliveryConcluded{User: u.key, Delivery: r.delivery, AcceptedAt: n.AcceptedAt, SendAt: n.SendAt, Trace: n.Trace})
	}
}

// start spawns a subscription's next generation and gives it all it has to do.
func (u *user) start(ctx actor.Context, b *branch) {
	u.last++
	b.generation = u.last
	sub, generation := b.subscription, b.generation
	name := branchName(sub) + "." + strconv.Itoa(generation)
	b.pid = spawn(ctx, name, u.system.props(func() actor.Actor { return newSubscription(u.system, sub, generation) }))
	for _, work := range b.work {
		ctx.Send(b.pid, &send{notification: work.notification, before: b.last(work)})
	}
}

func branchName(sub push.Subscription) string {
	return sub.Kind.String() + "-" + sub.Digest.Short()
}

// onConcluded passes a delivery on to the journal.
func (u *user) onConcluded(ctx actor.Context, c *concluded) {
	b := u.branches[c.delivery.Subscription]
	work := u.open[c.delivery.Notification]
	if b == nil || b.generation != c.generation || !b.drop(work) {
		return // it was given to a later generation too
	}
	var events []push.Event
	over := c.delivery.State == push.StateGone && !b.subscription.RegisteredAt.After(c.registered) // or the store keeps it, too
	if over && !b.removed && u.system.keepsEvents() {
		events = []push.Event{subscriptionEvent(b.subscription, push.EventSubscriptionRemoved, "gone: "+c.delivery.Reason)}
	}
	u.close(ctx, work, c.delivery, c.registered, events...)
	switch c.delivery.State {
	case push.StateDelivered:
		u.noteSeen(ctx, b)
	case push.StateGone:
		if over {
			u.lose(ctx, b)
		}
	case push.StateRejected:
		if c.keyMismatch && !b.subscription.KeyMismatch {
			b.subscription.KeyMismatch = true
			u.record(ctx, &record{user: u.key, change: mismatched{u.named(b)}})
		}
	}
	u.tidy(ctx, b)
	u.letGo(ctx, work)
	u.fetchMore(ctx)
}

// lose lets a subscription go that the push service ended. What it still has
// to conclude ends as gone, too.
func (u *user) lose(ctx actor.Context, b *branch) {
	b.removed = true
	if u.ended == nil {
		u.ended = make(map[push.Digest]time.Time)
	}
	u.ended[b.subscription.Digest] = b.subscription.RegisteredAt
	u.concludeOff(ctx, b, push.StateGone)
}

// drop takes a notification out of the branch's work, if it is there.
func (b *branch) drop(work *openWork) bool {
	i := slices.Index(b.work, work)
	if work == nil || i < 0 {
		return false
	}
	copy(b.work[1:i+1], b.work[:i]) // mostly, it is the first
	b.work[0] = nil
	b.work = b.work[1:]
	work.left--
	return true
}

// tidy stops a subscription without work left: nothing is on its way to it,
// for it was given only what it concluded. While the system drains it stays,
// because settle may be on its way.
func (u *user) tidy(ctx actor.Context, b *branch) {
	if len(b.work) > 0 {
		return
	}
	u.endRest(ctx, b)
	if b.pid != nil && !u.system.Draining() {
		ctx.Stop(b.pid)
		b.pid = nil
	}
	if b.removed && b.pid == nil {
		delete(u.branches, b.subscription.Digest)
	}
}

// close records a delivery. With its last one, the notification is finished.
// Registered is when what is gone was registered, if it is; events are what
// else there is to tell.
func (u *user) close(ctx actor.Context, work *openWork, delivery push.Delivery, registered time.Time, events ...push.Event) {
	delete(work.live, delivery.Subscription)
	finished := work.left == 0 && len(work.off) == 0
	if finished {
		u.putDown(work)
	}
	u.recordEnd(ctx, work.notification, &record{user: u.key, delivery: delivery, registered: registered, finished: finished, events: events})
}

// putDown takes a notification out of hand. Most users have one now and then, so
// nothing is kept for the next.
func (u *user) putDown(work *openWork) {
	if delete(u.open, work.notification.ID); len(u.open) == 0 {
		u.open = nil
	}
}

// conclude records what became of a notification at a branch that holds it no
// longer, or never did, and whose actor cannot say it.
func (u *user) conclude(ctx actor.Context, b *branch, work *openWork, state push.State, reason string) {
	last := b.last(work)
	u.close(ctx, work, push.Delivery{
		Notification: work.notification.ID,
		Subscription: b.subscription.Digest,
		Kind:         b.subscription.Kind,
		Host:         b.subscription.Host(),
		State:        state,
		Attempts:     last.attempts,
		Status:       last.result.Status,
		Reason:       reason,
		MessageID:    last.result.MessageID,
		DoneAt:       time.Now(),
	}, b.subscription.RegisteredAt)
}

// concludeAll ends all of a branch's work.
func (u *user) concludeAll(ctx actor.Context, b *branch, state push.State) {
	for len(b.work) > 0 {
		work := b.work[0]
		b.drop(work)
		u.conclude(ctx, b, work, state, "")
		u.letGo(ctx, work)
	}
}

// noteSeen tells the store now and then that a subscription is alive, so that
// it is not removed as unused.
func (u *user) noteSeen(ctx actor.Context, b *branch) {
	now := time.Now().Truncate(time.Millisecond).UTC()
	if now.Sub(b.subscription.SeenAt) < seenEvery {
		return
	}
	b.subscription.SeenAt = now
	u.record(ctx, &record{user: u.key, change: store.SubscriptionSeen{UserSubscription: u.named(b), At: now}})
}

func (u *user) named(b *branch) store.UserSubscription {
	return store.UserSubscription{User: u.key, Digest: b.subscription.Digest}
}

func (u *user) onProgressed(ctx actor.Context, p *progressed) {
	b, work := u.branches[p.digest], u.open[p.id]
	if b == nil || work == nil {
		return
	}
	work.progress(p.digest, p.at)
	if u.system.keepsEvents() {
		u.record(ctx, &record{user: u.key, events: []push.Event{attemptEvent(b.subscription, p.id, p.at)}})
	}
}

func (w *openWork) progress(at push.Digest, last attempt) {
	if w.live == nil {
		w.live = make(map[push.Digest]attempt, 1)
	}
	w.live[at] = last
}

func (u *user) onTrack(ctx actor.Context, t *track) {
	answer := &tracked{}
	if work := u.open[t.id]; work != nil {
		for _, b := range u.branches {
			switch {
			case slices.Contains(b.work, work):
				answer.deliveries = append(answer.deliveries, b.progressOf(work))
			case slices.Contains(work.off, b):
				answer.deliveries = append(answer.deliveries, restingProgress(b.subscription, t.id))
			}
		}
	}
	ctx.Respond(answer)
}

func (b *branch) progressOf(work *openWork) Progress {
	last := b.last(work)
	return Progress{
		Subscription: b.subscription.Digest,
		Kind:         b.subscription.Kind,
		Host:         b.subscription.Host(),
		Attempts:     last.attempts,
		Last:         last.result,
		Next:         last.next,
	}
}

func (u *user) onDrain(ctx actor.Context, d *drain) {
	if d.sent == u.handled && u.current && len(u.waiting) == 0 && len(u.open) == 0 && u.returns.none() {
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
		name := branchName(b.subscription)
		ref := b.failures.ref("subscription", name, b.pid)
		switch {
		case b.pid != nil:
		case b.standing == resting:
			ref.state, ref.next = "resting", b.subscription.Rest.Until
		case len(b.work) > 0:
			ref.state = "crashed"
		default:
			continue // no work, no actor
		}
		refs[name] = ref
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
