package main

import (
	"bufio"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// short is a patience for tests: each is told from the others by what it takes.
var short = patience{header: 200 * time.Millisecond, request: 400 * time.Millisecond, answer: 600 * time.Millisecond, idle: 800 * time.Millisecond}

const generous = 10 * time.Second // what a slow machine may take beside

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
	conn, err := net.Dial("tcp", f.listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(generous)))
	return conn
}

// requireCut checks that the door closes a connection, after so long.
func requireCut(t *testing.T, conn net.Conn, after time.Duration) {
	t.Helper()
	began := time.Now()
	_, err := io.Copy(io.Discard, conn)
	require.NotErrorIs(t, err, io.ErrNoProgress)
	if timeout, ok := err.(net.Error); ok {
		require.False(t, timeout.Timeout(), "it was not cut")
	}
	require.GreaterOrEqual(t, time.Since(began), after-50*time.Millisecond)
	require.Less(t, time.Since(began), after+generous/2)
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
	door := newDoor(t, doorConfig{patience: short}, hello)
	for what, c := range map[string]struct {
		first, then string
		after       time.Duration
	}{
		"says nothing":                    {"", "", short.header},
		"sends a header byte by byte":     {"GET / HTTP/1.1\r\nHost: x\r\n", "X-A: b\r\n", short.header},
		"stops in the middle of a header": {"GET / HTTP/1.1\r\nHost: x\r\nX-A", "", short.header},
		"sends a body byte by byte":       {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", "x", short.request},
		"sends chunks byte by byte":       {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", short.request},
		"sends no body":                   {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n", "", short.request},
		"asks once and stays":             {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "", short.idle},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			conn := door.dial(t)
			_, err := io.WriteString(conn, c.first)
			require.NoError(t, err)
			if c.then != "" {
				go trickle(conn, c.then)
			}
			requireCut(t, conn, c.after)
		})
	}
}

func TestDoor_CutsWhoeverDoesNotRead(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	door := newDoor(t, doorConfig{patience: short}, func(w http.ResponseWriter, _ *http.Request) {
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
	door := newDoor(t, doorConfig{patience: short, tls: server}, hello)
	for _, first := range []string{"", "\x16\x03\x01\x02\x00\x01"} {
		conn := door.dial(t)
		_, err := io.WriteString(conn, first)
		require.NoError(t, err)
		requireCut(t, conn, short.header)
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
	door := newDoor(t, doorConfig{patience: short, tls: server}, hello)
	t.Run("an unfinished header", func(t *testing.T) {
		t.Parallel()
		conn, framer := door.newH2(t, client)
		require.NoError(t, framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers("GET"), EndHeaders: false}))
		requireCut(t, conn, 0)
	})
	t.Run("an unfinished body", func(t *testing.T) {
		t.Parallel()
		conn, framer := door.newH2(t, client)
		require.NoError(t, framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers("POST", "content-length", "5"), EndHeaders: true}))
		requireCut(t, conn, short.request)
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

func TestConnections_TheOneThatWasIdleForLongestMakesRoom(t *testing.T) {
	t.Parallel()
	door := newDoor(t, doorConfig{most: 3}, hello)
	first, second, third := door.dial(t), door.dial(t), door.dial(t)
	for _, conn := range []net.Conn{first, second, third, first} { // the second is now the one
		require.NoError(t, askOn(conn))
	}
	fourth := door.dial(t)
	require.NoError(t, askOn(fourth))
	requireCut(t, second, 0)
	for _, conn := range []net.Conn{first, third, fourth} {
		require.NoError(t, askOn(conn))
	}
	for range 50 {
		require.NoError(t, askOn(door.dial(t)), "there is room for everybody who asks something")
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
				requireCut(t, conn, 0)
			}
		})
	}
}

func TestConnections_OfWhoIsKnownStayWhileTheyHaveARequest(t *testing.T) {
	t.Parallel()
	began, held := make(chan struct{}), make(chan struct{})
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
	requireCut(t, door.dial(t), 0)
	close(held)
	for range conns {
		require.NoError(t, <-answers)
	}
	go func() { <-began }()
	require.NoError(t, askOn(door.dial(t)), "now they make room again")
}

func TestConnections_LeaveHalfOfTheFilesToOthers(t *testing.T) {
	most := fittingConnections(1 << 30)
	require.Less(t, most, 1<<30)
	require.Equal(t, openFilesMax()/2, most)
	require.Equal(t, 1, fittingConnections(1))
}
