package actors

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/stretchr/testify/require"
)

func TestNotify_ReachesEverySubscriptionOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "ann-laptop")
		r.subscribe("ann", "ann-phone")
		r.subscribe("bob", "bob-laptop")
		ids := r.notify("ann", "bob")
		r.settle()
		require.Equal(t, ids[:1], r.service.got("ann-laptop"))
		require.Equal(t, ids[:1], r.service.got("ann-phone"))
		require.Equal(t, ids[1:], r.service.got("bob-laptop"))
		require.Equal(t, []string{"delivered", "delivered"}, r.states(ids[0]))
		require.False(t, r.fate(ids[0]).Pending)
	})
}

func TestNotify_WithoutSubscriptionsIsExplained(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		ids := r.notify("nobody")
		r.settle()
		require.Equal(t, []string{"no_subscription"}, r.states(ids[0]))
		require.False(t, r.fate(ids[0]).Pending)
	})
}

func TestNotify_KeepsTheOrderOfAcceptance(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", outcome(push.Retry, 503), retryAfter(5*time.Second), answer{}, outcome(push.Retry, 0))
		var want []push.ID
		for range 20 {
			want = append(want, r.notify("ann")...)
		}
		time.Sleep(time.Minute)
		require.Equal(t, want, r.service.got("laptop"))
		require.Equal(t, 1, r.service.most["laptop"], "one in flight at a time")
	})
}

func TestNotify_OneDeadEndpointHoldsUpNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "hangs")
		r.subscribe("ann", "works")
		hold := make(chan struct{})
		r.service.script("hangs", answer{hold: hold})
		var want []push.ID
		for range 5 {
			want = append(want, r.notify("ann")...)
		}
		r.settle()
		require.Equal(t, want, r.service.got("works"))
		require.Empty(t, r.service.got("hangs"))
		close(hold)
		r.settle()
		require.Equal(t, want, r.service.got("hangs"))
	})
}

func TestSubscription_WaitsAsLongAsRetryAfterSays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(30*time.Second))
		ids := r.notify("ann")
		time.Sleep(time.Minute)
		at := r.service.attemptsAt("laptop")
		require.Len(t, at, 2)
		require.Equal(t, 30*time.Second, at[1].Sub(at[0]))
		require.Equal(t, 2, r.fate(ids[0]).Deliveries[0].Attempts)
	})
}

func TestSubscription_RetryAfterIsClamped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(time.Millisecond), retryAfter(48*time.Hour))
		r.notifyTTL(72*time.Hour, "ann")
		time.Sleep(2 * time.Hour)
		at := r.service.attemptsAt("laptop")
		require.Len(t, at, 3)
		require.Equal(t, time.Second, at[1].Sub(at[0]))
		require.Equal(t, time.Hour, at[2].Sub(at[1]))
	})
}

func TestSubscription_BacksOffExponentiallyForADay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		fails := make([]answer, 10_000)
		for i := range fails {
			fails[i] = outcome(push.Retry, 503)
		}
		r.service.script("laptop", fails...)
		ids := r.notifyTTL(24*time.Hour, "ann")
		time.Sleep(24*time.Hour + time.Second)
		at := r.service.attemptsAt("laptop")
		for i := 1; i < len(at); i++ {
			require.LessOrEqual(t, at[i].Sub(at[i-1]), min(retryBase<<min(i-1, 20), retryCap)+time.Second)
		}
		require.Greater(t, len(at), 100, "the cap keeps it trying")
		require.Less(t, len(at), 600, "the waits grow")
		require.False(t, at[len(at)-1].After(at[0].Add(24*time.Hour)), "never sent late")
		record := r.fate(ids[0])
		require.Equal(t, push.StateExpired, record.Deliveries[0].State)
		require.Equal(t, 503, record.Deliveries[0].Status)
		require.Equal(t, len(at), record.Deliveries[0].Attempts)
		require.False(t, record.Pending)
	})
}

