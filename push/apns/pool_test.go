package apns

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pool"
	"github.com/belfryhq/belfry/push/simulate"
)

func streamLimit(limit int) func(*simulate.APNsConfig) {
	return func(c *simulate.APNsConfig) { c.StreamLimit = limit }
}

// sendMany sends to as many devices at once, and gives what it came to by outcome.
func (r *rig) sendMany(from, to int) map[push.Outcome]int {
	var mu sync.Mutex
	outcomes := make(map[push.Outcome]int)
	var sending sync.WaitGroup
	for i := from; i < to; i++ {
		sending.Go(func() {
			result := r.send(device(numbered(i)))
			mu.Lock()
			defer mu.Unlock()
			outcomes[result.Outcome]++
		})
	}
	sending.Wait()
	return outcomes
}

// takenOnce wants each of n messages taken, none twice.
func takenOnce(t *testing.T, service *simulate.APNs, n int) {
	t.Helper()
	times := make(map[string]int)
	for _, entry := range service.Log() {
		if entry.Taken {
			times[entry.ID]++
		}
	}
	require.Len(t, times, n)
	for id, count := range times {
		require.Equal(t, 1, count, id)
	}
}

func TestSend_LosesAndDoublesNothingWhenAPNsSaysGoAway(t *testing.T) {
	const rounds, each = 8, 100
	r := newRig(t, streamLimit(10))
	for round := range rounds {
		// Every connection ends in the middle of each round.
		r.production.GoAway()
		require.Equal(t, map[push.Outcome]int{push.Delivered: each}, r.sendMany(round*each, (round+1)*each))
	}
	takenOnce(t, r.production, rounds*each)
	require.GreaterOrEqual(t, r.production.Connections(), rounds, "the rounds did end connections")
	require.LessOrEqual(t, r.production.Connections(), 2*(rounds+1))
}

func TestSend_WaitsForRoomInsteadOfOpeningConnections(t *testing.T) {
	const senders = 300
	r := newRig(t, streamLimit(3))
	require.Equal(t, map[push.Outcome]int{push.Delivered: senders}, r.sendMany(0, senders))
	takenOnce(t, r.production, senders)
	require.LessOrEqual(t, r.production.Connections(), 2)
}

func TestSend_KeepsItsConnections(t *testing.T) {
	r := newRig(t)
	for range 20 {
		require.Equal(t, push.Delivered, r.send().Outcome)
	}
	for range 5 {
		require.Equal(t, map[push.Outcome]int{push.Delivered: 50}, r.sendMany(0, 50))
	}
	require.Equal(t, 1, r.production.Connections(), "one is enough while it takes all there is")
}

// The first request has the connection to itself, for APNs takes no more before
// it has seen a provider token.
func TestSend_AsksOneThingFirst(t *testing.T) {
	r := newRig(t)
	r.Provider = r.provider(func(c *Config) { c.Connections = 1 })
	require.NoError(t, r.production.Fault(simulate.Fault{Times: 1, DelayMillis: 100}))
	r.sendMany(0, 20)
	got := r.production.Log()
	require.Len(t, got, 20)
	for _, later := range got[1:] {
		require.GreaterOrEqual(t, later.At.Sub(got[0].At), 100*time.Millisecond)
	}
}

func TestSend_NeedsNoNewTryAfterAnIdleConnectionEnded(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send().Outcome)
	r.production.GoAway()
	for i := range 3 {
		require.Equal(t, push.Delivered, r.send(device(numbered(i))).Outcome)
	}
	require.Equal(t, 2, r.production.Connections())
}

