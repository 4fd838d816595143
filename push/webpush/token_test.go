package webpush

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

// verifyToken checks an Authorization header against our public key as a push
// service does (RFC 8292 §2, §3) and gives the claims.
func verifyToken(t *testing.T, authorization string, public []byte) jwt.MapClaims {
	t.Helper()
	credentials, ok := strings.CutPrefix(authorization, "vapid t=")
	require.True(t, ok, authorization)
	signed, key, ok := strings.Cut(credentials, ", k=")
	require.True(t, ok, authorization)
	require.Equal(t, base64.RawURLEncoding.EncodeToString(public), key)

	verifier, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), public)
	require.NoError(t, err)
	claims := jwt.MapClaims{}
	token, err := jwt.ParseWithClaims(signed, claims, func(*jwt.Token) (any, error) { return verifier, nil },
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithExpirationRequired(), jwt.WithTimeFunc(time.Now))
	require.NoError(t, err)
	require.Equal(t, "JWT", token.Header["typ"])
	return claims
}

func TestToken_IsWhatAPushServiceVerifies(t *testing.T) {
	sender := newSender(t)
	authorization := authorize(t, newTokens(sender.key), sender, "https://push.example.com/send/secret")
	claims := verifyToken(t, authorization, sender.public)
	require.Equal(t, "https://push.example.com", claims["aud"])
	require.Equal(t, subject, claims["sub"])
	expires, err := claims.GetExpirationTime()
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(12*time.Hour), expires.Time, time.Minute)
	require.Len(t, claims, 3)
	require.NotContains(t, authorization, "=,", "nothing is padded")
}

func TestToken_LeavesOutAnEmptySubject(t *testing.T) {
	public, private, err := GenerateKey()
	require.NoError(t, err)
	authorization, err := sign(Key{Private: private}, public, "https://push.example.com", time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.NotContains(t, verifyToken(t, authorization, public), "sub", "Mozilla refuses null")
}

// Mozilla compares the audience with its own origin to the letter.
func TestToken_IsForTheOriginOfTheEndpoint(t *testing.T) {
	sender := newSender(t)
	guard, err := newGuard(Config{AllowHosts: []string{"localhost"}})
	require.NoError(t, err)
	for endpoint, want := range map[push.Endpoint]string{
		"https://push.example.com/a/b?c=d":    "https://push.example.com",
		"https://PUSH.Example.com/1":          "https://push.example.com",
		"HTTPS://push.example.com:443/1":      "https://push.example.com",
		"https://push.example.com:8443/1":     "https://push.example.com:8443",
		"https://[2606:4700:4700::1111]:443/": "https://[2606:4700:4700::1111]",
		"http://localhost:80/1":               "http://localhost",
		"http://localhost:8080/1":             "http://localhost:8080",
	} {
		target, _, err := guard.Check(push.DefaultApp, string(endpoint))
		require.NoError(t, err, "%q", string(endpoint))
		authorization, err := newTokens(sender.key).authorize(t.Context(), push.DefaultApp, sender.public, target)
		require.NoError(t, err)
		require.Equal(t, want, verifyToken(t, authorization, sender.public)["aud"])
	}
}

func TestToken_ServesAllEndpointsOfAnOrigin(t *testing.T) {
	sender := newSender(t)
	tokens := newTokens(sender.key)
	first := authorize(t, tokens, sender, "https://push.example.com/1")
	require.Equal(t, first, authorize(t, tokens, sender, "https://push.example.com/2"))
	require.Equal(t, int32(1), sender.asked.Load())

	require.NotEqual(t, first, authorize(t, tokens, sender, "https://push.example.net/1"), "another host")
	require.NotEqual(t, first, authorize(t, tokens, sender, "https://push.example.com:8443/1"), "another port")
	require.NotEqual(t, first, authorize(t, tokens, sender, "http://push.example.com/1"), "another scheme")
	require.Equal(t, int32(4), sender.asked.Load())
	require.Len(t, tokens.kept[push.DefaultApp], 4)
}

func TestToken_IsNeverAnotherAppsOrKeys(t *testing.T) {
	one, two := newSender(t), newSender(t)
	tokens := newTokens(func(_ context.Context, app string, public []byte) (Key, error) {
		for _, s := range []*sender{one, two} {
			if string(public) == string(s.public) {
				return Key{Private: s.private, Subject: "mailto:" + app + "@example.com"}, nil
			}
		}
		return Key{}, ErrUnknownKey
	})
	target := &url.URL{Scheme: "https", Host: "push.example.com"}
	for range 2 {
		for _, s := range []*sender{one, two} {
			for _, app := range []string{"shop", "mail"} {
				authorization, err := tokens.authorize(t.Context(), app, s.public, target)
				require.NoError(t, err)
				require.Equal(t, "mailto:"+app+"@example.com", verifyToken(t, authorization, s.public)["sub"])
			}
		}
	}
	require.Equal(t, 4, tokens.count)
	_, err := tokens.authorize(t.Context(), "shop", make([]byte, 65), target)
	require.ErrorIs(t, err, ErrUnknownKey)
}

func TestToken_IsRenewedAtHalfItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sender := newSender(t)
		tokens := newTokens(sender.key)
		get := func() string { return authorize(t, tokens, sender, "https://push.example.com/1") }

		first := get()
		<-time.After(6*time.Hour - time.Second)
		require.Equal(t, first, get())
		<-time.After(time.Second)
		second := get()
		require.NotEqual(t, first, second)
		require.Equal(t, second, get())
		require.Equal(t, int32(2), sender.asked.Load())

		expires, err := verifyToken(t, second, sender.public).GetExpirationTime()
		require.NoError(t, err)
		require.Equal(t, 12*time.Hour, time.Until(expires.Time))
	})
}

