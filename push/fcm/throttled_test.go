package fcm

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

func TestQuota_OfOneDeviceIsNoMatterOfTheOthers(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.Fault(simulate.Fault{Status: 429, Reason: "QUOTA_EXCEEDED"}))
	for range 20 {
		got := r.send(t)
		require.Equal(t, push.Retry, got.Outcome)
		require.Zero(t, got.Pause)
		require.Equal(t, quotaWait, got.AtLeast)
	}
}

func TestQuota_OfSeveralDevicesIsTheProjects(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.Fault(simulate.Fault{Status: 429, Reason: "QUOTA_EXCEEDED", RetryAfter: 40}))
	pauseFor := func(device int) time.Duration {
		return r.provider.Send(t.Context(), messageTo(t, push.Endpoint(fmt.Sprintf("device-%d:%s", device, registrationToken)))).Pause
	}
	require.Zero(t, pauseFor(1))
	require.Zero(t, pauseFor(2))
	require.Zero(t, pauseFor(2), "the same again")
	require.Equal(t, 40*time.Second, pauseFor(3))
	require.Equal(t, 40*time.Second, pauseFor(4))
	r.clock.advance(throttledMemory + time.Second)
	require.Zero(t, pauseFor(5), "the others were long ago")
}

// FCM calls the token wrong for what an application put into the message.
func TestSend_EndsNoSubscriptionForAPatchedMessage(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.Fault(simulate.Fault{Status: 400, Reason: "INVALID_ARGUMENT"}))
	message := messageTo(t, registrationToken)
	require.Equal(t, push.Gone, r.provider.Send(t.Context(), message).Outcome, "nothing else can be wrong")

	var err error
	message.Notification.Native, err = push.Native{FCM: &push.FCMOptions{Message: json.RawMessage(`{"android":{"notification":{"color":"red"}}}`)}}.Encode()
	require.NoError(t, err)
	got := r.provider.Send(t.Context(), message)
	require.Equal(t, push.Rejected, got.Outcome)
	require.Equal(t, 400, got.Status)

	r.ClearFaults()
	r.Unregister(registrationToken)
	require.Equal(t, push.Gone, r.provider.Send(t.Context(), message).Outcome, "a 404 says it all the same")
}
