package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pushtest"
	"github.com/belfryhq/belfry/store"
)

func TestNotifications_AreDeliveredAndAccountedFor(t *testing.T) {
	r := newRig(t)
	works, laptop := r.browser()
	_, gone := r.browser(pushtest.Status(410))
	sub := r.subscribe("ann", laptop)
	r.subscribe("ann", gone)
	id := r.send("ann")
	n := r.finished(id)
	require.Equal(t, "ann", n.User)
	require.Equal(t, 24*time.Hour, n.ExpiresAt.Sub(n.AcceptedAt))
	states := map[string]api.Delivery{}
	for _, d := range n.Deliveries {
		states[d.State] = d
	}
	require.Equal(t, sub.Id, states["delivered"].Subscription)
	require.Equal(t, 201, states["delivered"].Status)
	require.Equal(t, 1, states["delivered"].Attempts)
	require.Equal(t, 410, states["gone"].Status)
	require.NotNil(t, states["gone"].DoneAt)
	require.Equal(t, 1, r.rows("ann"), "what is gone is removed")

	receipts := works.Receipts()
	require.Len(t, receipts, 1)
	plain, err := laptop.Decrypt(receipts[0].Body)
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"`+id+`","notification":{"title":"hello"}}`, string(plain))
}

func TestNotifications_ToManyUsers(t *testing.T) {
	r := newRig(t)
	users := make([]string, 1000)
	for i := range users {
		users[i] = fmt.Sprintf("user-%d", i)
	}
	var accepted api.AcceptedNotifications
	r.must(http.StatusAccepted, request{method: "POST", path: "/v1/notifications", body: map[string]any{"users": users, "title": "hello"}}, &accepted)
	require.Len(t, accepted.Notifications, 1000)
	for i, n := range accepted.Notifications {
		require.Equal(t, users[i], n.User, "in the order of the request")
		if i > 0 {
			require.Greater(t, n.Id, accepted.Notifications[i-1].Id, "IDs sort in the order of acceptance")
		}
	}
	n := r.finished(accepted.Notifications[999].Id)
	require.Equal(t, "no_subscription", n.Deliveries[0].State)
}

func TestNotifications_CarryAllThatWasGiven(t *testing.T) {
	r := newRig(t)
	endpoint, laptop := r.browser()
	r.subscribe("ann", laptop)
	var accepted api.AcceptedNotifications
	r.must(http.StatusAccepted, request{method: "POST", path: "/v1/notifications", body: map[string]any{
		"user": "ann", "title": "Grüße 🔔", "body": "b", "icon": "https://x.dev/i.png", "image": "/img.png", "badge": "/b.png", "tag": "t",
		"url": "https://x.dev/open?a=1&b=<2>", "actions": []any{map[string]any{"action": "yes", "title": "Yes", "url": "https://x.dev/yes"}},
		"data": map[string]any{"n": 1, "nested": []any{true, nil}}, "ttl": 60, "urgency": "high", "collapse_key": "k",
	}}, &accepted)
	id := accepted.Notifications[0].Id
	r.finished(id)
	receipt := endpoint.Receipts()[0]
	require.Equal(t, "60", receipt.Header.Get("TTL"))
	require.Equal(t, "high", receipt.Header.Get("Urgency"))
	require.Len(t, receipt.Header.Get("Topic"), 32)
	plain, err := laptop.Decrypt(receipt.Body)
	require.NoError(t, err)
	require.JSONEq(t, `{"web_push":8030,"id":"`+id+`","notification":{"title":"Grüße 🔔","body":"b","icon":"https://x.dev/i.png",
		"image":"/img.png","badge":"/b.png","tag":"t","navigate":"https://x.dev/open?a=1&b=<2>",
		"actions":[{"action":"yes","title":"Yes","navigate":"https://x.dev/yes"}],"data":{"n":1,"nested":[true,null]}}}`, string(plain))
}

func TestNotifications_AreAcceptedOnceForAnIdempotencyKey(t *testing.T) {
	r := newRig(t)
	endpoint, laptop := r.browser()
	r.subscribe("ann", laptop)
	ask := request{method: "POST", path: "/v1/notifications", body: `{"user":"ann","title":"hello","data":{"a":1}}`, once: "k-1"}
	first := r.do(ask)
	require.Equal(t, http.StatusAccepted, first.status)
	require.Equal(t, string(first.body), string(r.do(ask).body), "the first answer again")
	ask.body = `{ "title": "hello", "data": {"a": 1}, "user": "ann" }`
	require.Equal(t, string(first.body), string(r.do(ask).body), "the same request, written otherwise")

	ask.body = `{"user":"ann","title":"hello","data":{"a":2}}`
	other := r.do(ask)
	require.Equal(t, http.StatusUnprocessableEntity, other.status)
	require.Equal(t, "idempotency_key_reused", other.problem.Code)
	require.Equal(t, "Idempotency-Key", other.problem.Field)
	ask.key = r.keys["other"]
	require.Equal(t, http.StatusAccepted, r.do(ask).status, "another app's keys are its own")
	ask.once = strings.Repeat("x", 256)
	require.Equal(t, "Idempotency-Key", r.do(ask).problem.Field)

	r.finished(r.send("ann")) // what came before has arrived too
	require.Len(t, endpoint.Receipts(), 2)
}

func TestNotifications_WaitingIsVisible(t *testing.T) {
	r := newRig(t)
	endpoint, laptop := r.browser(pushtest.Status(429).With("Retry-After", "30"))
	r.subscribe("ann", laptop)
	id := r.send("ann")
	_, err := endpoint.Await(t.Context(), 1)
	require.NoError(t, err)
	var n api.Notification
	require.Eventually(t, func() bool {
		r.must(http.StatusOK, request{path: "/v1/notifications/" + id}, &n)
		return len(n.Deliveries) == 1 && n.Deliveries[0].State == "waiting"
	}, 5*time.Second, 5*time.Millisecond)
	require.Equal(t, "pending", n.State)
	require.Equal(t, 429, n.Deliveries[0].Status)
	require.InDelta(t, 30, time.Until(*n.Deliveries[0].NextAttemptAt).Seconds(), 5)
}

// Every bad request is answered with a problem that names the field, and
// changes nothing.
func TestBadInput(t *testing.T) {
	r := newRig(t)
	_, laptop := r.browser()
	good := r.json(laptop)
	with := func(change func(m map[string]any)) map[string]any {
		var m map[string]any
		encoded, _ := json.Marshal(good)
		json.Unmarshal(encoded, &m)
		change(m)
		return m
	}
	key := func(name string, value any) map[string]any {
		return with(func(m map[string]any) { m["keys"].(map[string]any)[name] = value })
	}
	endpoint := func(url string) map[string]any {
		return with(func(m map[string]any) { m["endpoint"] = url })
	}
	const notifications, subscriptions = "POST /v1/notifications", "PUT /v1/users/ann/subscriptions"
	long := strings.Repeat("x", 256)
	for _, c := range []struct {
		what      string
		operation string
		body      any
		status    int
		code      string
		field     string
	}{
		{"no body", notifications, nil, 400, "invalid_json", ""},
		{"not JSON", notifications, "{", 400, "invalid_json", ""},
		{"not JSON at all", notifications, "hello", 400, "invalid_json", ""},
		{"a list", notifications, "[]", 400, "invalid_json", ""},
		{"null", notifications, "null", 400, "invalid_field", "user"},
		{"two values", notifications, `{"user":"ann","title":"x"}{}`, 400, "invalid_json", ""},
		{"bad UTF-8", notifications, "{\"user\":\"ann\",\"title\":\"\xff\"}", 400, "invalid_json", ""},
		{"an unknown field", notifications, `{"user":"ann","title":"x","titel":"y"}`, 400, "unknown_field", "titel"},
		{"an unknown field deep down", notifications, `{"user":"ann","title":"x","actions":[{"action":"a","title":"t","x":1}]}`, 400, "unknown_field", "x"},
		{"a wrong type", notifications, `{"user":"ann","title":7}`, 400, "invalid_field", "title"},
		{"a wrong type deep down", notifications, `{"user":"ann","title":"x","actions":[{"action":7}]}`, 400, "invalid_field", "actions.action"},
		{"a fraction", notifications, `{"user":"ann","title":"x","ttl":1.5}`, 400, "invalid_field", "ttl"},
		{"too large a number", notifications, `{"user":"ann","title":"x","ttl":99999999999999999999}`, 400, "invalid_field", "ttl"},
		{"deeply nested", notifications, `{"user":"ann","title":"x","data":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, 400, "invalid_json", ""},
		{"too large", notifications, `{"user":"ann","title":"` + strings.Repeat("x", 70000) + `"}`, 413, "request_too_large", ""},
		{"no user", notifications, `{"title":"x"}`, 400, "invalid_field", "user"},
		{"user and users", notifications, `{"user":"ann","users":["bob"],"title":"x"}`, 400, "invalid_field", "users"},
		{"no users", notifications, `{"users":[],"title":"x"}`, 400, "invalid_field", "user"},
		{"a user twice", notifications, `{"users":["ann","bob","ann"],"title":"x"}`, 400, "invalid_field", "users[2]"},
		{"too many users", notifications, map[string]any{"users": make([]string, 1001), "title": "x"}, 400, "invalid_field", "users"},
		{"a user's id that is too long", notifications, `{"user":"` + long + `","title":"x"}`, 400, "invalid_field", "user"},
		{"a user's id with a control character", notifications, `{"users":["ok","a\u0000b"],"title":"x"}`, 400, "invalid_field", "users[1]"},
		{"a user called ..", notifications, `{"user":"..","title":"x"}`, 400, "invalid_field", "user"},
		{"a user called /", notifications, `{"user":"/","title":"x"}`, 400, "invalid_field", "user"},
		{"no title", notifications, `{"user":"ann"}`, 400, "invalid_field", "title"},
		{"an empty title", notifications, `{"user":"ann","title":"  "}`, 400, "invalid_field", "title"},
		{"a message that does not fit", notifications, `{"user":"ann","title":"x","body":"` + strings.Repeat("x", 4000) + `"}`, 413, "payload_too_large", ""},
		{"a script for a URL", notifications, `{"user":"ann","title":"x","url":"javascript:alert(1)"}`, 400, "invalid_field", "url"},
		{"another origin by two slashes", notifications, `{"user":"ann","title":"x","url":"//evil.dev"}`, 400, "invalid_field", "url"},
		{"another origin by a backslash", notifications, `{"user":"ann","title":"x","url":"/\\evil.dev"}`, 400, "invalid_field", "url"},
		{"a bad icon", notifications, `{"user":"ann","title":"x","icon":"data:text/html,x"}`, 400, "invalid_field", "icon"},
		{"a bad action URL", notifications, `{"user":"ann","title":"x","actions":[{"action":"a","title":"t","url":"file:///x"}]}`, 400, "invalid_field", "actions[0].url"},
		{"an action without a title", notifications, `{"user":"ann","title":"x","actions":[{"action":"a"}]}`, 400, "invalid_field", "actions[0]"},
		{"too many actions", notifications, map[string]any{"user": "ann", "title": "x", "actions": make([]struct{}, 9)}, 400, "invalid_field", "actions"},
		{"no time to live", notifications, `{"user":"ann","title":"x","ttl":0}`, 400, "invalid_field", "ttl"},
		{"too long a time to live", notifications, `{"user":"ann","title":"x","ttl":2419201}`, 400, "invalid_field", "ttl"},
		{"an unknown urgency", notifications, `{"user":"ann","title":"x","urgency":"asap"}`, 400, "invalid_field", "urgency"},
		{"too long a collapse key", notifications, `{"user":"ann","title":"x","collapse_key":"` + long + `"}`, 400, "invalid_field", "collapse_key"},

		{"an http endpoint", subscriptions, endpoint("http://push.example.org/x"), 400, "invalid_field", "endpoint"},
		{"a private address", subscriptions, endpoint("https://192.168.1.1/x"), 400, "invalid_field", "endpoint"},
		{"loopback", subscriptions, endpoint("https://127.0.0.1/x"), 400, "invalid_field", "endpoint"},
		{"loopback in disguise", subscriptions, endpoint("https://0x7f000001/x"), 400, "invalid_field", "endpoint"},
		{"a metadata service", subscriptions, endpoint("https://169.254.169.254/latest"), 400, "invalid_field", "endpoint"},
		{"a name of this host", subscriptions, endpoint("https://localhost/x"), 400, "invalid_field", "endpoint"},
		{"no URL", subscriptions, endpoint("hello"), 400, "invalid_field", "endpoint"},
		{"no endpoint", subscriptions, with(func(m map[string]any) { delete(m, "endpoint") }), 400, "invalid_field", "endpoint"},
		{"no keys", subscriptions, with(func(m map[string]any) { delete(m, "keys") }), 400, "invalid_field", "keys.p256dh"},
		{"a key that is no base64", subscriptions, key("p256dh", "***"), 400, "invalid_field", "keys.p256dh"},
		{"a key that is not on the curve", subscriptions, key("p256dh", push.EncodeBase64(append([]byte{4}, make([]byte, 64)...))), 400, "invalid_field", "keys.p256dh"},
		{"a key that is too short", subscriptions, key("p256dh", "BAAA"), 400, "invalid_field", "keys.p256dh"},
		{"a secret that is too short", subscriptions, key("auth", "AAAA"), 400, "invalid_field", "keys.auth"},
		{"a subscription that has ended", subscriptions, with(func(m map[string]any) { m["expirationTime"] = 1000 }), 400, "invalid_field", "expirationTime"},
		{"a bad id to replace", subscriptions, with(func(m map[string]any) { m["replaces"] = "x" }), 400, "invalid_field", "replaces"},
		{"another app's VAPID key", subscriptions, with(func(m map[string]any) { m["vapid_public_key"] = push.EncodeBase64(make([]byte, 65)) }), 400, "invalid_field", "vapid_public_key"},
		{"an unknown field of a subscription", subscriptions, with(func(m map[string]any) { m["extra"] = 1 }), 400, "unknown_field", "extra"},

		{"a token for too long", "POST /v1/users/ann/tokens", `{"ttl":86401}`, 400, "invalid_field", "ttl"},
		{"a token for too short", "POST /v1/users/ann/tokens", `{"ttl":1}`, 400, "invalid_field", "ttl"},
		{"no scopes", "POST /v1/keys", `{}`, 400, "invalid_field", "scopes"},
		{"an unknown scope", "POST /v1/keys", `{"scopes":["read","write"]}`, 400, "invalid_field", "scopes[1]"},
		{"a bad id", "DELETE /v1/users/ann/subscriptions/xyz", nil, 400, "invalid_field", "id"},
		{"an unknown subscription", "DELETE /v1/users/ann/subscriptions/" + strings.Repeat("0", 64), nil, 404, "not_found", "id"},
		{"a bad notification id", "GET /v1/notifications/xyz", nil, 400, "invalid_field", "id"},
		{"an unknown notification", "GET /v1/notifications/01a201f2-e60e-7a78-8738-29c6f0f58a65", nil, 404, "not_found", ""},
		{"an unknown key", "DELETE /v1/keys/xyz", nil, 404, "not_found", ""},
		{"an unknown actor", "GET /debug/actors/nowhere", nil, 404, "no_such_actor", "path"},
		{"a bad limit", "GET /debug/actors?limit=x", nil, 400, "invalid_field", "limit"},
		{"too large a limit", "GET /debug/actors?limit=501", nil, 400, "invalid_field", "limit"},
		{"a limit twice", "GET /debug/actors?limit=1&limit=2", nil, 400, "invalid_field", "limit"},
		{"no such path", "GET /v2/notifications", nil, 404, "no_such_path", ""},
		{"no such method", "PATCH /v1/notifications", nil, 405, "method_not_allowed", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			method, path, _ := strings.Cut(c.operation, " ")
			got := r.do(request{method: method, path: path, body: c.body})
			require.Equal(t, c.status, got.status, "%s", got.body)
			require.Equal(t, c.code, got.problem.Code)
			require.Equal(t, c.field, got.problem.Field)
		})
	}
	require.Zero(t, r.rows("ann"))
	last, err := r.store.LastID(t.Context())
	require.NoError(t, err)
	require.True(t, last.IsZero(), "nothing was accepted")
}

