package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
)

// stream is an open stream of events, as a client sees it.
type stream struct {
	*testing.T
	answer *http.Response
	lines  *bufio.Reader
	close  context.CancelFunc
}

// frame is a server-sent event: what stands before the next empty line.
type frame struct{ id, event, data, retry, comment string }

// stream opens one at a server, or at the rig's own.
func (r *rig) stream(query string, change ...func(*http.Request)) *stream {
	r.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return r.streamBy(client, r.url, query, change...)
}

func (r *rig) streamBy(client *http.Client, url, query string, change ...func(*http.Request)) *stream {
	r.Helper()
	ctx, cancel := context.WithCancel(r.Context())
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/events?"+query, nil)
	require.NoError(r, err)
	q.Header.Set("Authorization", "Bearer "+r.keys["read"])
	q.Header.Set("Accept", "text/event-stream")
	for _, c := range change {
		c(q)
	}
	got, err := client.Do(q)
	require.NoError(r, err)
	s := &stream{T: r.T, answer: got, lines: bufio.NewReader(got.Body), close: func() {
		cancel()
		got.Body.Close()
	}}
	r.Cleanup(s.close)
	return s
}

// next reads a frame; the error is io.EOF, or what else ended the stream.
func (s *stream) next() (f frame, err error) {
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return f, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			f.id = value
		case "event":
			f.event = value
		case "data":
			f.data = value
		case "retry":
			f.retry = value
		case "":
			if value == "" {
				return f, nil
			}
			f.comment = value
		default:
			s.Errorf("a line that no frame has: %q", line)
		}
	}
}

// beat reads a frame that is no event.
func (s *stream) beat() frame {
	s.Helper()
	f, err := s.next()
	require.NoError(s, err)
	require.Empty(s, f.event)
	require.Empty(s, f.data)
	require.NotEmpty(s, f.id)
	require.NotEmpty(s, f.comment)
	return f
}

// event reads a frame that is one, and its data.
func (s *stream) event() (f frame, e api.Event) {
	s.Helper()
	f, err := s.next()
	require.NoError(s, err)
	require.NoError(s, json.Unmarshal([]byte(f.data), &e), "%+v", f)
	require.Equal(s, e.Id, f.id)
	require.Equal(s, e.Type, f.event)
	return f, e
}

func TestStream_GivesEventsAsTheyHappen(t *testing.T) {
	r := newRig(t)
	r.finished(r.send("nobody"))
	before := r.feed(1)

	s := r.stream("")
	require.Equal(t, http.StatusOK, s.answer.StatusCode)
	require.Equal(t, "text/event-stream", s.answer.Header.Get("Content-Type"))
	require.Equal(t, "no-store", s.answer.Header.Get("Cache-Control"))
	_, e := s.event()
	require.Equal(t, before[0], e, "what there is first")
	require.Equal(t, before[0].Id, s.beat().id)

	var ids []string
	for range 3 {
		ids = append(ids, r.send("nobody"))
	}
	for _, id := range ids {
		_, e := s.event()
		require.Equal(t, id, e.Notification)
	}
}

func TestStream_GoesOnAfterTheLastEventID(t *testing.T) {
	r := newRig(t)
	for range 5 {
		r.finished(r.send("nobody"))
	}
	all := r.feed(5)
	s := r.stream("after=latest", func(q *http.Request) { q.Header.Set("Last-Event-ID", all[1].Id) })
	for _, want := range all[2:] {
		_, e := s.event()
		require.Equal(t, want, e)
	}
	s.close()

	quiet := r.stream("after=latest")
	require.Equal(t, all[4].Id, quiet.beat().id, "where it begins is known before anything happens")
	quiet.close()

	for _, wrong := range []string{"x", idAt(time.Now().Add(-80 * time.Hour)).String()} {
		refused := r.stream("", func(q *http.Request) { q.Header.Set("Last-Event-ID", wrong) })
		require.GreaterOrEqual(t, refused.answer.StatusCode, 400)
		body, err := io.ReadAll(refused.answer.Body)
		require.NoError(t, err)
		require.Contains(t, string(body), `"field":"Last-Event-ID"`)
	}
}

func TestStream_GivesTheTypesThatAreWanted(t *testing.T) {
	r := newRig(t)
	s := r.stream("after=latest&types=subscription.added")
	s.beat()
	r.finished(r.send("nobody"))
	r.registerSomebody()
	_, e := s.event()
	require.Equal(t, "subscription.added", e.Type)
}