func TestToken_IsNotUsedWhenTheClockWasSet(t *testing.T) {
	made := token{madeAt: 1_800_000_000}
	for now, fresh := range map[int64]bool{
		made.madeAt:          true,
		made.madeAt + 21_599: true,
		made.madeAt + 21_600: false,
		made.madeAt - 1:      false, // set back: the token's end is too far away by now
	} {
		require.Equal(t, fresh, made.fresh(now), "%d s", now-made.madeAt)
	}
}

func TestToken_CacheIsBounded(t *testing.T) {
	tokens := newTokens(nil)
	for i := range 2 * maxTokens {
		app, name := fmt.Sprint(i%8), tokenName{host: fmt.Sprint(i)}
		tokens.keep(app, name, token{madeAt: int64(i)}, 0)
		if _, ok := tokens.kept[app][name]; !ok {
			t.Fatal("the newest is not there")
		}
	}
	requireTokens(t, tokens, maxTokens)

	again := newTokens(nil)
	for range 3 {
		again.keep("shop", tokenName{host: "push.example.com"}, token{}, 0)
	}
	requireTokens(t, again, 1)
}

// requireTokens wants n tokens, counted right.
func requireTokens(t *testing.T, tokens *tokens, n int) {
	t.Helper()
	total := 0
	for app, kept := range tokens.kept {
		require.NotEmpty(t, kept, app)
		require.LessOrEqual(t, len(kept), maxAppTokens, app)
		total += len(kept)
	}
	require.Equal(t, n, total)
	require.Equal(t, n, tokens.count)
}

func TestToken_OfOneAppTakesNoOthersRoom(t *testing.T) {
	tokens := newTokens(nil)
	for i := range 100 {
		tokens.keep(fmt.Sprint("small", i), tokenName{host: "push.example.com"}, token{}, 0)
	}
	for _, app := range []string{"a", "b", "c", "d", "e"} { // together too many
		for i := range 2 * maxAppTokens {
			tokens.keep(app, tokenName{host: fmt.Sprint(i)}, token{}, 0)
		}
	}
	requireTokens(t, tokens, maxTokens)
	for i := range 100 {
		require.Len(t, tokens.kept[fmt.Sprint("small", i)], 1)
	}
}

func TestToken_IsMadeAnewWhenAnAppsAreForgotten(t *testing.T) {
	sender := newSender(t)
	var subject atomic.Value
	subject.Store("mailto:old@example.com")
	asked := make(chan struct{}, 1)
	goOn := make(chan struct{}, 1)
	goOn <- struct{}{}
	tokens := newTokens(func(context.Context, string, []byte) (Key, error) {
		key := Key{Private: sender.private, Subject: subject.Load().(string)}
		asked <- struct{}{}
		<-goOn
		return key, nil
	})
	provider := &Provider{tokens: tokens}
	target := &url.URL{Scheme: "https", Host: "push.example.com"}
	get := func(app string) string {
		t.Helper()
		authorization, err := tokens.authorize(t.Context(), app, sender.public, target)
		require.NoError(t, err)
		return verifyToken(t, authorization, sender.public)["sub"].(string)
	}
	require.Equal(t, "mailto:old@example.com", get("shop"))
	<-asked
	goOn <- struct{}{}
	require.Equal(t, "mailto:old@example.com", get("mail"))
	<-asked

	subject.Store("mailto:new@example.com")
	require.Equal(t, "mailto:old@example.com", get("shop"), "it serves for hours")
	provider.Forget("shop")
	provider.Forget("unknown")
	goOn <- struct{}{}
	require.Equal(t, "mailto:new@example.com", get("shop"))
	<-asked
	require.Equal(t, "mailto:old@example.com", get("mail"), "another app's stay")

	// One that is being made with what was before is not kept.
	provider.Forget("shop")
	made := make(chan string, 1)
	go func() {
		authorization, _ := tokens.authorize(context.Background(), "shop", sender.public, target)
		made <- authorization
	}()
	<-asked
	subject.Store("mailto:newer@example.com")
	provider.Forget("shop")
	goOn <- struct{}{}
	require.Equal(t, "mailto:new@example.com", verifyToken(t, <-made, sender.public)["sub"])
	goOn <- struct{}{}
	require.Equal(t, "mailto:newer@example.com", get("shop"))
	requireTokens(t, tokens, 2)
}

func authorize(t *testing.T, tokens *tokens, sender *sender, endpoint string) string {
	t.Helper()
	target, err := url.Parse(endpoint)
	require.NoError(t, err)
	authorization, err := tokens.authorize(t.Context(), push.DefaultApp, sender.public, target)
	require.NoError(t, err)
	return authorization
}