func TestBadInput_WrongContentType(t *testing.T) {
	r := newRig(t)
	got := r.do(request{method: "POST", path: "/v1/notifications", body: `{"user":"ann","title":"x"}`, contentType: "text/plain"})
	require.Equal(t, http.StatusUnsupportedMediaType, got.status)
	require.Equal(t, "unsupported_media_type", got.problem.Code)
}

func TestSubscriptions_SameBrowserSameUserIsOneRow(t *testing.T) {
	r := newRig(t)
	_, laptop := r.browser()
	made := r.subscribe("ann", laptop)
	var again api.Subscription
	r.must(http.StatusOK, request{method: "PUT", path: "/v1/users/ann/subscriptions", body: r.json(laptop)}, &again)
	require.Equal(t, made.Id, again.Id)
	require.Equal(t, made.CreatedAt, again.CreatedAt)
	var list api.SubscriptionList
	r.must(http.StatusOK, request{path: "/v1/users/ann/subscriptions"}, &list)
	require.Len(t, list.Subscriptions, 1)
	require.Equal(t, "webpush", list.Subscriptions[0].Kind)
	require.Equal(t, strings.TrimPrefix(r.service.Origin(), "http://"), list.Subscriptions[0].Host)
	require.NotContains(t, string(r.do(request{path: "/v1/users/ann/subscriptions"}).body), "endpoint", "the endpoint is a secret")
}

