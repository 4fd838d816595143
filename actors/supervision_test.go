package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/stretchr/testify/require"
)

func TestSupervision_APanicInASubscriptionLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.bugs = true
		r.subscribe("ann", "laptop")
		r.service.script("laptop", answer{}, answer{panics: true}, retryAfter(time.Minute))
		var want []push.ID
		for range 5 {
			want = append(want, r.notify("ann")...)
		}
		time.Sleep(5 * time.Second)
		children := r.inspect(r.pathOfUser("ann")).Children
		require.Len(t, children, 1)
		require.Equal(t, 1, children[0].Restarts, "visible as a restart")
		time.Sleep(2 * time.Minute)
		require.Equal(t, want, r.service.got("laptop"), "in order, once")
		failed := eventsOf[ActorFailed](r)
		require.Len(t, failed, 1)
		require.Contains(t, failed[0].Reason, "the provider has a bug")
		require.Contains(t, failed[0].Stack, "Send")
		require.True(t, strings.HasPrefix(failed[0].Path, r.pathOfUser("ann")+"/webpush-"), failed[0].Path)
	})
}

func TestSupervision_WhatAlwaysPanicsIsRejectedAndHoldsUpNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.bugs = true
		r.subscribe("ann", "laptop")
		r.subscribe("ann", "phone")
		bug := answer{panics: true}
		r.service.script("laptop", bug, bug, bug, bug, bug)
		first, second := r.notify("ann")[0], r.notify("ann")[0]
		time.Sleep(time.Minute)
		require.Equal(t, []string{"delivered", "rejected"}, r.states(first))
		require.Equal(t, []push.ID{second}, r.service.got("laptop"))
		require.Equal(t, []push.ID{first, second}, r.service.got("phone"))
	})
}

func TestSupervision_APanicInAUserLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.subscribe("ann", "phone")
		r.failOnce(func(e Event) bool { _, ok := e.(DeliveryConcluded); return ok })
		r.service.script("laptop", retryAfter(20*time.Second))
		var want []push.ID
		for range 5 {
			want = append(want, r.notify("ann")...)
		}
		time.Sleep(5 * time.Second)
		users := r.inspect(strings.TrimSuffix(r.pathOfUser("ann"), "/"+userName(userNamed("ann")))).Children
		require.Len(t, users, 1)
		require.Equal(t, 1, users[0].Restarts, "visible as a restart")
		time.Sleep(time.Minute)
		require.Equal(t, want, r.service.got("laptop"))
		require.Subset(t, r.service.got("phone"), want)
		for _, id := range want {
			require.Equal(t, []string{"delivered", "delivered"}, r.states(id))
			require.False(t, r.fate(id).Pending)
		}
	})
}

func TestSupervision_AUserThatKeepsPanickingIsLeftAloneForAWhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.subscribe("bob", "bobs")
		var mended atomic.Bool
		r.mu.Lock()
		r.onEvent = func(e Event) {
			if c, ok := e.(DeliveryConcluded); ok && !mended.Load() && c.User.ID == "ann" {
				panic("injected")
			}
		}
		r.mu.Unlock()
		var ids []push.ID
		for range 20 {
			ids = append(ids, r.notifyTTL(24*time.Hour, "ann")...)
		}
		time.Sleep(4 * time.Minute)
		failed := eventsOf[ActorFailed](r)
		require.Len(t, failed, crashesMax+1)
		require.Equal(t, crashRest, failed[crashesMax].Pause)
		require.Len(t, r.notify("bob"), 1)
		time.Sleep(time.Second)
		require.Len(t, r.service.got("bobs"), 1, "others are not concerned")
		mended.Store(true)
		time.Sleep(crashRest)
		for _, id := range ids {
			require.False(t, r.fate(id).Pending)
		}
	})
}

func TestSupervision_APanicInALaneLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.failOnce(func(e Event) bool { _, ok := e.(LanePaused); return ok })
		ids := []push.ID{r.refusing("ann", 1), r.refusing("joe", 1), r.refusing("sue", 1)}
		r.settle()
		r.subscribe("bob", "bob")
		ids = append(ids, r.notify("bob")...)
		time.Sleep(5 * time.Minute)
		for _, id := range ids {
			require.Equal(t, []string{"delivered"}, r.states(id))
		}
		require.Equal(t, 1, r.inspect("/lanes").Children[0].Restarts)
		time.Sleep(3 * laneIdleAfter)
		require.Empty(t, r.inspect("/lanes").Children, "it leaves like any other")
	})
}

func TestSupervision_APanicInAShardRangeLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(30*time.Second))
		want := append(r.notify("ann"), r.notify("ann")...)
		r.settle()
		r.failOnce(func(e Event) bool { _, ok := e.(StoreFailed); return ok })
		r.send(r.rangeOf(userNamed("ann")), &loaded{cacheRead{err: errors.New("no store")}})
		time.Sleep(time.Minute)
		want = append(want, r.notify("ann")...)
		time.Sleep(time.Minute)
		require.Equal(t, want, r.service.got("laptop"))
		failed := eventsOf[ActorFailed](r)
		require.Len(t, failed, 1)
		require.True(t, strings.HasPrefix(failed[0].Path, "/registry/"), failed[0].Path)
	})
}

