package actors

import (
	"context"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

const (
	groupMax    = 512                    // notifications, and records, in one group at most
	resumeBase  = 100 * time.Millisecond // the first pause after the store failed to take records; doubles
	resumeLimit = 5 * time.Second        // the longest such pause
)

// journal makes accepted work and outcomes durable, in groups: it commits
// what is waiting at that moment and never waits for more, so a group is as
// large as the load makes it.
//
// Notifications get their IDs here, so the ID is the order. With more than one
// writer, groups may commit out of order, but their notifications are handed
// out in order, and up to System.released nothing is still on its way to the
// store. Records go with one group at a time, because a notification's last
// record must not be committed before the others.
//
// An accept that fails is refused at once: nothing was promised. Records are
// kept and tried again until the store takes them.
type journal struct {
	system *System

	accepts []waitingAccept
	keys    keyring        // of accepts that wait, are under way, or were released lately
	groups  []*commitGroup // under way, in the order of their IDs

	records   []*record
	recording bool // a group with records is under way
	apart     bool // a mixed group failed: records and accepts go separately until records pass
	failures  int  // of groups with records, in a row
	pausing   bool // until resume arrives

	strangers int64          // groups of an earlier incarnation that are under way
	strange   []*commitGroup // those that have arrived

	recorded uint64 // records that came in
	durable  uint64 // records that are committed
	flushes  []waitingFlush
}

type waitingAccept struct {
	from   *actor.PID
	drafts []Draft
	key    *Key
}

type waitingFlush struct {
	from *actor.PID
	upTo uint64 // records that must be durable first
}

// commitGroup is one transaction on its way.
type commitGroup struct {
	accepts       []waitingAccept
	notifications []push.Notification // of the accepts, in order
	records       []*record
	committed     bool
	took          time.Duration
	err           error
}

func newJournal(s *System) *journal { return &journal{system: s, strangers: s.committing.Load()} }

func (j *journal) Receive(ctx actor.Context) {
	defer addStack()
	switch message := ctx.Message().(type) {
	case *accept:
		j.onAccept(ctx, message)
	case *record:
		j.onRecord(ctx, message)
	case *flush:
		j.onFlush(ctx)
	case *committed:
		j.onCommitted(ctx, message.group)
	case *resume:
		j.pausing = false
		j.pump(ctx)
	case *inspect:
		j.onInspect(ctx, message)
	}
}

func (j *journal) onAccept(ctx actor.Context, a *accept) {
	if a.key != nil && !j.keys.enter(ctx, *a.key) {
		return // it waits for the first one's answer, or has it
	}
	j.accepts = append(j.accepts, waitingAccept{from: ctx.Sender(), drafts: a.drafts, key: a.key})
	j.pump(ctx)
}

func (j *journal) onRecord(ctx actor.Context, r *record) {
	j.recorded++
	j.records = append(j.records, r)
	j.pump(ctx)
}

func (j *journal) onFlush(ctx actor.Context) {
	if j.durable == j.recorded {
		ctx.Respond(&flushed{})
		return
	}
	j.flushes = append(j.flushes, waitingFlush{from: ctx.Sender(), upTo: j.recorded})
}

// pump starts commits while there is something to commit and a writer free.
func (j *journal) pump(ctx actor.Context) {
	for len(j.groups) < j.system.config.Writers {
		group := j.gather()
		if group == nil {
			return
		}
		commit := group.commit(j.system.config.Store)
		j.groups = append(j.groups, group)
		j.system.committing.Add(1)
		j.system.background(ctx.Self(), commit)
	}
}

// gather takes what the next group holds, or nothing.
func (j *journal) gather() *commitGroup {
	group := &commitGroup{}
	takeRecords := len(j.records) > 0 && !j.recording && !j.pausing
	if takeRecords {
		group.records, j.records = cut(j.records, groupMax)
		j.recording = true
	}
	if j.strangers == 0 && (!takeRecords || !j.apart) {
		j.takeAccepts(group)
	}
	if len(group.records) == 0 && len(group.accepts) == 0 {
		return nil
	}
	return group
}

// takeAccepts gives IDs to waiting notifications: one accept whatever its
// size, and more while the group has room.
func (j *journal) takeAccepts(group *commitGroup) {
	now := time.Now().Truncate(time.Millisecond).UTC()
	taken := 0
	for _, a := range j.accepts {
		if taken > 0 && len(group.notifications)+len(a.drafts) > groupMax {
			break
		}
		taken++
		for _, draft := range a.drafts {
			group.notifications = append(group.notifications, draft.accept(j.system.ids.next(now), now))
		}
	}
	group.accepts, j.accepts = cut(j.accepts, taken)
}

// cut splits off the first n at most. What is left keeps no hold on them.
func cut[T any](list []T, n int) (first, rest []T) {
	if n >= len(list) {
		return list, nil
	}
	return list[:n:n], append([]T(nil), list[n:]...)
}

func (g *commitGroup) commit(to store.Notifications) func(context.Context) any {
	rows := store.Group{Accepted: g.notifications}
	next := 0
	for _, a := range g.accepts {
		if a.key != nil {
			rows.Keys = append(rows.Keys, store.IdempotencyKey{
				App: a.key.App, Key: a.key.Key, Request: a.key.Request,
				IDs: idsOf(g.notifications[next : next+len(a.drafts)]), CreatedAt: g.notifications[next].AcceptedAt,
			})
		}
		next += len(a.drafts)
	}
	for _, r := range g.records {
		if r.delivery.State != 0 {
			rows.Deliveries = append(rows.Deliveries, r.delivery)
		}
		if r.delivery.State == push.StateGone {
			rows.Gone = append(rows.Gone, store.SubscriptionGone{
				UserSubscription: store.UserSubscription{User: r.user, Digest: r.delivery.Subscription}, RegisteredAt: r.registered,
			})
		}
		if r.finished {
			rows.Finished = append(rows.Finished, r.delivery.Notification)
		}
		switch change := r.change.(type) {
		case store.SubscriptionRest:
			rows.Rests = append(rows.Rests, change)
		case store.SubscriptionSeen:
			rows.Seen = append(rows.Seen, change)
		case mismatched:
			rows.Mismatched = append(rows.Mismatched, change.UserSubscription)
		case *park:
			rows.Parked = append(rows.Parked, change.Parking)
		}
	}
	return func(ctx context.Context) any {
		began := time.Now()
		g.err = to.Commit(ctx, rows)
		g.took = time.Since(began)
		return &committed{group: g}
	}
}

func (j *journal) onCommitted(ctx actor.Context, group *commitGroup) {
	j.system.committing.Add(-1)
	j.system.config.Observe(GroupCommitted{Notifications: len(group.notifications), Records: len(group.records), Took: group.took, Err: group.err})
	if !slices.Contains(j.groups, group) {
		j.onStranger(ctx, group)
		return
	}
	group.committed = true
	j.closeRecords(ctx, group)
	for len(j.groups) > 0 && j.groups[0].committed {
		j.release(ctx, j.groups[0])
		j.groups = j.groups[1:]
	}
	j.pump(ctx)
}

// onStranger waits until all groups of the earlier incarnation have arrived.
// Nothing is accepted before, so that their notifications are handed out in their turn.
func (j *journal) onStranger(ctx actor.Context, group *commitGroup) {
	j.strange = append(j.strange, group)
	if j.strangers--; j.strangers > 0 {
		return
	}
	slices.SortFunc(j.strange, func(a, b *commitGroup) int { return a.last().Compare(b.last()) })
	for _, g := range j.strange {
		j.release(ctx, g)
	}
	j.strange = nil
	j.pump(ctx)
}

// last is the newest ID of a group, or zero.
func (g *commitGroup) last() (id push.ID) {
	if n := len(g.notifications); n > 0 {
		id = g.notifications[n-1].ID
	}
	return id
}

// closeRecords notes that a group's records are durable, or keeps them for
// another try.
func (j *journal) closeRecords(ctx actor.Context, group *commitGroup) {
	if len(group.records) == 0 {
		return
	}
	j.recording = false
	if group.err != nil {
		j.apart = true
		j.records = append(group.records, j.records...)
		j.failures++
		j.pausing = true
		j.system.after(backoff(resumeBase, resumeLimit, j.failures), ctx.Self(), &resume{})
		j.system.config.Observe(StoreFailed{What: "record outcomes", Err: group.err})
		return
	}
	j.apart = false
	j.failures = 0
	j.durable += uint64(len(group.records))
	finished := 0
	done := newByRange[push.ID](j.system)
	for _, r := range group.records {
		if r.finished {
			finished++
			done.add(r.user.Shard(), r.delivery.Notification)
		}
		if park, ok := r.change.(*park); ok {
			ctx.Send(park.from, &parked{id: park.Notification, time: park.time})
		}
	}
	j.system.backlog.Add(-int64(finished))
	done.each(func(to *actor.PID, ids []push.ID) { ctx.Send(to, &settled{ids: ids}) })
	for len(j.flushes) > 0 && j.flushes[0].upTo <= j.durable {
		ctx.Send(j.flushes[0].from, &flushed{})
		j.flushes = j.flushes[1:]
	}
}

// release answers a group's callers and hands its notifications out.
func (j *journal) release(ctx actor.Context, group *commitGroup) {
	if len(group.accepts) == 0 {
		return
	}
	last := group.last()
	j.system.released.Store(&last)
	if group.err != nil {
		j.system.config.Observe(StoreFailed{What: "accept notifications", Err: group.err})
		for _, a := range group.accepts {
			j.answer(ctx, a, &refused{err: group.err})
		}
		return
	}
	j.system.backlog.Add(int64(len(group.notifications)))
	work := newByRange[push.Notification](j.system)
	for _, n := range group.notifications {
		work.add(n.User.Shard(), n)
	}
	work.each(func(to *actor.PID, list []push.Notification) { ctx.Send(to, &handOut{notifications: list}) })
	next := 0
	for _, a := range group.accepts {
		j.answer(ctx, a, &accepted{ids: idsOf(group.notifications[next : next+len(a.drafts)])})
		next += len(a.drafts)
	}
}

// answer tells the caller, and those who asked the same meanwhile.
func (j *journal) answer(ctx actor.Context, a waitingAccept, answer any) {
	ctx.Send(a.from, answer)
	if a.key != nil {
		j.keys.leave(ctx, *a.key, answer)
	}
}

func idsOf(notifications []push.Notification) []push.ID {
	ids := make([]push.ID, len(notifications))
	for i, n := range notifications {
		ids[i] = n.ID
	}
	return ids
}

func (j *journal) onInspect(ctx actor.Context, ask *inspect) {
	node := Node{Kind: "journal", State: "running", Queue: len(j.accepts) + len(j.records), InFlight: len(j.groups)}
	if j.pausing {
		node.State = "waiting for the store"
	}
	ctx.Respond(describe(ask, node, nil))
}

// byRange sorts things by the actor that owns their shard, in order.
type byRange[T any] struct {
	system *System
	lists  map[int][]T
}

func newByRange[T any](s *System) byRange[T] {
	return byRange[T]{system: s, lists: make(map[int][]T, 1)}
}

func (b byRange[T]) add(shard push.Shard, item T) {
	i := b.system.rangeIndex(shard)
	b.lists[i] = append(b.lists[i], item)
}

func (b byRange[T]) each(do func(to *actor.PID, list []T)) {
	for i, list := range b.lists {
		do(b.system.ranges[i], list)
	}
}
