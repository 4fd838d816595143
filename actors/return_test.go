package actors

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/stretchr/testify/require"
)

// What may go wrong when the store is slow and work comes back meanwhile.

// slowStore does something between a read of the store and its answer, once,
// or before every commit.
type slowStore struct {
	store.Store
	due    atomic.Pointer[func()]
	dueOf  atomic.Pointer[func()]
	commit atomic.Pointer[func(store.Group)]
}

func doOnce(p *atomic.Pointer[func()]) {
	if do := p.Swap(nil); do != nil {
		(*do)()
	}
}

func (s *slowStore) ListDue(ctx context.Context, shards push.ShardRange, after store.Parking, upTo time.Time, limit int) ([]store.Due, error) {
	list, err := s.Store.ListDue(ctx, shards, after, upTo, limit)
	doOnce(&s.due)
	return list, err
}

func (s *slowStore) ListDueOf(ctx context.Context, users []store.UserAfter, upTo time.Time, limit int) (map[push.User][]store.Pending, error) {
	list, err := s.Store.ListDueOf(ctx, users, upTo, limit)
	doOnce(&s.dueOf)
	return list, err
}

func (s *slowStore) Commit(ctx context.Context, group store.Group) error {
	if do := s.commit.Load(); do != nil {
		(*do)(group)
	}
	return s.Store.Commit(ctx, group)
}

// newSlowRig is a system of one range on a slowStore.
func newSlowRig(t *testing.T, window int) (*rig, *slowStore) {
	slow := &slowStore{}
	r := newRig(t, func(c *Config) {
		c.Window, c.Ranges = window, 1
		slow.Store, c.Store = c.Store, slow
	})
	return r, slow
}

// times is a script of the same answer again and again.
func times(n int, a answer) []answer {
	list := make([]answer, n)
	for i := range list {
		list[i] = a
	}
	return list
}

func TestReturn_ARestThatWasReadFromTheStoreEndsByItself(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.subscribe("ann", "phone")
		r.service.script("laptop", retryAfter(10*time.Minute))
		r.service.script("phone", times(1000, answer{delay: 50 * time.Second, result: hung})...)
		want := r.notifyTTL(6*time.Hour, "ann")
		time.Sleep(time.Second)
		require.NoError(t, r.Abandon())
		r.start()
		time.Sleep(time.Second)
		want = append(want, r.notifyTTL(6*time.Hour, "ann")...)
		time.Sleep(time.Hour)
		require.Equal(t, want, r.service.got("laptop"), "its rest was ten minutes, whatever the phone does")
	})
}

func TestReturn_WhatBecomesDurableDuringALookIsNotPassedOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, slow := newSlowRig(t, 2048)
		r.subscribe("ann", "laptop")
		r.subscribe("bob", "desktop")
		time.Sleep(time.Minute)
		at := time.Now().Add(time.Minute)
		_, err := r.Notify([]Draft{{User: userNamed("bob"), Content: []byte(`{}`), TTL: time.Hour, SendAt: at}})
		require.NoError(t, err)
		// While the answer to the look that finds bob's is on its way, ann's becomes
		// durable, which is due a moment later.
		accept := make(chan struct{})
		looked := func() { close(accept); time.Sleep(50 * time.Millisecond) }
		slow.due.Store(&looked)
		commit := func(g store.Group) {
			if len(g.Accepted) > 0 {
				<-accept
				time.Sleep(5 * time.Millisecond)
			}
		}
		slow.commit.Store(&commit)
		time.Sleep(time.Until(at) - 5*time.Millisecond)
		ids, err := r.Notify([]Draft{{User: userNamed("ann"), Content: []byte(`{}`), TTL: time.Hour, SendAt: time.Now().Add(5 * time.Millisecond)}})
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		require.Len(t, r.service.got("desktop"), 1)
		require.Equal(t, ids, r.service.got("laptop"))
	})
}

func TestReturn_WhatComesDueWhileAPageIsOnItsWayIsFetchedToo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, slow := newSlowRig(t, 2048)
		r.subscribe("ann", "laptop")
		at := time.Now().Add(time.Minute)
		draft := func(at time.Time) Draft {
			return Draft{User: userNamed("ann"), Content: []byte(`{}`), TTL: time.Hour, SendAt: at}
		}
		ids, err := r.Notify([]Draft{draft(at), draft(at.Add(2 * time.Second))})
		require.NoError(t, err)
		wait := func() { time.Sleep(4 * time.Second) } // a busy disk
		slow.dueOf.Store(&wait)
		time.Sleep(time.Minute + 30*time.Second)
		require.Equal(t, ids, r.service.got("laptop"))
	})
}

