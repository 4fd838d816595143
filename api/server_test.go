package api_test

import (
	"maps"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push/simulate"
)

func TestActors_AreShownWithTheirPaths(t *testing.T) {
	r := newRig(t)
	hold := make(chan struct{})
	defer close(hold)
	endpoint, laptop := r.browser(simulate.Status(201).When(hold))
	r.subscribe("a/b", laptop)
	r.send("a/b")
	_, err := endpoint.Await(t.Context(), 1)
	require.NoError(t, err)

	var page api.ActorPage
	r.must(http.StatusOK, request{path: "/debug/actors"}, &page)
	require.Equal(t, "/", page.Actor.Path)
	require.Equal(t, 5, page.Actor.Children)
	seen := map[string]int{}
	var walk func(href string)
	walk = func(href string) {
		var page api.ActorPage
		r.must(http.StatusOK, request{path: href}, &page)
		seen[page.Actor.Kind]++
		for _, child := range page.Children {
			walk(child.Href)
		}
	}
	walk(page.Actor.Href)
	require.Equal(t, map[string]int{"supervisor": 2, "journal": 1, "lanes": 1, "lane": 1, "shards": 16, "user": 1, "subscription": 1, "janitor": 1, "webhooks": 1}, seen)

	r.must(http.StatusOK, request{path: "/debug/actors/registry?limit=10"}, &page)
	require.Len(t, page.Children, 10)
	var last api.ActorPage
	r.must(http.StatusOK, request{path: "/debug/actors/registry?limit=10&after=" + page.Next}, &last)
	require.Len(t, last.Children, 6)
	require.Empty(t, last.Next)
	r.must(http.StatusOK, request{path: "/debug/actors/registry/00/"}, &page)
	require.Equal(t, "/registry/00", page.Actor.Path)
	r.must(http.StatusOK, request{path: "/debug/actors/"}, &page)
	require.Equal(t, "/", page.Actor.Path)
}

func TestHealth(t *testing.T) {
	r := newRig(t)
	r.must(http.StatusOK, request{path: "/healthz", key: "-"}, nil)
	r.must(http.StatusOK, request{path: "/readyz", key: "-"}, nil)
	r = r.with(func(*api.Config) {}) // which has not asked the store yet
	require.NoError(t, r.store.Close())
	r.must(http.StatusOK, request{path: "/healthz", key: "-"}, nil)
	var health api.Health
	r.must(http.StatusServiceUnavailable, request{path: "/readyz", key: "-"}, &health)
	require.NotEmpty(t, health.Reasons)
	require.Contains(t, health.Reasons[0], "The store does not answer: see that the database runs")
	got := r.do(request{method: "POST", path: "/v1/notifications", body: `{"user":"ann","title":"x"}`})
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.NotEmpty(t, got.header.Get("Retry-After"))
	require.NotContains(t, string(got.body), "sql", "internal errors stay inside")
}

func TestFiles_AreServedAsBrowsersNeedThem(t *testing.T) {
	r := newRig(t)
	for path, contentType := range map[string]string{
		"/belfry.js":     "text/javascript; charset=utf-8",
		"/belfry.d.ts":   "text/plain; charset=utf-8",
		"/belfry-sw.js":  "text/javascript; charset=utf-8",
		"/openapi.yaml":  "application/yaml",
		"/demo":          "text/html; charset=utf-8",
		"/demo/demo.css": "text/css; charset=utf-8",
		"/demo/demo.js":  "text/javascript; charset=utf-8",
	} {
		got := r.do(request{path: path, key: "-", origin: "https://anywhere.dev"})
		require.Equal(t, http.StatusOK, got.status, path)
		require.Equal(t, contentType, got.header.Get("Content-Type"), path)
		require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"), path)
		require.NotEmpty(t, got.body, path)
	}
	require.Equal(t, "*", r.do(request{path: "/belfry.js", key: "-"}).header.Get("Access-Control-Allow-Origin"), "an ES module of another origin needs it")
	require.Contains(t, r.do(request{path: "/demo", key: "-"}).header.Get("Content-Security-Policy"), "default-src 'none'")
	require.Equal(t, "/demo", r.do(request{path: "/", key: "-"}).header.Get("Location"))
}

func TestPanic_IsAProblemAndTheServerGoesOn(t *testing.T) {
	r := newRig(t)
	broken := r.with(func(c *api.Config) { c.Store = &lyingStore{Store: c.Store, panics: true} })
	got := broken.do(request{path: "/v1/keys"})
	require.Equal(t, http.StatusInternalServerError, got.status)
	require.Equal(t, "internal", got.problem.Code)
	broken.must(http.StatusOK, request{path: "/healthz"}, nil)
}

func TestWaiting_IsAliveAndNotReady(t *testing.T) {
	r := newRig(t)
	front := newFront(t, api.Waiting("it is starting"))
	r.url = front
	r.must(http.StatusOK, request{path: "/healthz", key: "-"}, nil)
	var health api.Health
	r.must(http.StatusServiceUnavailable, request{path: "/readyz", key: "-"}, &health)
	require.Equal(t, []string{"It is starting."}, health.Reasons)
	got := r.do(request{method: "POST", path: "/v1/notifications", body: `{}`})
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.NotEmpty(t, got.header.Get("Retry-After"))
}

func TestNew_NeedsACheckerOfEveryKind(t *testing.T) {
	r := newRig(t)
	for kind := range r.config.Checkers {
		config := r.config
		config.Checkers = maps.Clone(config.Checkers)
		delete(config.Checkers, kind)
		_, err := api.New(config)
		require.ErrorContains(t, err, "Config.Checkers has none for "+kind.String())
	}
}
