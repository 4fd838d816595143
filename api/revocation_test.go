package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
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

// makeKey makes an API key of the default app.
func (r *rig) makeKey(body map[string]any) api.CreatedKey {
	r.Helper()
	var made api.CreatedKey
	r.must(http.StatusCreated, request{method: "POST", path: "/v1/keys", body: body}, &made)
	return made
}

// enters tells whether a key or token is taken where all are.
func (r *rig) enters(key string) bool {
	r.Helper()
	got := r.do(request{path: "/v1/config", key: key})
	require.Contains(r, []int{http.StatusOK, http.StatusUnauthorized}, got.status, "%s", got.body)
	return got.status == http.StatusOK
}

// register registers a browser with a token and returns the renewal token.
func (r *rig) register(token string) (renewal string) {
	r.Helper()
	_, browser := r.browser()
	var made api.Subscription
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/me/subscriptions", key: token, body: r.json(browser)}, &made)
	require.NotEmpty(r, made.Renewal)
	return made.Renewal
}

func TestRotateKey_TheOldOneEndsAtOnce(t *testing.T) {
	r := newRig(t)
	old := r.makeKey(map[string]any{"name": "backend", "scopes": []string{"read", "send"}, "rate": 7})
	require.Equal(t, 7, old.Rate)
	require.True(t, r.enters(old.Key))
	var fresh api.CreatedKey
	r.must(http.StatusCreated, request{method: "POST", path: "/v1/keys/" + old.Id + "/rotate"}, &fresh)
	require.False(t, r.enters(old.Key))
	require.True(t, r.enters(fresh.Key))
	require.NotEqual(t, old.Id, fresh.Id)
	old.Id, old.Key, old.CreatedAt, fresh.Id, fresh.Key, fresh.CreatedAt = "", "", time.Time{}, "", "", time.Time{}
	require.Equal(t, old, fresh, "name, scopes and rate stay")
}

func TestRotateKey_MayBeTheOneThatAsks(t *testing.T) {
	r := newRig(t)
	admin := r.makeKey(map[string]any{"scopes": []string{"admin"}})
	var fresh api.CreatedKey
	r.must(http.StatusCreated, request{method: "POST", path: "/v1/keys/" + admin.Id + "/rotate", key: admin.Key}, &fresh)
	require.False(t, r.enters(admin.Key))
	r.must(http.StatusOK, request{path: "/v1/keys", key: fresh.Key}, nil)
}

func TestRotateKey_OfAnotherAppIsTheOperators(t *testing.T) {
	r := newRig(t)
	var keys api.KeyList
	r.must(http.StatusOK, request{path: "/v1/keys?app=other"}, &keys)
	id := keys.Keys[0].Id
	require.Equal(t, http.StatusNotFound, r.do(request{method: "POST", path: "/v1/keys/" + id + "/rotate"}).status)
	require.True(t, r.enters(r.keys["other"]))
	var fresh api.CreatedKey
	r.must(http.StatusCreated, request{method: "POST", path: "/v1/keys/" + id + "/rotate?app=other"}, &fresh)
	require.False(t, r.enters(r.keys["other"]))
	r.must(http.StatusOK, request{path: "/v1/apps/other", key: fresh.Key}, nil)
}

// At the next start the configured key would be back, and its successor gone.
func TestKeys_TheConfiguredOneStays(t *testing.T) {
	r := newRig(t)
	given := api.APIKeyOf(push.DefaultApp, api.GivenKeyName, "a-key-from-the-environment", []string{"admin"}, time.Now())
	require.NoError(t, r.store.CreateAPIKey(t.Context(), given))
	for _, q := range []request{
		{method: "POST", path: "/v1/keys/" + given.ID + "/rotate"},
		{method: "DELETE", path: "/v1/keys/" + given.ID},
		{method: "DELETE", path: "/v1/keys/" + given.ID, key: "a-key-from-the-environment"},
	} {
		got := r.do(q)
		require.Equal(t, http.StatusConflict, got.status, q.method)
		require.Equal(t, "key_is_configured", got.problem.Code)
		require.True(t, r.enters("a-key-from-the-environment"))
	}
	name := map[string]any{"name": api.GivenKeyName, "scopes": []string{"admin"}}
	require.Equal(t, "name", r.do(request{method: "POST", path: "/v1/keys", body: name}).problem.Field, "nor can another pass for it")
	r.must(http.StatusCreated, request{method: "POST", path: "/v1/keys?app=other", body: name}, nil)
}

func TestRotateKey_UnknownOnes(t *testing.T) {
	r := newRig(t)
	for _, id := range []string{"000000000000", "x", "%00", "%ff", strings.Repeat("0", 300)} {
		require.Equal(t, http.StatusNotFound, r.do(request{method: "POST", path: "/v1/keys/" + id + "/rotate"}).status, id)
	}
}

