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

// sockets counts the connections of the credential in use, to FCM and to the token
// endpoint.
func (r *rig) sockets() int {
	r.provider.clients.mu.Lock()
	defer r.provider.clients.mu.Unlock()
	n := 0
	for _, c := range r.provider.clients.all {
		n += c.sockets()
	}
	return n
}

func (c *client) sockets() int {
	n := 0
	for _, line := range c.lines {
		line.mu.Lock()
		n += len(line.open)
		line.mu.Unlock()
	}
	return n
}

func TestRetire_ClosesTheConnectionsOfWhatWasReplaced(t *testing.T) {
	r := newRig(t)
	for range 50 {
		require.Equal(t, push.Delivered, r.send(t).Outcome)
		require.Equal(t, 1, r.sockets())
		replaced := r.credential.Load()
		client := r.provider.clients.all[replaced]
		r.credential.Store(r.parse(t))
		r.provider.Retire(replaced)
		require.Zero(t, client.sockets())
		require.Empty(t, r.provider.clients.all)
		r.clock.advance(2 * time.Minute)
	}
	require.Len(t, r.provider.clients.retired, 1, "the others are forgotten, too")
}

func TestRetire_FinishesWhatIsUnderWay(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send(t).Outcome)
	r.fault(t, simulate.Fault{DelayMillis: 2000})
	client := r.provider.clients.all[r.credential.Load()]
	slow := make(chan push.Result, 1)
	go func() { slow <- r.provider.Send(context.Background(), messageTo(t, registrationToken)) }()
	_, err := r.Await(t.Context(), 2)
	require.NoError(t, err)
	r.provider.Retire(r.credential.Load())
	require.Equal(t, 1, client.sockets())
	require.Equal(t, push.Delivered, (<-slow).Outcome)
	require.Zero(t, client.sockets(), "with the last answer")
	require.Equal(t, 1, r.Connections())
}

// A Send may have looked the credential up just before.
func TestRetire_KeepsNothingForLateSends(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send(t).Outcome)
	r.provider.Retire(r.credential.Load())
	for range 5 {
		require.Equal(t, push.Delivered, r.send(t).Outcome)
	}
	require.Empty(t, r.provider.clients.all)
	require.Equal(t, 6, r.AccessTokens())

	r.clock.advance(2 * time.Minute) // nobody knows it any more, unless it is given again
	deliverMany(t, r, 5)
	require.Len(t, r.provider.clients.all, 1)
	require.Equal(t, 7, r.AccessTokens())
}

// The token endpoint answers when nobody needs the token any more.
func TestRetire_EndsWithARenewalUnderWay(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.TokenFault(simulate.Fault{DelayMillis: 60_000}))
	ctx, cancel := context.WithCancel(t.Context())
	sent := make(chan push.Result, 1)
	go func() { sent <- r.provider.Send(ctx, messageTo(t, registrationToken)) }()
	r.await(t, func() bool { return r.renewing() && r.sockets() == 1 })
	client := r.provider.clients.all[r.credential.Load()]
	r.provider.Retire(r.credential.Load())
	cancel()
	<-sent
	require.Zero(t, client.sockets())
	r.provider.clients.open.running.Wait()
}

// Proxies of the environment would see every message's access token.
func TestConnections_UseNoProxy(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	line := newLine(Config{})
	require.Nil(t, line.transport.Proxy)
	require.NotNil(t, http.DefaultTransport.(*http.Transport).Proxy)
}
