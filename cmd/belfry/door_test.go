package main

import (
	"bufio"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// short is the one patience of a door that a test is about. The others are
	// without end: on a machine however slow, none of them comes before it.
	short     = 200 * time.Millisecond
	unhurried = 5 * time.Second  // where a handshake comes first, which has as long
	generous  = 30 * time.Second // what a slow machine may take beside
)

// newDoor is one on a free port, that answers by the handler.
func newDoor(t *testing.T, config doorConfig, handler http.HandlerFunc) *frontDoor {
	t.Helper()
	config.address, config.log = "127.0.0.1:0", slog.New(slog.DiscardHandler)
	if config.most == 0 {
		config.most = 100
	}
	if config.patience == (patience{}) {
		config.patience = usualPatience
	}
	door, err := listen(config)
	require.NoError(t, err)
	t.Cleanup(door.close)
	door.answer(handler)
	return door
}

// hello answers with a word, when it has read the body.
func hello(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err == nil {
		io.WriteString(w, "hello")
	}
}

// loopback is a certificate for 127.0.0.1, and who trusts it.
func loopback(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	cert, key := newCertificate(t, "127.0.0.1")
	pair, err := tls.X509KeyPair(cert, key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, trusting(t, cert)
}

func (f *frontDoor) dial(t *testing.T) net.Conn {
	t.Helper()
	return dial(t, f.listener.Addr())
}

func dial(t *testing.T, to net.Addr) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", to.String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(generous)))
	return conn
}

// requireCut checks that a connection is closed by who is at its other end.
func requireCut(t *testing.T, conn net.Conn) {
	t.Helper()
	_, err := io.Copy(io.Discard, conn)
	require.NotErrorIs(t, err, io.ErrNoProgress)
	if timeout, ok := err.(net.Error); ok {
		require.False(t, timeout.Timeout(), "it was not cut")
	}
}

// requireCutAfter checks that it is closed, and not before so long has passed
// since a time before it was dialled: the door counts from then on.
func requireCutAfter(t *testing.T, conn net.Conn, began time.Time, atLeast time.Duration) {
	t.Helper()
	requireCut(t, conn)
	require.GreaterOrEqual(t, time.Since(began), atLeast)
}