func TestRevokeUserTokens_EndsAllThatWereMadeBefore(t *testing.T) {
	r := newRig(t)
	token, bobs := r.token("ann"), r.token("bob")
	renewal := r.register(token)
	for _, good := range []string{token, renewal, bobs} {
		require.True(t, r.enters(good))
	}
	r.must(http.StatusNoContent, request{method: "DELETE", path: "/v1/users/ann/tokens", key: r.keys["subscribe"]}, nil)
	for _, ended := range []string{token, renewal} {
		got := r.do(request{method: "PUT", path: "/v1/me/subscriptions", key: ended, body: `{}`})
		require.Equal(t, http.StatusUnauthorized, got.status)
		require.Equal(t, "invalid_token", got.problem.Code)
	}
	require.True(t, r.enters(bobs))
	require.Equal(t, 1, r.rows("ann"), "the subscription stays")
}

// Tokens that are made within the same second, or millisecond, as a revocation
// fall on the right side of it.
func TestRevokeUserTokens_IsExact(t *testing.T) {
	r := newRig(t)
	var before string
	for range 10 {
		token := r.token("ann")
		require.True(t, r.enters(token))
		if before != "" {
			require.False(t, r.enters(before))
		}
		r.must(http.StatusNoContent, request{method: "DELETE", path: "/v1/users/ann/tokens"}, nil)
		before = token
	}
	require.False(t, r.enters(before))
}

func TestRevokeUserTokens_WhateverBecameOfTheClock(t *testing.T) {
	r := newRig(t)
	ann := push.User{App: push.DefaultApp, ID: "ann"}
	require.NoError(t, r.store.RevokeTokens(t.Context(), ann, time.Now().Add(time.Hour))) // and then the clock was put right
	token := r.token("ann")
	require.True(t, r.enters(token))
	r.must(http.StatusNoContent, request{method: "DELETE", path: "/v1/users/ann/tokens"}, nil)
	require.False(t, r.enters(token))
	require.True(t, r.enters(r.token("ann")))
}

// A browser that is registering while its token is revoked does not get away
// with a renewal token that is newer than the revocation.
func TestRenewalTokens_AreAsOldAsTheTokenTheyCameBy(t *testing.T) {
	r := newRig(t)
	token := r.token("ann")
	var claims struct {
		jwt.RegisteredClaims
		Made int64 `json:"made"`
	}
	_, _, err := jwt.NewParser().ParseUnverified(token, &claims)
	require.NoError(t, err)
	renewal := r.register(token)
	require.True(t, r.enters(renewal))
	require.NoError(t, r.store.RevokeTokens(t.Context(), push.User{App: push.DefaultApp, ID: "ann"}, time.UnixMilli(claims.Made)))
	require.False(t, r.enters(renewal))
}

// Tokens of earlier versions say when they were made to the second.
func TestRevokeUserTokens_EndsOlderVersionsTokens(t *testing.T) {
	r := newRig(t)
	now := time.Now()
	sign := func(iat any) string {
		claims := jwt.MapClaims{"iss": push.DefaultApp, "aud": "belfry:user", "sub": "ann", "exp": now.Add(time.Hour).Unix()}
		if iat != nil {
			claims["iat"] = iat
		}
		signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte("the token secret of the app " + push.DefaultApp))
		require.NoError(t, err)
		return signed
	}
	older, undated := sign(now.Unix()), sign(nil)
	require.True(t, r.enters(older))
	require.True(t, r.enters(undated))
	r.must(http.StatusNoContent, request{method: "DELETE", path: "/v1/users/ann/tokens"}, nil)
	require.False(t, r.enters(older))
	require.False(t, r.enters(undated))
}

func TestDeleteUser_EndsTheirTokens(t *testing.T) {
	r := newRig(t)
	token := r.token("ann")
	renewal := r.register(token)
	r.must(http.StatusOK, request{method: "DELETE", path: "/v1/users/ann"}, nil)
	require.False(t, r.enters(token))
	require.False(t, r.enters(renewal))
	require.True(t, r.enters(r.token("ann")), "they may come back")
}

func TestRotateTokenSecret_EndsAllTokensOfTheApp(t *testing.T) {
	r := newRig(t)
	token := r.token("ann")
	renewal := r.register(token)
	var others api.UserToken
	r.must(http.StatusCreated, request{method: "POST", path: "/v1/users/ann/tokens", key: r.keys["other"]}, &others)
	r.must(http.StatusNoContent, request{method: "POST", path: "/v1/apps/default/token-secret"}, nil)
	require.False(t, r.enters(token))
	require.False(t, r.enters(renewal))
	require.True(t, r.enters(others.Token))
	fresh := r.token("ann")
	require.True(t, r.enters(fresh))
	require.Contains(t, r.changed.list(), push.DefaultApp)

	again := r.with(func(*api.Config) {}) // as after a restart
	require.True(t, again.enters(fresh))
	require.False(t, again.enters(token))
}

