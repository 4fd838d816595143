package actors

import (
	"context"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// How a range brings parked work back: what was put off because a subscription
// rests, and what is not to be sent before its time.
//
// The range looks in the store for what is due, and tells each user of it. A
// user who is ready fetches its own, page by page; the pages of many users are
// read together. So what comes back meets what the user has in memory, in order.
//
// What is due has a mark of its own, like the cursor of the window: all that
// is due up to the mark was told to its user. A restart begins at zero.

// dueRoom is how much more may come back. It has room of its own, a quarter of
// the window: neither does it wait for fresh work, nor the other way round.
func (s *shards) dueRoom() int { return max(1, s.system.config.Window/4) - s.backs }

// expect makes sure that the range looks again at that time. What became
// durable late may be due already, before the mark.
func (s *shards) expect(at time.Time) {
	if at.IsZero() {
		return
	}
	at = at.Truncate(time.Millisecond) // as the store has it
	if !at.After(s.due.Until) {
		s.due = store.Parking{Until: at.Add(-time.Millisecond)}
	}
	s.lookAt(at)
}

// lookAt makes sure that the range looks on from the mark at that time.
func (s *shards) lookAt(at time.Time) {
	at = at.Truncate(time.Millisecond) // as look has it
	if s.nextDue.IsZero() || at.Before(s.nextDue) {
		s.nextDue = at
	}
}

// look reads who has work that is due, if it is time.
func (s *shards) look(ctx actor.Context) {
	now := time.Now().Truncate(time.Millisecond)
	if !s.begun || s.looking || s.nextDue.IsZero() || now.Before(s.nextDue) || s.dueRoom() <= 0 || s.told >= readMax {
		return
	}
	s.looking, s.nextDue = true, time.Time{}
	own, after := s.own, s.due
	s.read(ctx, func(ctx context.Context) any {
		read := dueRead{after: after, upTo: now}
		read.due, read.err = s.system.config.Store.ListDue(ctx, own, after, now, readMax)
		if read.err == nil && len(read.due) < readMax {
			read.next, read.err = s.system.config.Store.NextDue(ctx, own, now)
		}
		return &found{read}
	})
}

func (s *shards) onFound(ctx actor.Context, read dueRead) {
	s.looking = false
	if read.err != nil {
		s.expect(read.upTo)
		s.storeFailed(ctx, "read who has work that is due", read.err)
		return
	}
	for _, d := range read.due {
		if !s.isOld(d.Notification) {
			s.tellDue(ctx, s.residentOf(ctx, d.User))
		}
	}
	meanwhile := s.nextDue // of what became durable during the read, and is not in it
	switch {
	case s.due != read.after: // some of that is due before the mark: look again from there
		s.expect(read.upTo)
	case len(read.due) == readMax:
		s.due = read.due[readMax-1].Parking
		s.lookAt(read.upTo)
	default:
		s.due = store.Parking{Notification: lastID, Until: read.upTo}
		s.expect(read.next)
	}
	s.expect(meanwhile)
	s.look(ctx)
}

// lastID comes after every other.
var lastID = push.ID{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// tellDue tells a user that parked work of it is due, unless that is known.
func (s *shards) tellDue(ctx actor.Context, r *resident) {
	if r.told {
		return
	}
	r.told = true
	s.told++
	s.tell(ctx, r, &comeDue{})
}

// forgetTold notes that a user got what it was told of, or never will.
func (s *shards) forgetTold(r *resident) {
	if r.told {
		r.told = false
		s.told--
	}
}

// onFetch takes a user's wish for what is due. Those that come while a read is
// under way are read together.
func (s *shards) onFetch(ctx actor.Context, f *fetch) {
	r := s.users[f.user]
	if r == nil || !r.present() || r.pid.Id != f.from.Id {
		return // of a generation that is no more
	}
	s.fetches = append(s.fetches, asked{store.UserAfter{User: f.user, After: f.after}, f.from.Id})
	s.serveFetches(ctx)
}

func (s *shards) serveFetches(ctx actor.Context) {
	room := s.dueRoom()
	if !s.begun || s.fetching || len(s.fetches) == 0 || room <= 0 {
		return
	}
	s.fetching = true
	s.finished = make(map[push.ID]bool)
	var users []asked
	users, s.fetches = cut(s.fetches, min(room, fetchMax))
	limit := min(max(1, room/len(users)), s.system.config.share())
	places := make([]store.UserAfter, len(users))
	for i, asked := range users {
		places[i] = asked.UserAfter
		if r := s.users[asked.User]; r != nil {
			s.forgetTold(r) // what comes due from now on is not in this read
		}
	}
	s.read(ctx, func(ctx context.Context) any {
		read := fetchRead{users: users, limit: limit}
		read.pending, read.err = s.system.config.Store.ListDueOf(ctx, places, time.Now(), limit)
		return &fetched{read}
	})
}

// onFetched brings each user its page. What is in the window already, or was
// finished during the read, is not in it: the store's word on that is old.
func (s *shards) onFetched(ctx actor.Context, read fetchRead) {
	s.fetching = false
	finished := s.finished
	s.finished = nil
	if read.err != nil {
		s.fetches = append(read.users, s.fetches...)
		s.storeFailed(ctx, "read what is due", read.err)
		return
	}
	for _, asked := range read.users {
		r := s.users[asked.User]
		if r == nil || !r.present() || r.pid.Id != asked.from {
			continue // its next generation asks again
		}
		page := read.pending[asked.User]
		answer := &restock{upTo: asked.After, complete: len(page) < read.limit}
		for _, p := range page {
			id := p.Notification.ID
			answer.upTo = id
			if !s.isOld(id) && !finished[id] {
				s.occupy(r, id, true)
				answer.pending = append(answer.pending, p)
			}
		}
		s.tell(ctx, r, answer)
	}
	s.serveFetches(ctx)
	s.look(ctx)
}

// onLeft takes a parked notification out of the window.
func (s *shards) onLeft(ctx actor.Context, l *left) {
	s.expect(l.until)
	if p, ok := s.window[l.id]; ok && p.owner.pid != nil && p.owner.pid.Id == l.from.Id {
		s.free(l.id)
		s.catchUp(ctx, p.owner)
		s.fill(ctx, s.half())
		s.serveFetches(ctx)
	}
}
