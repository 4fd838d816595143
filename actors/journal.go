package actors

import (
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
)

const (
	groupMax     = 512                    // notifications, and records, and events, in one group at most
	announcedMax = 4                      // notifications in a group that is announced, at most
	resumeBase   = 100 * time.Millisecond // the first pause after the store failed to take records; doubles
	resumeLimit  = 5 * time.Second        // the longest such pause
)

// journal makes accepted work and outcomes durable, in groups: it commits
// what is waiting at that moment and never waits for more, so a group is as
// large as the load makes it.
//
// Notifications get their IDs here, so the ID is the order. With more than one
// writer, groups may commit out of order, but their notifications are handed
// out in order, and up to System.released nothing is still on its way to the
// store. Records go with one group at a time, because a notification's last
// record must not be committed before the others, and because the order of
// events is that of their commits: nobody who read the feed up to an event
// finds an older one later.
//
// An accept that fails is refused at once: nothing was promised. Records are
// kept and tried again until the store takes them.
type journal struct {
	system *System

	accepts []waitingAccept
	keys    keyring        // of accepts that wait, are under way, or were released lately
	groups  []*commitGroup // under way, in the order of their IDs

	records   []*record
	again     *batch // records that the store did not take; they go before the others
	receipts  receiptMemory
	recording bool // a group with records is under way
	apart     bool // a mixed group failed: records and accepts go separately until records pass
	failures  int  // of groups with records, in a row
	pausing   bool // until resume arrives

	strangers int            // groups of an earlier incarnation that are under way
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

func newJournal(s *System) *journal {
	strangers, _ := s.committing.look()
	return &journal{system: s, strangers: strangers}
}

func (j *journal) Receive(ctx actor.Context) {
	defer addStack()
	switch message := ctx.Message().(type) {
	case *actor.Started:
		j.system.trouble.Store(nil) // what an earlier incarnation held is no more
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

// onRecord keeps what is to be recorded, but for a receipt while very much waits:
// a store that is away must not have receipts pile up here, and devices say
// them again.
func (j *journal) onRecord(ctx actor.Context, r *record) {
	receipt, ok := r.change.(push.Receipt)
	if ok && len(j.records) >= maxWaiting {
		ctx.Respond(&refused{err: ErrOverloaded})
		return
	}
	if !ok || j.receipts.enter(receipt, j.recorded+1, j.durable) {
		j.recorded++
		j.records = append(j.records, r)
	}
	if ctx.Sender() != nil {
		j.onFlush(ctx)
	}
	j.pump(ctx)
}

func (j *journal) onFlush(ctx actor.Context) {
	j.flushes = append(j.flushes, waitingFlush{from: ctx.Sender(), upTo: j.recorded})
	j.answerFlushes(ctx)
}

// answerFlushes answers those who wait for no more than is durable. What an
// earlier incarnation has under way was recorded before, too.
func (j *journal) answerFlushes(ctx actor.Context) {
	for j.strangers == 0 && len(j.flushes) > 0 && j.flushes[0].upTo <= j.durable {
		ctx.Send(j.flushes[0].from, &flushed{})
		j.flushes = j.flushes[1:]
	}
}

// pump starts commits while there is something to commit and a writer free.
func (j *journal) pump(ctx actor.Context) {
	for len(j.groups) < j.system.config.Writers {
		group := j.gather()
		if group == nil {
			return
		}
		j.groups = append(j.groups, group)
		j.system.committing.begin(group)
		j.system.background(ctx.Self(), group.commit(j.system))
		j.announce(ctx, group)
	}
}

// announce tells who is about to get something, so that what it takes to deliver
// that is read while the group is committed. When there is much to do it only costs.
func (j *journal) announce(ctx actor.Context, group *commitGroup) {
	if len(j.groups) > 1 || len(group.notifications) > announcedMax {
		return
	}
	users := newByRange[push.User](j.system)
	for _, n := range group.notifications {
		if n.SendAt.IsZero() {
			users.add(n.User.Shard(), n.User)
		}
	}
	users.each(func(to *actor.PID, list []push.User) { ctx.Send(to, &coming{users: list}) })
}

// gather takes what the next group holds, or nothing.
func (j *journal) gather() *commitGroup {
	if j.strangers > 0 {
		return nil
	}
	group := &commitGroup{}
	if !j.recording && !j.pausing {
		group.batch = j.takeRecords()
	}
	if group.batch == nil || !j.apart {
		j.takeAccepts(group)
	}
	if group.batch == nil && len(group.accepts) == 0 {
		return nil
	}
	j.recording = j.recording || group.batch != nil
	return group
}

// takeRecords gives what the store did not take before, or waiting records:
// one whatever it tells of, and more while there is room for their events.
func (j *journal) takeRecords() (next *batch) {
	if j.again != nil {
		next, j.again = j.again, nil
		return next
	}
	n, events := 0, 0
	for n < len(j.records) && n < groupMax {
		if events += j.records[n].tells(); n > 0 && events > groupMax {
			break
		}
		n++
	}
	if n == 0 {
		return nil
	}
	next = &batch{}
	next.records, j.records = cut(j.records, n)
	return next
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

func (j *journal) onCommitted(ctx actor.Context, group *commitGroup) {
	j.system.committing.end(group)
	if group.err == nil && group.batch != nil {
		j.system.publish(group.batch) // first of all, for it must not get lost
	}
	j.system.observe(GroupCommitted{Notifications: len(group.notifications), Records: len(group.batch.all()), Events: group.batch.told(), Took: group.took, Err: group.err})
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
// Nothing is committed before, so that their notifications are handed out, and
// their events told, in their turn.
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
	j.answerFlushes(ctx)
	j.pump(ctx)
}

// closeRecords notes that a group's records are durable, or keeps them for
// another try.
func (j *journal) closeRecords(ctx actor.Context, group *commitGroup) {
	if group.batch == nil {
		return
	}
	j.recording = false
	if group.err != nil {
		j.apart = true
		j.again = group.batch
		j.failures++
		j.pausing = true
		j.system.noteTrouble()
		j.system.after(backoff(resumeBase, resumeLimit, j.failures), ctx.Self(), &resume{})
		j.system.observe(StoreFailed{What: "record outcomes", Err: group.err})
		return
	}
	j.apart = false
	j.failures = 0
	j.system.trouble.Store(nil)
	j.durable += uint64(len(group.batch.all()))
	finished := 0
	done := newByRange[push.ID](j.system)
	for _, r := range group.batch.all() {
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
	j.answerFlushes(ctx)
}

// release answers a group's callers and hands its notifications out.
func (j *journal) release(ctx actor.Context, group *commitGroup) {
	if len(group.accepts) == 0 {
		return
	}
	last := group.last()
	j.system.released.Store(&last)
	if group.err != nil {
		j.system.observe(StoreFailed{What: "accept notifications", Err: group.err})
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
	node := Node{Kind: "journal", State: "running", Queue: len(j.accepts) + len(j.records) + len(j.again.all()), InFlight: len(j.groups)}
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
