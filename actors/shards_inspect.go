package actors

import (
	"iter"
	"strings"

	"github.com/asynkron/protoactor-go/actor"
)

// How a range shows its users, of which there may be many.

func (s *shards) onInspect(ctx actor.Context, ask *inspect) {
	node := Node{Kind: "shards", State: "running", Queue: len(s.window)}
	if s.behind() {
		node.State = "behind the store"
	}
	ctx.Respond(describeMany(ask, node, len(s.users), s.named(ask.child), refToUser))
}

func (s *shards) onSearch(ctx actor.Context, ask *search) {
	matching := func(yield func(string, *resident) bool) {
		for user, r := range s.users {
			if strings.Contains(strings.ToLower(user.App+":"+user.ID), ask.part) && !yield(r.name(), r) {
				return
			}
		}
	}
	found, more := firstByName(matching, "", ask.limit, refToUser)
	ctx.Respond(&searched{found: found, more: more})
}

// named gives all users by their actors' names, or the one of that name.
func (s *shards) named(name string) iter.Seq2[string, *resident] {
	return func(yield func(string, *resident) bool) {
		if name != "" {
			user, err := userCalled(name)
			if r := s.users[user]; err == nil && r != nil {
				yield(name, r)
			}
			return
		}
		for _, r := range s.users {
			if !yield(r.name(), r) {
				return
			}
		}
	}
}

// name is the name of a user's actor, without making it anew where it stands.
func (r *resident) name() string {
	if r.pid != nil {
		return guestName(r.pid)
	}
	return userName(r.user)
}

func refToUser(name string, r *resident) childRef {
	ref := r.ref(name)
	ref.kind = "user"
	if r.crashed {
		ref.state = "crashed"
	}
	return ref
}
