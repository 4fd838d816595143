package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api/client"
)

// What others wrote cannot steer the terminal of who lists it.
func TestCommands_PrintOnlyWhatIsPrintable(t *testing.T) {
	const evil = "shop\x1b[2J\u202e\u2028\r"
	credential := client.Credential{Name: evil, Kind: "fcm", CreatedAt: time.Now(), Settings: client.CredentialSettings{Project: evil, ClientEmail: evil, Host: evil}}
	app := client.App{
		Name: evil, Origins: []string{evil}, VapidSubject: evil, PushHosts: []string{evil},
		VapidKeys: []client.VAPIDKey{{PublicKey: evil}}, Credentials: []client.Credential{credential},
	}
	sub := client.Subscription{Kind: "fcm", Host: evil, Project: evil}
	answers := map[string]any{
		"GET /v1/apps":                      client.AppList{Apps: []client.App{app}},
		"GET /v1/apps/shop":                 app,
		"PATCH /v1/apps/shop":               app,
		"PUT /v1/apps/shop/credentials/ios": credential,
		"GET /v1/keys":                      client.KeyList{Keys: []client.Key{{Id: "1", Name: evil}}},
		"GET /v1/users/ann/subscriptions":   client.SubscriptionList{Subscriptions: []client.Subscription{sub}},
		"PUT /v1/users/ann/subscriptions":   sub,
		"GET /v1/events": client.EventPage{Events: []client.Event{{
			Type: evil, User: evil, Host: evil, Lane: evil, Cause: evil, Reason: evil, Notification: evil, Subscription: evil, MovedFrom: evil,
		}}},
		"GET /v1/users/ann/explain": client.Explanation{
			Summary:       []string{evil},
			Subscriptions: []client.SubscriptionExplanation{{Id: evil, Kind: evil, Host: evil, Attempts: make([]client.Attempt, 2)}},
			Recent:        []client.Notification{{Id: evil, State: evil, Deliveries: []client.Delivery{{State: evil}}}},
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(answers[r.Method+" "+r.URL.Path]); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	remote := remoteFlags{Server: server.URL, Key: "x"}
	for name, run := range map[string]func(to streams) error{
		"app list": func(to streams) error { return (&appListCommand{remote}).Run(t.Context(), to) },
		"app show": func(to streams) error { return (&appShowCommand{remote, "shop"}).Run(t.Context(), to) },
		"app set": func(to streams) error {
			return (&appSetCommand{remoteFlags: remote, Name: "shop", NoOrigins: true}).Run(t.Context(), to)
		},
		"app fcm": func(to streams) error {
			return putCredential(t.Context(), remote, "shop", "ios", client.NewCredential{}, to)
		},
		"keys list":          func(to streams) error { return (&keysListCommand{keysFlags{remoteFlags: remote}}).Run(t.Context(), to) },
		"subscriptions list": func(to streams) error { return (&subscriptionsListCommand{remote, "ann"}).Run(t.Context(), to) },
		"events":             func(to streams) error { return (&eventsCommand{remoteFlags: remote}).Run(t.Context(), to) },
		"explain": func(to streams) error {
			return (&explainCommand{remoteFlags: remote, User: "ann"}).Run(t.Context(), to)
		},
		"subscriptions add": func(to streams) error {
			return (&subscriptionsAddCommand{remoteFlags: remote, User: "ann"}).Run(t.Context(), to)
		},
	} {
		var out strings.Builder
		require.NoError(t, run(streams{out: &out, err: &out}), name)
		require.Contains(t, out.String(), "shop[2J", name)
		for _, r := range "\x1b\u202e\u2028\r" {
			require.NotContains(t, out.String(), string(r), name)
		}
	}
}