func TestStream_ComesInFullPages(t *testing.T) {
	r := newRig(t)
	users := make([]string, 250)
	for i := range users {
		users[i] = "nobody-" + time.Duration(i).String()
	}
	r.must(http.StatusAccepted, request{method: "POST", path: "/v1/notifications", body: map[string]any{"users": users, "title": "x"}}, nil)
	require.Eventually(t, func() bool { return len(r.page("limit=1000").Events) == 250 }, patience, 5*time.Millisecond)
	s := r.stream("limit=100")
	last := ""
	for n := 0; n < 250; {
		f, err := s.next()
		require.NoError(t, err)
		if f.event != "" {
			require.Greater(t, f.id, last)
			last = f.id
			n++
		}
	}
}

func TestStream_EndsWithTheKey(t *testing.T) {
	r := newRig(t)
	var made api.CreatedKey
	r.must(http.StatusCreated, request{method: "POST", path: "/v1/keys", body: map[string]any{"scopes": []string{"read"}}}, &made)
	s := r.stream("after=latest", func(q *http.Request) { q.Header.Set("Authorization", "Bearer "+made.Key) })
	s.beat()
	began := time.Now()
	r.must(http.StatusNoContent, request{method: "DELETE", path: "/v1/keys/" + made.Id}, nil)
	_, err := s.next()
	require.ErrorIs(t, err, io.EOF)
	require.Less(t, time.Since(began), 12*time.Second, "and not with the next beat")
}

func TestStream_EndsWhenTheSystemDrains(t *testing.T) {
	r := newRig(t)
	s := r.stream("after=latest")
	s.beat()
	r.drain()
	_, err := s.next()
	require.ErrorIs(t, err, io.EOF)
}

func TestStream_OfAnAppAreBounded(t *testing.T) {
	r := newRig(t)
	var open []*stream
	for range 100 {
		s := r.stream("after=latest")
		s.beat()
		open = append(open, s)
	}
	for _, query := range []string{"after=latest&wait=1", "after=latest"} {
		got := r.do(request{path: "/v1/events?" + query})
		if query == "after=latest" {
			require.Equal(t, http.StatusOK, got.status, "what does not wait is not bounded")
			continue
		}
		require.Equal(t, http.StatusTooManyRequests, got.status)
		require.Equal(t, "too_many_streams", got.problem.Code)
		require.NotEmpty(t, got.header.Get("Retry-After"))
	}
	require.Equal(t, http.StatusTooManyRequests, r.stream("").answer.StatusCode)
	theirs := r.stream("after=latest", func(q *http.Request) { q.Header.Set("Authorization", "Bearer "+r.keys["other"]) })
	theirs.beat()

	open[0].close()
	require.Eventually(t, func() bool { // at once, and not with the next beat
		s := r.stream("after=latest")
		defer s.close()
		return s.answer.StatusCode == http.StatusOK
	}, 12*time.Second, 10*time.Millisecond)
}

// outlived is what the server allows, and what a stream takes longer than.
const outlived = 3 * time.Second

// A server bounds how long a request and its answer take; a stream takes longer.
func TestStream_OutlivesTheServersTimeouts(t *testing.T) {
	r := newRig(t)
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			server := httptest.NewUnstartedServer(r.handler)
			server.EnableHTTP2 = protocol == "HTTP/2.0"
			server.Config.ReadTimeout, server.Config.WriteTimeout = outlived, outlived
			server.StartTLS()
			defer server.Close()
			s := r.streamBy(server.Client(), server.URL, "after=latest")
			defer s.close()
			require.Equal(t, protocol, s.answer.Proto)
			s.beat()
			require.Empty(t, r.page(fmt.Sprintf("wait=%d&after=latest", outlived/time.Second+1)).Events) // so much goes by
			id := r.send("nobody")
			_, e := s.event()
			require.Equal(t, id, e.Notification)
		})
	}
}

func TestEvents_ComeAsTheClientPrefers(t *testing.T) {
	r := newRig(t)
	for accept, want := range map[string]string{
		"":                                 "application/json",
		"*/*":                              "application/json",
		"application/json":                 "application/json",
		"text/event-stream":                "text/event-stream",
		"Text/Event-Stream; charset=utf-8": "text/event-stream",
		"text/event-stream, */*;q=0.1":     "text/event-stream",
		"application/json;q=0.5, text/event-stream;q=0.9": "text/event-stream",
		"application/json, text/event-stream;q=0.9":       "application/json",
		"text/event-stream;q=0":                           "application/json",
		"text/event-stream;q=x":                           "application/json",
		"text/event-streams":                              "application/json",
		",;,text/event-stream":                            "text/event-stream",
	} {
		s := r.stream("after=latest", func(q *http.Request) { q.Header.Set("Accept", accept) })
		require.Equal(t, http.StatusOK, s.answer.StatusCode, accept)
		require.Equal(t, want, s.answer.Header.Get("Content-Type"), accept)
		s.close()
	}
}