func TestSubscription_GoneIsForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.subscribe("ann", "old")
		r.subscribe("ann", "new")
		hold := make(chan struct{})
		r.service.script("old", answer{result: push.Result{Outcome: push.Gone, Status: 410}, hold: hold})
		first, second := r.notify("ann")[0], r.notify("ann")[0]
		r.settle()
		require.Len(t, r.inspect(r.pathOfUser("ann")).Children, 1, "only the held one is still at work")
		close(hold)
		r.settle()
		require.Equal(t, []string{"delivered", "gone"}, r.states(first))
		require.Equal(t, []string{"delivered", "gone"}, r.states(second), "what was queued behind it is explained")
		require.Len(t, r.service.attemptsAt("old"), 1)
		found, err := r.store.ListSubscriptions(t.Context(), []push.User{userNamed("ann")})
		require.NoError(t, err)
		require.Len(t, found[userNamed("ann")], 1)
		require.NotEqual(t, sub.Digest, found[userNamed("ann")][0].Digest)
		require.Empty(t, r.inspect(r.pathOfUser("ann")).Children, "its actor has stopped")
		third := r.notify("ann")[0]
		r.settle()
		require.Equal(t, []string{"delivered"}, r.states(third))
	})
}

func TestSubscription_RejectedIsFinalForThatMessageAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", outcome(push.Rejected, 413))
		first, second := r.notify("ann")[0], r.notify("ann")[0]
		r.settle()
		require.Equal(t, []string{"rejected"}, r.states(first))
		require.Equal(t, "told so", r.fate(first).Deliveries[0].Reason)
		require.Equal(t, []string{"delivered"}, r.states(second))
	})
}

// refusing subscribes a browser that is refused for so many times, and
// notifies its user.
func (r *rig) refusing(user string, times int) push.ID {
	r.subscribe(user, user)
	no := make([]answer, times)
	for i := range no {
		no[i] = outcome(push.Refused, 403)
	}
	r.service.script(user, no...)
	return r.notifyTTL(24*time.Hour, user)[0]
}

func TestLane_RefusedPausesItAndDeletesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		ids := []push.ID{r.refusing("ann", 1), r.refusing("joe", 1), r.refusing("sue", 1)}
		r.settle()
		r.subscribe("bob", "bob")
		bobs := r.notify("bob")
		time.Sleep(retryBase)
		lane := r.inspect("/lanes").Children[0]
		require.Equal(t, "paused: 403 told so", lane.State)
		require.Equal(t, 4, lane.Queue)
		require.Empty(t, r.service.got("bob"), "the host refuses our credentials, whoever it is for")
		require.Len(t, eventsOf[LanePaused](r), 1)

		time.Sleep(pauseBase)
		require.Len(t, eventsOf[LaneResumed](r), 1)
		for _, id := range append(ids, bobs...) {
			require.Equal(t, []string{"delivered"}, r.states(id))
		}
		require.Equal(t, 2, r.fate(ids[0]).Deliveries[0].Attempts)
		require.Equal(t, 1, r.fate(bobs[0]).Deliveries[0].Attempts, "the probe was for a user who was not refused")
	})
}

func TestLane_PausesGrowWhileProbesForNewUsersAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		for i := range 9 {
			r.refusing(fmt.Sprint("user-", i), 1)
			r.settle()
		}
		time.Sleep(3 * time.Hour)
		var pauses []time.Duration
		for i, e := range eventsOf[LanePaused](r) {
			if i > 0 {
				pauses = append(pauses, e.Until.Sub(eventsOf[LanePaused](r)[i-1].Until))
			}
		}
		m := time.Minute
		require.Equal(t, []time.Duration{2 * m, 4 * m, 8 * m, 15 * m, 15 * m, 15 * m}, pauses)
		require.Len(t, eventsOf[LaneResumed](r), 1)
		for i := range 9 {
			require.Len(t, r.service.got(fmt.Sprint("user-", i)), 1)
		}
	})
}

