package apns

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

// countDials counts the connections that are tried to production.
func (r *rig) countDials() *atomic.Int64 {
	var dials atomic.Int64
	r.productions().transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
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
		r.clock.advance(redialAfter)
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
	dials := r.countDials()
	r.productions().transport.TLSHandshakeTimeout = 100 * time.Millisecond
	r.silence()
	require.Equal(t, map[push.Outcome]int{push.Retry: 20}, r.sendMany(0, 20))
	require.LessOrEqual(t, dials.Load(), int64(defaultConnections))
}

func TestSend_DialsForTheOthersWhenADiallerGivesUp(t *testing.T) {
	r := newRig(t)
	r.Provider = r.provider(func(c *Config) { c.Connections = 1 })
	var dials atomic.Int64
	dialling := make(chan struct{})
	r.productions().transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1) == 1 {
			close(dialling)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	ctx, giveUp := context.WithCancel(t.Context())
	var sending sync.WaitGroup
	var first push.Result
	var others map[push.Outcome]int
	sending.Go(func() { first = r.Send(ctx, messageOf(t)) })
	<-dialling
	sending.Go(func() { others = r.sendMany(0, 10) })
	r.awaitWaiting(10)
	giveUp()
	sending.Wait()
	require.Equal(t, push.Retry, first.Outcome)
	require.Equal(t, map[push.Outcome]int{push.Delivered: 10}, others)
	require.Equal(t, int64(2), dials.Load())
}

func TestSend_WaitsForAnOpenConnectionWhenAnotherCannotBeHad(t *testing.T) {
	r := newRig(t, streamLimit(1))
	var dials atomic.Int64
	r.productions().transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1) > 1 {
			return nil, &net.OpError{Op: "dial", Net: network, Err: net.ErrClosed}
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	require.Equal(t, push.Delivered, r.send().Outcome)
	require.Equal(t, map[push.Outcome]int{push.Delivered: 50}, r.sendMany(0, 50))
	require.LessOrEqual(t, dials.Load(), int64(2))
}

// A connection that died without a word is found before the first request on it
// has timed out, so that those after it need not.
func TestSend_NoticesADeadConnectionBeforeItsTimeout(t *testing.T) {
	r := newRig(t)
	config := r.productions().transport.HTTP2
	require.Equal(t, 20*time.Second, config.SendPingTimeout+config.PingTimeout)
	require.Less(t, config.SendPingTimeout+config.PingTimeout, r.timeout)
}