func TestSubscriptions_SameBrowserOtherUserMoves(t *testing.T) {
	r := newRig(t)
	_, laptop := r.browser()
	r.subscribe("ann", laptop)
	r.must(http.StatusOK, request{method: "PUT", path: "/v1/users/bob/subscriptions", body: r.json(laptop)}, nil)
	require.Zero(t, r.rows("ann"))
	require.Equal(t, 1, r.rows("bob"))
}

func TestSubscriptions_OddUserIDsArePathSegments(t *testing.T) {
	r := newRig(t)
	for _, user := range []string{"a/b", "a//b", "ünï çødé", "100%", "%2F", "mail@host?x=1#y", "..x", "+", " ", "/a", "a/", "//"} {
		_, laptop := r.browser()
		made := r.subscribe(user, laptop)
		require.Equal(t, user, made.User)
		n := r.finished(r.send(user))
		require.Equal(t, "delivered", n.Deliveries[0].State, user)
		r.must(http.StatusNoContent, request{method: "DELETE", path: "/v1/users/" + url.PathEscape(user) + "/subscriptions/" + made.Id}, nil)
		require.Zero(t, r.rows(user))
	}
}

func TestUsers_Forget(t *testing.T) {
	r := newRig(t)
	_, laptop := r.browser()
	r.subscribe("ann", laptop)
	id := r.send("ann")
	r.finished(id)
	var forgotten api.ForgottenUser
	r.must(http.StatusOK, request{method: "DELETE", path: "/v1/users/ann"}, &forgotten)
	require.Equal(t, api.ForgottenUser{Subscriptions: 1, Notifications: 1}, forgotten)
	require.Zero(t, r.rows("ann"))
	require.Equal(t, http.StatusNotFound, r.do(request{path: "/v1/notifications/" + id}).status)
	r.must(http.StatusOK, request{method: "DELETE", path: "/v1/users/ann"}, &forgotten)
	require.Zero(t, forgotten)
}