func TestSend_DoesNotWaitForAConnectionThatEnds(t *testing.T) {
	r := newRig(t)
	r.Provider = r.provider(func(c *Config) { c.Connections = 1 })
	require.Equal(t, push.Delivered, r.send().Outcome)
	require.NoError(t, r.production.Fault(simulate.Fault{Target: numbered(1), DelayMillis: 60_000}))
	ctx, cancel := context.WithCancel(t.Context())
	slow := make(chan push.Result, 1)
	go func() { slow <- r.Send(ctx, messageOf(t, device(numbered(1)))) }()
	_, err := r.production.Await(t.Context(), 2)
	require.NoError(t, err)

	r.production.GoAway()
	for i := range 20 {
		require.Equal(t, push.Delivered, r.send(device(numbered(2+i))).Outcome)
	}
	require.Empty(t, slow)
	require.Equal(t, 2, r.production.Connections())
	cancel()
	require.Equal(t, push.Retry, (<-slow).Outcome)
}

func TestSend_FindsAPNsAgainAfterItWasAway(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send().Outcome)
	r.production.Stop()
	for range 3 {
		require.Equal(t, push.Retry, r.send().Outcome)
	}
	require.NoError(t, r.production.Start())
	r.clock.advance(pool.RedialAfter)
	require.Equal(t, push.Delivered, r.send().Outcome)
	require.Equal(t, 2, r.production.Connections())
}

func TestSend_AnotherCredentialHasItsOwnConnections(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send().Outcome)
	again, err := Load(r.credential.Settings(), r.credential.Secret())
	require.NoError(t, err)
	r.credential = again
	require.Equal(t, push.Delivered, r.send().Outcome)
	require.Equal(t, 2, r.production.Connections())
	require.Len(t, r.pools.set.Kept(), 2)
}

func TestSend_LetsGoOfConnectionsThatNobodyUses(t *testing.T) {
	r := newRig(t)
	first := r.credential
	require.Equal(t, push.Delivered, r.send().Outcome)
	kept := r.productions()

	r.clock.advance(idleTimeout)
	again, err := Load(first.Settings(), first.Secret())
	require.NoError(t, err)
	r.credential = again
	require.Equal(t, push.Delivered, r.send().Outcome)
	require.Len(t, r.pools.set.Kept(), 1)
	require.Empty(t, kept.Conns())

	r.credential = first
	require.Equal(t, push.Delivered, r.send().Outcome)
	require.Equal(t, 3, r.production.Connections(), "it had been closed")
}

func TestSend_AsksARefusingAPNsOnANewConnectionNowAndThen(t *testing.T) {
	r := newRig(t)
	refuse := func() {
		require.NoError(t, r.production.Fault(simulate.Fault{Times: 1, Status: 403, Reason: "UnrelatedKeyIdInToken"}))
		require.Equal(t, push.Refused, r.send().Outcome)
	}
	refuse()
	refuse()
	require.Equal(t, 1, r.production.Connections(), "not for every message")
	r.clock.advance(replaceEvery)
	refuse()
	require.Equal(t, push.Delivered, r.send().Outcome)
	require.Equal(t, 2, r.production.Connections())
}

func TestSend_FinishesWhatIsUnderWayOnAConnectionItLetsGoOf(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send().Outcome)
	require.NoError(t, r.production.Fault(simulate.Fault{Target: numbered(1), DelayMillis: 2000}))
	slow := make(chan push.Result, 1)
	go func() { slow <- r.Send(context.Background(), messageOf(t, device(numbered(1)))) }()
	_, err := r.production.Await(t.Context(), 2)
	require.NoError(t, err)
	r.Close()
	require.Equal(t, push.Delivered, (<-slow).Outcome)
}

// another is the same key as an identity of its own.
func (r *rig) another() *Credential {
	r.t.Helper()
	credential, err := Load(r.credential.Settings(), r.credential.Secret())
	require.NoError(r.t, err)
	return credential
}

// open counts the connections that the provider has.
func (r *rig) open() int {
	n := 0
	for _, kept := range r.pools.set.Kept() {
		n += len(kept.Conns())
	}
	return n
}