// trickle writes a byte now and then, until the other side has gone.
func trickle(conn net.Conn, from string) {
	for {
		for i := range len(from) {
			if _, err := conn.Write([]byte{from[i]}); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func TestDoor_CutsWhoeverIsSlow(t *testing.T) {
	t.Parallel()
	header, request, idle := patience{header: short}, patience{request: short}, patience{idle: short}
	for what, c := range map[string]struct {
		first, then string
		patience    patience
	}{
		"says nothing":                    {"", "", header},
		"sends a header byte by byte":     {"GET / HTTP/1.1\r\nHost: x\r\n", "X-A: b\r\n", header},
		"stops in the middle of a header": {"GET / HTTP/1.1\r\nHost: x\r\nX-A", "", header},
		"sends a body byte by byte":       {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", "x", request},
		"sends chunks byte by byte":       {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", request},
		"sends no body":                   {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n", "", request},
		"asks once and stays":             {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "", idle},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			door := newDoor(t, doorConfig{patience: c.patience}, hello)
			began := time.Now()
			conn := door.dial(t)
			_, err := io.WriteString(conn, c.first)
			require.NoError(t, err)
			if c.then != "" {
				go trickle(conn, c.then)
			}
			requireCutAfter(t, conn, began, short)
		})
	}
}

func TestDoor_CutsWhoeverDoesNotRead(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	door := newDoor(t, doorConfig{patience: patience{answer: short}}, func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for part := make([]byte, 1<<20); err == nil; {
			_, err = w.Write(part)
		}
		ended <- err
	})
	conn := door.dial(t)
	_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	select {
	case err := <-ended:
		require.Error(t, err)
	case <-time.After(generous):
		t.Fatal("it writes for ever")
	}
}

func TestDoor_CutsSlowHandshakes(t *testing.T) {
	t.Parallel()
	server, _ := loopback(t)
	door := newDoor(t, doorConfig{patience: patience{header: short}, tls: server}, hello)
	for _, first := range []string{"", "\x16\x03\x01\x02\x00\x01"} {
		began := time.Now()
		conn := door.dial(t)
		_, err := io.WriteString(conn, first)
		require.NoError(t, err)
		requireCutAfter(t, conn, began, short)
	}
}

// newH2 is a connection that speaks HTTP/2 frame by frame.
func (f *frontDoor) newH2(t *testing.T, client *tls.Config) (net.Conn, *http2.Framer) {
	t.Helper()
	client = client.Clone()
	client.NextProtos, client.ServerName = []string{"h2"}, "127.0.0.1"
	conn := tls.Client(f.dial(t), client)
	_, err := io.WriteString(conn, http2.ClientPreface)
	require.NoError(t, err)
	require.Equal(t, "h2", conn.ConnectionState().NegotiatedProtocol)
	framer := http2.NewFramer(conn, conn)
	require.NoError(t, framer.WriteSettings())
	return conn, framer
}

// headers are those of a request, as HPACK has them.
func headers(method string, more ...string) []byte {
	var block strings.Builder
	encoder := hpack.NewEncoder(&block)
	fields := append([]string{":method", method, ":scheme", "https", ":path", "/", ":authority", "x"}, more...)
	for i := 0; i+1 < len(fields); i += 2 {
		encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return []byte(block.String())
}

func TestDoor_CutsSlowHTTP2(t *testing.T) {
	t.Parallel()
	server, client := loopback(t)
	door := newDoor(t, doorConfig{patience: patience{request: unhurried, idle: unhurried}, tls: server}, hello)
	t.Run("an unfinished header", func(t *testing.T) {
		t.Parallel()
		conn, framer := door.newH2(t, client)
		require.NoError(t, framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers("GET"), EndHeaders: false}))
		requireCut(t, conn)
	})
	t.Run("an unfinished body", func(t *testing.T) {
		t.Parallel()
		began := time.Now()
		conn, framer := door.newH2(t, client)
		require.NoError(t, framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers("POST", "content-length", "5"), EndHeaders: true}))
		requireCutAfter(t, conn, began, unhurried)
	})
}

func TestDoor_SpeaksHTTP2OverTLSAndSaysSo(t *testing.T) {
	t.Parallel()
	server, client := loopback(t)
	door := newDoor(t, doorConfig{tls: server}, hello)
	transport := &http.Transport{TLSClientConfig: client, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	got, err := (&http.Client{Transport: transport}).Get(door.url())
	require.NoError(t, err)
	defer got.Body.Close()
	require.Equal(t, "HTTP/2.0", got.Proto)
	require.Equal(t, "max-age=31536000", got.Header.Get("Strict-Transport-Security"))

	old := client.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	_, err = tls.Dial("tcp", door.listener.Addr().String(), old)
	require.Error(t, err)

	plain := newDoor(t, doorConfig{}, hello)
	got, err = http.Get(plain.url())
	require.NoError(t, err)
	defer got.Body.Close()
	require.Empty(t, got.Header.Get("Strict-Transport-Security"))
}

func TestDoor_LetsOneHTTP2ConnectionDoNoMoreThanSoMuchAtATime(t *testing.T) {
	t.Parallel()
	server, client := loopback(t)
	held := make(chan struct{})
	defer close(held)
	door := newDoor(t, doorConfig{tls: server}, func(http.ResponseWriter, *http.Request) { <-held })
	_, framer := door.newH2(t, client)
	block := headers("GET")
	for i := range uint32(streamsMax + 20) {
		require.NoError(t, framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: block, EndHeaders: true, EndStream: true}))
	}
	for {
		frame, err := framer.ReadFrame()
		require.NoError(t, err)
		if refused, ok := frame.(*http2.RSTStreamFrame); ok {
			require.Equal(t, uint32(2*streamsMax+1), refused.StreamID)
			return
		}
	}
}

