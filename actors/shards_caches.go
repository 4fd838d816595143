package actors

import (
	"context"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
)

// How a range reads its users' subscriptions: many users at a time, and together
// with other ranges (caches.go).

// want asks for a user's subscriptions. They are read when the message in hand has
// been seen to, with those of all users that it brought.
func (s *shards) want(user push.User, r *resident) {
	if !r.wanted {
		r.wanted = true
		s.load = append(s.load, user)
	}
}

// loadCaches begins to read what is wanted, unless a read is under way: then it is
// for the next one.
func (s *shards) loadCaches(ctx actor.Context) {
	if !s.begun || s.ending || s.loading || s.loadFailed || len(s.load) == 0 {
		return
	}
	s.loading = true
	read := cacheRead{changes: make(map[push.User]int)}
	read.users, s.load = cut(s.load, readMax)
	for _, user := range read.users {
		if r := s.users[user]; r != nil {
			r.wanted = false
			read.changes[user] = r.changes
		}
	}
	s.read(ctx, func(ctx context.Context) any {
		read.found, read.err = s.system.caches.list(ctx, read.users)
		return &loaded{read}
	})
}

func (s *shards) onLoaded(ctx actor.Context, read cacheRead) {
	s.loading = false
	for _, user := range read.users {
		r := s.users[user]
		switch {
		case r == nil || !r.present():
			// gone meanwhile; its next generation asks again
		case read.err != nil, r.changes != read.changes[user]:
			if !r.wanted {
				r.wanted = true
				s.load = append(s.load, user)
			}
		case !r.wanted:
			s.tell(ctx, r, &supply{subscriptions: read.found[user]})
		}
	}
	if s.loadFailed = read.err != nil; s.loadFailed {
		s.storeFailed(ctx, "read subscriptions", read.err)
	}
}

func (s *shards) onChanged(ctx actor.Context, user push.User) {
	r := s.users[user]
	if r == nil {
		return
	}
	r.changes++
	if r.present() {
		s.tell(ctx, r, &invalidate{})
		s.want(user, r)
	}
}

// onDoubt takes every cached subscription for old.
func (s *shards) onDoubt(ctx actor.Context) {
	for user := range s.users {
		s.onChanged(ctx, user)
	}
}
