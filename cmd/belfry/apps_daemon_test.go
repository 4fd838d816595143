package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pushtest"
	"github.com/belfryhq/belfry/push/simulate"
)

// tenant is an app of the daemon's, by its own key, and a team of Apple's.
type tenant struct {
	*daemon
	name  string
	key   string
	vapid string
	topic string
	apple simulate.APNsKey
	p8    []byte
}

// newTenant makes the keys of a team, whose apps begin with the name.
func newTenant(name string) *tenant {
	p8, key := simulate.NewAPNsKey()
	topic := "org.example." + name
	key.Topics = []string{topic}
	return &tenant{name: name, topic: topic, apple: key, p8: p8}
}

// settle makes the app, as an operator does, and gives it the team's key.
func (a *tenant) settle(d *daemon, apple *simulate.APNs) {
	d.t.Helper()
	a.daemon = d
	var made struct {
		Key       string `json:"key"`
		VAPIDKeys []struct {
			PublicKey string `json:"public_key"`
		} `json:"vapid_keys"`
	}
	d.call(http.MethodPost, "/v1/apps", map[string]any{"name": a.name, "vapid_subject": "mailto:" + a.name + "@belfry.dev"}, &made)
	a.key, a.vapid = made.Key, made.VAPIDKeys[0].PublicKey
	d.call(http.MethodPut, "/v1/apps/"+a.name+"/credentials/ios", map[string]any{
		"kind": "apns", "key": string(a.p8), "key_id": a.apple.KeyID, "team_id": a.apple.TeamID, "topics": []string{a.topic}, "host": apple.URL(),
	}, nil)
}

// as makes a call with the app's own key.
func (a *tenant) as(method, path string, body, into any) {
	a.t.Helper()
	status, answer := a.tryAs(a.key, method, path, body)
	require.Less(a.t, status, 300, "%s %s as %s: %s", method, path, a.name, answer)
	if into != nil {
		require.NoError(a.t, json.Unmarshal(answer, into))
	}
}

// join registers a browser and a phone for a user.
func (a *tenant) join(user string, browsers *simulate.WebPush, token string) *simulate.Endpoint {
	a.t.Helper()
	endpoint := browsers.NewEndpoint()
	vapid, err := push.DecodeBase64(a.vapid)
	require.NoError(a.t, err)
	endpoint.BindTo(vapid)
	sub := simulate.NewBrowser(push.Endpoint(endpoint.URL)).Subscription(push.User{App: a.name, ID: user}, vapid)
	a.as(http.MethodPut, "/v1/users/"+user+"/subscriptions", map[string]any{
		"endpoint": endpoint.URL, "keys": map[string]any{"p256dh": push.EncodeBase64(sub.P256dh), "auth": push.EncodeBase64(sub.Auth)},
	}, nil)
	a.as(http.MethodPut, "/v1/users/"+user+"/subscriptions", map[string]any{"kind": "apns", "token": token}, nil)
	return endpoint
}

// notified sends a notification and waits until it is finished.
func (a *tenant) notified(user, title string) (states []string) {
	a.t.Helper()
	var accepted struct{ Notifications []struct{ ID string } }
	a.as(http.MethodPost, "/v1/notifications", map[string]any{"user": user, "title": title}, &accepted)
	var fate struct {
		State      string
		Deliveries []struct{ Kind, State, Reason string }
	}
	eventually(a.t, title+" is finished", func() bool {
		a.as(http.MethodGet, "/v1/notifications/"+accepted.Notifications[0].ID, nil, &fate)
		return fate.State == "finished"
	})
	for _, d := range fate.Deliveries {
		states = append(states, d.Kind+" "+d.State)
	}
	slices.Sort(states)
	return states
}

