package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push"
)

// victim is what the default app has, and others must not see or change.
type victim struct {
	*rig
	sub, webhook            string // ids and names
	sent, scheduled         string // notifications
	key                     api.CreatedKey
	token, renewal, receipt string // of ann's
	event                   string // the id of one in the feed
	secrets                 []string
}

func newVictim(t *testing.T) *victim {
	r, _ := withMetrics(t)
	v := &victim{rig: r.withCredentials()}
	_, laptop := v.browser()
	sub := v.subscribe("ann", laptop)
	v.sub = sub.Id
	v.sent = v.send("ann")
	v.finished(v.sent)
	var later api.AcceptedNotifications
	v.must(http.StatusAccepted, request{method: "POST", path: "/v1/notifications", body: map[string]any{
		"user": "ann", "title": "later", "send_at": time.Now().Add(time.Hour).Format(time.RFC3339),
	}}, &later)
	v.scheduled = later.Notifications[0].Id
	v.key = v.makeKey(map[string]any{"name": "the victim's", "scopes": []string{"read"}})
	v.token = r.token("ann")
	v.renewal = v.register(v.token)
	v.webhook = "hook"
	var hook api.CreatedWebhook
	v.must(http.StatusCreated, request{method: "PUT", path: "/v1/apps/default/webhooks/hook", body: `{"url":"https://victim.example.org/events","types":["lane.paused"]}`}, &hook)
	id, err := push.ParseID(v.sent)
	require.NoError(t, err)
	digest, err := push.ParseDigest(v.sub)
	require.NoError(t, err)
	v.receipt = push.ReceiptToken([]byte("the token secret of the app default"), push.DefaultApp, id, digest)
	var page api.EventPage
	require.Eventually(t, func() bool {
		v.must(http.StatusOK, request{path: "/v1/events?types=delivery.delivered"}, &page)
		return len(page.Events) > 0
	}, patience, 5*time.Millisecond)
	v.event = page.Events[0].Id
	v.secrets = []string{
		v.sub, v.sent, v.scheduled, v.key.Id, v.event, hook.Secret, "victim.example.org", "com.example.app", "belfry-demo",
		push.EncodeBase64(r.vapid), pageOrigin, "the victim's", sub.Host,
	}
	return v
}

// snapshot is all that the default app's own keys see of it.
func (v *victim) snapshot() []any {
	v.Helper()
	var app api.App
	var keys api.KeyList
	var subs api.SubscriptionList
	var sent, scheduled api.Notification
	var events api.EventPage
	var config api.BrowserConfig
	all := []any{&app, &keys, &subs, &sent, &scheduled, &events, &config}
	for i, path := range []string{
		"/v1/apps/default", "/v1/keys", "/v1/users/ann/subscriptions", "/v1/notifications/" + v.sent, "/v1/notifications/" + v.scheduled,
		"/v1/events?limit=1000", "/v1/config",
	} {
		v.must(http.StatusOK, request{path: path}, all[i])
	}
	events.Next = "" // goes by the events of all apps
	require.Len(v, app.Webhooks, 1)
	app.Webhooks[0] = api.Webhook{Name: app.Webhooks[0].Name, Url: app.Webhooks[0].Url, CreatedAt: app.Webhooks[0].CreatedAt}
	for what, key := range map[string]string{"user token": v.token, "renewal token": v.renewal, "key": v.key.Key} {
		require.True(v, v.enters(key), "the %s is still taken", what)
	}
	return all
}

// attack is how a stranger with another app's admin key calls an operation for
// what is the default app's.
type attack struct {
	path string // with the victim's names; empty for the operation's own
	key  string // empty for the other app's admin key
	body any    // nil for that of bodies
	want int
	code string
}

const forbidden, unseen = http.StatusForbidden, http.StatusNotFound

