package pool

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is a server whose answers wait for release, if that is not nil, but for the
// first one on each connection.
type host struct {
	*httptest.Server
	release chan struct{}
	opened  atomic.Int64 // connections
	asked   atomic.Int64 // requests
}

// serve starts a host of HTTP/2 with so many requests at a time on a connection;
// or of HTTP/1.1, for 0.
func serve(t *testing.T, streams int, release chan struct{}) *host {
	t.Helper()
	h := &host{release: release}
	h.Server = httptest.NewUnstartedServer(h)
	h.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			h.opened.Add(1)
		}
	}
	h.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, firstKey{}, new(atomic.Bool))
	}
	h.EnableHTTP2 = streams > 0
	h.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: streams}
	h.StartTLS()
	t.Cleanup(h.Close)
	return h
}

// firstKey is where a request's context says whether there was one before.
type firstKey struct{}

func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.asked.Add(1)
	first := r.Context().Value(firstKey{}).(*atomic.Bool).CompareAndSwap(false, true)
	if h.release != nil && !first {
		select {
		case <-h.release:
		case <-r.Context().Done():
		}
	}
	io.WriteString(w, r.Header.Get("Identity")) //nolint:errcheck // the client has gone
}

// pool makes one of the host's, changed as asked.
func (h *host) pool(t *testing.T, change ...func(*Config)) *Pool {
	t.Helper()
	config := Config{
		Transport: h.Client().Transport.(*http.Transport).Clone(), Scheme: "https", Address: h.Listener.Addr().String(), Size: 16, Idle: time.Minute,
	}
	config.Transport.ForceAttemptHTTP2 = true
	for _, f := range change {
		f(&config)
	}
	p := New(config)
	t.Cleanup(p.Close)
	return p
}

// still is a clock that moves only when told to: however slow the machine is, no
// connection is opened beside one that takes its time.
type still struct{ passed atomic.Int64 }

func (c *still) now() time.Time { return time.Unix(0, c.passed.Load()) }

// timed has a pool go by a clock.
func timed(clock *still) func(*Config) {
	return func(c *Config) { c.Now = clock.now }
}

// get makes a request, and gives the body of the answer.
func (h *host) get(ctx context.Context, p *Pool) (text string, err error) {
	target, err := url.Parse(h.URL)
	if err != nil {
		return "", err
	}
	_, err = p.Do(ctx, func(identity string) *http.Request {
		return (&http.Request{Method: http.MethodGet, URL: target, Host: target.Host, Header: http.Header{"Identity": {identity}}}).WithContext(ctx)
	}, func(answer *http.Response) {
		body, _ := io.ReadAll(answer.Body)
		text = string(body)
	})
	return text, err
}

// getMany makes n requests at once; finished gives how many failed.
func (h *host) getMany(ctx context.Context, p *Pool, n int) (finished func() int) {
	var all sync.WaitGroup
	var failed atomic.Int64
	for range n {
		all.Go(func() {
			if _, err := h.get(ctx, p); err != nil {
				failed.Add(1)
			}
		})
	}
	return func() int {
		all.Wait()
		return int(failed.Load())
	}
}

func eventually(t *testing.T, so func() bool, what string) {
	t.Helper()
	require.Eventually(t, so, time.Minute, time.Millisecond, what)
}

func TestDo_OpensAsManyConnectionsAsCarryWhatIsUnderWay(t *testing.T) {
	release := make(chan struct{})
	h := serve(t, 250, release)
	p := h.pool(t, timed(new(still)))
	finished := h.getMany(t.Context(), p, 900)
	eventually(t, func() bool { return h.asked.Load() == 900 }, "all are under way")
	require.EqualValues(t, 4, h.opened.Load())
	close(release)
	require.Zero(t, finished())
	require.EqualValues(t, 4, h.opened.Load())
}

func TestDo_WaitsInLineWhenThereAreAllConnections(t *testing.T) {
	for name, streams := range map[string]int{"HTTP/2": 5, "HTTP/1.1": 0} {
		t.Run(name, func(t *testing.T) {
			h := serve(t, streams, nil)
			p := h.pool(t, func(c *Config) { c.Size = 3 })
			require.Zero(t, h.getMany(t.Context(), p, 500)())
			require.EqualValues(t, 500, h.asked.Load())
			require.LessOrEqual(t, h.opened.Load(), int64(3))
			require.Zero(t, p.Waiting())
		})
	}
}

// The first request on a connection hangs, and so it says nothing of the others.
func TestDo_IsNotHeldUpByOneThatHangs(t *testing.T) {
	h := serve(t, 250, nil)
	clock := new(still)
	p := h.pool(t, timed(clock))
	hanging, end := context.WithCancel(t.Context())
	stuck := make(chan struct{})
	h.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.asked.Add(1) == 1 {
			close(stuck)
			<-r.Context().Done()
		}
	})
	finished := h.getMany(hanging, p, 1)
	<-stuck
	clock.passed.Add(int64(anotherAfter))
	require.Zero(t, h.getMany(t.Context(), p, 100)())
	require.LessOrEqual(t, h.opened.Load(), int64(2))
	end()
	require.Equal(t, 1, finished())
}

