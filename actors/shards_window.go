package actors

import (
	"context"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// How a range takes work in: from the journal while it keeps up, from the store
// when it is behind.

// behind tells whether committed work waits in the store.
func (s *shards) behind() bool { return s.filling || s.newest.Compare(s.cursor) > 0 }

// onComing has users ready for what is being committed for them, unless that will
// have to wait in the store. If it is not committed after all, they leave again
// like others who have nothing to do.
func (s *shards) onComing(ctx actor.Context, users []push.User) {
	for _, user := range users {
		if s.begun && !s.behind() && len(s.users) < s.system.config.Window && s.room() > 0 {
			s.residentOf(ctx, user)
		}
	}
}

func (s *shards) onHandOut(ctx actor.Context, list []push.Notification) {
	for _, n := range list {
		if n.ID.Compare(s.newest) <= 0 {
			continue // a read of the store will find it, or has
		}
		if direct := s.begun && !s.behind() && s.room() > 0; direct {
			if n.SendAt.IsZero() {
				s.take(ctx, store.Pending{Notification: n})
			}
			s.cursor = n.ID
		}
		s.expect(n.SendAt)
		s.newest = n.ID
	}
	s.fill(ctx, s.half())
}

// take gives a notification to its user, unless that has a full share of the
// window: then it waits in the store. They come by ascending ID.
func (s *shards) take(ctx actor.Context, p store.Pending) {
	r := s.residentOf(ctx, p.Notification.User)
	if r.behind() || r.share >= s.system.config.share() {
		r.skipped = p.Notification.ID
		return
	}
	s.give(ctx, r, p)
}

// residentOf finds or spawns a user.
func (s *shards) residentOf(ctx actor.Context, user push.User) *resident {
	r := s.users[user]
	if r == nil {
		r = &resident{user: user}
		s.users[user] = r
		s.enter(ctx, user, r)
	}
	return r
}

func (s *shards) give(ctx actor.Context, r *resident, p store.Pending) {
	id := p.Notification.ID
	if s.isOld(id) {
		r.last = later(r.last, id)
		return
	}
	s.hold(r, id)
	if r.crashed && !r.reading {
		return // the read that precedes its next generation will find it
	}
	s.tell(ctx, r, &deliver{notification: p.Notification, done: p.Done})
}

// isOld tells whether the store's word on a pending notification is old: it is
// in hand, or was cancelled while it was read.
func (s *shards) isOld(id push.ID) bool {
	_, inHand := s.window[id]
	_, cancelled := s.cancelled[id]
	return inHand || cancelled
}

// hold counts a notification as in the window that comes from the store in
// its turn.
func (s *shards) hold(r *resident, id push.ID) {
	s.occupy(r, id, false)
	r.last = later(r.last, id) // the sweep finds older ones
}

// occupy gives a notification its place in the window.
func (s *shards) occupy(r *resident, id push.ID, back bool) {
	s.free(id)
	s.window[id] = place{owner: r, back: back}
	if back {
		s.backs++
	} else {
		r.share++
	}
}

// free takes a notification out of the window.
func (s *shards) free(id push.ID) {
	p, ok := s.window[id]
	switch {
	case !ok:
		return
	case p.back:
		s.backs--
	default:
		p.owner.share--
	}
	delete(s.window, id)
}

// room is how many more the window takes.
func (s *shards) room() int { return s.system.config.Window - (len(s.window) - s.backs) }

// behind tells whether work of this user was left in the store.
func (r *resident) behind() bool { return r.skipped.Compare(r.last) > 0 }

// catchUp reads what was left in the store of a user who has worked off half
// of its share.
func (s *shards) catchUp(ctx actor.Context, r *resident) {
	if !s.begun || !r.behind() || r.catchUp || r.crashed || r.share > s.system.config.share()/2 {
		return
	}
	r.catchUp = true
	read := userRead{user: r.user, after: r.last, upTo: r.skipped, limit: s.system.config.share() - r.share}
	s.read(ctx, func(ctx context.Context) any {
		read.pending, read.err = s.system.config.Store.ListPendingOf(ctx, read.user, read.after, read.upTo, read.limit)
		return &caughtUp{read}
	})
}

func (s *shards) onCaughtUp(ctx actor.Context, read userRead) {
	r := s.users[read.user]
	if r == nil || !r.catchUp || read.after != r.last {
		return // the user crashed meanwhile, and began anew
	}
	r.catchUp = false
	if read.err != nil {
		s.storeFailed(ctx, "read what was left of a user", read.err)
		return
	}
	if r.crashed {
		return // its next generation begins with a read of its own
	}
	for _, p := range read.pending {
		s.give(ctx, r, p)
	}
	if len(read.pending) == 0 {
		r.skipped = r.last // what was left is gone: expired work that was removed, or forgotten
	}
	s.catchUp(ctx, r)
}

// half is the room at which the window is filled again: so that a read brings
// many.
func (s *shards) half() int { return max(1, s.system.config.Window/2) }

// fill reads the next notifications from the store if there is at least so
// much room for them. Every tick fills whatever room there is, because what
// fills the window may be waiting for a long time.
func (s *shards) fill(ctx actor.Context, atLeast int) {
	room := s.room()
	if !s.begun || s.filling || s.newest.Compare(s.cursor) <= 0 || room < atLeast {
		return
	}
	s.filling = true
	own, after, upTo, limit := s.own, s.cursor, s.newest, min(room, readMax)
	s.read(ctx, func(ctx context.Context) any {
		pending, err := s.system.config.Store.ListPending(ctx, own, after, upTo, limit)
		return &filled{pendingRead{pending: pending, upTo: upTo, full: len(pending) == limit, err: err}}
	})
}

func (s *shards) onFilled(ctx actor.Context, read pendingRead) {
	s.filling = false
	if read.err != nil {
		s.storeFailed(ctx, "read pending notifications", read.err)
		return
	}
	for _, p := range read.pending {
		if !s.isOld(p.Notification.ID) {
			s.take(ctx, p)
		}
		s.cursor = p.Notification.ID
	}
	if !read.full {
		s.cursor = read.upTo
	}
	s.fill(ctx, s.half())
}

func (s *shards) onSettled(ctx actor.Context, ids []push.ID) {
	for _, id := range ids {
		if p, ok := s.window[id]; ok {
			s.free(id)
			s.catchUp(ctx, p.owner)
		}
		if s.finished != nil {
			s.finished[id] = true
		}
	}
	s.fill(ctx, s.half())
	s.serveFetches(ctx)
}

// onSweep looks for pending notifications that were handed out and that
// nobody holds: a safeguard against messages lost in ways not foreseen.
func (s *shards) onSweep(ctx actor.Context) {
	if s.sweeping || !s.begun {
		return
	}
	s.sweeping = true
	s.due = store.Parking{} // all that is due is told once more
	s.lookAt(time.Now())
	own, upTo := s.own, s.cursor
	limit := len(s.window) + readMax
	s.read(ctx, func(ctx context.Context) any {
		pending, err := s.system.config.Store.ListPending(ctx, own, push.ID{}, upTo, limit)
		return &swept{pendingRead{pending: pending, upTo: upTo, err: err}}
	})
}

// onSwept takes up what two sweeps in a row found unheld; once is not enough,
// since it may have been finished between the read and now.
func (s *shards) onSwept(ctx actor.Context, read pendingRead) {
	s.sweeping = false
	if read.err != nil {
		s.system.observe(StoreFailed{What: "sweep pending notifications", Err: read.err})
		return
	}
	suspects := make(map[push.ID]bool)
	for _, p := range read.pending {
		id := p.Notification.ID
		r := s.users[p.Notification.User]
		if s.isOld(id) || r != nil && r.behind() && id.Compare(r.last) > 0 {
			continue // held, or left in the store on purpose
		}
		if s.suspects[id] {
			s.system.observe(WorkRejoined{Notification: id})
			s.give(ctx, s.residentOf(ctx, p.Notification.User), p) // out of turn, whatever its share
		} else {
			suspects[id] = true
		}
	}
	s.suspects = suspects
}