func TestLane_StrangersEndpointsHardlyHoldItUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.refusing("mallory", 1000)
		for i := range 10 {
			browser := fmt.Sprintf("odd-%d", i)
			r.subscribe("mallory", browser)
			r.service.script(browser, make([]answer, 0)...)
		}
		r.subscribe("ann", "laptop")
		time.Sleep(time.Hour)
		require.Empty(t, eventsOf[LanePaused](r), "one user, however often")
		ids := r.notify("ann")
		r.settle()
		require.Equal(t, []string{"delivered"}, r.states(ids[0]))

		r.refusing("mallory-2", 1000)
		r.settle()
		r.refusing("mallory-3", 1000)
		time.Sleep(time.Hour)
		require.NotEmpty(t, eventsOf[LanePaused](r), "three users in a row look like our own fault")
		ids = r.notify("ann")
		time.Sleep(pauseBase)
		require.Equal(t, []string{"delivered"}, r.states(ids[0]), "and its pause has not grown")
	})
}

func TestLane_ExpiresWhatWaitsTooLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		for _, user := range []string{"joe", "sue", "kim"} {
			r.refusing(user, 1)
		}
		r.settle()
		r.subscribe("ann", "laptop")
		ids := append(r.notifyTTL(20*time.Second, "ann"), r.notifyTTL(30*time.Second, "ann")...)
		time.Sleep(40 * time.Second)
		for _, id := range ids {
			require.Equal(t, []string{"expired"}, r.states(id))
			require.Equal(t, 0, r.fate(id).Deliveries[0].Attempts)
			require.Contains(t, r.fate(id).Deliveries[0].Reason, "before it could be sent")
		}
		require.Empty(t, r.service.attemptsAt("laptop"))
	})
}

func TestLane_BoundsWhatIsInFlight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.LaneInFlight = 3 })
		r.service.took = time.Second
		var users []string
		for i := range 20 {
			user := string(rune('a' + i))
			users = append(users, user)
			r.subscribe(user, user+"-laptop")
		}
		ids := r.notify(users...)
		time.Sleep(10 * time.Second)
		require.Equal(t, 3, r.service.peak)
		for _, id := range ids {
			require.Equal(t, []string{"delivered"}, r.states(id))
		}
	})
}

func TestMessage_TTLIsWhatRemains(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(10*time.Second))
		r.notifyTTL(time.Minute, "ann")
		time.Sleep(30 * time.Second)
		require.Equal(t, 50*time.Second, r.service.received["laptop"][0].TTL)
	})
}

func TestUnsubscribe_ExplainsWhatWasQueued(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(time.Minute))
		first, second := r.notify("ann")[0], r.notify("ann")[0]
		r.settle()
		require.NoError(t, r.Unsubscribe(t.Context(), sub.User, sub.Digest))
		r.settle()
		require.Equal(t, []string{"unsubscribed"}, r.states(first))
		require.Equal(t, 1, r.fate(first).Deliveries[0].Attempts)
		require.Equal(t, []string{"unsubscribed"}, r.states(second))
		time.Sleep(2 * time.Minute)
		require.Empty(t, r.service.got("laptop"))
	})
}

func TestUnsubscribe_TakesBackWhatWaitsForItsLane(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.LaneInFlight = 1 })
		r.subscribe("bob", "hangs")
		sub := r.subscribe("ann", "laptop")
		hold := make(chan struct{})
		r.service.script("hangs", answer{hold: hold})
		r.notify("bob")
		r.settle()
		id := r.notify("ann")[0]
		r.settle()
		require.NoError(t, r.Unsubscribe(t.Context(), sub.User, sub.Digest))
		r.settle()
		require.Equal(t, []string{"unsubscribed"}, r.states(id))
		close(hold)
		r.settle()
		require.Empty(t, r.service.got("laptop"))
	})
}

