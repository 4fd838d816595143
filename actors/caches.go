package actors

import (
	"context"
	"runtime"
	"slices"
	"sync"

	"github.com/belfryhq/belfry/push"
)

// cachesMax is how many users' subscriptions are read in one query.
const cachesMax = 1024

// cacheReads reads subscriptions for all ranges of shards. Who asks while a query
// is under way is answered by the next one, together with all others who do: the
// users of a mailing are of all ranges, and a query for each would be sixteen.
type cacheReads struct {
	system *System

	mu      sync.Mutex
	waiting []*cacheAsk
	reading bool
}

// cacheAsk is one range's question.
type cacheAsk struct {
	users []push.User
	found map[push.User][]push.Subscription // those of others, too
	err   error
	done  chan struct{}
}

// list gives the subscriptions of the users. The map may not be changed.
func (c *cacheReads) list(ctx context.Context, users []push.User) (map[push.User][]push.Subscription, error) {
	ask := &cacheAsk{users: users, done: make(chan struct{})}
	c.mu.Lock()
	c.waiting = append(c.waiting, ask)
	begin := !c.reading
	c.reading = true
	c.mu.Unlock()
	if begin {
		c.system.beside(c.read)
	}
	select {
	case <-ask.done:
		return ask.found, ask.err
	case <-ctx.Done():
		c.leave(ask)
		return nil, ctx.Err()
	}
}

// leave takes back a question: who asked will ask again, and what is slow is not
// to be asked twice.
func (c *cacheReads) leave(ask *cacheAsk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = slices.DeleteFunc(c.waiting, func(other *cacheAsk) bool { return other == ask })
}

// read answers until nobody waits.
func (c *cacheReads) read() {
	for {
		c.letCome()
		asks, users := c.take()
		if len(asks) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(c.system.ctx, storeTimeout)
		found, err := c.system.config.Store.ListSubscriptions(ctx, users)
		cancel()
		for _, ask := range asks {
			ask.found, ask.err = found, err
			close(ask.done)
		}
	}
}

// letCome gives way to those who are about to ask, for as long as some do: the
// ranges that were handed a part of the same mailing. It waits for nobody.
func (c *cacheReads) letCome() {
	for before, now := -1, 0; before < now; before, now = now, c.length() {
		runtime.Gosched()
	}
}

func (c *cacheReads) length() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}

// take gives what one query is for: the first who waits, and more while there is room.
func (c *cacheReads) take() (asks []*cacheAsk, users []push.User) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for n < len(c.waiting) && (n == 0 || len(users)+len(c.waiting[n].users) <= cachesMax) {
		users = append(users, c.waiting[n].users...)
		n++
	}
	asks, c.waiting = cut(c.waiting, n)
	c.reading = n > 0
	return asks, users
}