// Each operation takes the scope that openapi.yaml gives it, and no other.
func TestScopes(t *testing.T) {
	r := newRig(t)
	for _, o := range []struct{ operation, scope string }{
		{"POST /v1/notifications", "send"},
		{"GET /v1/notifications/01a201f2-e60e-7a78-8738-29c6f0f58a65", "read"},
		{"GET /v1/users/ann/subscriptions", "read"},
		{"PUT /v1/users/ann/subscriptions", "subscribe"},
		{"DELETE /v1/users/ann/subscriptions/x", "subscribe"},
		{"DELETE /v1/users/ann", "subscribe"},
		{"POST /v1/users/ann/tokens", "subscribe"},
		{"GET /v1/keys", "admin"},
		{"POST /v1/keys", "admin"},
		{"DELETE /v1/keys/x", "admin"},
		{"GET /debug/actors", "admin"},
		{"GET /debug/actors/registry", "admin"},
		{"GET /debug/actors/registry/00", "admin"},
	} {
		method, path, _ := strings.Cut(o.operation, " ")
		for _, scope := range api.AllScopes {
			got := r.do(request{method: method, path: path, key: r.keys[scope]})
			allowed := scope == o.scope || scope == "admin"
			require.Equal(t, !allowed, got.status == http.StatusForbidden, "%s with %s: %d %s", o.operation, scope, got.status, got.body)
		}
		require.Equal(t, http.StatusUnauthorized, r.do(request{method: method, path: path, key: "-"}).status, o.operation)
		require.Equal(t, http.StatusUnauthorized, r.do(request{method: method, path: path, key: "belfry_wrong"}).status, o.operation)
		require.Equal(t, http.StatusUnauthorized, r.do(request{method: method, path: path, key: r.token("ann")}).status, "a user token is no API key: %s", o.operation)
	}
}