// Two apps, two teams at Apple, two VAPID keys: Apple refuses each team's key
// for the other's topic, and the browsers' service each key but the one that
// the browser subscribed with.
func TestApps_TwoTeamsAndTwoVAPIDKeysSideBySide(t *testing.T) {
	authority, err := simulate.NewAuthority()
	require.NoError(t, err)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, authority.PEM(), 0o600))
	shop, chat := newTenant("shop"), newTenant("chat")
	apple, err := simulate.OpenAPNs(simulate.APNsConfig{
		Config: simulate.Config{Authority: authority}, Keys: []simulate.APNsKey{shop.apple, chat.apple},
	})
	require.NoError(t, err)
	t.Cleanup(apple.Stop)
	browsers := pushtest.StartWebPush(t)

	d := startDaemon(t, append(allowing(browsers), "--push-ca-file", ca)...)
	shop.settle(d, apple)
	chat.settle(d, apple)
	require.NotEqual(t, shop.vapid, chat.vapid)

	// The same user's name in both: they have nothing to do with each other.
	laptops := map[string]*simulate.Endpoint{
		"shop": shop.join("ann", browsers, fmt.Sprintf("%064x", 1)),
		"chat": chat.join("ann", browsers, fmt.Sprintf("%064x", 2)),
	}
	for _, a := range []*tenant{shop, chat} {
		require.Equal(t, []string{"apns delivered", "webpush delivered"}, a.notified("ann", "for "+a.name))
		require.Len(t, laptops[a.name].Receipts(), 1)
	}
	got := map[string]string{}
	for _, e := range apple.Log() {
		require.True(t, e.Taken, e.Reason)
		var payload struct {
			APS struct{ Alert struct{ Title string } }
		}
		require.NoError(t, json.Unmarshal(e.Payload, &payload))
		got[e.Header.Get("Apns-Topic")] += payload.APS.Alert.Title
	}
	require.Equal(t, map[string]string{"org.example.shop": "for shop", "org.example.chat": "for chat"}, got)

	// One app's key is refused, and the other goes on.
	other := newTenant("shop")
	d.call(http.MethodPut, "/v1/apps/shop/credentials/ios", map[string]any{
		"kind": "apns", "key": string(other.p8), "key_id": other.apple.KeyID, "team_id": other.apple.TeamID, "topics": []string{shop.topic}, "host": apple.URL(),
	}, nil)
	var accepted struct{ Notifications []struct{ ID string } }
	shop.as(http.MethodPost, "/v1/notifications", map[string]any{"user": "ann", "title": "refused for now"}, &accepted)
	eventually(t, "shop's lane is paused", func() bool {
		out, err := d.run("tree", "--all")
		require.NoError(t, err)
		for line := range strings.Lines(out) {
			if strings.Contains(line, "shop:apns:org.example.shop@api.push.apple.com") && strings.Contains(line, "paused: 403 InvalidProviderToken") {
				return true
			}
		}
		return false
	})
	require.Equal(t, []string{"apns delivered", "webpush delivered"}, chat.notified("ann", "still here"))

	// With the right key again, what waited is sent at once.
	d.call(http.MethodPut, "/v1/apps/shop/credentials/ios", map[string]any{
		"kind": "apns", "key": string(shop.p8), "key_id": shop.apple.KeyID, "team_id": shop.apple.TeamID, "topics": []string{shop.topic}, "host": apple.URL(),
	}, nil)
	eventually(t, "what waited is delivered", func() bool {
		var fate struct{ State string }
		shop.as(http.MethodGet, "/v1/notifications/"+accepted.Notifications[0].ID, nil, &fate)
		return fate.State == "finished"
	})

	// A new VAPID key: who subscribed with the old one goes on getting everything.
	var fresh struct {
		PublicKey string `json:"public_key"`
	}
	shop.as(http.MethodPost, "/v1/apps/shop/vapid-keys", nil, &fresh)
	require.NotEqual(t, shop.vapid, fresh.PublicKey)
	require.Equal(t, []string{"apns delivered", "webpush delivered"}, shop.notified("ann", "by the old key"))
	shop.vapid = fresh.PublicKey
	shop.join("bob", browsers, fmt.Sprintf("%064x", 3))
	require.Equal(t, []string{"apns delivered", "webpush delivered"}, shop.notified("bob", "by the new key"))

	// All of it is there after a restart.
	require.NoError(t, d.stop())
	d.start()
	require.Equal(t, []string{"apns delivered", "webpush delivered"}, shop.notified("ann", "after a restart"))
}
