package actors

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/stretchr/testify/require"
)

func TestUser_LeavesWhenIdleAndComesBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		first := r.notify("ann")
		r.settle()
		require.Equal(t, "idle", r.inspect(r.pathOfUser("ann")).Node.State)
		time.Sleep(2 * time.Minute)
		_, err := r.Inspect(t.Context(), r.pathOfUser("ann"), "", 1)
		require.ErrorIs(t, err, ErrNoActor)
		second := r.notify("ann")
		r.settle()
		require.Equal(t, append(first, second...), r.service.got("laptop"))
	})
}

func TestUser_StaysWhileItHasWork(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.IdleAfter = 10 * time.Second })
		r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(time.Minute))
		r.notify("ann")
		time.Sleep(40 * time.Second)
		page := r.inspect(r.pathOfUser("ann"))
		require.Equal(t, "delivering", page.Node.State)
		require.Equal(t, "waiting to retry", page.Children[0].State)
		require.Equal(t, "retry", page.Children[0].LastOutcome)
		require.Equal(t, 20*time.Second, time.Until(page.Children[0].NextAttempt))
		time.Sleep(time.Minute)
		_, err := r.Inspect(t.Context(), r.pathOfUser("ann"), "", 1)
		require.ErrorIs(t, err, ErrNoActor)
		require.Len(t, r.service.got("laptop"), 1)
	})
}

func TestLane_LeavesWhenIdle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.notify("ann")
		r.settle()
		require.Len(t, r.inspect("/lanes").Children, 1)
		time.Sleep(3 * laneIdleAfter)
		require.Empty(t, r.inspect("/lanes").Children)
		r.notify("ann")
		r.settle()
		require.Len(t, r.service.got("laptop"), 2)
	})
}

// Users that leave as fast as they can, while work keeps coming for them.
func TestUser_LeavingLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.IdleAfter = time.Millisecond; c.Ranges = 2 })
		const users, each = 10, 40
		want := make([][]push.ID, users)
		var all sync.WaitGroup
		for u := range users {
			name := fmt.Sprintf("user-%d", u)
			r.subscribe(name, name)
			all.Go(func() {
				for range each {
					ids, err := r.Notify([]Draft{{User: userNamed(name), Content: []byte(`{}`), TTL: time.Hour}})
					if err != nil {
						t.Error(err)
						return
					}
					want[u] = append(want[u], ids...)
					time.Sleep(time.Duration(rand.N(2500)) * time.Millisecond)
				}
			})
		}
		all.Wait()
		time.Sleep(time.Minute)
		for u := range users {
			require.Equal(t, want[u], r.service.got(fmt.Sprintf("user-%d", u)))
		}
	})
}

func TestShards_HoldABoundedWindowAndKeepTheOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const window = 8
		r := newRig(t, func(c *Config) { c.Window = window; c.Ranges = 1 })
		r.service.takes(100 * time.Millisecond)
		var users []string
		for i := range 20 {
			users = append(users, fmt.Sprint("user-", i))
			r.subscribe(users[i], users[i])
		}
		want := map[string][]push.ID{}
		for range 10 {
			for i, id := range r.notify(users...) {
				want[users[i]] = append(want[users[i]], id)
			}
		}
		r.settle()
		require.LessOrEqual(t, r.inspect("/registry/0").Node.Queue, window)
		require.Equal(t, "behind the store", r.inspect("/registry/0").Node.State)
		time.Sleep(time.Minute)
		for _, user := range users {
			require.Equal(t, want[user], r.service.got(user))
		}
		require.Equal(t, "running", r.inspect("/registry/0").Node.State)
		require.Zero(t, r.inspect("/registry/0").Node.Queue)
	})
}

func TestShards_WorkThatIsStuckLeavesTheRestOfTheWindowToOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Window = 8; c.Ranges = 1 })
		r.subscribe("ann", "dead")
		r.subscribe("bob", "bob")
		fails := make([]answer, 10_000)
		for i := range fails {
			fails[i] = outcome(push.Retry, 503)
		}
		r.service.script("dead", fails...)
		for range 5 {
			r.notifyTTL(24*time.Hour, "ann")
		}
		r.settle()
		want := r.notify("bob", "bob", "bob", "bob")
		time.Sleep(5 * time.Second)
		require.Equal(t, want, r.service.got("bob"))
	})
}