func TestUnsubscribe_LetsWhatIsInFlightFinish(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.subscribe("ann", "laptop")
		hold := make(chan struct{})
		r.service.script("laptop", answer{hold: hold})
		id := r.notify("ann")[0]
		r.settle()
		require.NoError(t, r.Unsubscribe(t.Context(), sub.User, sub.Digest))
		r.settle()
		close(hold)
		r.settle()
		require.Equal(t, []string{"delivered"}, r.states(id))
	})
}

func TestSubscribe_MovesABrowserToAnotherUser(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "shared")
		r.service.script("shared", retryAfter(time.Minute))
		anns := r.notify("ann")
		r.settle()
		r.subscribe("bob", "shared")
		r.settle()
		require.Equal(t, []string{"unsubscribed"}, r.states(anns[0]), "bob must not see it")
		bobs := r.notify("bob")
		r.settle()
		require.Equal(t, bobs, r.service.got("shared"))
	})
}

func TestSubscribe_BackAgainWhileTheOldOneIsInFlight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.subscribe("ann", "laptop")
		hold := make(chan struct{})
		r.service.script("laptop", answer{result: push.Result{Outcome: push.Retry}, hold: hold})
		first := r.notify("ann")[0]
		r.settle()
		require.NoError(t, r.Unsubscribe(t.Context(), sub.User, sub.Digest))
		r.settle()
		r.subscribe("ann", "laptop")
		second := r.notify("ann")[0]
		r.settle()
		close(hold)
		r.settle()
		require.Equal(t, []string{"unsubscribed"}, r.states(first))
		require.Equal(t, []string{"delivered"}, r.states(second))
	})
}

func TestSubscribe_NewKeysAreUsedForWhatIsQueued(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(time.Minute))
		r.notify("ann")
		r.settle()
		sub.Auth = []byte("sixteen new byte")
		_, err := r.Subscribe(t.Context(), sub)
		require.NoError(t, err)
		time.Sleep(2 * time.Minute)
		require.Equal(t, sub.Auth, r.service.received["laptop"][0].Subscription.Auth)
	})
}

func TestForget_SendsNothingAnyMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(time.Minute))
		id := r.notify("ann")[0]
		r.settle()
		forgotten, err := r.Forget(t.Context(), userNamed("ann"))
		require.NoError(t, err)
		require.Equal(t, 1, forgotten.Subscriptions)
		time.Sleep(5 * time.Minute)
		require.Empty(t, r.service.got("laptop"))
		_, err = r.store.GetNotification(t.Context(), push.DefaultApp, id)
		require.Error(t, err)
		r.subscribe("ann", "laptop")
		again := r.notify("ann")
		r.settle()
		require.Equal(t, again, r.service.got("laptop"), "she may come back")
	})
}

func TestForget_TakesBackWhatWaitsForItsLane(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.LaneInFlight = 1 })
		r.subscribe("bob", "hangs")
		r.subscribe("ann", "shared")
		hold := make(chan struct{})
		r.service.script("hangs", answer{hold: hold})
		r.notify("bob")
		r.settle()
		r.notify("ann")
		r.settle()
		_, err := r.Forget(t.Context(), userNamed("ann"))
		require.NoError(t, err)
		r.subscribe("carl", "shared")
		close(hold)
		r.settle()
		require.Empty(t, r.service.got("shared"), "carl must not see what was ann's")
	})
}

// lyingStore commits, and says that it could not.
type lyingStore struct{ store.Store }

func (s *lyingStore) DeleteSubscription(ctx context.Context, user push.User, d push.Digest) error {
	return errors.Join(context.Canceled, s.Store.DeleteSubscription(ctx, user, d))
}

