package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

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
	replacing := func(b *simulate.Browser, id string) map[string]any {
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
