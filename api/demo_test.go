package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
)

func TestDemo_SendsToItsOwnVisitorAlone(t *testing.T) {
	r := newRig(t)
	var session struct{ User, Token string }
	r.must(http.StatusOK, request{method: "POST", path: "/demo/session", key: "-", body: `{}`}, &session)
	require.True(t, strings.HasPrefix(session.User, "demo-"))
	var again struct{ User string }
	r.must(http.StatusOK, request{method: "POST", path: "/demo/session", key: "-", body: map[string]any{"user": session.User}}, &again)
	require.Equal(t, session.User, again.User)
	for _, user := range []string{"ann", "demo-account", "demo-", session.User + "0", "demo-aaaaaaaaaaaa-000000000000"} {
		require.Equal(t, "user", r.do(request{method: "POST", path: "/demo/session", key: "-", body: map[string]any{"user": user}}).problem.Field,
			"the demo gives no token for a user that it did not make: %s", user)
	}
	require.Equal(t, http.StatusForbidden, r.do(request{method: "POST", path: "/demo/session", key: "-", body: `{}`, origin: "https://evil.dev"}).status)

	_, laptop := r.browser()
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/me/subscriptions", key: session.Token, body: r.json(laptop)}, nil)
	var accepted api.AcceptedNotifications
	r.must(http.StatusAccepted, request{method: "POST", path: "/demo/notifications", key: session.Token, body: `{"title":"to myself"}`}, &accepted)
	require.Equal(t, session.User, accepted.Notifications[0].User)
	r.finished(accepted.Notifications[0].Id)
	var n api.Notification
	r.must(http.StatusOK, request{path: "/demo/notifications/" + accepted.Notifications[0].Id, key: session.Token}, &n)
	require.Equal(t, "delivered", n.Deliveries[0].State)

	require.Equal(t, http.StatusUnauthorized, r.do(request{method: "POST", path: "/demo/notifications", key: r.token("ann"), body: `{"title":"x"}`}).status)
	anns := r.send("ann")
	require.Equal(t, http.StatusNotFound, r.do(request{path: "/demo/notifications/" + anns, key: session.Token}).status, "not the visitor's own")
}

func TestDemo_IsForThisMachineUnlessAskedFor(t *testing.T) {
	r := newRig(t)
	off := r.with(func(c *api.Config) { c.Demo = api.DemoOff })
	require.Equal(t, "no_such_path", off.do(request{path: "/demo", key: "-"}).problem.Code)
	local := r.with(func(c *api.Config) { c.Demo = api.DemoLocal })
	require.Equal(t, http.StatusOK, local.do(request{path: "/demo", key: "-"}).status)
	require.Equal(t, http.StatusOK, local.do(request{path: "/demo", key: "-", host: "localhost:8080"}).status)
	for _, path := range []string{"/demo", "/demo/demo.js", "/demo/session"} {
		for _, from := range []request{{path: path, key: "-", host: "push.your.domain"}, {path: path, key: "-", proxied: true}, {path: path, key: "-", host: "rebound.evil.dev:8080"}} {
			require.Equal(t, "no_demo", local.do(from).problem.Code)
		}
	}
}

func TestDemo_IsLimited(t *testing.T) {
	r := newRig(t)
	asked := 0
	for r.do(request{method: "POST", path: "/demo/session", key: "-", body: `{}`}).status != http.StatusTooManyRequests {
		asked++
		require.Less(t, asked, 1000)
	}
}
