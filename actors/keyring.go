package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// keyMemory is how long the journal remembers a key that is in the store: for
// a caller that looked there just before.
const keyMemory = time.Minute

// keyring sees to it that of several accepts with the same idempotency key one
// alone is committed. The store knows the keys of all that were; the keyring
// knows those that are on their way there.
type keyring struct {
	keys   map[keyName]*keyEntry
	recent []recentKey // by time
}

type keyName struct{ app, key string }

type keyEntry struct {
	request   [32]byte
	followers []*actor.PID // who asked the same while the first waited
	answer    *accepted    // once it is known
}

type recentKey struct {
	name keyName
	at   time.Time
}

// enter tells whether the accept with this key is the first. Another one is
// answered here, now or when the first one is.
func (r *keyring) enter(ctx actor.Context, key Key) (first bool) {
	name := keyName{key.App, key.Key}
	entry := r.keys[name]
	switch {
	case entry == nil:
		if r.keys == nil {
			r.keys = make(map[keyName]*keyEntry)
		}
		r.keys[name] = &keyEntry{request: key.Request}
		return true
	case entry.request != key.Request:
		ctx.Respond(&refused{err: ErrKeyReused})
	case entry.answer != nil:
		ctx.Respond(entry.answer)
	default:
		entry.followers = append(entry.followers, ctx.Sender())
	}
	return false
}

// leave gives the first one's answer to those who asked the same. A key whose
// accept was refused is free again.
func (r *keyring) leave(ctx actor.Context, key Key, answer any) {
	name := keyName{key.App, key.Key}
	entry := r.keys[name]
	if entry == nil {
		return // of the journal's former life
	}
	for _, pid := range entry.followers {
		ctx.Send(pid, answer)
	}
	entry.followers = nil
	ok := false
	if entry.answer, ok = answer.(*accepted); !ok {
		delete(r.keys, name)
		return
	}
	now := time.Now()
	r.recent = append(r.recent, recentKey{name, now})
	for len(r.recent) > 0 && now.Sub(r.recent[0].at) > keyMemory {
		delete(r.keys, r.recent[0].name)
		r.recent = r.recent[1:]
	}
}