func TestUnsubscribe_TakesEffectEvenIfItsAnswerWasLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Store = &lyingStore{c.Store} })
		sub := r.subscribe("ann", "laptop")
		r.notify("ann")
		r.settle()
		require.Error(t, r.Unsubscribe(t.Context(), sub.User, sub.Digest))
		id := r.notify("ann")[0]
		r.settle()
		require.Equal(t, []string{"no_subscription"}, r.states(id))
	})
}

func TestSubscribe_NewKeysAreUsedForWhatWaitsForItsLane(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.LaneInFlight = 1 })
		r.subscribe("bob", "hangs")
		sub := r.subscribe("ann", "laptop")
		hold := make(chan struct{})
		r.service.script("hangs", answer{hold: hold})
		r.notify("bob")
		r.settle()
		r.notify("ann")
		r.settle()
		sub.Auth = []byte("sixteen new byte")
		_, err := r.Subscribe(t.Context(), sub)
		require.NoError(t, err)
		r.settle()
		close(hold)
		r.settle()
		require.Len(t, r.service.received["laptop"], 1)
		require.Equal(t, sub.Auth, r.service.received["laptop"][0].Subscription.Auth)
	})
}

func TestProgress_TellsWhatIsUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "works")
		waits := r.subscribe("ann", "waits")
		r.service.script("waits", retryAfter(time.Minute))
		id := r.notify("ann")[0]
		r.settle()
		live, err := r.Progress(userNamed("ann"), id)
		require.NoError(t, err)
		require.Len(t, live, 1)
		require.Equal(t, waits.Digest, live[0].Subscription)
		require.Equal(t, 1, live[0].Attempts)
		require.Equal(t, 429, live[0].Last.Status)
		require.Equal(t, time.Minute, time.Until(live[0].Next))
		time.Sleep(2 * time.Minute)
		live, err = r.Progress(userNamed("ann"), id)
		require.NoError(t, err)
		require.Empty(t, live)
	})
}

func TestDrain_FinishesWhatIsInFlightAndKeepsTheRest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.took = 3 * time.Second
		ids := append(r.notify("ann"), r.notify("ann")...)
		r.settle()
		r.stop()
		require.Equal(t, ids[:1], r.service.got("laptop"), "the one in flight")
		require.Equal(t, []string{"delivered"}, r.states(ids[0]), "and it is durable")
		require.True(t, r.fate(ids[1]).Pending)
		r.service.took = 0
		r.start()
		r.settle()
		require.Equal(t, ids, r.service.got("laptop"), "the next start goes on, and repeats nothing")
	})
}

func TestDrain_WithABacklogIsQuickAndClean(t *testing.T) {
	for round := range 10 {
		bubble(t, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Window = 64; c.Ranges = 2 })
			r.service.took = 100 * time.Millisecond
			var users []string
			for i := range 300 {
				users = append(users, fmt.Sprint("user-", i))
				_, err := r.store.PutSubscription(t.Context(), subscriptionAt(users[i], users[i]))
				require.NoError(t, err)
			}
			r.notify(users...)
			time.Sleep(time.Duration(250+round) * time.Millisecond)
			began := time.Now()
			r.stop() // fails if anything did not come to rest
			require.Less(t, time.Since(began), time.Second)
		})
	}
}

func TestDrain_CutsOffWhatTakesTooLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", answer{hold: make(chan struct{})})
		id := r.notify("ann")[0]
		r.settle()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		require.NoError(t, r.Drain(ctx))
		r.System = nil
		require.True(t, r.fate(id).Pending)
		r.start()
		r.settle()
		require.Equal(t, []string{"delivered"}, r.states(id))
	})
}

func TestNotify_OfNothingIsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		ids, err := r.Notify(nil)
		require.NoError(t, err)
		require.Empty(t, ids)
	})
}

func TestNotify_IsRefusedWhileDraining(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		system := r.System
		r.stop()
		_, err := system.Notify([]Draft{{User: userNamed("ann"), Content: []byte(`{}`), TTL: time.Hour}})
		require.ErrorIs(t, err, ErrDraining)
	})
}
