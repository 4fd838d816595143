package actors

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
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

func TestLane_RefusedPausesItAndDeletesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "ann-laptop")
		r.subscribe("bob", "bob-laptop")
		r.service.script("ann-laptop", outcome(push.Refused, 403), outcome(push.Refused, 403))
		anns := r.notify("ann")
		r.settle()
		bobs := r.notify("bob")
		time.Sleep(retryBase)
		lane := r.inspect("/lanes").Children[0]
		require.Equal(t, "paused: 403 told so", lane.State)
		require.Equal(t, 2, lane.Queue)
		require.Empty(t, r.service.got("bob-laptop"), "the host refuses our credentials, whoever it is for")
		require.Len(t, eventsOf[LanePaused](r), 1)

		time.Sleep(pauseBase)
		require.Len(t, eventsOf[LaneResumed](r), 1)
		require.Equal(t, []string{"delivered"}, r.states(bobs[0]), "the probe was for another user")
		time.Sleep(pauseBase)
		require.Equal(t, []string{"delivered"}, r.states(anns[0]))
		require.Equal(t, 3, r.fate(anns[0]).Deliveries[0].Attempts)
	})
}

func TestLane_APauseGrowsWhileItsProbeIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		no := outcome(push.Refused, 403)
		r.service.script("laptop", no, no, no, no, no, no, no)
		r.notifyTTL(24*time.Hour, "ann")
		time.Sleep(3 * time.Hour)
		require.Len(t, eventsOf[LaneResumed](r), 1)
		var pauses []time.Duration
		for i, at := range r.service.attemptsAt("laptop")[:7] {
			pauses = append(pauses, eventsOf[LanePaused](r)[i].Until.Sub(at))
		}
		m := time.Minute
		require.Equal(t, []time.Duration{m, 2 * m, 4 * m, 8 * m, 15 * m, 15 * m, 15 * m}, pauses)
		require.Len(t, r.service.got("laptop"), 1)
	})
}

func TestLane_OneStrangersEndpointDoesNotPauseIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.notify("ann")
		no := make([]answer, 100)
		for i := range no {
			no[i] = outcome(push.Refused, 401)
		}
		for i := range 10 {
			browser := fmt.Sprintf("odd-%d", i)
			r.subscribe("mallory", browser)
			r.service.script(browser, no...)
		}
		r.settle()
		r.notify("mallory")
		r.settle()
		ids := r.notify("ann")
		r.settle()
		require.Equal(t, []string{"delivered"}, r.states(ids[0]))
		require.Empty(t, eventsOf[LanePaused](r))
		for _, user := range []string{"bob", "eve"} {
			r.subscribe(user, user)
			r.service.script(user, outcome(push.Refused, 401))
			r.notify(user)
		}
		r.settle()
		require.Empty(t, eventsOf[LanePaused](r), "it delivered in between")
		r.subscribe("joe", "joe")
		r.service.script("joe", outcome(push.Refused, 401))
		r.notify("joe")
		r.settle()
		require.Len(t, eventsOf[LanePaused](r), 1, "three users in a row")
	})
}

func TestLane_ExpiresWhatWaitsTooLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", outcome(push.Refused, 401))
		ids := append(r.notifyTTL(20*time.Second, "ann"), r.notifyTTL(30*time.Second, "ann")...)
		time.Sleep(40 * time.Second)
		require.Equal(t, []string{"expired"}, r.states(ids[0]))
		require.Equal(t, "told so", r.fate(ids[0]).Deliveries[0].Reason)
		require.Equal(t, []string{"expired"}, r.states(ids[1]))
		require.Equal(t, 0, r.fate(ids[1]).Deliveries[0].Attempts)
		require.Len(t, r.service.attemptsAt("laptop"), 1)
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

func TestNotify_IsRefusedWhileDraining(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		system := r.System
		r.stop()
		_, err := system.Notify([]Draft{{User: userNamed("ann"), Content: []byte(`{}`), TTL: time.Hour}})
		require.ErrorIs(t, err, ErrDraining)
	})
}