func TestReturn_ABacklogIsNotForSubscriptionsMadeLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(30*time.Minute))
		old := r.notify("ann", "ann", "ann")
		time.Sleep(time.Minute)
		r.subscribe("ann", "phone")
		fresh := r.notify("ann")
		time.Sleep(45 * time.Minute)
		require.Len(t, r.service.got("laptop"), len(old)+1)
		require.Equal(t, fresh, r.service.got("phone"))
	})
}

func TestReturn_ABrowserThatSubscribedAnewGetsWhatIsNew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(30*time.Minute))
		r.notify("ann", "ann")
		time.Sleep(time.Minute)
		require.NoError(t, r.Unsubscribe(t.Context(), sub.User, sub.Digest))
		time.Sleep(time.Minute)
		r.subscribe("ann", "laptop")
		fresh := r.notify("ann")
		time.Sleep(45 * time.Minute)
		require.Equal(t, fresh, r.service.got("laptop"))
	})
}

func TestReturn_WhatIsDueDoesNotStarveWhatIsFresh(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const users = 150
		r := newRig(t, func(c *Config) { c.Window, c.Ranges = 32, 1 })
		at := time.Now().Add(time.Hour)
		var drafts []Draft
		for i := range users {
			user := fmt.Sprint("user-", i)
			r.subscribe(user, user)
			drafts = append(drafts, Draft{User: userNamed(user), Content: []byte(`{}`), TTL: 3 * time.Hour, SendAt: at})
			r.service.script(user, answer{delay: time.Duration(3000+(i*37)%4000) * time.Millisecond})
		}
		_, err := r.Notify(drafts)
		require.NoError(t, err)
		r.subscribeAt("other.example", "bob")
		time.Sleep(time.Until(at) + 8*time.Second)
		sent := time.Now()
		r.notify("bob")
		time.Sleep(10 * time.Minute)
		require.Less(t, r.service.attemptsAt("bob")[0].Sub(sent), 10*time.Second)
	})
}

func TestReturn_ABacklogHoldsUpNoOtherSubscription(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Window, c.Ranges = 64, 1 })
		r.subscribe("ann", "laptop")
		r.subscribe("ann", "phone")
		r.service.script("laptop", retryAfter(time.Hour))
		for range 300 {
			r.notifyTTL(6*time.Hour, "ann")
		}
		time.Sleep(59 * time.Minute)
		before := len(r.service.got("phone"))
		require.Equal(t, 300, before)
		r.service.script("laptop", times(400, answer{delay: time.Second})...)
		time.Sleep(65 * time.Second)
		var worst time.Duration
		for range 20 {
			sent := time.Now()
			r.notifyTTL(6*time.Hour, "ann")
			before++
			for len(r.service.got("phone")) < before && time.Since(sent) < 10*time.Minute {
				time.Sleep(100 * time.Millisecond)
			}
			worst = max(worst, time.Since(sent))
			time.Sleep(time.Second)
		}
		require.Less(t, worst, 10*time.Second)
		time.Sleep(20 * time.Minute)
		require.Equal(t, r.service.got("phone"), r.service.got("laptop"))
	})
}

func TestParking_ShortWaitsForEverHoldUpNoOtherSubscription(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Window, c.Ranges = 64, 1 })
		r.subscribe("ann", "laptop")
		r.subscribe("ann", "phone")
		r.service.script("laptop", times(1000, retryAfter(30*time.Second))...)
		var want []push.ID
		for range 20 {
			want = append(want, r.notifyTTL(12*time.Hour, "ann")...)
		}
		time.Sleep(time.Hour)
		require.Equal(t, want, r.service.got("phone"))
	})
}

func TestParking_AHostThatThrottlesEverybodyHoldsUpNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Window, c.Ranges = 32, 1 })
		for i := range 100 {
			user := fmt.Sprint("user-", i)
			r.subscribe(user, user)
			r.service.script(user, times(500, retryAfter(time.Minute))...)
			r.notifyTTL(4*time.Hour, user)
		}
		r.subscribeAt("other.example", "bob")
		bobs := r.notifyTTL(4*time.Hour, "bob")
		time.Sleep(time.Hour)
		require.Equal(t, bobs, r.service.got("bob"))
	})
}

// What waits at a lane that is shut for a short time, again and again, is not
// to fill memory.
func TestParking_AQuotaThatStaysUsedUpHoldsUpNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Window, c.Ranges, c.LaneInFlight = 32, 1, 8 })
		for i := range 100 {
			user := fmt.Sprint("user-", i)
			r.register(androidAt(user, user, "example-shop"))
			r.service.script(user, times(500, answer{result: push.Result{Outcome: push.Retry, Status: 429, Pause: 30 * time.Second, AtLeast: time.Minute}})...)
			r.notifyTTL(4*time.Hour, user)
		}
		r.subscribeAt("other.example", "bob")
		bobs := r.notifyTTL(4*time.Hour, "bob")
		time.Sleep(10 * time.Minute)
		require.Equal(t, bobs, r.service.got("bob"))
	})
}