func TestDo_LeavesTheLineWithItsContext(t *testing.T) {
	release := make(chan struct{})
	h := serve(t, 0, release)
	p := h.pool(t, func(c *Config) { c.Size = 1 })
	require.Zero(t, h.getMany(t.Context(), p, 1)())
	first := h.getMany(t.Context(), p, 1)
	eventually(t, func() bool { return h.asked.Load() == 2 }, "it is under way")
	ctx, giveUp := context.WithCancel(t.Context())
	impatient := h.getMany(ctx, p, 10)
	patient := h.getMany(t.Context(), p, 10)
	eventually(t, func() bool { return p.Waiting() == 20 }, "the others wait")
	giveUp()
	require.Equal(t, 10, impatient())
	close(release)
	require.Zero(t, first()+patient())
	require.EqualValues(t, 12, h.asked.Load())
}

func TestDo_ServesTheLineBeforeANewcomer(t *testing.T) {
	h := serve(t, 0, nil)
	p := h.pool(t, func(c *Config) { c.Size = 1 })
	require.Zero(t, h.getMany(t.Context(), p, 1)())
	held, err := p.take(t.Context())
	require.NoError(t, err)
	first := h.getMany(t.Context(), p, 1)
	eventually(t, func() bool { return p.Waiting() == 1 }, "it waits")
	p.woken.Store(true) // who is about to serve the line has not got to it
	p.mu.Lock()
	held.conn.Release()
	held.underWay--
	p.mu.Unlock()
	newcomer := make(chan *Conn)
	go func() {
		conn, _ := p.take(t.Context())
		newcomer <- conn
	}()
	eventually(t, func() bool { return h.asked.Load() == 2 }, "who was first is served")
	require.Zero(t, first())
	p.giveUnused(<-newcomer)
}

func TestDo_OfHTTP1GoesOnWhenAKeptConnectionWasClosed(t *testing.T) {
	h := serve(t, 0, nil)
	p := h.pool(t)
	for range 3 {
		_, err := h.get(t.Context(), p)
		require.NoError(t, err)
		h.CloseClientConnections()
		eventually(t, func() bool { return len(p.Conns()) == 0 || p.Conns()[0].Err() != nil }, "it is seen to have ended")
	}
	require.EqualValues(t, 3, h.opened.Load())
}

func TestDo_DialsAHostThatIsAwayOnceForAll(t *testing.T) {
	now := atomic.Pointer[time.Time]{}
	clock := func(t time.Time) { now.Store(&t) }
	clock(time.Now())
	var dials atomic.Int64
	goOn := make(chan struct{})
	away := errors.New("away")
	h := serve(t, 10, nil)
	p := h.pool(t, func(c *Config) {
		c.Now = func() time.Time { return *now.Load() }
		c.Transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials.Add(1) == 1 {
				<-goOn
				return nil, away
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
	})
	finished := h.getMany(t.Context(), p, 100)
	eventually(t, func() bool { return p.Waiting() == 100 }, "all wait for the one dial")
	close(goOn)
	require.Equal(t, 100, finished())
	_, err := h.get(t.Context(), p)
	require.ErrorIs(t, err, away, "who comes soon after gets the same")
	require.EqualValues(t, 1, dials.Load())
	clock(now.Load().Add(RedialAfter))
	_, err = h.get(t.Context(), p)
	require.NoError(t, err)
}

// One connection hangs, and the next one cannot be had at first.
func TestDo_DialsAgainForThoseInLineAfterADialFailed(t *testing.T) {
	release := make(chan struct{})
	h := serve(t, 0, release)
	var dials atomic.Int64
	p := h.pool(t, func(c *Config) {
		c.Transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials.Add(1) == 2 {
				return nil, errors.New("reset")
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
	})
	require.Zero(t, h.getMany(t.Context(), p, 1)())
	hanging := h.getMany(t.Context(), p, 1)
	eventually(t, func() bool { return h.asked.Load() == 2 }, "it hangs")
	require.Zero(t, h.getMany(t.Context(), p, 1)(), "it has the third connection, whose first request is answered")
	require.EqualValues(t, 3, dials.Load())
	close(release)
	require.Zero(t, hanging())
}

// A host that ends each connection after a request, and answers none of the others on it.
func TestDo_HasABoundedNumberOfConnectionsThatEnd(t *testing.T) {
	release := make(chan struct{})
	h := serve(t, 3, nil)
	h.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.asked.Add(1)%2 == 0 {
			<-release
			return
		}
		w.Header().Set("Connection", "close") // GOAWAY
	})
	p := h.pool(t, func(c *Config) { c.Size = 2 })
	ctx, end := context.WithTimeout(t.Context(), time.Second)
	defer end()
	finished := h.getMany(ctx, p, 64)
	most := 0
	for ctx.Err() == nil {
		p.mu.Lock()
		most = max(most, p.draining+len(p.open))
		p.mu.Unlock()
	}
	close(release)
	finished()
	require.LessOrEqual(t, most, 4)
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Zero(t, p.draining)
}

