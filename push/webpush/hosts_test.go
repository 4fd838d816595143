package webpush

import (
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pushtest"
)

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
		c.resolver = pushtest.Resolving("127.0.0.1")
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
