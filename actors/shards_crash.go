package actors

import (
	"context"
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
	row := r.failures.add(time.Now())
	pause := backoff(restartBase, restartCap, row)
	if row > crashesMax {
		pause = crashRest
	}
	s.system.config.Observe(failureOf(s.system, child, reason, r.failures.total, pause))
	if !r.leaving {
		r.crashed = true
		r.leaving = true
		s.system.after(pause, s.system.rangeOf(user), &ofLife{s.life, &respawn{user: user}})
	}
	ctx.StopChildren(child)
}

// onRespawn reads what a crashed user had not finished, once the journal has
// committed what it did.
func (s *shards) onRespawn(ctx actor.Context, user push.User) {
	r := s.users[user]
	if r == nil || !r.crashed {
		return
	}
	if r.pid != nil { // it has not terminated yet
		s.later(ctx, restartBase, &respawn{user: user})
		return
	}
	r.reading = true
	upTo, limit := s.cursor, s.shareMax()
	s.read(ctx, func(ctx context.Context) any {
		pending, err := s.system.readUnfinished(ctx, user, upTo, limit)
		return &recovered{userRead{user: user, pending: pending, err: err}}
	})
}

func (s *System) readUnfinished(ctx context.Context, user push.User, upTo push.ID, limit int) ([]store.Pending, error) {
	if _, err := s.ask(s.journal, &flush{}, storeTimeout); err != nil {
		return nil, err
	}
	return s.config.Store.ListPendingOf(ctx, user, push.ID{}, upTo, limit)
}

func (s *shards) onRecovered(ctx actor.Context, read userRead) {
	r := s.users[read.user]
	if r == nil || !r.crashed {
		return
	}
	if read.err != nil {
		r.reading = false
		s.system.config.Observe(StoreFailed{What: "read a crashed user's work", Err: read.err})
		s.later(ctx, reloadAfter, &respawn{user: read.user})
		return
	}
	var work []any
	for _, p := range read.pending {
		if s.window[p.Notification.ID] == nil { // left in the store before
			s.hold(r, p.Notification.ID)
		}
		work = append(work, &deliver{notification: p.Notification, done: p.Done})
	}
	r.held = append(work, r.held...)
	if len(r.held) == 0 {
		delete(s.users, read.user)
		return
	}
	s.reenter(ctx, read.user, r)
}
