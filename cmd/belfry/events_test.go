package main

import (
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

func local(hour, minute, second int) time.Time {
	return time.Date(2026, 11, 22, hour, minute, second, 0, time.Local)
}

func TestEvents_AreALineEach(t *testing.T) {
	at := local(10, 0, 0)
	next := local(10, 0, 30)
	sub := strings.Repeat("ab", 32)
	for want, event := range map[string]client.Event{
		"2026-11-22 10:00:00  delivery.retrying         ann  push.example.org  (abababababababab)  notification 01, attempt 1, HTTP 503, it is down, next at 10:00:30": {
			Type: "delivery.retrying", User: "ann", Host: "push.example.org", Subscription: sub, Notification: "01", Attempts: 1, Status: 503, Reason: "it is down", NextAttemptAt: &next,
		},
		"2026-11-22 10:00:00  delivery.delivered        ann  push.example.org  (abababababababab)  notification 01, HTTP 201": {
			Type: "delivery.delivered", User: "ann", Host: "push.example.org", Subscription: sub, Notification: "01", Attempts: 1, Status: 201,
		},
		"2026-11-22 10:00:00  delivery.no_subscription  ann  notification 01": {Type: "delivery.no_subscription", User: "ann", Notification: "01"},
		"2026-11-22 10:00:00  subscription.moved        ann  push.example.org  (abababababababab)  from bob": {
			Type: "subscription.moved", User: "ann", Host: "push.example.org", Subscription: sub, MovedFrom: "bob",
		},
		"2026-11-22 10:00:00  lane.paused               default:webpush:push.example.org  credentials refused, 401 no, until 10:00:30": {
			Type: "lane.paused", Lane: "default:webpush:push.example.org", Host: "push.example.org", Cause: "credentials refused", Reason: "401 no", Until: &next,
		},
	} {
		event.At = at
		require.Equal(t, want, describeEvent(event))
	}
}

// feed answers with a page for each request, and with the status of one where it has no page.
type feed struct {
	asked  []string // after, types and wait of each request
	pages  []client.EventPage
	status map[int]int // by the number of the request
	n      atomic.Int32
	last   func() // called with the request that nothing is left for
}

func (f *feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := int(f.n.Add(1)) - 1
	q := r.URL.Query()
	f.asked = append(f.asked, fmt.Sprintf("%s %s %s", q.Get("after"), q.Get("types"), q.Get("wait")))
	if status := f.status[n]; status != 0 {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(client.Error{Code: "wrong", Detail: "Something is wrong.", Status: status})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if len(f.pages) == 0 {
		f.last()
		json.NewEncoder(w).Encode(client.EventPage{Events: []client.Event{}, Next: "end"})
		return
	}
	json.NewEncoder(w).Encode(f.pages[0])
	f.pages = f.pages[1:]
}

func runEvents(t *testing.T, f *feed, command eventsCommand) (out, complaints string, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.last = cancel
	server := httptest.NewServer(f)
	defer server.Close()
	command.Server, command.Key = server.URL, "x"
	var printed, complained strings.Builder
	err = command.Run(ctx, streams{out: &printed, err: &complained})
	return printed.String(), complained.String(), err
}

// The server looks through many events of other types for those that are wanted: a
// page may be short, or empty, and not the last.
func TestEvents_AreReadToTheEnd(t *testing.T) {
	one := []client.Event{{Type: "delivery.gone", User: "ann"}}
	f := &feed{pages: []client.EventPage{{Events: one, Next: "a", More: true}, {Next: "b", More: true}, {Events: append(one, one...), Next: "c"}}}
	out, _, err := runEvents(t, f, eventsCommand{Types: []string{"delivery.gone", "lane.paused"}})
	require.NoError(t, err)
	require.Equal(t, 3, strings.Count(out, "\n"))
	const types = "delivery.gone,lane.paused"
	require.Equal(t, []string{" " + types + " 0", "a " + types + " 0", "b " + types + " 0"}, f.asked)
}

func TestEvents_AreFollowedThroughAnOutage(t *testing.T) {
	one := client.Event{Id: "1", Type: "delivery.gone", User: "ann", At: local(10, 0, 0)}
	f := &feed{pages: []client.EventPage{{Events: []client.Event{one}, Next: "a"}, {Events: []client.Event{one}, Next: "b"}}, status: map[int]int{1: 503}}
	out, complaints, err := runEvents(t, f, eventsCommand{Follow: true, JSON: true})
	require.NoError(t, err)
	line, err := json.Marshal(one)
	require.NoError(t, err)
	require.Equal(t, string(line)+"\n"+string(line)+"\n", out)
	require.Equal(t, "belfry: Something is wrong. (wrong); trying again until it is answered\n", complaints)
	require.Equal(t, []string{"latest  20", "a  20", "a  20", "b  20"}, f.asked)
}

func TestEvents_EndWithWhatDoesNotPass(t *testing.T) {
	for _, follow := range []bool{true, false} {
		_, _, err := runEvents(t, &feed{status: map[int]int{0: 410}}, eventsCommand{Follow: follow, After: "old"})
		require.ErrorContains(t, err, "Something is wrong.")
	}
	_, _, err := runEvents(t, &feed{status: map[int]int{0: 503}}, eventsCommand{})
	require.ErrorContains(t, err, "Something is wrong.", "nobody waits for it")
}

func TestEventRetention_IsAnHourOrNone(t *testing.T) {
	for retention, wrong := range map[time.Duration]bool{0: false, time.Hour: false, 72 * time.Hour: false, time.Minute: true, -time.Hour: true} {
		err := (&serveFlags{EventRetention: retention}).check()
		require.Equal(t, wrong, strings.Contains(err.Error(), "BELFRY_EVENT_RETENTION"), "%s: %v", retention, err)
	}
	require.Negative(t, (&serveFlags{}).eventRetention())
	require.Equal(t, time.Hour, (&serveFlags{EventRetention: time.Hour}).eventRetention())
}
