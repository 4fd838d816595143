package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
)

// apart serves the same rig by two listeners, as with BELFRY_ADMIN_LISTEN.
func (r *rig) apart() (public, admin *rig) {
	r.Helper()
	server, err := api.New(r.config)
	require.NoError(r, err)
	r.Cleanup(server.Close)
	strangers, operators := *r, *r
	strangers.url, operators.url = newFront(r.T, server.PublicHandler()), newFront(r.T, server.AdminHandler())
	return &strangers, &operators
}

// isForAdmins says which operations are not to be where strangers come.
func (o operation) isForAdmins() bool {
	return o.needs == "admin" || o.operator
}

// examplePath is a path of an operation's, of nothing there is.
func (o operation) examplePath() string {
	return strings.NewReplacer("{app}", "nobody", "{name}", "x", "{user}", "nobody", "{path}", "registry", "{id}", "x").Replace(o.path)
}

func TestListeners_EveryOperationIsWhereItBelongs(t *testing.T) {
	r, _ := withMetrics(t)
	public, admin := r.apart()
	hidden := 0
	for _, op := range operations(t) {
		name, path := op.method+" "+op.path, op.examplePath()
		if op.path == "/v1/events" {
			path += "?limit=1"
		}
		for _, key := range []string{r.keys["admin"], r.keys["read"], "-"} {
			got := public.do(request{method: op.method, path: path, key: key, body: bodies[name]})
			hint := strings.Contains(got.problem.Detail, "BELFRY_ADMIN_LISTEN")
			require.Equal(t, op.isForAdmins(), hint, "%s: %s", name, got.body)
			if hint {
				require.Equal(t, http.StatusNotFound, got.status, name)
				require.Equal(t, "no_such_path", got.problem.Code)
			}
			got = admin.do(request{method: op.method, path: path, key: key, body: bodies[name]})
			require.NotContains(t, []string{"no_such_path", "method_not_allowed"}, got.problem.Code, name)
		}
		if op.isForAdmins() {
			hidden++
		}
	}
	require.GreaterOrEqual(t, hidden, 19)
}

func TestListeners_NothingForAdminsIsReachedByAnotherWay(t *testing.T) {
	r, _ := withMetrics(t)
	public, admin := r.apart()
	for _, path := range []string{
		"/debug", "/debug/", "/debug/actors/", "/debug/actors/registry/00", "/debug/nothing", "/debug/pprof/", "/debug/pprof/heap",
		"/metrics", "/v1/keys", "/v1/%6beys", "/v1/apps/default", "/v1/apps/default/webhooks/x", "/v1/keys/?app=default",
	} {
		for _, method := range []string{"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
			status := public.plain(method, path)
			require.Contains(t, []int{http.StatusNotFound, http.StatusMovedPermanently, http.StatusPermanentRedirect, http.StatusTemporaryRedirect}, status, "%s %s", method, path)
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/v1/config", "/belfry.js", "/openapi.yaml"} {
		require.Equal(t, http.StatusOK, public.do(request{path: path, key: "-"}).status, path)
		require.Equal(t, http.StatusOK, admin.do(request{path: path, key: "-"}).status, path)
	}
	require.Equal(t, http.StatusMethodNotAllowed, public.do(request{method: "PATCH", path: "/v1/notifications"}).status)
}

func TestProfiles_AreTheOperatorsOnTheAdminListenerAlone(t *testing.T) {
	r := newRig(t)
	public, admin := r.apart()
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=1", "/debug/pprof/profile?seconds=1", "/debug/pprof/trace?seconds=1"} {
		require.Equal(t, http.StatusUnauthorized, admin.do(request{path: path, key: "-"}).status, path)
		require.Equal(t, http.StatusForbidden, admin.do(request{path: path, key: r.keys["read"]}).status, path)
		require.Equal(t, http.StatusForbidden, admin.do(request{path: path, key: r.keys["other"]}).status, path)
		got := admin.do(request{path: path})
		require.Equal(t, http.StatusOK, got.status, path)
		require.NotEmpty(t, got.body, path)
		require.Equal(t, http.StatusNotFound, public.do(request{path: path}).status, path)
		require.Equal(t, http.StatusNotFound, r.do(request{path: path}).status, "without an admin listener there are none")
	}
	// A command line has what was given by flags: keys.
	require.NotEqual(t, http.StatusOK, admin.plain("GET", "/debug/pprof/cmdline"))
}

// plain is do for what is answered without a problem's form: by Go's own handlers,
// or without a body.
func (r *rig) plain(method, path string) (status int) {
	r.Helper()
	sent, err := http.NewRequestWithContext(r.Context(), method, r.url+path, nil)
	require.NoError(r, err)
	sent.Header.Set("Authorization", "Bearer "+r.keys["admin"])
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	got, err := client.Do(sent)
	require.NoError(r, err)
	got.Body.Close()
	return got.StatusCode
}

// Whatever is answered, a browser does no more with it than it is for.
func TestAnswers_HaveStrictHeaders(t *testing.T) {
	r, _ := withMetrics(t)
	token := r.token("ann")
	check := func(q request) http.Header {
		t.Helper()
		got := r.do(q)
		require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"), q.path)
		require.Equal(t, "no-referrer", got.header.Get("Referrer-Policy"), q.path)
		return got.header
	}
	for _, op := range operations(t) {
		path := op.examplePath()
		if op.path == "/v1/events" {
			path += "?limit=1"
		}
		header := check(request{method: op.method, path: path, body: bodies[op.method+" "+op.path]})
		require.Equal(t, "no-store", header.Get("Cache-Control"), path)
		require.Equal(t, "default-src 'none'; frame-ancestors 'none'", header.Get("Content-Security-Policy"), path)
		forBrowsers := strings.HasPrefix(path, "/v1/me/") || path == "/v1/config" || path == "/v1/receipts"
		require.Equal(t, forBrowsers, header.Get("Cross-Origin-Resource-Policy") == "cross-origin", path)
		require.Equal(t, !forBrowsers, header.Get("Cross-Origin-Resource-Policy") == "same-origin", path)
	}
	for _, q := range []request{{path: "/nowhere"}, {path: "/v1/notifications", method: "PATCH"}, {path: "/v1/config", key: token}, {path: "/v1/config", key: "wrong"}} {
		require.Equal(t, "no-store", check(q).Get("Cache-Control"), q.path)
	}
	page := check(request{path: "/demo", key: "-"})
	require.Contains(t, page.Get("Content-Security-Policy"), "frame-ancestors 'none'")
	require.Equal(t, "same-origin", page.Get("Cross-Origin-Opener-Policy"))
	for _, script := range []string{"/belfry.js", "/belfry-sw.js"} {
		header := check(request{path: script, key: "-"})
		require.Empty(t, header.Get("Content-Security-Policy"), "a service worker would be bound by it, and make no requests")
		require.Equal(t, "cross-origin", header.Get("Cross-Origin-Resource-Policy"))
	}
}
