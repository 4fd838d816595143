package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push"
)

// refused checks that a request is not for who sent it.
func (r *rig) refused(q request, statuses ...int) {
	r.Helper()
	got := r.do(q)
	require.Contains(r, append(statuses, http.StatusUnauthorized), got.status, "%s %s: %s", q.method, q.path, got.body)
}

func TestReplay_ATokenIsForItsUserAlone(t *testing.T) {
	r := newRig(t)
	_, bobsBrowser := r.browser()
	bobs := r.subscribe("bob", bobsBrowser)
	anns := r.token("ann")
	renewal := r.register(anns)

	for _, token := range []string{anns, renewal} {
		r.refused(request{method: "DELETE", path: "/v1/me/subscriptions?id=" + bobs.Id, key: token}, http.StatusNotFound)
	}
	// What bob has cannot be replaced by naming it: the new one is ann's, and his stays.
	_, browser := r.browser()
	body := r.json(browser)
	body["replaces"] = bobs.Id
	r.refused(request{method: "PUT", path: "/v1/me/subscriptions", key: renewal, body: body}, http.StatusBadRequest)
	var made api.Subscription
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/me/subscriptions", key: anns, body: body}, &made)
	require.Equal(t, "ann", made.User)
	require.Equal(t, 1, r.rows("bob"))
}

func TestReplay_ARenewalTokenIsForItsSubscriptionAlone(t *testing.T) {
	r := newRig(t)
	token := r.token("ann")
	_, first := r.browser()
	_, second := r.browser()
	var mine, other api.Subscription
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/me/subscriptions", key: token, body: r.json(first)}, &mine)
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/me/subscriptions", key: token, body: r.json(second)}, &other)
	_, third := r.browser()
	body := r.json(third)
	r.refused(request{method: "PUT", path: "/v1/me/subscriptions", key: mine.Renewal, body: body}, http.StatusBadRequest)
	body["replaces"] = other.Id
	r.refused(request{method: "PUT", path: "/v1/me/subscriptions", key: mine.Renewal, body: body}, http.StatusBadRequest)
	r.refused(request{method: "DELETE", path: "/v1/me/subscriptions?id=" + mine.Id, key: mine.Renewal})
	r.refused(request{method: "POST", path: "/demo/notifications", key: mine.Renewal, body: `{"title":"x"}`})

	// The browser is another user's now: the token of the one before is worth nothing.
	body = r.json(first)
	r.must(http.StatusOK, request{method: "PUT", path: "/v1/users/bob/subscriptions", body: body}, nil)
	body["replaces"] = mine.Id
	r.refused(request{method: "PUT", path: "/v1/me/subscriptions", key: mine.Renewal, body: body})
	require.Equal(t, 1, r.rows("bob"))

	// Once it is used, it is over with what it replaced.
	body = r.json(third)
	body["replaces"] = other.Id
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/me/subscriptions", key: other.Renewal, body: body}, nil)
	_, fourth := r.browser()
	body = r.json(fourth)
	body["replaces"] = other.Id
	r.refused(request{method: "PUT", path: "/v1/me/subscriptions", key: other.Renewal, body: body})
	require.Equal(t, 1, r.rows("ann"))
}

// Each kind of secret is for one thing, and for nothing else.
func TestReplay_OneKindOfSecretIsNotAnother(t *testing.T) {
	r := newRig(t)
	token := r.token("ann")
	renewal := r.register(token)
	receipt := push.ReceiptToken([]byte("the token secret of the app default"), push.DefaultApp, push.ID{1}, push.DigestOf("x"))
	keys := map[string]string{"user": token, "renewal": renewal, "receipt": receipt, "VAPID": push.EncodeBase64(r.vapid), "key": r.keys["admin"]}
	for kind, secret := range keys {
		if kind != "key" {
			for _, path := range []string{"/v1/keys", "/v1/users/ann/subscriptions", "/debug/actors", "/v1/events", "/metrics"} {
				r.refused(request{path: path, key: secret})
			}
			r.refused(request{method: "POST", path: "/v1/notifications", key: secret, body: `{"user":"ann","title":"x"}`})
		}
		if kind != "user" && kind != "renewal" {
			r.refused(request{method: "DELETE", path: "/v1/me/subscriptions?id=" + push.DigestOf("x").String(), key: secret})
		}
		if kind != "receipt" {
			r.refused(request{method: "POST", path: "/v1/receipts", key: secret, body: map[string]any{"event": "shown", "token": secret}}, http.StatusBadRequest)
		}
	}
	r.must(http.StatusNoContent, request{method: "POST", path: "/v1/receipts", key: "-", body: map[string]any{"event": "shown", "token": receipt}}, nil)
}
