package actors

import (
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// How a user leaves a subscription alone that failed, without keeping in memory
// what waits for it.
//
// A subscription whose next attempt is far off rests: that is written to the
// store, its actor is stopped, and what it was given, or would be, is put off.
// A notification that is put off, and in hand nowhere else, is parked in the
// store until the rest is over, and leaves memory once that is durable. When it
// comes due, the shard range says so; the user fetches what was parked, oldest
// first, page by page, and the subscription gets that before anything newer.
//
// What was read from the store is put together with what is in memory. So
// that both fit, nothing leaves memory from when a fetch is asked for until its
// answer is there.

// standing is how a subscription stands to its rest.
type standing uint8

const (
	awake     standing = iota // it does not rest: it gets everything at once
	resting                   // it gets nothing
	returning                 // the rest is over: it gets what was put off, oldest first
	returned                  // it has all of that, and gets everything at once; when it has worked off all, it is awake
)

func (s standing) takesAtOnce() bool { return s == awake || s == returned }

// returns is how far a user is with taking up what was parked.
type returns struct {
	again    bool // something is due: fetch from the start
	fetching bool // a page is on its way
	more     bool // the last one was not the end
	after    push.ID
	held     *restock // one that arrived while the cache was not current
}

// none tells whether nothing is to be taken up.
func (r *returns) none() bool { return !r.again && !r.fetching && !r.more }

// onRested puts off all that a subscription was given: its next attempt is far off.
func (u *user) onRested(ctx actor.Context, r *rested) {
	b, first := u.branches[r.digest], u.open[r.id]
	if b == nil || b.generation != r.generation || first == nil || !slices.Contains(b.work, first) {
		return
	}
	first.progress(r.digest, r.at)
	if b.removed {
		u.concludeAll(ctx, b, push.StateUnsubscribed)
		u.tidy(ctx, b)
		return
	}
	var events []push.Event
	if r.tried && !first.cancelled && u.system.keepsEvents() {
		events = []push.Event{attemptEvent(b.subscription, r.id, r.at)}
	}
	u.rest(ctx, b, push.Rest{
		Until:        r.at.next.Truncate(time.Millisecond),
		Notification: r.id,
		Attempts:     r.at.attempts,
		Status:       r.at.result.Status,
		Reason:       r.at.result.Reason,
	}, events...)
	work := b.work
	b.work = nil
	for _, w := range work {
		w.left--
		if w.cancelled {
			u.conclude(ctx, b, w, push.StateCancelled, "")
		} else {
			u.putOff(ctx, b, w)
		}
		u.letGo(ctx, w)
	}
	u.tidy(ctx, b)
	u.fetchMore(ctx)
}

// rest begins a rest, or with the zero Rest ends it; events are what else there
// is to tell. The timer is for what is
// put off and still in memory because it is in hand elsewhere; the store does
// not know that it is due.
func (u *user) rest(ctx actor.Context, b *branch, rest push.Rest, events ...push.Event) {
	b.stopTimer()
	b.subscription.Rest = rest
	b.standing = awake
	if !rest.IsZero() {
		b.standing = resting
		b.timer = u.system.after(time.Until(rest.Until), ctx.Self(), &wake{})
	}
	u.record(ctx, &record{user: u.key, change: store.SubscriptionRest{UserSubscription: u.named(b), Rest: rest}, events: events})
}

func (b *branch) stopTimer() {
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
}

// putOff keeps a notification for a subscription that rests, or lets it end
// there, if it expired or a newer one is to take its place.
func (u *user) putOff(ctx actor.Context, b *branch, work *openWork) {
	n := work.notification
	if !time.Now().Before(n.ExpiresAt) {
		u.conclude(ctx, b, work, push.StateExpired, expiredReason(b.last(work)))
		return
	}
	work.off = append(work.off, b)
	if n.CollapseKey == "" {
		return
	}
	for _, other := range u.open {
		if other == work || other.notification.CollapseKey != n.CollapseKey || !slices.Contains(other.off, b) {
			continue
		}
		older := other
		if n.ID.Compare(other.notification.ID) < 0 {
			older = work
		}
		older.takeOff(b)
		u.conclude(ctx, b, older, push.StateSuperseded, "")
		u.letGo(ctx, older)
		if older == work {
			return
		}
	}
}

func (w *openWork) takeOff(b *branch) {
	w.off = slices.DeleteFunc(w.off, func(other *branch) bool { return other == b })
}

// concludeOff ends all that is put off at a subscription, as far as it is in memory.
func (u *user) concludeOff(ctx actor.Context, b *branch, state push.State) {
	for _, work := range u.open {
		if slices.Contains(work.off, b) {
			work.takeOff(b)
			u.conclude(ctx, b, work, state, "")
			u.letGo(ctx, work)
		}
	}
}

// letGo parks a notification that is put off, and in hand nowhere, and forgets
// it once that is durable.
func (u *user) letGo(ctx actor.Context, work *openWork) {
	if u.returns.fetching || work.left > 0 || len(work.off) == 0 {
		return
	}
	if !work.asked {
		work.asked, work.parked = true, false
		work.parkings++
		work.until = work.dueAt()
		u.record(ctx, &record{user: u.key, change: &park{
			Parking: store.Parking{Notification: work.notification.ID, Until: work.until},
			from:    ctx.Self(),
			time:    work.parkings,
		}})
		return
	}
	if work.parked {
		u.putDown(work)
		ctx.Send(ctx.Parent(), &left{from: ctx.Self(), user: u.key, id: work.notification.ID, until: work.until})
		u.fetchMore(ctx)
	}
}

// dueAt is when there is something to do about a notification that is put off.
func (w *openWork) dueAt() time.Time {
	until := w.notification.ExpiresAt
	for _, b := range w.off {
		if rest := b.subscription.Rest.Until; rest.Before(until) {
			until = rest
		}
	}
	return until
}

// onParked notes that a parking is durable, unless it has been given to a
// subscription since.
func (u *user) onParked(ctx actor.Context, p *parked) {
	if work := u.open[p.id]; work != nil && work.asked && work.parkings == p.time {
		work.parked = true
		u.letGo(ctx, work)
	}
}

// onComeDue begins to take up what was parked.
func (u *user) onComeDue(ctx actor.Context) {
	u.handled++
	u.onWake(ctx)
}

func (u *user) onWake(ctx actor.Context) {
	u.returns.again = true
	u.fetchMore(ctx)
}

// fetchMore asks for the next page of what was parked: the first at once,
// another when half of what a user may hold is worked off.
func (u *user) fetchMore(ctx actor.Context) {
	r := &u.returns
	switch {
	case !u.current || r.fetching || u.system.Draining():
		return
	case r.more:
		if len(u.open) > u.system.config.share()/2 {
			return
		}
	case r.again:
		r.again, r.after = false, push.ID{}
		u.beginReturns()
	default:
		return
	}
	r.fetching, r.more = true, false
	ctx.Send(ctx.Parent(), &fetch{from: ctx.Self(), user: u.key, after: r.after})
}

func (u *user) beginReturns() {
	now := time.Now()
	for _, b := range u.branches {
		if b.standing == resting && !now.Before(b.subscription.Rest.Until) {
			b.standing = returning
		}
	}
}

func (u *user) onRestock(ctx actor.Context, r *restock) {
	u.handled++
	if !u.current {
		u.returns.held = r
		return
	}
	u.takeBack(ctx, r)
}

// resumeReturns goes on with what had to wait for the cache.
func (u *user) resumeReturns(ctx actor.Context) {
	if held := u.returns.held; held != nil {
		u.returns.held = nil
		u.takeBack(ctx, held)
	}
	u.fetchMore(ctx)
}

// takeBack takes up a page of what was parked.
func (u *user) takeBack(ctx actor.Context, r *restock) {
	for _, p := range r.pending {
		u.fanOut(ctx, &deliver{notification: p.Notification, done: p.Done, back: p.Notification.SendAt.IsZero()})
	}
	for _, b := range u.branches {
		if b.standing == returning {
			u.takeUp(ctx, b, r)
		}
	}
	u.returns.fetching, u.returns.more, u.returns.after = false, !r.complete, r.upTo
	for _, work := range u.open {
		u.letGo(ctx, work)
	}
	u.fetchMore(ctx)
}

// takeUp gives a subscription whose rest is over what was put off at it, up to
// where the page goes.
func (u *user) takeUp(ctx actor.Context, b *branch, r *restock) {
	var back []*openWork
	for _, work := range u.open {
		if slices.Contains(work.off, b) && (r.complete || work.notification.ID.Compare(r.upTo) <= 0) {
			back = append(back, work)
		}
	}
	slices.SortFunc(back, func(a, b *openWork) int { return a.notification.ID.Compare(b.notification.ID) })
	if r.complete {
		b.standing = returned
	}
	for _, work := range back {
		work.takeOff(b)
		u.give(ctx, b, work)
	}
	u.tidy(ctx, b)
}

// endRest notes that a subscription has worked off all that was put off.
func (u *user) endRest(ctx actor.Context, b *branch) {
	if b.standing == returned {
		u.rest(ctx, b, push.Rest{})
	}
}

// restingProgress is how a notification stands at a subscription that rests.
func restingProgress(sub push.Subscription, id push.ID) Progress {
	p := Progress{Subscription: sub.Digest, Kind: sub.Kind, Host: sub.Host(), Next: sub.Rest.Until}
	if sub.Rest.Notification == id {
		p.Attempts = sub.Rest.Attempts
		p.Last = push.Result{Outcome: push.Retry, Status: sub.Rest.Status, Reason: sub.Rest.Reason}
	}
	return p
}