func TestUnprocessed_IsWhatNetHTTPSaysAndNoHost(t *testing.T) {
	for text, want := range map[string]bool{
		"http2: client conn not usable":                                                                         true,
		"http2: Transport received Server's graceful shutdown GOAWAY":                                           true,
		"http: server closed idle connection":                                                                   true,
		"stream error: stream ID 17; REFUSED_STREAM":                                                            true,
		"stream error: stream ID 17; REFUSED_STREAM; received from peer":                                        true,
		"stream error: stream ID 17; INTERNAL_ERROR; received from peer":                                        false,
		`malformed HTTP status code "REFUSED_STREAM"`:                                                           false,
		`http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=REFUSED_STREAM, debug=""`: false,
		`http2: server sent GOAWAY; debug="http2: client conn not usable"`:                                      false,
		"context canceled": false,
	} {
		require.Equal(t, want, unprocessed(errors.New(text)), text)
	}
	require.False(t, unprocessed(nil))
}

func TestDo_HasOneIdentityOnEachConnection(t *testing.T) {
	h := serve(t, 10, nil)
	identity := "one"
	p := h.pool(t, func(c *Config) {
		c.Identity = func() (string, error) {
			if identity == "" {
				return "", io.ErrUnexpectedEOF
			}
			return identity, nil
		}
	})
	for _, identity = range []string{"one", "one", "two", "two"} {
		text, err := h.get(t.Context(), p)
		require.NoError(t, err)
		require.Equal(t, identity, text)
	}
	require.EqualValues(t, 2, h.opened.Load())
	identity = ""
	_, err := h.get(t.Context(), p)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestPool_ClosesWhatIsIdle(t *testing.T) {
	for name, streams := range map[string]int{"HTTP/2": 5, "HTTP/1.1": 0} {
		t.Run(name, func(t *testing.T) {
			h := serve(t, streams, nil)
			p := h.pool(t, func(c *Config) { c.Idle = 10 * time.Millisecond })
			_, err := h.get(t.Context(), p)
			require.NoError(t, err)
			eventually(t, func() bool { return len(p.Conns()) == 0 }, "it is closed")
			_, err = h.get(t.Context(), p)
			require.NoError(t, err)
		})
	}
}

func TestClose_FinishesWhatIsUnderWay(t *testing.T) {
	release := make(chan struct{})
	h := serve(t, 10, release)
	p := h.pool(t, timed(new(still)))
	finished := h.getMany(t.Context(), p, 5)
	eventually(t, func() bool { return h.asked.Load() == 5 }, "all are under way")
	conn := p.Conns()[0]
	p.Close()
	require.NoError(t, conn.Err())
	close(release)
	require.Zero(t, finished())
	require.Error(t, conn.Err())
}

func TestClose_EndsTheDialAndThoseWhoWaitForIt(t *testing.T) {
	h := serve(t, 10, nil)
	dialling := make(chan struct{})
	p := h.pool(t, func(c *Config) {
		c.Transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			close(dialling)
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	finished := h.getMany(t.Context(), p, 3)
	<-dialling
	p.Close()
	require.Equal(t, 3, finished())
}

func TestSet_KeepsThePoolsThatAreUsed(t *testing.T) {
	set := Set[string]{Idle: time.Minute, Max: 3}
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	take := func(name string, after time.Duration) *Member[string] {
		t.Helper()
		m, err := set.Take(name, true, noon.Add(after), func() (*Pool, error) { return New(Config{Transport: &http.Transport{}}), nil })
		require.NoError(t, err)
		return m
	}
	kept := func() string {
		var names []string
		for _, name := range strings.Split("abcdef", "") {
			if set.Kept()[name] != nil {
				names = append(names, name)
			}
		}
		return strings.Join(names, "")
	}
	busy := take("a", 0)
	take("b", time.Second).Give()
	take("c", 2*time.Second).Give()
	require.Equal(t, "abc", kept())
	take("d", 3*time.Second).Give()
	require.Equal(t, "acd", kept(), "the one that was used longest ago goes")
	take("c", time.Minute).Give()
	take("e", 90*time.Second).Give()
	require.Equal(t, "ace", kept(), "so do those that nobody has used for long")
	require.Same(t, busy.Pool, take("a", 2*time.Minute).Pool)
	set.Retire(func(name string) bool { return name == "a" || name == "c" })
	require.Equal(t, "e", kept())
	set.Close()
	require.Empty(t, kept())
}
