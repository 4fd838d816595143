package actors

import (
	"context"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// What a range does when a user panics.

// HandleFailure stops a user that panicked. After a pause its work is read
// from the store and given to its next generation.
func (s *shards) HandleFailure(_ *actor.ActorSystem, ctx actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, _ any) {
	user := userOf(child)
	r := s.users[user]
	row := r.failures.add(time.Now(), reason)
	pause := backoff(restartBase, restartCap, row)
	if row > crashesMax {
		pause = crashRest
	}
	s.system.observe(failureOf(s.system, child, reason, r.failures.total, pause))
	if !r.leaving {
		r.crashed = true
		r.leaving = true
		s.system.after(pause, s.system.rangeOf(user), &ofLife{s.life, &respawn{user: user}})
	}
	ctx.StopChildren(child)
}

// onRespawn reads what a crashed user had not finished, once the journal has
// committed what it did. What is newer comes as ever, and is held meanwhile.
func (s *shards) onRespawn(ctx actor.Context, user push.User) {
	r := s.users[user]
	if r == nil || !r.crashed {
		return
	}
	if r.pid != nil { // it has not terminated yet
		s.later(ctx, restartBase, &respawn{user: user})
		return
	}
	s.clear(r)
	r.reading = true
	r.last, r.skipped = s.cursor, push.ID{}
	read := userRead{user: user, upTo: s.cursor, limit: s.system.config.share()}
	s.read(ctx, func(ctx context.Context) any {
		read.pending, read.err = s.system.readUnfinished(ctx, read)
		return &recovered{read}
	})
}

func (s *System) readUnfinished(ctx context.Context, read userRead) ([]store.Pending, error) {
	if _, err := s.ask(s.journal, &flush{}, storeTimeout); err != nil {
		return nil, err
	}
	return s.config.Store.ListPendingOf(ctx, read.user, read.after, read.upTo, read.limit)
}

func (s *shards) onRecovered(ctx actor.Context, read userRead) {
	r := s.users[read.user]
	if r == nil || !r.crashed {
		return
	}
	if read.err != nil {
		r.reading = false
		s.system.observe(StoreFailed{What: "read a crashed user's work", Err: read.err})
		s.later(ctx, reloadAfter, &respawn{user: read.user})
		return
	}
	if n := len(read.pending); n == read.limit { // there may be more before what came meanwhile
		s.release(r)
		r.last, r.skipped = read.pending[n-1].Notification.ID, later(r.last, r.skipped)
	}
	var work []any
	for _, p := range read.pending {
		s.occupy(r, p.Notification.ID, false)
		work = append(work, &deliver{notification: p.Notification, done: p.Done})
	}
	r.held = append(work, r.held...)
	s.expect(time.Now()) // its parkings may not have been told
	s.reenter(ctx, read.user, r)
	s.tellDue(ctx, r)
}

func later(a, b push.ID) push.ID {
	if a.Compare(b) < 0 {
		return b
	}
	return a
}

// clear takes all of a user's notifications out of the window, and what was
// asked for it.
func (s *shards) clear(r *resident) {
	s.release(r)
	for id, p := range s.window {
		if p.owner == r {
			s.free(id)
		}
	}
	r.catchUp = false
	s.forgetTold(r)
	s.fetches = slices.DeleteFunc(s.fetches, func(a asked) bool { return a.User == r.user })
}

// release leaves in the store what is held for a user's next generation.
func (s *shards) release(r *resident) {
	r.held = slices.DeleteFunc(r.held, func(message any) bool {
		d, ok := message.(*deliver)
		if ok {
			s.free(d.notification.ID)
		}
		return ok
	})
}