// Nothing of an app can be reached with another app's key.
func TestApps_AreApart(t *testing.T) {
	r := newRig(t)
	_, laptop := r.browser()
	sub := r.subscribe("ann", laptop)
	id := r.send("ann")
	r.finished(id)
	other := r.keys["other"]
	require.Equal(t, http.StatusNotFound, r.do(request{path: "/v1/notifications/" + id, key: other}).status)
	var list api.SubscriptionList
	r.must(http.StatusOK, request{path: "/v1/users/ann/subscriptions", key: other}, &list)
	require.Empty(t, list.Subscriptions)
	require.Equal(t, http.StatusNotFound, r.do(request{method: "DELETE", path: "/v1/users/ann/subscriptions/" + sub.Id, key: other}).status)
	var forgotten api.ForgottenUser
	r.must(http.StatusOK, request{method: "DELETE", path: "/v1/users/ann", key: other}, &forgotten)
	require.Zero(t, forgotten)
	var keys api.KeyList
	r.must(http.StatusOK, request{path: "/v1/keys", key: other}, &keys)
	require.Len(t, keys.Keys, 1)
	r.must(http.StatusOK, request{path: "/v1/keys"}, &keys)
	require.Equal(t, http.StatusNotFound, r.do(request{method: "DELETE", path: "/v1/keys/" + keys.Keys[0].Id, key: other}).status)
	require.Equal(t, 1, r.rows("ann"))
}

