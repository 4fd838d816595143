package actors

import (
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
		require.Equal(t, 1, r.service.mostAtOnce("laptop"), "one in flight at a time")
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
		r := newRig(t, func(c *Config) { c.Ranges = 1 })
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

func TestMessage_TTLIsWhatRemains(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(10*time.Second))
		r.notifyTTL(time.Minute, "ann")
		time.Sleep(30 * time.Second)
		require.Equal(t, 50*time.Second, r.service.messages("laptop")[0].TTL)
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
		live, err := r.Progress(t.Context(), userNamed("ann"), id)
		require.NoError(t, err)
		require.Len(t, live, 1)
		require.Equal(t, waits.Digest, live[0].Subscription)
		require.Equal(t, 1, live[0].Attempts)
		require.Equal(t, 429, live[0].Last.Status)
		require.Equal(t, time.Minute, time.Until(live[0].Next))
		time.Sleep(2 * time.Minute)
		live, err = r.Progress(t.Context(), userNamed("ann"), id)
		require.NoError(t, err)
		require.Empty(t, live)
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
