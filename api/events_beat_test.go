package api

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/storetest"
)

// pipe is a response whose client reads the other end, or does not.
type pipe struct {
	net.Conn
	header http.Header
}

func (p *pipe) Header() http.Header { return p.header }
func (p *pipe) WriteHeader(int)     {}
func (p *pipe) FlushError() error   { return nil }

// serverIn is one in a bubble, where time is the test's.
func serverIn(t *testing.T) *Server { return serverOn(t, storetest.OpenSQLite(t)) }

func serverOn(t *testing.T, db store.Store) *Server {
	t.Helper()
	require.NoError(t, db.CreateApp(t.Context(), store.App{Name: "shop", TokenSecret: []byte("secret"), CreatedAt: time.Now()}))
	system, err := actors.Start(t.Context(), actors.Config{Store: db, Providers: map[push.Kind]push.Provider{push.WebPush: nil}})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, system.Drain(context.Background()))
		time.Sleep(2 * time.Second) // for the actor library's last ticker
	})
	return &Server{
		config: Config{System: system, Log: slog.New(slog.DiscardHandler), EventRetention: time.Hour},
		seats:  newSeats(), quiet: newQuiet(time.Hour),
	}
}

// happen makes an event: of a notification to nobody.
func (s *Server) happen(t *testing.T) {
	t.Helper()
	before := s.config.System.LatestEvent()
	_, err := s.config.System.Notify([]actors.Draft{{User: push.User{App: "shop", ID: "nobody"}, Content: []byte(`{"title":"x"}`), TTL: time.Minute}})
	require.NoError(t, err)
	for s.config.System.LatestEvent() == before {
		time.Sleep(time.Millisecond)
	}
}

// streamFrom serves a stream of events that do not happen.
func streamFrom(t *testing.T, s *Server) (client net.Conn, ended <-chan error) {
	server, client := net.Pipe()
	done := make(chan error, 1)
	e := &eventStream{server: s, ctx: t.Context(), query: feedQuery{app: "shop", limit: 100, types: []push.EventType{push.EventGone}}}
	go func() {
		done <- e.VisitListEventsResponse(&pipe{Conn: server, header: http.Header{}})
		server.Close()
	}()
	return client, done
}

func readFrame(t *testing.T, from net.Conn) string {
	t.Helper()
	buffer := make([]byte, 64<<10)
	n, err := from.Read(buffer)
	require.NoError(t, err)
	return string(buffer[:n])
}

// A quiet stream, or one of types that do not happen, shows that it lives; and what
// the client would go on after moves on.
func TestStream_BeatsWhileNothingHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serverIn(t)
		client, ended := streamFrom(t, s)
		first := readFrame(t, client)
		began := time.Now()
		s.happen(t)
		second := readFrame(t, client)
		require.Equal(t, 15*time.Second, time.Since(began))
		readFrame(t, client)
		require.Equal(t, 30*time.Second, time.Since(began))

		id := func(frame string) string {
			_, after, found := strings.Cut(frame, "\nid: ")
			require.True(t, found, frame)
			return strings.TrimSpace(after)
		}
		require.Greater(t, id(second), id(first))
		require.Equal(t, s.config.System.LatestEvent().String(), id(second))
		require.True(t, strings.HasPrefix(second, ": "), "a comment")
		client.Close()
		require.NoError(t, <-ended)
	})
}

func TestStream_IsCutWhenTheClientDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, ended := streamFrom(t, serverIn(t))
		readFrame(t, client)
		began := time.Now()
		require.NoError(t, <-ended)
		require.Equal(t, streamBeat+streamWrite, time.Since(began))
	})
}

// What a reader holds grows old while nothing happens, and is good all the same.
func TestEvents_NothingIsGoneWhereNothingHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serverIn(t)
		read := func(after string) (int, string) {
			q, err := s.feedQuery("shop", ListEventsParams{After: after}, false)
			require.NoError(t, err)
			events, _, err := s.awaitEvents(t.Context(), &q)
			require.NoError(t, err)
			return len(events), q.after.String()
		}
		s.happen(t)
		_, next := read("latest")
		for range 4 {
			time.Sleep(50 * time.Minute)
			n, again := read(next)
			require.Zero(t, n)
			require.Equal(t, next, again)
		}
		s.happen(t)
		time.Sleep(10 * time.Minute)
		n, _ := read(next)
		require.Equal(t, 1, n)

		time.Sleep(time.Hour)
		_, err := s.feedQuery("shop", ListEventsParams{After: next}, false)
		var gone problem
		require.ErrorAs(t, err, &gone)
		require.Equal(t, "events_gone", gone.code)
	})
}

func TestQuiet_KnowsWhereNothingIsMissing(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	q := newQuiet(time.Hour)
	old, young := idBefore(now.Add(-50*time.Minute)), idBefore(now.Add(-10*time.Minute))
	q.note(old, now)
	q.note(young, now)
	require.Len(t, q.until, 1, "what is young is no matter")

	require.True(t, q.covers(young, now))
	require.True(t, q.covers(old, now))
	require.True(t, q.covers(old, now.Add(time.Hour)), "whatever came after it came within the last hour")
	require.False(t, q.covers(old, now.Add(time.Hour+time.Millisecond)))
	require.False(t, q.covers(young, now.Add(time.Hour)))
	require.False(t, q.covers(idBefore(now.Add(-2*time.Hour)), now))

	q.note(idBefore(now.Add(time.Hour)), now.Add(2*time.Hour))
	require.Len(t, q.until, 1, "what has become of no use is forgotten")
}