func TestCancel_WhileTheBacklogIsRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, slow := newSlowRig(t, 64)
		r.subscribe("ann", "laptop")
		hold := make(chan struct{})
		r.service.script("laptop", answer{hold: hold})
		var ids []push.ID
		for range 12 {
			ids = append(ids, r.notify("ann")...)
		}
		r.settle()
		commit := func(g store.Group) { time.Sleep(time.Second) } // a slow disk
		slow.commit.Store(&commit)
		close(hold)
		time.Sleep(1500 * time.Millisecond) // the second group of records is under way
		require.NoError(t, r.Cancel(t.Context(), push.DefaultApp, ids[10]))
		time.Sleep(time.Minute)
		require.Zero(t, r.windows())
		require.Equal(t, []string{"cancelled"}, r.states(ids[10]))
		require.NotContains(t, r.service.offered("laptop"), ids[10])
	})
}

func TestReturn_APageOfAnEarlierGenerationIsNotForTheNext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, slow := newSlowRig(t, 64)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(time.Hour))
		var ids []push.ID
		for range 24 {
			ids = append(ids, r.notifyTTL(6*time.Hour, "ann")...)
		}
		time.Sleep(time.Minute)
		r.service.takes(time.Second)
		r.failOnce(func(e Event) bool {
			c, ok := e.(DeliveryConcluded)
			return ok && c.Delivery.Notification == ids[4] // the second page is being read
		})
		first := func() {
			wait := func() { time.Sleep(3 * time.Second) }
			slow.dueOf.Store(&wait)
		}
		slow.dueOf.Store(&first)
		time.Sleep(2 * time.Hour)
		offered := r.service.offered("laptop")[1:]
		for i := 1; i < len(offered); i++ {
			require.LessOrEqual(t, offered[i-1].Compare(offered[i]), 0, "at %d: %s after %s", i, offered[i], offered[i-1])
		}
	})
}

func TestCancel_OfTheLastOfAPageBringsTheNext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Window, c.Ranges = 8, 1 })
		r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(10*time.Minute), answer{panics: true})
		r.bugs = true
		var ids []push.ID
		for range 3 {
			ids = append(ids, r.notifyTTL(6*time.Hour, "ann")...)
		}
		time.Sleep(9 * time.Minute)
		for len(eventsOf[ActorFailed](r)) == 0 {
			time.Sleep(time.Millisecond)
		}
		began := time.Now()
		require.NoError(t, r.Cancel(t.Context(), push.DefaultApp, ids[0])) // between two generations
		for len(r.service.got("laptop")) == 0 && time.Since(began) < time.Hour {
			time.Sleep(time.Second)
		}
		require.Less(t, time.Since(began), 10*time.Second)
	})
}

func TestLane_WhatItTurnsAwayDuringAProbeComesBackLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		l := newLane(r.System, laneKey{app: "default", kind: push.WebPush, host: "push.example"}, new(uint64))
		now := time.Now()
		l.gate.shut(causeFailing, push.Result{Outcome: push.Retry, Status: 503}, now, true)
		time.Sleep(30 * time.Second) // the probe hangs
		room, until := l.room(time.Now())
		require.Equal(t, shutQueueMax, room)
		require.False(t, until.Before(time.Now()), "%s ago", time.Since(until))
	})
}

func TestRange_BeginsThoughAUserIsForgottenMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		flaky := &flakyStore{}
		r := newRig(t, func(c *Config) { c.Ranges, flaky.Store, c.Store = 1, c.Store, flaky })
		r.subscribe("ann", "laptop")
		r.notify("ann")
		flaky.failing.Store(true)
		r.settle()
		r.failOnce(func(e Event) bool { f, ok := e.(StoreFailed); return ok && f.What == "read subscriptions" })
		r.send(r.ranges[0], &loaded{cacheRead{err: errNoStore}})
		time.Sleep(5 * time.Second) // it has started anew, and waits for the journal
		require.Len(t, eventsOf[ActorFailed](r), 1)
		_, err := r.Forget(t.Context(), userNamed("bob"))
		require.NoError(t, err)
		r.settle()
		flaky.failing.Store(false)
		time.Sleep(10 * time.Second)
		before := len(r.service.got("laptop"))
		r.notify("ann")
		r.settle()
		require.Len(t, r.service.got("laptop"), before+1)
	})
}