func TestKeys_AreRevokedAtOnce(t *testing.T) {
	r := newRig(t)
	var made api.CreatedKey
	r.must(http.StatusCreated, request{method: "POST", path: "/v1/keys", body: map[string]any{"name": "backend", "scopes": []string{"send", "read", "send"}}}, &made)
	require.True(t, strings.HasPrefix(made.Key, api.KeyPrefix))
	require.Equal(t, []string{"read", "send"}, sorted(made.Scopes))
	require.Equal(t, http.StatusAccepted, r.do(request{method: "POST", path: "/v1/notifications", key: made.Key, body: `{"user":"ann","title":"x"}`}).status)
	require.NotContains(t, string(r.do(request{path: "/v1/keys"}).body), made.Key)
	r.must(http.StatusNoContent, request{method: "DELETE", path: "/v1/keys/" + made.Id}, nil)
	require.Equal(t, http.StatusUnauthorized, r.do(request{method: "POST", path: "/v1/notifications", key: made.Key, body: `{"user":"ann","title":"x"}`}).status)
}

func TestBrowsers_RegisterThemselves(t *testing.T) {
	r := newRig(t)
	_, laptop := r.browser()
	token := r.token("ann")
	var config api.BrowserConfig
	r.must(http.StatusOK, request{path: "/v1/config", key: "-"}, &config)
	require.Equal(t, push.EncodeBase64(r.vapid), config.VapidPublicKey)
	r.must(http.StatusOK, request{path: "/v1/config", key: token}, &config)
	r.must(http.StatusOK, request{path: "/v1/config", key: r.keys["send"]}, nil)
	require.Equal(t, http.StatusUnauthorized, r.do(request{method: "PUT", path: "/v1/me/subscriptions", body: r.json(laptop)}).status,
		"an API key is no user token")

	body := r.json(laptop)
	body["vapid_public_key"] = config.VapidPublicKey
	var made api.Subscription
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/me/subscriptions", key: token, body: body}, &made)
	require.Equal(t, "ann", made.User)
	require.NotEmpty(t, made.Renewal)
	r.must(http.StatusOK, request{method: "PUT", path: "/v1/me/subscriptions", key: token, body: body}, &made)
	require.Equal(t, 1, r.rows("ann"))
	r.must(http.StatusNoContent, request{method: "DELETE", path: "/v1/me/subscriptions?id=" + made.Id, key: token}, nil)
	require.Zero(t, r.rows("ann"))
	require.Equal(t, http.StatusNotFound, r.do(request{method: "DELETE", path: "/v1/me/subscriptions?id=" + made.Id, key: token}).status)
	require.Equal(t, "id", r.do(request{method: "DELETE", path: "/v1/me/subscriptions", key: token}).problem.Field)
}

func TestBrowsers_ReplaceTheirEndpointWithTheRenewalToken(t *testing.T) {
	r := newRig(t)
	_, before := r.browser()
	_, after := r.browser()
	_, stranger := r.browser()
	var first, second api.Subscription
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/me/subscriptions", key: r.token("ann"), body: r.json(before)}, &first)
	replacing := func(b *pushtest.Browser, id string) map[string]any {
		body := r.json(b)
		body["replaces"] = id
		return body
	}
	require.Equal(t, "replaces", r.do(request{method: "PUT", path: "/v1/me/subscriptions", key: first.Renewal, body: r.json(stranger)}).problem.Field,
		"it registers nothing by itself")
	require.Equal(t, http.StatusUnauthorized, r.do(request{method: "DELETE", path: "/v1/me/subscriptions?id=" + first.Id, key: first.Renewal}).status)
	require.Equal(t, http.StatusOK, r.do(request{path: "/v1/config", key: first.Renewal}).status)

	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/me/subscriptions", key: first.Renewal, body: replacing(after, first.Id)}, &second)
	require.Equal(t, 1, r.rows("ann"))
	require.NotEqual(t, first.Renewal, second.Renewal)
	r.must(http.StatusOK, request{method: "PUT", path: "/v1/me/subscriptions", key: first.Renewal, body: replacing(after, first.Id)}, nil)

	got := r.do(request{method: "PUT", path: "/v1/me/subscriptions", key: first.Renewal, body: replacing(stranger, first.Id)})
	require.Equal(t, http.StatusUnauthorized, got.status, "it has ended with its subscription")
	require.Equal(t, 1, r.rows("ann"))

	r.must(http.StatusOK, request{method: "PUT", path: "/v1/users/bob/subscriptions", body: r.json(after)}, nil)
	got = r.do(request{method: "PUT", path: "/v1/me/subscriptions", key: second.Renewal, body: replacing(stranger, second.Id)})
	require.Equal(t, http.StatusUnauthorized, got.status, "the browser is bob's now")
	require.Zero(t, r.rows("ann"))
}

