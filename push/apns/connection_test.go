package apns

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pool"
	"github.com/belfryhq/belfry/push/simulate"
)

// productions is the pool of connections to production.
func (r *rig) productions() *pool.Pool {
	r.t.Helper()
	kept := r.pools.set.Kept()[poolName{r.credential, r.production.URL()}]
	require.NotNil(r.t, kept)
	return kept
}

// awaitWaiting waits until so many sends to production wait.
func (r *rig) awaitWaiting(n int) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.productions().Waiting() == n }, time.Minute, time.Millisecond)
}

// unwrapped hands out what is inside TLS, and remembers it.
type unwrapped struct {
	net.Listener
	accepted chan net.Conn
}

func (l unwrapped) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.accepted <- conn
	return struct{ net.Conn }{conn}, nil
}

// goAway is the frame (RFC 9113 §6.8), for no error, with stream 1 as the last.
var goAway = []byte{0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}

// APNs says GOAWAY while there is nothing under way, and leaves the connection open.
func TestSend_LeavesAQuietConnectionAfterGoAway(t *testing.T) {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true) // TLS is the listener's
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.Protocols = &protocols
	secure := httptest.NewTLSServer(nil)
	defer secure.Close()
	listener := unwrapped{accepted: make(chan net.Conn, 2)}
	listener.Listener = tls.NewListener(server.Listener, &tls.Config{Certificates: secure.TLS.Certificates, NextProtos: []string{"h2"}})
	server.Listener = listener
	server.Start()
	defer server.Close()

	r := newRig(t)
	credential := *r.credential
	credential.settings.Host = "https://" + server.Listener.Addr().String()
	r.credential = &credential
	r.Provider = r.provider(func(c *Config) {
		c.Connections, c.Timeout = 1, 30*time.Second
		c.RootCAs = secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	})
	require.Equal(t, push.Delivered, r.send().Outcome)
	first := r.pools.set.Kept()[poolName{&credential, credential.settings.Host}].Conns()[0]
	require.Eventually(t, func() bool { return first.InFlight() == 0 }, time.Minute, time.Millisecond)
	_, err := (<-listener.accepted).Write(goAway)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return first.Available() == 0 }, time.Minute, time.Millisecond)
	require.NoError(t, first.Err(), "it is open")
	require.Equal(t, push.Delivered, r.send().Outcome)
	require.Len(t, listener.accepted, 1, "the second one")
}

// net/http counts a request that was cancelled for longer than it is under way.
func TestSend_KeepsAFullConnectionWhileRequestsAreCancelled(t *testing.T) {
	// A server of Go's ends a connection (ENHANCE_YOUR_CALM) on which four times as many requests as it
	// takes at a time wait for a handler, as those may that were cancelled: on a busy
	// machine that happens now and then.
	r := newRig(t, streamLimit(20))
	r.Provider = r.provider(func(c *Config) { c.Connections = 1 })
	require.Equal(t, push.Delivered, r.send().Outcome)
	require.NoError(t, r.production.Fault(simulate.Fault{DelayMillis: 5}))
	var sending sync.WaitGroup
	for i := range 30 {
		sending.Go(func() {
			for j := range 200 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(2+(i+j)%7)*time.Millisecond)
				r.Send(ctx, messageOf(t, device(numbered(i))))
				cancel()
			}
		})
	}
	sending.Wait()
	require.LessOrEqual(t, r.production.Connections(), 3, "for 6,000 requests")
}
