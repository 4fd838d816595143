package api_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
)

// answered are the requests that a Server told of.
type answered struct {
	mu  sync.Mutex
	all []api.Request
}

func (a *answered) add(r api.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, r)
}

// last waits for the n-th, and gives it.
func (a *answered) last(t *testing.T, n int) (r api.Request) {
	t.Helper()
	require.Eventually(t, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.all) == n {
			r = a.all[n-1]
		}
		return len(a.all) == n
	}, patience, time.Millisecond)
	return r
}

func TestObserve_TellsOfEveryRequestByItsOperation(t *testing.T) {
	var got answered
	r := newRig(t).with(func(c *api.Config) { c.Observe = got.add })
	for i, try := range []struct {
		request request
		want    api.Request
	}{
		{request{path: "/healthz"}, api.Request{Operation: "GET /healthz", Status: 200}},
		{request{path: "/debug/actors/registry/00"}, api.Request{Operation: "GET /debug/actors/{path}", Status: 200}},
		{request{method: "POST", path: "/v1/notifications", body: `{"user":"ann","title":"x"}`}, api.Request{Operation: "POST /v1/notifications", Status: 202}},
		{request{method: "POST", path: "/v1/notifications", body: `{"user":"ann","titel":"x"}`}, api.Request{Operation: "POST /v1/notifications", Status: 400, Problem: "unknown_field"}},
		{request{method: "POST", path: "/v1/notifications", body: `{"user":"ann"}`, key: "-"}, api.Request{Operation: "POST /v1/notifications", Status: 401, Problem: "unauthorized"}},
		{request{path: "/v1/users/a%2Fb/subscriptions"}, api.Request{Operation: "GET /v1/users/{user}/subscriptions", Status: 200}},
		{request{path: "/v1/notifications/none"}, api.Request{Operation: "GET /v1/notifications/{id}", Status: 400, Problem: "invalid_field"}},
		{request{method: "PUT", path: "/v1/notifications"}, api.Request{Status: 405, Problem: "method_not_allowed"}},
		{request{path: "/v1/what"}, api.Request{Status: 404, Problem: "no_such_path"}},
		{request{path: "/belfry.js"}, api.Request{Status: 200}},
		{request{path: "/v1/events?wait=1&after=latest"}, api.Request{Operation: "GET /v1/events", Status: 200, Held: true}},
		{request{path: "/v1/events"}, api.Request{Operation: "GET /v1/events", Status: 200}},
	} {
		status := r.do(try.request).status
		told := got.last(t, i+1)
		require.Equal(t, status, told.Status, try.request.path)
		require.Positive(t, told.Took)
		told.Took = 0
		require.Equal(t, try.want, told, try.request.path)
	}
}

// A client that goes away while it waits is none of Belfry's failures, which
// wake people up.
func TestObserve_AClientThatGoesAwayIsNoFailure(t *testing.T) {
	var got answered
	var log bytes.Buffer
	r := newRig(t).with(func(c *api.Config) {
		c.Observe, c.Log = got.add, slog.New(slog.NewTextHandler(&log, nil))
	})
	for i, path := range []string{"/v1/events?wait=40&after=latest", "/v1/events?wait=30&after=latest"} {
		ctx, leave := context.WithCancel(t.Context())
		front := newFront(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			time.AfterFunc(100*time.Millisecond, leave) // most likely it waits by then
			r.handler.ServeHTTP(w, q)
		}))
		sent, err := http.NewRequestWithContext(ctx, http.MethodGet, front+path, nil)
		require.NoError(t, err)
		sent.Header.Set("Authorization", "Bearer "+r.keys["read"])
		_, err = http.DefaultClient.Do(sent)
		require.ErrorIs(t, err, context.Canceled)
		told := got.last(t, i+1)
		require.Equal(t, "client_gone", told.Problem)
		require.Equal(t, 499, told.Status)
	}
	require.Empty(t, log.String())
}

func TestObserve_TellsOfARequestWhoseHandlerPanicked(t *testing.T) {
	var got answered
	r := newRig(t).with(func(c *api.Config) {
		c.Observe, c.Store = got.add, &lyingStore{Store: c.Store, panics: true}
	})
	require.Equal(t, http.StatusInternalServerError, r.do(request{path: "/v1/keys"}).status)
	told := got.last(t, 1)
	require.Equal(t, "GET /v1/keys", told.Operation)
	require.Equal(t, "internal", told.Problem)
}

func TestReadiness_SaysWhatIsWrongAndWhatToDo(t *testing.T) {
	r := newRig(t)
	var health api.Health
	r.must(http.StatusOK, request{path: "/readyz", key: "-"}, &health)
	require.Equal(t, api.Health{Status: "ok", Reasons: []string{}}, health)

	lost := make(chan struct{})
	close(lost)
	other := r.with(func(c *api.Config) { c.Store = &lostStore{Store: c.Store, lost: lost} })
	other.must(http.StatusServiceUnavailable, request{path: "/readyz", key: "-"}, &health)
	require.Len(t, health.Reasons, 1)
	require.Contains(t, health.Reasons[0], "another one may be: wait")

	last := r.with(func(*api.Config) {}) // which has not asked the store yet
	r.drain()
	r.must(http.StatusServiceUnavailable, request{path: "/readyz", key: "-"}, &health)
	require.Contains(t, health.Reasons, "It is shutting down: send to another process, or again when this one is back.")

	require.NoError(t, r.store.Close())
	last.must(http.StatusServiceUnavailable, request{path: "/readyz", key: "-"}, &health)
	require.Contains(t, strings.Join(health.Reasons, " "), "see that the database runs")
	require.NotContains(t, strings.Join(health.Reasons, " "), "sql", "anybody may ask")
}

// lostStore is one whose ownership is no longer certain.
type lostStore struct {
	api.Store
	lost chan struct{}
}

// Lost is closed.
func (s *lostStore) Lost() <-chan struct{} { return s.lost }

func TestStandby_ShowsItsMetricsToOperatorsAlone(t *testing.T) {
	r, registry := withMetrics(t)
	r.url = newFront(t, api.Standby("it waits", r.store, registry, r.config.Log))
	got := r.do(request{path: "/metrics"})
	require.Equal(t, http.StatusOK, got.status)
	require.Contains(t, string(got.body), "bells_total 3\n")
	require.Equal(t, http.StatusOK, r.do(request{path: "/metrics", key: r.keys["read"]}).status)
	for key, want := range map[string]int{
		"-": http.StatusUnauthorized, "belfry_wrong": http.StatusUnauthorized, r.keys["send"]: http.StatusForbidden, r.keys["other"]: http.StatusForbidden,
	} {
		require.Equal(t, want, r.do(request{path: "/metrics", key: key}).status, key)
	}
	require.Equal(t, http.StatusServiceUnavailable, r.do(request{path: "/v1/keys"}).status)
	require.Equal(t, http.StatusServiceUnavailable, r.do(request{path: "/readyz"}).status)

	keys, err := r.store.ListAPIKeys(t.Context(), "default")
	require.NoError(t, err)
	for _, key := range keys {
		require.NoError(t, r.store.DeleteAPIKey(t.Context(), "default", key.ID))
	}
	require.Equal(t, http.StatusUnauthorized, r.do(request{path: "/metrics"}).status, "none is remembered: another process may have ended it")
	require.NoError(t, r.store.Close())
	require.Equal(t, http.StatusServiceUnavailable, r.do(request{path: "/metrics"}).status)
}