func TestTokens_ThatAreNotValid(t *testing.T) {
	r := newRig(t)
	secret := []byte("the token secret of the app " + push.DefaultApp)
	now := time.Now()
	sign := func(method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
		signed, err := jwt.NewWithClaims(method, claims).SignedString(key)
		require.NoError(t, err)
		return signed
	}
	claims := func(change func(jwt.MapClaims)) jwt.MapClaims {
		c := jwt.MapClaims{"iss": push.DefaultApp, "aud": "belfry:user", "sub": "ann", "exp": now.Add(time.Hour).Unix()}
		change(c)
		return c
	}
	same := func(jwt.MapClaims) {}
	set := func(name string, value any) func(jwt.MapClaims) {
		return func(c jwt.MapClaims) { c[name] = value }
	}
	require.Equal(t, http.StatusOK, r.do(request{path: "/v1/config", key: sign(jwt.SigningMethodHS256, secret, claims(same))}).status)
	for what, token := range map[string]string{
		"expired":              sign(jwt.SigningMethodHS256, secret, claims(set("exp", now.Add(-time.Second).Unix()))),
		"without an end":       sign(jwt.SigningMethodHS256, secret, claims(func(c jwt.MapClaims) { delete(c, "exp") })),
		"for too long":         sign(jwt.SigningMethodHS256, secret, claims(set("exp", now.Add(25*time.Hour).Unix()))),
		"of another app":       sign(jwt.SigningMethodHS256, []byte("the token secret of the app other"), claims(same)),
		"of no app":            sign(jwt.SigningMethodHS256, secret, claims(set("iss", "nobody"))),
		"of another algorithm": sign(jwt.SigningMethodHS384, secret, claims(same)),
		"unsigned":             sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims(same)),
		"for something else":   sign(jwt.SigningMethodHS256, secret, claims(set("aud", "else"))),
		"without a user":       sign(jwt.SigningMethodHS256, secret, claims(set("sub", ""))),
		"an odd renewal":       sign(jwt.SigningMethodHS256, secret, claims(set("aud", "belfry:renewal"))),
		"nonsense":             "a.b.c",
		"an unknown API key":   "belfry_nobodys",
	} {
		got := r.do(request{path: "/v1/config", key: token})
		require.Equal(t, http.StatusUnauthorized, got.status, what)
	}
}

func TestCORS_IsForTheAppsOrigins(t *testing.T) {
	r := newRig(t)
	token := r.token("ann")
	for _, c := range []struct {
		origin  string
		allowed bool
	}{{pageOrigin, true}, {otherOrigin, false}, {"https://evil.dev", false}, {"null", false}, {r.url, true}} {
		got := r.do(request{path: "/v1/config", key: token, origin: c.origin})
		require.Equal(t, c.allowed, got.status == http.StatusOK, c.origin)
		if !c.allowed {
			require.Equal(t, "origin_not_allowed", got.problem.Code)
		}
		require.Equal(t, "Origin", got.header.Get("Vary"))
	}
	require.Equal(t, pageOrigin, r.do(request{path: "/v1/config", key: token, origin: pageOrigin}).header.Get("Access-Control-Allow-Origin"))
	require.Empty(t, r.do(request{path: "/v1/config", key: token, origin: "https://evil.dev"}).header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, pageOrigin, r.do(request{path: "/v1/config", key: "nonsense", origin: pageOrigin}).header.Get("Access-Control-Allow-Origin"),
		"a page may read what is wrong")

	require.Equal(t, pageOrigin, r.do(request{method: "DELETE", path: "/v1/me/subscriptions", key: token, origin: pageOrigin}).header.Get("Access-Control-Allow-Origin"),
		"whatever is wrong")

	preflight := r.do(request{method: "OPTIONS", path: "/v1/me/subscriptions", key: "-", origin: pageOrigin})
	require.Equal(t, http.StatusNoContent, preflight.status)
	require.Equal(t, pageOrigin, preflight.header.Get("Access-Control-Allow-Origin"))
	require.Contains(t, preflight.header.Get("Access-Control-Allow-Methods"), "PUT")
	require.Contains(t, preflight.header.Get("Access-Control-Allow-Headers"), "Authorization")
	require.Empty(t, r.do(request{method: "OPTIONS", path: "/v1/me/subscriptions", key: "-", origin: "https://evil.dev"}).header.Get("Access-Control-Allow-Origin"))
	require.Empty(t, r.do(request{path: "/v1/keys", origin: pageOrigin}).header.Get("Access-Control-Allow-Origin"), "no page has an API key")
}

