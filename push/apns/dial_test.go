package apns

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pool"
)

// dialling has connections opened in another way, by a provider changed as asked.
func (r *rig) dialling(dial func(ctx context.Context, network, address string) (net.Conn, error), change ...func(*Config)) {
	r.t.Helper()
	r.Provider = r.provider(append(change, func(c *Config) {
		c.transport = func(t *http.Transport) { t.DialContext = dial }
	})...)
}

// countDials counts the connections that are tried to production.
func (r *rig) countDials(change ...func(*Config)) *atomic.Int64 {
	r.t.Helper()
	var dials atomic.Int64
	r.dialling(func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}, change...)
	return &dials
}

func TestSend_DialsAnAPNsThatIsAwayOnceASecond(t *testing.T) {
	r := newRig(t)
	dials := r.countDials()
	r.production.Stop()
	for second := range 3 {
		require.Equal(t, map[push.Outcome]int{push.Retry: 128}, r.sendMany(0, 128))
		require.LessOrEqual(t, dials.Load(), int64(defaultConnections*(second+1)))
		require.Greater(t, dials.Load(), int64(second))
		r.clock.advance(pool.RedialAfter)
	}
	require.NoError(t, r.production.Start())
	require.Equal(t, map[push.Outcome]int{push.Delivered: 128}, r.sendMany(0, 128))
}

// silence is a listener in production's place that never says a word.
func (r *rig) silence() {
	r.t.Helper()
	address := r.production.URL()[len("https://"):]
	r.production.Stop()
	listener, err := net.Listen("tcp", address)
	require.NoError(r.t, err)
	var taking sync.WaitGroup
	taking.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close() // all of them at the end
		}
	})
	r.t.Cleanup(func() {
		listener.Close()
		taking.Wait()
	})
}

func TestSend_DoesNotAskASilentAPNsInTurn(t *testing.T) {
	r := newRig(t)
	var dials atomic.Int64
	r.Provider = r.provider(func(c *Config) {
		c.transport = func(t *http.Transport) {
			t.TLSHandshakeTimeout = 100 * time.Millisecond
			t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				dials.Add(1)
				return (&net.Dialer{}).DialContext(ctx, network, address)
			}
		}
	})
	r.silence()
	require.Equal(t, map[push.Outcome]int{push.Retry: 20}, r.sendMany(0, 20))
	require.LessOrEqual(t, dials.Load(), int64(defaultConnections))
}

func TestSend_DialsForTheOthersWhenTheFirstGivesUp(t *testing.T) {
	r := newRig(t)
	var dials atomic.Int64
	dialling, goOn := make(chan struct{}), make(chan struct{})
	r.dialling(func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1) == 1 {
			close(dialling)
			<-goOn
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}, func(c *Config) { c.Connections = 1 })
	ctx, giveUp := context.WithCancel(t.Context())
	var sending sync.WaitGroup
	var others map[push.Outcome]int
	gaveUp := make(chan push.Result)
	go func() { gaveUp <- r.Send(ctx, messageOf(t)) }()
	<-dialling
	sending.Go(func() { others = r.sendMany(0, 10) })
	r.awaitWaiting(11)
	giveUp()
	require.Equal(t, push.Retry, (<-gaveUp).Outcome)
	close(goOn)
	sending.Wait()
	require.Equal(t, map[push.Outcome]int{push.Delivered: 10}, others)
	require.Equal(t, int64(1), dials.Load())
}

func TestSend_WaitsForAnOpenConnectionWhenAnotherCannotBeHad(t *testing.T) {
	r := newRig(t, streamLimit(1))
	var dials atomic.Int64
	r.dialling(func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1) > 1 {
			return nil, &net.OpError{Op: "dial", Net: network, Err: net.ErrClosed}
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	})
	require.Equal(t, push.Delivered, r.send().Outcome)
	require.Equal(t, map[push.Outcome]int{push.Delivered: 50}, r.sendMany(0, 50))
	require.LessOrEqual(t, dials.Load(), int64(2))
}

// A connection that died without a word is found before the first request on it
// has timed out, so that those after it need not.
func TestSend_NoticesADeadConnectionBeforeItsTimeout(t *testing.T) {
	r := newRig(t)
	config := newTransport(r.credential, nil).HTTP2
	require.Equal(t, 20*time.Second, config.SendPingTimeout+config.PingTimeout)
	require.Less(t, config.SendPingTimeout+config.PingTimeout, r.timeout)
}
