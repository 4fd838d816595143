package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

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