// forgetfulStore does what it is told and says that it could not.
type forgetfulStore struct{ api.Store }

func (s forgetfulStore) UpdateTokenSecret(ctx context.Context, app store.App) error {
	if err := s.Store.UpdateTokenSecret(ctx, app); err != nil {
		return err
	}
	return context.DeadlineExceeded
}

func (s forgetfulStore) ReplaceAPIKey(ctx context.Context, old string, key store.APIKey) error {
	if err := s.Store.ReplaceAPIKey(ctx, old, key); err != nil {
		return err
	}
	return context.DeadlineExceeded
}

func TestRotation_TakesEffectEvenIfTheAnswerWasLost(t *testing.T) {
	r := newRig(t)
	r = r.with(func(c *api.Config) { c.Store = forgetfulStore{c.Store} })
	token := r.token("ann")
	require.True(t, r.enters(token))
	require.Equal(t, http.StatusServiceUnavailable, r.do(request{method: "POST", path: "/v1/apps/default/token-secret"}).status)
	require.False(t, r.enters(token))

	key := r.makeKey(map[string]any{"scopes": []string{"read"}})
	require.True(t, r.enters(key.Key))
	require.Equal(t, http.StatusServiceUnavailable, r.do(request{method: "POST", path: "/v1/keys/" + key.Id + "/rotate"}).status)
	require.False(t, r.enters(key.Key))
}

// Who has stolen a token keeps nothing of the user's once it is revoked, the
// allowance included.
func TestRevokeTokens_OneThatIsRevokedUsesUpNobodysAllowance(t *testing.T) {
	r := newRig(t)
	stolen := r.register(r.token("ann")) // which would never expire
	r.must(http.StatusNoContent, request{method: "DELETE", path: "/v1/users/ann/tokens"}, nil)
	for range 60 { // more than an allowance
		got := r.do(request{path: "/v1/config", key: stolen})
		require.Equal(t, http.StatusUnauthorized, got.status, "%s", got.body)
	}
	fresh := r.token("ann")
	require.True(t, r.enters(fresh))
	r.must(http.StatusNoContent, request{method: "DELETE", path: "/v1/users/ann/tokens"}, nil)
	require.False(t, r.enters(fresh))
	require.False(t, r.enters(stolen))
	require.True(t, r.enters(r.token("ann")))
}

// beforeItsBody begins a request and, when it was let in, has something done
// before the body is sent. It gives the answer's status.
func (r *rig) beforeItsBody(path, key, body string, do func()) int {
	r.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	require.NoError(r, err)
	defer conn.Close()
	require.NoError(r, conn.SetDeadline(time.Now().Add(patience)))
	_, err = fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", path, key, len(body))
	require.NoError(r, err)
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	require.NoError(r, err)
	require.Contains(r, line, "100 Continue", "then the body is about to be read")
	_, err = in.ReadString('\n')
	require.NoError(r, err)
	do()
	_, err = io.WriteString(conn, body)
	require.NoError(r, err)
	got, err := http.ReadResponse(in, nil)
	require.NoError(r, err)
	defer got.Body.Close()
	return got.StatusCode
}

// A thief who keeps a request half sent must not get in with it afterwards.
func TestRevocation_ReachesRequestsThatHaveBegun(t *testing.T) {
	r := newRig(t)
	_, browser := r.browser()
	body, err := json.Marshal(r.json(browser))
	require.NoError(t, err)
	const mine, anns = "/v1/me/subscriptions", "/v1/users/ann/subscriptions"
	key := r.makeKey(map[string]any{"scopes": []string{"subscribe"}})
	for what, c := range map[string]struct {
		path, key string
		end       request
	}{
		"tokens of the user": {mine, "", request{method: "DELETE", path: "/v1/users/ann/tokens"}},
		"tokens of the app":  {mine, "", request{method: "POST", path: "/v1/apps/default/token-secret"}},
		"the key":            {anns, key.Key, request{method: "DELETE", path: "/v1/keys/" + key.Id}},
	} {
		t.Run(what, func(t *testing.T) {
			if c.path == mine {
				c.key = r.token("ann")
			}
			status := r.beforeItsBody(c.path, c.key, string(body), func() { r.must(http.StatusNoContent, c.end, nil) })
			require.Equal(t, http.StatusUnauthorized, status)
			require.Zero(t, r.rows("ann"))
		})
	}
	require.Equal(t, http.StatusCreated, r.beforeItsBody(mine, r.token("ann"), string(body), func() {}))
}