// flakyStore fails to commit as long as it is told to.
type flakyStore struct {
	store.Store
	failing atomic.Bool
	commits atomic.Int64
}

var errNoStore = errors.New("the disk is full")

func (s *flakyStore) Commit(ctx context.Context, group store.Group) error {
	s.commits.Add(1)
	if s.failing.Load() {
		return errNoStore
	}
	return s.Store.Commit(ctx, group)
}

func newFlakyRig(t *testing.T) (*rig, *flakyStore) {
	var flaky *flakyStore
	r := newRig(t, func(c *Config) {
		flaky = &flakyStore{Store: c.Store}
		c.Store = flaky
	})
	return r, flaky
}

func TestSupervision_APanicInTheJournalLosesNothingAccepted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, flaky := newFlakyRig(t)
		r.subscribe("ann", "laptop")
		r.service.takes(time.Second)
		ids := append(r.notify("ann"), r.notify("ann")...)
		r.settle()
		r.failOnce(func(e Event) bool { _, ok := e.(StoreFailed); return ok })
		flaky.failing.Store(true)
		time.Sleep(1100 * time.Millisecond) // the first record fails, and the journal with it
		flaky.failing.Store(false)
		time.Sleep(time.Minute)
		for _, id := range ids {
			require.Equal(t, []string{"delivered"}, r.states(id))
			require.False(t, r.fate(id).Pending)
		}
		require.Contains(t, r.service.got("laptop"), ids[0])
		require.Contains(t, r.service.got("laptop"), ids[1])
		restarts := map[string]int{}
		for _, child := range r.inspect("/").Children {
			restarts[child.Path] = child.Restarts
		}
		require.Equal(t, 1, restarts["/journal"])
	})
}

// While a range waits for its users to leave, it must not take in new ones:
// nobody would tell them to leave, and it would wait for ever.
func TestSupervision_ARangeThatIsStoppingTakesNobodyIn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, flaky := newFlakyRig(t)
		first := userNamed("user-0")
		second := first
		for i := 1; r.rangeIndex(second.Shard()) != r.rangeIndex(first.Shard()) || second == first; i++ {
			second = userNamed(fmt.Sprint("user-", i))
		}
		r.subscribe(first.ID, "first")
		r.subscribe(second.ID, "second")
		leave := make(chan struct{})
		r.mu.Lock()
		r.onEvent = func(e Event) {
			switch e := e.(type) {
			case DeliveryConcluded:
				if e.User == first {
					<-leave // its actor cannot stop before
				}
			case StoreFailed:
				panic("injected")
			}
		}
		r.mu.Unlock()
		r.notify(first.ID)
		r.settle()
		flaky.failing.Store(true)
		_, err := r.Notify([]Draft{{User: second, Content: []byte("{}"), TTL: time.Hour}})
		require.Error(t, err) // and the journal has failed: the ranges stop
		flaky.failing.Store(false)
		r.mu.Lock()
		wait := r.onEvent
		r.onEvent = func(e Event) {
			if _, ok := e.(StoreFailed); !ok {
				wait(e)
			}
		}
		r.mu.Unlock()
		ids := r.notify(second.ID)
		r.settle()
		close(leave)
		time.Sleep(time.Minute)
		ids = append(ids, r.notify(first.ID, second.ID)...)
		time.Sleep(time.Second)
		for _, id := range ids {
			require.Equal(t, []string{"delivered"}, r.states(id))
		}
	})
}

// heldStore answers one read only when told to.
type heldStore struct {
	store.Store
	hold atomic.Pointer[chan struct{}]
}

func (s *heldStore) ListPending(ctx context.Context, shards push.ShardRange, after, upTo push.ID, limit int) ([]store.Pending, error) {
	hold := s.hold.Swap(nil)
	found, err := s.Store.ListPending(ctx, shards, after, upTo, limit)
	if hold != nil {
		<-*hold
	}
	return found, err
}

func TestSupervision_AReadOfARangesFormerLifeIsIgnored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var held *heldStore
		r := newRig(t, func(c *Config) {
			held = &heldStore{Store: c.Store}
			c.Store, c.Window, c.Ranges = held, 4, 1
		})
		r.service.takes(100 * time.Millisecond)
		hold := make(chan struct{})
		held.hold.Store(&hold)
		var users []string
		for i := range 8 {
			users = append(users, fmt.Sprint("user-", i))
			r.subscribe(users[i], users[i])
		}
		want := r.notify(users...) // the window is full, and the rest is read when half of it is free
		time.Sleep(150 * time.Millisecond)
		r.failOnce(func(e Event) bool { _, ok := e.(StoreFailed); return ok })
		r.send(r.rangeOf(userNamed("user-0")), &loaded{cacheRead{err: errNoStore}})
		time.Sleep(10 * time.Second)
		close(hold)
		time.Sleep(10 * time.Second)
		for i, id := range want {
			require.False(t, r.fate(id).Pending)
			require.Equal(t, []push.ID{id}, r.service.got(users[i]), "what the former life read is not sent again")
		}
	})
}

