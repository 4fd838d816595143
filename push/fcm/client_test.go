package fcm

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

// hold begins n messages that FCM takes and does not answer, and gives what ends
// them.
func (r *rig) hold(t *testing.T, n, taken int) (end func()) {
	t.Helper()
	r.fault(t, simulate.Fault{DelayMillis: 60_000})
	before := len(r.Log())
	ctx, cancel := context.WithCancel(t.Context())
	message := messageTo(t, registrationToken)
	var held sync.WaitGroup
	for range n {
		held.Go(func() { r.provider.Send(ctx, message) })
	}
	patient, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	_, err := r.Await(patient, before+taken)
	require.NoError(t, err)
	return func() {
		cancel()
		held.Wait()
	}
}

// deliverMany sends n messages at once.
func deliverMany(t *testing.T, r *rig, n int) {
	t.Helper()
	message := messageTo(t, registrationToken)
	var sending sync.WaitGroup
	for range n {
		sending.Go(func() {
			if result := r.provider.Send(t.Context(), message); result.Outcome != push.Delivered {
				t.Errorf("send: %+v", result)
			}
		})
	}
	sending.Wait()
}

// FCM allows a hundred streams on a connection, and resets those in excess.
func hundredStreams(s *setup) { s.simulated.StreamLimit = 100 }

func TestConnections_AreAsManyAsAreNeeded(t *testing.T) {
	r := newRig(t, hundredStreams)
	for round := range 3 {
		deliverMany(t, r, streamsPerLine)
		require.Equal(t, 1, r.Connections(), "round %d", round)
	}
	deliverMany(t, r, 4*streamsPerLine)
	require.LessOrEqual(t, r.Connections(), 4)
}

func TestConnections_GrowWithWhatIsUnderWay(t *testing.T) {
	r := newRig(t, hundredStreams)
	end := r.hold(t, 150, 150)
	defer end()
	require.Equal(t, 2, r.Connections())
}

func TestConnections_AreNoMoreThanAllowed(t *testing.T) {
	r := newRig(t, hundredStreams, func(s *setup) { s.config.MaxConns = 2 })
	end := r.hold(t, 300, 2*streamsPerLine)
	defer end()
	require.Equal(t, 2, r.Connections())

	impatient, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	result := r.provider.Send(impatient, messageTo(t, registrationToken))
	require.Equal(t, push.Result{Outcome: push.Retry, Reason: "the push service did not answer in time"}, result, "it waits for room")
	require.Len(t, r.Log(), 2*streamsPerLine)
	require.Equal(t, 2, r.Connections())
}

func TestConnections_AreReplacedAfterAGoAway(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send(t).Outcome)
	r.GoAway()
	for range 5 {
		require.Equal(t, push.Delivered, r.send(t).Outcome)
	}
	require.Equal(t, 2, r.Connections())
}

func TestConnections_EndWhenTheirCredentialIsNoLongerUsed(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send(t).Outcome)
	r.clock.advance(clientLife + time.Second)
	r.credential.Store(r.parse(t))
	require.Equal(t, push.Delivered, r.send(t).Outcome)
	require.Len(t, r.provider.clients.all, 1)
	require.Equal(t, 2, r.Connections())
	require.Equal(t, 2, r.AccessTokens())
}

// Proxies of the environment would see every message's access token.
func TestConnections_UseNoProxy(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	line := newLine(Config{})
	require.Nil(t, line.transport.Proxy)
	require.NotNil(t, http.DefaultTransport.(*http.Transport).Proxy)
}
