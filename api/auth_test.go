package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

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
		{"GET /v1/apps", "admin"},
		{"POST /v1/apps", "admin"},
		{"GET /v1/apps/other", "admin"},
		{"PATCH /v1/apps/other", "admin"},
		{"POST /v1/apps/other/vapid-keys", "admin"},
		{"PUT /v1/apps/other/credentials/x", "admin"},
		{"DELETE /v1/apps/other/credentials/x", "admin"},
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
	require.Equal(t, http.StatusServiceUnavailable, lying.do(request{method: "DELETE", path: "/v1/keys/" + made.Id}).status)
	require.Equal(t, http.StatusUnauthorized, lying.do(request{path: "/v1/users/ann/subscriptions", key: made.Key}).status)
	for _, odd := range []string{"%00", "%ff", "x", strings.Repeat("0", 13)} {
		require.Equal(t, http.StatusNotFound, lying.do(request{method: "DELETE", path: "/v1/keys/" + odd}).status)
	}
}

// Who has a key is known before the body of the request has come.
func TestAuth_TellsWhoHasAKey(t *testing.T) {
	var known []string
	r := newRig(t).with(func(c *api.Config) {
		c.Known = func(r *http.Request) { known = append(known, r.URL.Path) }
	})
	body := map[string]any{"user": "ann", "title": "x"}
	r.must(http.StatusUnauthorized, request{method: "POST", path: "/v1/notifications", key: "-", body: body}, nil)
	r.must(http.StatusUnauthorized, request{method: "POST", path: "/v1/notifications", key: "belfry_wrong", body: body}, nil)
	r.must(http.StatusBadRequest, request{method: "POST", path: "/v1/receipts", key: "-", body: map[string]any{}}, nil)
	r.must(http.StatusOK, request{path: "/v1/config", key: r.token("ann")}, nil)
	require.Equal(t, []string{"/v1/users/ann/tokens"}, known)
	r.must(http.StatusBadRequest, request{method: "POST", path: "/v1/notifications", body: "{"}, nil)
	require.Equal(t, "/v1/notifications", known[1])
}
