package webpush

import (
	"net/url"
	"path"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pushtest"
	"github.com/belfryhq/belfry/push/simulate"
)

func TestProvider_KeepsItsContract(t *testing.T) {
	for vendor, rig := range map[simulate.Vendor]pushtest.Rig{
		simulate.VendorMozilla: {
			Ended:    simulate.Fault{Status: 410, Reason: "106 No such subscription"},
			Refused:  simulate.Fault{Status: 401, Reason: "109 Invalid VAPID audience"},
			Rejected: simulate.Fault{Status: 400, Reason: "113 Invalid topic"},
			Throttle: simulate.Fault{Status: 503, Reason: "201 Use exponential back-off"},
		},
		simulate.VendorApple: {
			Ended:    simulate.Fault{Status: 410, Reason: "Unregistered"},
			Refused:  simulate.Fault{Status: 403, Reason: "BadJwtToken"},
			Rejected: simulate.Fault{Status: 400, Reason: "VapidPkHashMismatch"},
			Throttle: simulate.Fault{Status: 429, Reason: "TooManyRequests"},
		},
		simulate.VendorGoogle: {
			Ended:    simulate.Fault{Status: 404, Reason: "NotRegistered"},
			Refused:  simulate.Fault{Status: 401, Reason: "UNAUTHENTICATED"},
			Rejected: simulate.Fault{Status: 400, Reason: "UnauthorizedRegistration"},
			Throttle: simulate.Fault{Status: 429, Reason: "RESOURCE_EXHAUSTED"},
		},
		simulate.VendorWindows: {
			Ended:    simulate.Fault{Status: 410, Reason: "the channel expired"},
			Refused:  simulate.Fault{Status: 403, Reason: "no token"},
			Rejected: simulate.Fault{Status: 413},
			Throttle: simulate.Fault{Status: 406},
		},
	} {
		rig.Open = func(t *testing.T, timeout time.Duration) pushtest.Bench { return openBench(t, vendor, timeout) }
		rig.Wrong = map[string]func(*push.Subscription){
			"endpoint":    func(s *push.Subscription) { s.Endpoint = "https://10.0.0.1/capability" },
			"keys.p256dh": func(s *push.Subscription) { s.P256dh = make([]byte, 65) },
			"keys.auth":   func(s *push.Subscription) { s.Auth = nil },
		}
		t.Run(string(vendor), func(t *testing.T) { pushtest.Exercise(t, rig) })
	}
}

func openBench(t *testing.T, vendor simulate.Vendor, timeout time.Duration) pushtest.Bench {
	t.Helper()
	authority, err := simulate.NewAuthority()
	require.NoError(t, err)
	service, err := simulate.OpenWebPushWith(simulate.WebPushConfig{Config: simulate.Config{Authority: authority}, Vendor: vendor})
	require.NoError(t, err)
	origin, err := url.Parse(service.Origin())
	require.NoError(t, err)
	sender := newSender(t)
	provider, err := New(Config{Key: sender.key, AllowHosts: []string{origin.Host}, RootCAs: authority.Pool(), Timeout: timeout})
	require.NoError(t, err)

	message, _ := messageTo(t, sender, "")
	endpoint, browser := service.NewBrowser(sender.public)
	message.Subscription = browser.Subscription(message.Notification.User, sender.public)
	return pushtest.Bench{
		Provider: provider, Service: service, Message: message,
		Told: []string{endpoint.URL, path.Base(endpoint.URL)},
		Kept: []string{push.EncodeBase64(message.Subscription.P256dh), push.EncodeBase64(message.Subscription.Auth), push.EncodeBase64(sender.private)},
	}
}
