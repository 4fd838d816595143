package actors

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

// phoneAt is a device of Apple's that the service knows under this name.
func phoneAt(user, name, topic string, environment push.Environment) push.Subscription {
	now := time.Now().Truncate(time.Millisecond)
	return push.Subscription{
		User: userNamed(user), Kind: push.APNs, Endpoint: push.Endpoint(name), Digest: push.DigestOf(push.Endpoint(name)),
		Topic: topic, Environment: environment, CreatedAt: now, RegisteredAt: now, SeenAt: now,
	}
}

func androidAt(user, name, project string) push.Subscription {
	now := time.Now().Truncate(time.Millisecond)
	return push.Subscription{
		User: userNamed(user), Kind: push.FCM, Endpoint: push.Endpoint(name), Digest: push.DigestOf(push.Endpoint(name)),
		Project: project, CreatedAt: now, RegisteredAt: now, SeenAt: now,
	}
}

func (r *rig) register(subscriptions ...push.Subscription) {
	r.t.Helper()
	for _, sub := range subscriptions {
		_, err := r.Subscribe(r.t.Context(), sub)
		require.NoError(r.t, err)
	}
}

func (r *rig) lanesNow() map[string]string {
	r.t.Helper()
	states := map[string]string{}
	for _, lane := range r.inspect("/lanes").Children {
		states[lane.Path[len("/lanes/"):]] = lane.State
	}
	return states
}

func TestDevices_EachTopicProjectAndEnvironmentHasALaneOfItsOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.register(
			phoneAt("ann", "a1", "org.example.shop", push.Production),
			phoneAt("ann", "a2", "org.example.shop", push.Sandbox),
			phoneAt("ann", "a3", "org.example.chat", push.Production),
			androidAt("ann", "b1", "example-shop"),
		)
		r.subscribe("ann", "laptop")
		id := r.notify("ann")[0]
		r.settle()
		require.Equal(t, map[string]string{
			"default:apns:org.example.shop@api.push.apple.com":         "running",
			"default:apns:org.example.shop@api.sandbox.push.apple.com": "running",
			"default:apns:org.example.chat@api.push.apple.com":         "running",
			"default:fcm:example-shop@fcm.googleapis.com":              "running",
			"default:webpush:push.example":                             "running",
		}, r.lanesNow())
		require.Len(t, r.states(id), 5)
		for _, d := range r.fate(id).Deliveries {
			if d.Kind == push.FCM {
				require.Equal(t, "fcm.googleapis.com", d.Host)
			}
		}
	})
}

// An iPhone that came to FCM's project, for which the project has no key of
// Apple's, fails for ever. That is no matter of the others.
func TestDevices_ThoseThatAlwaysFailHoldUpNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		for i := range 20 {
			name := fmt.Sprint("odd", i)
			r.register(androidAt(fmt.Sprint("stranger", i), name, "example-shop"))
			no := make([]answer, 100)
			for i := range no {
				no[i] = outcome(push.Retry, 401)
			}
			r.service.script(name, no...)
		}
		var healthy []string
		for i := range 50 {
			healthy = append(healthy, fmt.Sprint("user", i))
			r.register(androidAt(healthy[i], fmt.Sprint("phone", i), "example-shop"))
		}
		var worst time.Duration
		for i := range 60 {
			if i < 20 {
				r.notify(fmt.Sprint("stranger", i))
			}
			sent := time.Now()
			for _, id := range r.notify(healthy...) {
				for len(r.states(id)) == 0 {
					time.Sleep(time.Second)
				}
			}
			worst = max(worst, time.Since(sent))
			time.Sleep(time.Minute)
		}
		require.Less(t, worst, 5*time.Second)
		require.Empty(t, eventsOf[LanePaused](r))
	})
}

func TestDevices_OneRefusalPausesTheirLaneAndNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.register(phoneAt("ann", "a1", "org.example.shop", push.Production), phoneAt("ann", "a3", "org.example.chat", push.Production))
		r.service.script("a1", outcome(push.Refused, 403))
		id := r.notify("ann")[0]
		r.settle()
		require.Equal(t, "paused: 403 told so", r.lanesNow()["default:apns:org.example.shop@api.push.apple.com"])
		require.Equal(t, "running", r.lanesNow()["default:apns:org.example.chat@api.push.apple.com"])
		require.Equal(t, []string{"delivered"}, r.states(id), "the other topic's")

		time.Sleep(2 * pauseBase)
		require.Equal(t, []string{"delivered", "delivered"}, r.states(id))
	})
}

func TestDevices_NewCredentialsAreTriedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.register(phoneAt("ann", "a1", "org.example.shop", push.Production))
		r.service.script("a1", outcome(push.Refused, 403), outcome(push.Refused, 403), outcome(push.Refused, 403))
		id := r.notify("ann")[0]
		time.Sleep(pauseBase + 10*time.Second)
		require.Len(t, r.service.attemptsAt("a1"), 2)
		require.Empty(t, r.states(id))

		r.Reconsider("another")
		r.settle()
		require.Len(t, r.service.attemptsAt("a1"), 2, "not this app's")
		r.service.mend()
		r.Reconsider(push.DefaultApp)
		r.settle()
		require.Equal(t, []string{"delivered"}, r.states(id))
		require.Len(t, eventsOf[LaneResumed](r), 1)
	})
}

func TestDevices_ReconsideringLeavesABreakerAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		for i := range failuresInRow {
			name := fmt.Sprint("a", i)
			r.register(phoneAt(fmt.Sprint("user-", i), name, "org.example.shop", push.Production))
			r.service.script(name, outcome(push.Retry, 503))
			r.notify(fmt.Sprint("user-", i))
		}
		r.settle()
		const lane = "default:apns:org.example.shop@api.push.apple.com"
		require.Equal(t, "breaker open: 503 told so", r.lanesNow()[lane])
		r.Reconsider(push.DefaultApp)
		r.settle()
		require.Equal(t, "breaker open: 503 told so", r.lanesNow()[lane])
	})
}

// A quota is the project's: whoever is sent to, it is used up.
func TestDevices_AQuotaPausesTheLaneForAsLongAsIsAsked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.register(androidAt("ann", "b1", "example-shop"), androidAt("bob", "b2", "example-shop"))
		r.service.script("b1", answer{result: push.Result{Outcome: push.Retry, Status: 429, Reason: "QUOTA_EXCEEDED", Pause: 40 * time.Second}})
		ids := r.notify("ann")
		r.settle()
		ids = append(ids, r.notify("bob")...)
		r.settle()
		require.Equal(t, "paused: 429 QUOTA_EXCEEDED", r.lanesNow()["default:fcm:example-shop@fcm.googleapis.com"])
		require.Equal(t, "push host asks for rest", eventsOf[LanePaused](r)[0].Cause)
		time.Sleep(39 * time.Second)
		require.Empty(t, r.service.attemptsAt("b2"))
		time.Sleep(2 * time.Second)
		for _, id := range ids {
			require.Equal(t, []string{"delivered"}, r.states(id))
		}
	})
}

func TestDevices_ADeliverySaysWhatThePushServiceCallsIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.register(androidAt("ann", "b1", "example-shop"))
		r.service.script("b1", answer{result: push.Result{Outcome: push.Delivered, Status: 200, MessageID: "projects/example-shop/messages/0:1"}})
		id := r.notify("ann")[0]
		r.settle()
		require.Equal(t, "projects/example-shop/messages/0:1", r.fate(id).Deliveries[0].MessageID)
	})
}

func TestDevices_AnotherEnvironmentIsAnotherLane(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.register(phoneAt("ann", "a1", "org.example.shop", push.Production))
		r.service.script("a1", retryAfter(20*time.Second))
		id := r.notify("ann")[0]
		r.settle()
		r.register(phoneAt("ann", "a1", "org.example.shop", push.Sandbox))
		time.Sleep(21 * time.Second)
		require.Equal(t, []string{"delivered"}, r.states(id))
		require.Equal(t, push.Sandbox, r.service.messages("a1")[0].Subscription.Environment)
		require.Equal(t, "api.sandbox.push.apple.com", r.fate(id).Deliveries[0].Host)
	})
}

func TestDevices_AKeyMismatchIsNoted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.subscribe("ann", "laptop")
		mismatch := answer{result: push.Result{Outcome: push.Rejected, Status: 403, Reason: "key_mismatch: no", KeyMismatch: true}}
		r.service.script("laptop", mismatch, mismatch)
		stored := func() bool {
			found, err := r.store.ListSubscriptions(t.Context(), []push.User{sub.User})
			require.NoError(t, err)
			require.Len(t, found[sub.User], 1, "it is not deleted")
			return found[sub.User][0].KeyMismatch
		}
		require.False(t, stored())
		for range 2 {
			id := r.notify("ann")[0]
			r.settle()
			require.Equal(t, []string{"rejected"}, r.states(id))
			require.True(t, stored())
		}
		put, err := r.Subscribe(t.Context(), sub)
		require.NoError(t, err)
		require.True(t, put.KeyMismatch, "the same keys are as wrong as before")

		sub.VAPIDKey[0] = 4
		put, err = r.Subscribe(t.Context(), sub)
		require.NoError(t, err)
		require.False(t, put.KeyMismatch)
		r.service.script("laptop", mismatch)
		r.notify("ann")
		r.settle()
		require.True(t, stored(), "noted again")
	})
}

// The answer that a token is over comes after the app has registered it anew:
// it is about the registration before.
func TestDevices_GoneIsTheRegistrationThatWasSentTo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.register(phoneAt("ann", "a1", "org.example.shop", push.Production))
		hold := make(chan struct{})
		r.service.script("a1", answer{hold: hold, result: push.Result{Outcome: push.Gone, Status: 410, Reason: "Unregistered"}})
		ids := r.notify("ann")
		r.settle()
		time.Sleep(time.Second)
		again := phoneAt("ann", "a1", "org.example.shop", push.Sandbox)
		r.register(again)
		r.settle()
		close(hold)
		r.settle()
		ids = append(ids, r.notify("ann")...)
		r.settle()
		for _, id := range ids {
			require.Equal(t, []string{"delivered"}, r.states(id))
		}
		require.Equal(t, push.Sandbox, r.service.messages("a1")[0].Subscription.Environment)
		found, err := r.store.ListSubscriptions(t.Context(), []push.User{again.User})
		require.NoError(t, err)
		require.Len(t, found[again.User], 1)

		r.service.script("a1", answer{result: push.Result{Outcome: push.Gone, Status: 410, Reason: "Unregistered"}})
		last := r.notify("ann")[0]
		r.settle()
		require.Equal(t, []string{"gone"}, r.states(last))
		found, err = r.store.ListSubscriptions(t.Context(), []push.User{again.User})
		require.NoError(t, err)
		require.Empty(t, found[again.User])
	})
}