func TestActors_AreShownWithTheirPaths(t *testing.T) {
	r := newRig(t)
	hold := make(chan struct{})
	defer close(hold)
	endpoint, laptop := r.browser(pushtest.Status(201).When(hold))
	r.subscribe("a/b", laptop)
	r.send("a/b")
	_, err := endpoint.Await(t.Context(), 1)
	require.NoError(t, err)

	var page api.ActorPage
	r.must(http.StatusOK, request{path: "/debug/actors"}, &page)
	require.Equal(t, "/", page.Actor.Path)
	require.Equal(t, 4, page.Actor.Children)
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
	require.Equal(t, map[string]int{"supervisor": 2, "journal": 1, "lanes": 1, "lane": 1, "shards": 16, "user": 1, "subscription": 1, "janitor": 1}, seen)

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
	require.NoError(t, r.store.Close())
	r.must(http.StatusOK, request{path: "/healthz", key: "-"}, nil)
	var health api.Health
	r.must(http.StatusServiceUnavailable, request{path: "/readyz", key: "-"}, &health)
	require.Equal(t, []string{"the store does not answer"}, health.Reasons)
	got := r.do(request{method: "POST", path: "/v1/notifications", body: `{"user":"ann","title":"x"}`})
	require.Contains(t, []int{http.StatusServiceUnavailable, http.StatusInternalServerError}, got.status)
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
	busy := 0
	for range 40 {
		if r.do(request{method: "POST", path: "/demo/session", key: "-", body: `{}`}).status == http.StatusTooManyRequests {
			busy++
		}
	}
	require.Positive(t, busy)
}

func TestSubscriptions_AreLimitedPerUser(t *testing.T) {
	r := newRig(t)
	_, first := r.browser()
	r.subscribe("ann", first)
	for range 99 {
		_, browser := r.browser()
		r.subscribe("ann", browser)
	}
	_, more := r.browser()
	got := r.do(request{method: "PUT", path: "/v1/users/ann/subscriptions", body: r.json(more)})
	require.Equal(t, http.StatusConflict, got.status)
	require.Equal(t, "too_many_subscriptions", got.problem.Code)
	r.must(http.StatusOK, request{method: "PUT", path: "/v1/users/ann/subscriptions", body: r.json(first)}, nil)
	replacing := r.json(more)
	replacing["replaces"] = push.DigestOf(push.Endpoint(r.json(first)["endpoint"].(string))).String()
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/users/ann/subscriptions", body: replacing}, nil)
	require.Equal(t, 100, r.rows("ann"))
}

// lyingStore deletes a key and says that it could not; and it panics on demand.
type lyingStore struct {
	api.Store
	panics bool
}

func (s *lyingStore) DeleteAPIKey(ctx context.Context, app, id string) error {
	return errors.Join(context.Canceled, s.Store.DeleteAPIKey(ctx, app, id))
}

func (s *lyingStore) ListAPIKeys(ctx context.Context, app string) ([]store.APIKey, error) {
	if s.panics {
		panic("a bug")
	}
	return s.Store.ListAPIKeys(ctx, app)
}

func TestKeys_AreRevokedEvenIfTheAnswerWasLost(t *testing.T) {
	r := newRig(t)
	lying := r.with(func(c *api.Config) { c.Store = &lyingStore{Store: c.Store} })
	var made api.CreatedKey
	lying.must(http.StatusCreated, request{method: "POST", path: "/v1/keys", body: `{"scopes":["read"]}`}, &made)
	lying.must(http.StatusOK, request{path: "/v1/users/ann/subscriptions", key: made.Key}, nil)
	require.Equal(t, http.StatusInternalServerError, lying.do(request{method: "DELETE", path: "/v1/keys/" + made.Id}).status)
	require.Equal(t, http.StatusUnauthorized, lying.do(request{path: "/v1/users/ann/subscriptions", key: made.Key}).status)
	for _, odd := range []string{"%00", "%ff", "x", strings.Repeat("0", 13)} {
		require.Equal(t, http.StatusNotFound, lying.do(request{method: "DELETE", path: "/v1/keys/" + odd}).status)
	}
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
	require.Equal(t, []string{"it is starting"}, health.Reasons)
	got := r.do(request{method: "POST", path: "/v1/notifications", body: `{}`})
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.NotEmpty(t, got.header.Get("Retry-After"))
}
