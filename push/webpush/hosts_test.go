package webpush

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

func TestParseHost_GivesTheOneSpelling(t *testing.T) {
	for entry, want := range map[string]string{
		"ntfy.example.com":      "ntfy.example.com",
		"NTFY.example.COM:8443": "ntfy.example.com:8443",
		"localhost":             "localhost",
		"192.168.1.5:80":        "192.168.1.5:80",
		"[FD00:0::2]":           "fd00::2",
		"FD00:0::2":             "fd00::2",
		"[FD00:0::2]:443":       "[fd00::2]:443",
	} {
		got, err := ParseHost(entry)
		require.NoError(t, err, entry)
		require.Equal(t, want, got)
		again, err := ParseHost(got)
		require.NoError(t, err, got)
		require.Equal(t, got, again)
	}
}

func TestAppHosts_AreTheAppsAlone(t *testing.T) {
	guard, err := newGuard(Config{
		AllowHosts: []string{"everyones.lan"},
		AppHosts: func(app string) []string {
			return map[string][]string{"house": {"NTFY.lan", "192.168.1.5:8080", "[FD00:0::2]:443", "*", ""}}[app]
		},
	})
	require.NoError(t, err)
	for endpoint, apps := range map[string]string{
		"http://ntfy.lan/1":          "house",
		"http://NTFY.lan:81/1":       "house",
		"https://a.ntfy.lan/1":       "",
		"http://192.168.1.5:8080/1":  "house",
		"http://192.168.1.5/1":       "",
		"https://[fd00::2]/1":        "house",
		"http://everyones.lan/1":     "house shop",
		"http://*/1":                 "",
		"https://169.254.169.254/1":  "",
		"http://push.example.com/1":  "",
		"https://push.example.com/1": "house shop",
	} {
		for _, app := range []string{"house", "shop"} {
			_, _, err := guard.check(app, push.Endpoint(endpoint))
			require.Equal(t, slices.Contains(strings.Fields(apps), app), err == nil, "%s for %s: %v", endpoint, app, err)
		}
	}
}

func TestAppHosts_CountWhenASubscriptionIsChecked(t *testing.T) {
	service := newService(t, answering(201, ""))
	provider := service.provider(t, func(c *Config) {
		c.AllowHosts = nil
		c.AppHosts = func(app string) []string {
			if app == push.DefaultApp {
				return []string{service.host()}
			}
			return nil
		}
	})
	message, _ := service.message(t, "/1")
	require.NoError(t, provider.CheckSubscription(t.Context(), message.Subscription))
	require.Equal(t, push.Delivered, provider.Send(t.Context(), message).Outcome)

	message.Subscription.User.App = "other"
	requireInvalid(t, provider.CheckSubscription(t.Context(), message.Subscription), "endpoint")
	require.Equal(t, push.Rejected, provider.Send(t.Context(), message).Outcome)
	require.Len(t, service.requests(), 1)
}

// The text of the endpoint is fine for both apps; where its name leads is not.
// A connection that is open already does not change that.
func TestAppHosts_OneAppsConnectionIsNeverAnothers(t *testing.T) {
	var connections atomic.Int32
	service := newUnstarted(t, answering(201, ""))
	service.EnableHTTP2 = true
	service.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	service.StartTLS()
	_, port, err := net.SplitHostPort(service.host())
	require.NoError(t, err)
	provider := service.provider(t, func(c *Config) {
		c.AllowHosts = nil
		c.AppHosts = func(app string) []string {
			return map[string][]string{"house": {"example.com:" + port}}[app]
		}
		c.Key = service.sender.anyApp
		c.resolver = resolving("127.0.0.1")
	})
	message, _ := messageTo(t, service.sender, push.Endpoint("https://example.com:"+port+"/1")) // a name in the test server's certificate

	message.Subscription.User.App = "house"
	require.Equal(t, push.Delivered, provider.Send(t.Context(), message).Outcome)
	require.Equal(t, push.Delivered, provider.Send(t.Context(), message).Outcome)
	require.Equal(t, int32(1), connections.Load())

	message.Subscription.User.App = "shop"
	require.Equal(t, push.Result{
		Outcome: push.Retry,
		Reason:  "the endpoint's host resolves to an address that is not on the public internet",
	}, provider.Send(t.Context(), message))
	require.Len(t, service.requests(), 2)
	require.Equal(t, int32(1), connections.Load())
}

// What most apps pay for the hosts of a few: nothing.
func TestAppHosts_CostNothingWhereThereAreNone(t *testing.T) {
	without, err := newGuard(Config{})
	require.NoError(t, err)
	with, err := newGuard(Config{AppHosts: func(string) []string { return nil }})
	require.NoError(t, err)
	allocations := func(g *guard) float64 {
		return testing.AllocsPerRun(100, func() { g.check(push.DefaultApp, "https://push.example.com/1") })
	}
	require.Equal(t, allocations(without), allocations(with))
}