// askOn makes a request on a connection of the caller's.
func askOn(conn net.Conn) error { return askFor("/", conn) }

func askFor(path string, conn net.Conn) error {
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// limited is a server that may have so many connections, as every door is. It
// shows them.
type limited struct {
	*httptest.Server
	open *connections
}

func newLimited(t *testing.T, most int) *limited {
	t.Helper()
	l := &limited{Server: httptest.NewUnstartedServer(http.HandlerFunc(hello)), open: newConnections(most)}
	l.Config.ConnState, l.Config.ConnContext = l.open.changed, l.open.remember
	l.Start()
	t.Cleanup(l.Close)
	return l
}

// ask makes a request on a connection. It waits until that is over for the
// server too, for which it is later than for who has the answer.
func (l *limited) ask(t *testing.T, conn net.Conn) {
	t.Helper()
	require.NoError(t, askOn(conn))
	require.Eventually(t, l.nobodyAsks, generous, time.Millisecond)
}

func (l *limited) nobodyAsks() bool {
	l.open.mu.Lock()
	defer l.open.mu.Unlock()
	for _, one := range l.open.open {
		if one.asking {
			return false
		}
	}
	return true
}

func TestConnections_TheOneThatWasIdleForLongestMakesRoom(t *testing.T) {
	t.Parallel()
	server := newLimited(t, 3)
	dial := func() net.Conn { return dial(t, server.Listener.Addr()) }
	first, second, third := dial(), dial(), dial()
	for _, conn := range []net.Conn{first, second, third, first} { // the second is now the one
		server.ask(t, conn)
	}
	fourth := dial()
	server.ask(t, fourth)
	requireCut(t, second)
	for _, conn := range []net.Conn{first, third, fourth} {
		server.ask(t, conn)
	}
	for range 50 {
		require.NoError(t, askOn(dial()), "there is room for everybody who asks something")
	}
}

func TestConnections_ThatHoldARequestBackMakeRoom(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		sends  string
		answer http.HandlerFunc
	}{
		"the rest of its body": {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nx", hello},
		"the rest of a body that nobody reads": {
			"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nx", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		},
		"the answer's way": {
			"GET / HTTP/1.1\r\nHost: x\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) {
				var err error
				for part := make([]byte, 1<<20); err == nil; {
					_, err = w.Write(part)
				}
			},
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			began := make(chan struct{}, 2)
			door := newDoor(t, doorConfig{most: 2}, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/hello" {
					hello(w, r)
					return
				}
				began <- struct{}{}
				c.answer(w, r)
			})
			held := []net.Conn{door.dial(t), door.dial(t)}
			for _, conn := range held {
				_, err := io.WriteString(conn, c.sends)
				require.NoError(t, err)
				<-began
			}
			for range 20 {
				require.NoError(t, askFor("/hello", door.dial(t)))
			}
			for _, conn := range held {
				requireCut(t, conn)
			}
		})
	}
}

func TestConnections_OfWhoIsKnownStayWhileTheyHaveARequest(t *testing.T) {
	t.Parallel()
	began, held := make(chan struct{}, 3), make(chan struct{})
	door := newDoor(t, doorConfig{most: 2}, func(w http.ResponseWriter, r *http.Request) {
		keepConnection(r)
		began <- struct{}{}
		<-held
		hello(w, r)
	})
	conns, answers := []net.Conn{door.dial(t), door.dial(t)}, make(chan error, 2)
	for _, conn := range conns {
		go func() { answers <- askOn(conn) }()
		<-began
	}
	requireCut(t, door.dial(t))
	close(held)
	for range conns {
		require.NoError(t, <-answers)
	}
	require.Eventually(t, func() bool { return askOn(door.dial(t)) == nil }, generous, time.Millisecond, "now they make room again")
}

func TestConnections_LeaveHalfOfTheFilesToOthers(t *testing.T) {
	most := fittingConnections(1 << 30)
	require.Less(t, most, 1<<30)
	require.Equal(t, openFilesMax()/2, most)
	require.Equal(t, 1, fittingConnections(1))
}
