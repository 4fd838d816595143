package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api/client"
)

// treeServer answers as Belfry does, with what the test says.
type treeServer struct {
	*httptest.Server
	asked    atomic.Int64
	overview func() client.Overview
	actor    func(path string) client.ActorPage
	refuse   func(http.ResponseWriter) bool // answers in their stead
}

func startTreeServer(t *testing.T) *treeServer {
	s := &treeServer{
		overview: func() client.Overview { return client.Overview{} },
		actor:    func(path string) client.ActorPage { return client.ActorPage{Actor: client.Actor{Path: path}} },
		refuse:   func(http.ResponseWriter) bool { return false },
	}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if s.refuse(w) {
			return
		}
		var answer any
		if path, ok := strings.CutPrefix(r.URL.Path, "/debug/actors"); ok {
			answer = s.actor("/" + strings.Trim(path, "/"))
		} else {
			answer = s.overview()
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// refuseWith answers with a problem.
func refuseWith(status int, code string) func(http.ResponseWriter) bool {
	return func(w http.ResponseWriter) bool {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"type":"about:blank","title":"","status":%d,"detail":"A sentence.","code":%q}`, status, code)
		return true
	}
}

// frames collects pictures and ends the watching after a number of them.
type frames struct {
	bytes.Buffer
	left int
	stop context.CancelFunc
}

// Write takes one picture.
func (f *frames) Write(p []byte) (int, error) {
	if f.left--; f.left == 0 {
		f.stop()
	}
	return f.Buffer.Write(p)
}

func (s *treeServer) watch(t *testing.T, pictures int, change func(*treeCommand)) (string, error) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	out := &frames{left: pictures, stop: stop}
	command := &treeCommand{remoteFlags: remoteFlags{Server: s.URL, Key: "x"}, Path: "/", Most: 20, Watch: true, Every: time.Millisecond}
	if change != nil {
		change(command)
	}
	err := command.Run(ctx, streams{out: out, err: out})
	return out.String(), err
}

func TestTreeWatch_SaysHowThingsAre(t *testing.T) {
	s := startTreeServer(t)
	began := time.Now()
	until := began.Add(time.Hour)
	asked := int64(0)
	s.overview = func() client.Overview {
		asked++
		return client.Overview{
			Version: "v1.2.3", At: began.Add(time.Duration(asked) * 2 * time.Second), ActiveSince: began.Add(-time.Hour),
			Backlog: 12345, WaitingForCommit: 7,
			Counters: map[string]int64{
				"accepted": 1000 * asked, "delivery.delivered": 800 * asked, "attempts": 1000 * asked, "attempt.delivered": 900 * asked,
				"commits": 10 * asked, "commit_nanoseconds": 20_000_000 * asked, "restarts": 1,
			},
			Lanes: []client.Actor{
				{Path: "/lanes/default:webpush:push.example", Cause: "push host failing", Reason: "503 \x1b[2JService Unavailable", NextAttemptAt: &until, Queue: 4321, InFlight: 1},
				{Path: "/lanes/default:webpush:other.example", State: "running", InFlight: 41},
			},
			Failures: []client.ActorFailure{{Path: "/registry/03/default:ann", Reason: "index out of range", At: began}},
		}
	}
	out, err := s.watch(t, 2, nil)
	require.NoError(t, err)
	pictures := strings.Split(out, "\n\n"+s.URL)
	require.Len(t, pictures, 2)
	require.Contains(t, pictures[0], "accepted –  delivered –")
	require.Contains(t, pictures[1], "1 lane is paused:\n  default:webpush:push.example: push host failing, next try in ")
	require.Contains(t, pictures[1], "4,321 queued, it said: 503 [2JService Unavailable\n")
	require.Contains(t, pictures[1], "\naccepted 500/s  delivered 400/s  attempts 500/s  failed 50/s\n")
	require.Contains(t, pictures[1], "\nbacklog 12,345  waiting for commit 7  in flight 42  commit 2ms\n")
	require.Contains(t, pictures[1], "\nv1.2.3, active for 1h0m4s, panics 1\nlast panic 4s ago: /registry/03/default:ann: index out of range\n")
	require.NotContains(t, out, "\x1b")
}

func TestTreeWatch_CountsAnewAfterARestart(t *testing.T) {
	s := startTreeServer(t)
	terms := time.Now()
	s.overview = func() client.Overview {
		terms = terms.Add(time.Second)
		return client.Overview{At: terms, ActiveSince: terms, Counters: map[string]int64{"accepted": 5}}
	}
	out, err := s.watch(t, 3, nil)
	require.NoError(t, err)
	require.Equal(t, 3, strings.Count(out, "accepted –"), out)
	require.Equal(t, 3, strings.Count(out, "Everything flows."))
}

func TestTreeWatch_AsksForFewActorsHoweverManyThereAre(t *testing.T) {
	s := startTreeServer(t)
	s.actor = func(path string) client.ActorPage {
		page := client.ActorPage{Actor: client.Actor{Path: path, Children: 100_000}}
		for i := range 20 {
			page.Children = append(page.Children, client.Actor{Path: fmt.Sprintf("%s/%d", strings.TrimSuffix(path, "/"), i), Kind: "user", Children: 100_000})
		}
		return page
	}
	out, err := s.watch(t, 1, func(c *treeCommand) { c.Depth = 10 })
	require.NoError(t, err)
	require.Equal(t, int64(1+watchAsks), s.asked.Load())
	require.Contains(t, out, "actors have children that are not shown")
}

func TestTreeWatch_GoesOnWhenTheServerComesBack(t *testing.T) {
	s := startTreeServer(t)
	s.actor = func(path string) client.ActorPage {
		return client.ActorPage{Actor: client.Actor{Path: path, Kind: "supervisor", State: "running"}}
	}
	standby := refuseWith(http.StatusServiceUnavailable, "standby")
	s.refuse = func(w http.ResponseWriter) bool {
		turn := s.asked.Load()
		return 3 <= turn && turn < 5 && standby(w)
	}
	out, err := s.watch(t, 4, nil)
	require.NoError(t, err)
	pictures := strings.Split(out, "\n\n"+s.URL)
	require.Len(t, pictures, 4)
	for i, away := range []bool{false, true, true, false} {
		require.Equal(t, away, strings.Contains(pictures[i], "A sentence. (standby)\nTrying again. What is below is "), pictures[i])
		require.Contains(t, pictures[i], "/  supervisor, running", "what was seen last stays")
	}
}

func TestTreeWatch_EndsWhereTryingAgainDoesNotHelp(t *testing.T) {
	s := startTreeServer(t)
	s.refuse = refuseWith(http.StatusUnauthorized, "unauthorized")
	out, err := s.watch(t, 1, nil)
	require.ErrorContains(t, err, "(unauthorized)")
	require.Empty(t, out)
}