// attacks has one or more for every operation that there is.
func (v *victim) attacks(theirs string) map[string][]attack {
	operatorOnly := []attack{{want: forbidden, code: "operator_only"}}
	ofApp := func(path string) []attack { return []attack{{path: path, want: forbidden, code: "operator_only"}} }
	return map[string][]attack{
		"POST /v1/notifications":                     {{want: 202}}, // to another ann, the other app's
		"POST /v1/notifications/batch":               {{want: 202}},
		"GET /v1/notifications/{id}":                 {{path: "/v1/notifications/" + v.sent, want: unseen}, {path: "/v1/notifications/" + v.scheduled, want: unseen}},
		"DELETE /v1/notifications/{id}":              {{path: "/v1/notifications/" + v.sent, want: unseen}, {path: "/v1/notifications/" + v.scheduled, want: unseen}},
		"DELETE /v1/users/{user}":                    {{path: "/v1/users/ann", want: 200}},
		"GET /v1/users/{user}/explain":               {{path: "/v1/users/ann/explain", want: 200}, {path: "/v1/users/ann/explain?notification=" + v.sent, want: unseen}},
		"GET /v1/users/{user}/subscriptions":         {{path: "/v1/users/ann/subscriptions", want: 200}},
		"PUT /v1/users/{user}/subscriptions":         {{path: "/v1/users/ann/subscriptions", want: 409, code: "no_credential"}},
		"DELETE /v1/users/{user}/subscriptions/{id}": {{path: "/v1/users/ann/subscriptions/" + v.sub, want: unseen}},
		"POST /v1/users/{user}/tokens":               {{path: "/v1/users/ann/tokens", want: 201}},
		"DELETE /v1/users/{user}/tokens":             {{path: "/v1/users/ann/tokens", want: 204}},
		"PUT /v1/me/subscriptions":                   {{key: theirs, want: 409, code: "no_credential"}, {want: 401}},
		"DELETE /v1/me/subscriptions":                {{path: "/v1/me/subscriptions?id=" + v.sub, key: theirs, want: unseen}, {path: "/v1/me/subscriptions?id=" + v.sub, want: 401}},
		"GET /v1/config":                             {{want: 200}, {key: theirs, want: 200}},
		"POST /v1/receipts":                          v.receiptAttacks(),
		"GET /v1/events":                             {{path: "/v1/events?limit=1000", want: 200}, {path: "/v1/events?limit=1000&after=" + v.event, want: 200}},
		"GET /v1/apps":                               operatorOnly,
		"POST /v1/apps":                              operatorOnly,
		"GET /v1/apps/{app}":                         ofApp("/v1/apps/default"),
		"PATCH /v1/apps/{app}":                       ofApp("/v1/apps/default"),
		"POST /v1/apps/{app}/vapid-keys":             ofApp("/v1/apps/default/vapid-keys"),
		"POST /v1/apps/{app}/token-secret":           ofApp("/v1/apps/default/token-secret"),
		"PUT /v1/apps/{app}/credentials/{name}":      ofApp("/v1/apps/default/credentials/ios"),
		"DELETE /v1/apps/{app}/credentials/{name}":   append(ofApp("/v1/apps/default/credentials/ios"), attack{path: "/v1/apps/other/credentials/ios", want: unseen}),
		"PUT /v1/apps/{app}/webhooks/{name}":         ofApp("/v1/apps/default/webhooks/hook"),
		"DELETE /v1/apps/{app}/webhooks/{name}":      append(ofApp("/v1/apps/default/webhooks/hook"), attack{path: "/v1/apps/other/webhooks/hook", want: unseen}),
		"POST /v1/apps/{app}/webhooks/{name}/test":   append(ofApp("/v1/apps/default/webhooks/hook/test"), attack{path: "/v1/apps/other/webhooks/hook/test", want: unseen}),
		"GET /v1/keys":                               {{want: 200}, {path: "/v1/keys?app=default", want: forbidden, code: "operator_only"}},
		"POST /v1/keys":                              {{path: "/v1/keys?app=default", want: forbidden, code: "operator_only"}},
		"DELETE /v1/keys/{id}":                       {{path: "/v1/keys/" + v.key.Id, want: unseen}, {path: "/v1/keys/" + v.key.Id + "?app=default", want: forbidden}},
		"POST /v1/keys/{id}/rotate":                  {{path: "/v1/keys/" + v.key.Id + "/rotate", want: unseen}, {path: "/v1/keys/" + v.key.Id + "/rotate?app=default", want: forbidden}},
		"GET /debug/actors":                          operatorOnly,
		"GET /debug/actors/{path}":                   {{path: "/debug/actors/registry", want: forbidden, code: "operator_only"}},
		"GET /debug/overview":                        operatorOnly,
		"GET /debug/search":                          {{path: "/debug/search?q=ann", want: forbidden, code: "operator_only"}},
		"GET /metrics":                               operatorOnly,
		"GET /healthz":                               {{want: 200}},
		"GET /readyz":                                {{want: 200}},
	}
}

// receiptAttacks are tokens that are not for the default app, or not whole.
func (v *victim) receiptAttacks() []attack {
	id, _ := push.ParseID(v.sent)
	digest, _ := push.ParseDigest(v.sub)
	others := []byte("the token secret of the app other")
	_, signed, _ := strings.Cut(v.receipt, ".")
	body := func(token string) string { return `{"event":"clicked","token":"` + token + `"}` }
	return []attack{
		{body: body(push.ReceiptToken(others, "other", id, digest)), want: 204}, // the other app has no such notification
		{body: body(push.ReceiptToken(others, push.DefaultApp, id, digest)), want: 400},
		{body: body("other." + signed), want: 400},
		{body: body(v.receipt[:len(v.receipt)-1]), want: 400},
		{body: body(v.token), want: 400},
	}
}
