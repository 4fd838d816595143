package api

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/belfryhq/belfry/store"
)

const (
	lookupTimeout = 5 * time.Second  // for the store to find a key
	revokeTimeout = 15 * time.Second // for the store to delete or replace one
	lookupsMax    = 8                // at a time: who comes with invented keys has no more of the store than that
	keysKept      = 1024             // that were found, before those are forgotten that are not used
	keyIdle       = 30 * time.Minute // a key that was not used for so long may be forgotten: its allowance is whole again
	burstMin      = 1000             // what a key may do at once, whatever its rate: one request costs no more
	burstSeconds  = 10               // of its rate, if that is more
)

// keyring remembers keys that were found. Only this process changes keys, by
// the methods of its Server, so what is remembered is true.
type keyring struct {
	rate    int           // of keys that have none of their own, a second; 0 for no limit
	lookups chan struct{} // one for each that is under way

	mu      sync.RWMutex
	known   map[[32]byte]*knownKey
	sweepAt int // how many there are when the next sweep is due
	changes int // a key that was looked up before one is not remembered after it
}

// knownKey is an API key that was found.
type knownKey struct {
	store.APIKey
	allowance *rate.Limiter   // nil without a limit
	life      context.Context // ends when the key is revoked or replaced
	end       context.CancelFunc
	used      atomic.Int64 // when it was used last, in seconds since 1970
	answers   atomic.Int32 // that go on for long, and end with it
}

func newKeyring(rate int) *keyring {
	return &keyring{rate: rate, lookups: make(chan struct{}, lookupsMax), known: make(map[[32]byte]*knownKey), sweepAt: keysKept}
}

// find gives a key by its hash. The error is the store's, or ctx's.
func (r *keyring) find(ctx context.Context, in store.APIKeys, hash [32]byte) (*knownKey, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	for {
		key, changes := r.remembered(hash)
		if key != nil {
			return key, nil
		}
		row, err := r.lookUp(ctx, in, hash)
		if err != nil {
			return nil, err
		}
		if key := r.remember(row, changes); key != nil {
			return key, nil
		}
		// A key was changed meanwhile, and it may be this one.
	}
}

func (r *keyring) remembered(hash [32]byte) (key *knownKey, changes int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if key = r.known[hash]; key != nil {
		key.used.Store(time.Now().Unix())
	}
	return key, r.changes
}

func (r *keyring) lookUp(ctx context.Context, in store.APIKeys, hash [32]byte) (store.APIKey, error) {
	select {
	case r.lookups <- struct{}{}:
		defer func() { <-r.lookups }()
	case <-ctx.Done():
		return store.APIKey{}, ctx.Err()
	}
	return in.FindAPIKey(ctx, hash)
}

// remember keeps a key, unless a key was changed since it was looked up.
func (r *keyring) remember(row store.APIKey, changes int) *knownKey {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changes != changes {
		return nil
	}
	if key := r.known[row.Hash]; key != nil {
		return key // another request looked it up too: they have one allowance
	}
	if len(r.known) >= r.sweepAt {
		r.sweep(time.Now().Add(-keyIdle))
	}
	key := &knownKey{APIKey: row, allowance: r.allowanceOf(row)}
	key.life, key.end = context.WithCancel(context.Background())
	key.used.Store(time.Now().Unix())
	r.known[row.Hash] = key
	return key
}

func (r *keyring) allowanceOf(row store.APIKey) *rate.Limiter {
	perSecond := row.Rate
	if perSecond == 0 {
		perSecond = r.rate
	}
	if perSecond == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(burstSeconds*perSecond, burstMin))
}

// sweep forgets the keys that were used last before a time.
func (r *keyring) sweep(before time.Time) {
	for hash, key := range r.known {
		if key.used.Load() < before.Unix() && key.answers.Load() == 0 {
			key.end()
			delete(r.known, hash)
		}
	}
	r.sweepAt = max(keysKept, 2*len(r.known))
}

// revoke does in the store what ends a key of an app, whether or not the caller
// waits for it. The key is not remembered afterwards even if the store did not say
// that it was done.
func (r *keyring) revoke(ctx context.Context, app, id string, do func(ctx context.Context) error) error {
	err := doWithin(context.WithoutCancel(ctx), revokeTimeout, do)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
	for hash, key := range r.known {
		if key.App == app && key.ID == id {
			key.end()
			delete(r.known, hash)
		}
	}
	return err
}

// untilRevoked is for an answer that goes on for long: its context ends, with the
// cause errUnauthorized, when the API key that the request came by is revoked or
// replaced. It is to be cancelled at the end of the answer.
func untilRevoked(ctx context.Context) (context.Context, context.CancelFunc) {
	key := callerOf(ctx).key
	if key == nil {
		return context.WithCancel(ctx)
	}
	key.answers.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(key.life, func() { cancel(errUnauthorized) })
	return ctx, sync.OnceFunc(func() {
		stop()
		cancel(nil)
		key.answers.Add(-1)
	})
}
