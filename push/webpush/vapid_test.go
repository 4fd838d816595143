package webpush

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	reference "github.com/SherClockHolmes/webpush-go"
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
		target, _, err := guard.check(push.DefaultApp, endpoint)
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
	require.Len(t, tokens.kept, 4)
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
	require.Len(t, tokens.kept, 4)
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
		name := tokenName{host: fmt.Sprint(i)}
		tokens.keep(name, token{madeAt: int64(i)})
		if _, ok := tokens.kept[name]; !ok {
			t.Fatal("the newest is not there")
		}
	}
	require.Len(t, tokens.kept, maxTokens)
}

func authorize(t *testing.T, tokens *tokens, sender *sender, endpoint string) string {
	t.Helper()
	target, err := url.Parse(endpoint)
	require.NoError(t, err)
	authorization, err := tokens.authorize(t.Context(), push.DefaultApp, sender.public, target)
	require.NoError(t, err)
	return authorization
}

func TestKey_IsReadInEveryFormOtherToolsWrite(t *testing.T) {
	public, private, err := GenerateKey()
	require.NoError(t, err)
	require.Len(t, public, 65)
	require.Len(t, private, 32)
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		read, err := ParsePrivateKey(encoding.EncodeToString(private))
		require.NoError(t, err)
		require.Equal(t, private, read)
	}
	derived, err := PublicKey(private)
	require.NoError(t, err)
	require.Equal(t, public, derived)

	theirPrivate, theirPublic, err := reference.GenerateVAPIDKeys()
	require.NoError(t, err)
	read, err := ParsePrivateKey(theirPrivate)
	require.NoError(t, err)
	derived, err = PublicKey(read)
	require.NoError(t, err)
	require.Equal(t, theirPublic, push.EncodeBase64(derived))
}

func TestKey_ErrorsDoNotRepeatIt(t *testing.T) {
	_, private, err := GenerateKey()
	require.NoError(t, err)
	secret := push.EncodeBase64(private)
	for _, s := range []string{"", "!" + secret, secret[:40], secret + secret, push.EncodeBase64(make([]byte, 32))} {
		_, err := ParsePrivateKey(s)
		require.Error(t, err, s)
		require.NotContains(t, err.Error(), secret[:40])
	}
}

func TestValidateSubject_TakesWhatAppleTakes(t *testing.T) {
	for _, s := range []string{
		"mailto:ops@example.com", "mailto:first.last+push@mail.example.co.uk", "https://example.com", "https://github.com/belfryhq/belfry",
		"https://EXAMPLE.com/contact?x=1", "mailto:ops@xn--bcher-kva.example.com",
	} {
		require.NoError(t, ValidateSubject(s), s)
	}
	for _, s := range []string{
		"", "ops@example.com", "mailto:", "mailto:ops", "mailto:@example.com", "mailto:mailto:ops@example.com", "mailto:ops@localhost",
		"mailto:ops@mail.local", "mailto:ops@belfry.internal", "mailto:ops@example.invalid", "mailto:ops@x.test", "mailto:ops@push.example",
		"mailto:ops@10.0.0.1", "mailto:ops@[::1]", "mailto:a@b@example.com", "mailto://ops@example.com", "http://example.com", "https://localhost:8080",
		"https://belfry", "https://127.0.0.1", "https://[::1]/", "https://", "https:example.com", "tel:+4930123456", "https://example.com:x", "https://bücher.com",
	} {
		require.ErrorContains(t, ValidateSubject(s), "write mailto:you@your.domain", s)
	}
}