func TestRetire_ClosesTheConnectionsOfWhatWasReplaced(t *testing.T) {
	r := newRig(t)
	var last *http.ClientConn
	for range 50 {
		require.Equal(t, push.Delivered, r.send().Outcome)
		require.Equal(t, push.Delivered, r.send(func(m *push.Message) { m.Subscription.Environment = push.Sandbox }).Outcome)
		for name, kept := range r.pools.set.Kept() {
			require.Equal(t, r.credential, name.credential)
			last = kept.Conns()[0]
		}
		replaced := r.credential
		r.credential = r.another()
		r.Retire(replaced)
		require.Zero(t, r.open())
		require.Error(t, last.Err(), "it is closed")
		r.clock.advance(time.Minute)
	}
	require.Len(t, r.pools.retired, 1, "the others are forgotten, too")
	require.Equal(t, 50, r.production.Connections())
}

func TestRetire_FinishesWhatIsUnderWay(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send().Outcome)
	require.NoError(t, r.production.Fault(simulate.Fault{Target: numbered(1), DelayMillis: 2000}))
	kept := r.productions()
	slow := make(chan push.Result, 1)
	go func() { slow <- r.Send(context.Background(), messageOf(t, device(numbered(1)))) }()
	_, err := r.production.Await(t.Context(), 2)
	require.NoError(t, err)
	conn := kept.Conns()[0]
	r.Retire(r.credential)
	require.NoError(t, conn.Err())
	require.Equal(t, push.Delivered, (<-slow).Outcome)
	require.Error(t, conn.Err(), "with the last answer")
	require.Equal(t, 1, r.production.Connections())
}

// A Send may have looked the credential up just before.
func TestRetire_KeepsNothingForLateSends(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send().Outcome)
	r.Retire(r.credential)
	require.Equal(t, map[push.Outcome]int{push.Delivered: 5}, r.sendMany(0, 5))
	require.Empty(t, r.pools.set.Kept())
	require.Equal(t, 6, r.production.Connections())

	r.clock.advance(defaultTimeout + time.Second) // nobody knows it any more, unless it is given again
	require.Equal(t, map[push.Outcome]int{push.Delivered: 5}, r.sendMany(0, 5))
	require.Len(t, r.pools.set.Kept(), 1)
}

func TestSend_SpeaksHTTP2Alone(t *testing.T) {
	for name, test := range map[string]struct {
		protocols []string
		reason    string
	}{
		"a server of HTTP/1.1":             {[]string{"http/1.1"}, "the push service does not speak TLS as it should"},
		"a server that names no protocols": {[]string{}, "the push service does not speak HTTP/2"},
	} {
		t.Run(name, func(t *testing.T) {
			old := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked in HTTP/1.1") }))
			old.Config.ErrorLog = log.New(io.Discard, "", 0)
			old.StartTLS()
			defer old.Close()
			old.TLS.NextProtos = test.protocols
			r := newRig(t)
			credential := *r.credential
			credential.settings.Host = old.URL
			provider := r.provider(func(c *Config) {
				c.Credential = func(context.Context, string, string) (*Credential, error) { return &credential, nil }
				c.RootCAs = old.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
			})
			require.Equal(t, push.Result{Outcome: push.Retry, Reason: test.reason}, provider.Send(t.Context(), messageOf(t)))
		})
	}
}

func TestSend_SpeaksNoOldTLSAndUsesNoProxyOfTheEnvironment(t *testing.T) {
	transport := newTransport(newRig(t).credential, nil)
	require.Nil(t, transport.Proxy)
	require.Equal(t, uint16(tls.VersionTLS12), transport.TLSClientConfig.MinVersion)
}

// A server that goes away without a word is noticed by the next request on it,
// which is then in doubt.
func TestSend_DialsAnewAfterABrokenConnection(t *testing.T) {
	r := newRig(t)
	var broken atomic.Pointer[net.Conn]
	r.dialling(func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		broken.Store(&conn)
		return conn, err
	})
	require.Equal(t, push.Delivered, r.send().Outcome)
	(*broken.Load()).Close()
	require.Eventually(t, func() bool { return r.send().Outcome == push.Delivered }, time.Minute, time.Millisecond)
	require.Equal(t, 2, r.production.Connections())
}