func TestShards_OneUsersBacklogLeavesTheWindowToOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Window = 64; c.Ranges = 1 })
		r.subscribe("ann", "dead")
		r.subscribe("bob", "bob")
		fails := make([]answer, 30)
		for i := range fails {
			fails[i] = outcome(push.Retry, 503)
		}
		r.service.script("dead", fails...)
		var anns, bobs []push.ID
		for range 200 { // three windows full
			anns = append(anns, r.notifyTTL(7*24*time.Hour, "ann")...)
		}
		r.settle()
		require.Equal(t, 8, r.inspect("/registry/0").Node.Queue, "her share")
		for range 20 {
			bobs = append(bobs, r.notify("bob")...)
		}
		time.Sleep(3 * time.Second)
		require.Equal(t, bobs, r.service.got("bob"))
		time.Sleep(12 * time.Hour) // the endpoint is well again
		require.Equal(t, anns, r.service.got("dead"), "all, in order, once")
		require.Zero(t, r.inspect("/registry/0").Node.Queue)
		for _, id := range anns {
			require.False(t, r.fate(id).Pending)
		}
		more := r.notify("ann")
		r.settle()
		require.Equal(t, append(anns, more...), r.service.got("dead"))
		require.Empty(t, eventsOf[WorkRejoined](r), "the sweep mistook nothing for lost")
	})
}

func TestShards_AUserThatIsBehindSurvivesItsCrashAndARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Window = 64; c.Ranges = 1 })
		r.subscribe("ann", "laptop")
		r.service.takes(time.Second)
		var want []push.ID
		for range 60 {
			want = append(want, r.notify("ann")...)
		}
		time.Sleep(5500 * time.Millisecond)
		r.failOnce(func(e Event) bool { _, ok := e.(DeliveryConcluded); return ok })
		time.Sleep(15 * time.Second)
		require.Len(t, eventsOf[ActorFailed](r), 1)
		r.stop()
		r.start(func(c *Config) { c.Window = 64; c.Ranges = 1 })
		want = append(want, r.notify("ann")...)
		time.Sleep(2 * time.Minute)
		seen := map[push.ID]bool{}
		var first []push.ID
		for _, id := range r.service.got("laptop") {
			if !seen[id] {
				seen[id] = true
				first = append(first, id)
			}
		}
		require.Equal(t, want, first, "in order")
		require.LessOrEqual(t, len(r.service.got("laptop")), len(want)+1, "the one in flight at the crash may have come twice")
	})
}

func TestForget_OfAUserThatIsBehind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Window = 64; c.Ranges = 1 })
		r.subscribe("ann", "laptop")
		r.service.takes(100 * time.Millisecond)
		for range 60 {
			r.notify("ann")
		}
		time.Sleep(time.Second)
		_, err := r.Forget(t.Context(), userNamed("ann"))
		require.NoError(t, err)
		r.settle()
		before := len(r.service.got("laptop"))
		time.Sleep(time.Minute)
		require.LessOrEqual(t, len(r.service.got("laptop")), before+1, "at most the one that was in flight")
		require.Zero(t, r.inspect("/registry/0").Node.Queue)
		r.service.takes(0)
		r.subscribe("ann", "laptop")
		again := r.notify("ann")
		r.settle()
		require.Equal(t, again[0], r.service.got("laptop")[len(r.service.got("laptop"))-1])
	})
}

func TestShards_AWindowOfOneDoesNotSpin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Window = 1; c.Ranges = 1 })
		r.subscribe("ann", "laptop")
		r.service.takes(time.Second)
		want := r.notify("ann", "ann", "ann")
		time.Sleep(10 * time.Second)
		require.Equal(t, want, r.service.got("laptop"))
	})
}

func TestUser_SubscriptionsNamesAreNeverUsedTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		for range 20 {
			sub := r.subscribe("ann", "laptop")
			hold := make(chan struct{})
			r.service.script("laptop", answer{hold: hold})
			r.notify("ann")
			r.settle()
			require.NoError(t, r.Unsubscribe(t.Context(), sub.User, sub.Digest))
			r.settle()
			close(hold)
			r.subscribe("ann", "laptop")
			id := r.notify("ann")[0]
			r.settle()
			require.Equal(t, []string{"delivered"}, r.states(id))
			require.NoError(t, r.Unsubscribe(t.Context(), sub.User, sub.Digest))
		}
	})
}

func TestStart_FinishesWhatTheStoreSaysIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		laptop := r.subscribe("ann", "laptop")
		r.subscribe("ann", "phone")
		r.stop()
		now := time.Now().Truncate(time.Millisecond)
		var left []push.Notification
		clock := idClock{}
		for range 30 {
			left = append(left, push.Notification{
				ID: clock.next(now), User: userNamed("ann"), Content: []byte(`{"title":"x"}`), AcceptedAt: now, ExpiresAt: now.Add(time.Hour),
			})
		}
		// As a crash leaves it: the first was delivered to the laptop, and that is known.
		require.NoError(t, r.store.Commit(t.Context(), store.Group{
			Accepted: left,
			Deliveries: []push.Delivery{{
				Notification: left[0].ID, Subscription: laptop.Digest, Kind: push.WebPush, Host: "push.example",
				State: push.StateDelivered, Attempts: 1, Status: 201, DoneAt: now,
			}},
		}))
		r.start()
		next := r.notify("ann")[0]
		r.settle()
		require.Positive(t, next.Compare(left[len(left)-1].ID), "IDs go on above the newest")
		require.Len(t, r.service.got("phone"), 31)
		require.Len(t, r.service.got("laptop"), 30, "what is known to be delivered is not repeated")
		for i, n := range left {
			require.Equal(t, n.ID, r.service.got("phone")[i])
			require.Equal(t, []string{"delivered", "delivered"}, r.states(n.ID))
			require.False(t, r.fate(n.ID).Pending)
		}
	})
}

func TestStart_ExpiredWorkIsExplainedAndNotSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(time.Minute))
		id := r.notifyTTL(2*time.Minute, "ann")[0]
		r.settle()
		r.stop()
		time.Sleep(5 * time.Minute)
		r.start()
		r.settle()
		require.Equal(t, []string{"expired"}, r.states(id))
		require.Empty(t, r.service.got("laptop"))
	})
}

func TestSweep_TakesUpWorkThatNobodyHolds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		first := r.notify("ann")
		r.settle()
		// Its ID is older than what was handed out, so no read finds it: as when
		// a message was lost.
		lost := push.Notification{
			ID: push.ID{0, 1}, User: userNamed("ann"), Content: []byte(`{"title":"x"}`),
			AcceptedAt: time.Now(), ExpiresAt: time.Now().Add(24 * time.Hour),
		}
		require.NoError(t, r.store.Commit(t.Context(), store.Group{Accepted: []push.Notification{lost}}))
		time.Sleep(3 * sweepEvery)
		require.Equal(t, append(first, lost.ID), r.service.got("laptop"))
		require.Equal(t, []WorkRejoined{{Notification: lost.ID}}, eventsOf[WorkRejoined](r))
	})
}

func TestSweep_LeavesTheBacklogOfAUserThatIsBehindInItsTurn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Window = 64; c.Ranges = 1 })
		r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(time.Hour))
		var want []push.ID
		for range 30 { // more than her share
			want = append(want, r.notifyTTL(24*time.Hour, "ann")...)
		}
		r.settle()
		lost := push.Notification{
			ID: push.ID{0, 1}, User: userNamed("ann"), Content: []byte(`{"title":"x"}`),
			AcceptedAt: time.Now(), ExpiresAt: time.Now().Add(24 * time.Hour),
		}
		require.NoError(t, r.store.Commit(t.Context(), store.Group{Accepted: []push.Notification{lost}}))
		time.Sleep(4 * time.Hour)
		require.Equal(t, []WorkRejoined{{Notification: lost.ID}}, eventsOf[WorkRejoined](r))
		var got []push.ID
		for _, id := range r.service.got("laptop") {
			if id != lost.ID {
				got = append(got, id)
			}
		}
		require.Equal(t, want, got, "in order, once")
		require.Len(t, r.service.got("laptop"), 31)
	})
}

func TestShards_TryAgainWhenTheStoreCannotBeRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.send(r.rangeOf(userNamed("ann")), &filled{pendingRead{err: errors.New("no store")}})
		ids := r.notify("ann")
		time.Sleep(3 * reloadAfter)
		require.Equal(t, ids, r.service.got("laptop"))
		require.Len(t, eventsOf[StoreFailed](r), 1)
	})
}

func TestJanitor_RemovesFinishedWorkAfterItsRetention(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Retention, c.Ranges = 24*time.Hour, 1 })
		r.subscribe("ann", "laptop")
		old := r.notify("ann")[0]
		time.Sleep(20 * time.Hour)
		young := r.notify("ann")[0]
		time.Sleep(5 * time.Hour)
		_, err := r.store.GetNotification(t.Context(), push.DefaultApp, old)
		require.ErrorIs(t, err, store.ErrNotFound)
		require.Equal(t, []string{"delivered"}, r.states(young))
	})
}