// gatedStore lets a test hold back the commit of a content.
type gatedStore struct {
	store.Store
	content string
	gate    chan struct{}
}

func (s *gatedStore) Commit(ctx context.Context, group store.Group) error {
	if len(group.Accepted) > 0 && string(group.Accepted[0].Content) == s.content {
		<-s.gate
	}
	return s.Store.Commit(ctx, group)
}

func TestSupervision_AGroupOfTheJournalsFormerLifeIsHandedOutInItsTurn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		gated := &gatedStore{content: `{"slow":true}`, gate: make(chan struct{})}
		r := newRig(t, func(c *Config) {
			gated.Store, c.Store, c.Writers = c.Store, gated, 2
		})
		r.subscribe("ann", "laptop")
		r.bugs = true
		accepted := make(chan []push.ID)
		notify := func(content string) {
			ids, err := r.Notify([]Draft{{User: userNamed("ann"), Content: []byte(content), TTL: time.Hour}})
			if err != nil {
				t.Error(err)
			}
			accepted <- ids
		}
		go notify(gated.content)
		r.settle()
		r.send(r.journal, (*record)(nil)) // a bug, and the journal starts anew
		time.Sleep(time.Second)
		go notify("{}")
		r.settle()
		close(gated.gate)
		want := append(<-accepted, <-accepted...)
		slices.SortFunc(want, push.ID.Compare)
		time.Sleep(time.Second)
		require.Equal(t, want, r.service.got("laptop"))
	})
}

func TestSupervision_TheRootGivesUpInTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, flaky := newFlakyRig(t)
		r.mu.Lock()
		r.onEvent = func(e Event) {
			if _, ok := e.(StoreFailed); ok {
				panic("injected")
			}
		}
		r.mu.Unlock()
		flaky.failing.Store(true)
		for range failuresMax + 1 {
			_, err := r.Notify([]Draft{{User: userNamed("ann"), Content: []byte(`{}`), TTL: time.Hour}})
			require.ErrorIs(t, err, ErrUnavailable)
		}
		select {
		case <-r.Done():
			require.ErrorContains(t, r.Err(), "injected")
		case <-time.After(5 * time.Minute):
			t.Fatal("it goes on for ever")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Error(t, r.Drain(ctx), "the journal cannot answer")
		r.System = nil
	})
}

func TestJournal_RefusesAtOnceWhatTheStoreCannotTake(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, flaky := newFlakyRig(t)
		r.subscribe("ann", "laptop")
		r.settle() // the event of it is durable
		flaky.failing.Store(true)
		_, err := r.Notify([]Draft{{User: userNamed("ann"), Content: []byte(`{}`), TTL: time.Hour}})
		require.ErrorIs(t, err, ErrUnavailable)
		require.ErrorIs(t, err, errNoStore)
		flaky.failing.Store(false)
		ids := r.notify("ann")
		r.settle()
		require.Equal(t, ids, r.service.got("laptop"))
	})
}

func TestJournal_KeepsOutcomesUntilTheStoreTakesThem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, flaky := newFlakyRig(t)
		r.subscribe("ann", "laptop")
		r.service.takes(time.Second)
		ids := append(r.notify("ann"), r.notify("ann")...)
		flaky.failing.Store(true)
		time.Sleep(time.Minute)
		require.Equal(t, ids, r.service.got("laptop"))
		require.True(t, r.fate(ids[0]).Pending)
		flaky.failing.Store(false)
		time.Sleep(2 * resumeLimit)
		for _, id := range ids {
			require.Equal(t, []string{"delivered"}, r.states(id))
			require.False(t, r.fate(id).Pending)
		}
		require.Equal(t, ids, r.service.got("laptop"), "and nothing was sent twice")
	})
}

func TestJournal_CommitsInGroups(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, flaky := newFlakyRig(t)
		before := flaky.commits.Load()
		const callers = 200
		done := make(chan error, callers)
		for range callers {
			go func() {
				_, err := r.Notify([]Draft{{User: userNamed("ann"), Content: []byte(`{}`), TTL: time.Hour}})
				done <- err
			}()
		}
		for range callers {
			require.NoError(t, <-done)
		}
		require.Less(t, flaky.commits.Load()-before, int64(callers))
	})
}

func TestNotify_IsRefusedWhenTooMuchIsWaiting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		_, err := r.Notify(make([]Draft, maxWaiting+1))
		require.ErrorIs(t, err, ErrOverloaded)
		require.Len(t, r.notify("ann"), 1, "and takes work again")
	})
}
