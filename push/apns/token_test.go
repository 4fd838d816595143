package apns

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

// window is the start of the one that noon is in.
var window = windowOf(noon)

func keyed(t *testing.T) *Credential {
	t.Helper()
	p8, key := simulate.NewAPNsKey()
	return parseToken(t, p8, Settings{TeamID: key.TeamID, KeyID: key.KeyID, Topics: []string{bundle}})
}

func currentAt(t *testing.T, all *tokens, c *Credential, now time.Time) string {
	t.Helper()
	token, err := all.current(c, now)
	require.NoError(t, err)
	return token
}

// issued is when a token says it was.
func issued(t *testing.T, token string) time.Time {
	t.Helper()
	decoded, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	require.NoError(t, err)
	var claims struct {
		IssuedAt int64 `json:"iat"`
	}
	require.NoError(t, json.Unmarshal(decoded, &claims))
	return time.Unix(claims.IssuedAt, 0)
}

func TestToken_IsOneThatAnIndependentVerifierTakes(t *testing.T) {
	c := keyed(t)
	token := currentAt(t, newTokens(), c, noon)
	claims := jwt.MapClaims{}
	parsed, err := jwt.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return &c.key.PublicKey, nil },
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithStrictDecoding(), jwt.WithTimeFunc(func() time.Time { return noon }))
	require.NoError(t, err)
	require.Equal(t, map[string]any{"alg": "ES256", "kid": c.settings.KeyID}, parsed.Header)
	require.Equal(t, jwt.MapClaims{"iss": c.settings.TeamID, "iat": float64(window.Unix())}, claims)
}

func TestToken_IsTheSameForEverybodyAtEveryTimeOfAWindow(t *testing.T) {
	c := keyed(t)
	again, err := Load(c.Settings(), c.Secret())
	require.NoError(t, err)
	first := currentAt(t, newTokens(), c, window)
	for _, after := range []time.Duration{0, time.Second, 49 * time.Minute, 50*time.Minute - 1} {
		require.Equal(t, first, currentAt(t, newTokens(), again, window.Add(after)))
	}
	require.NotEqual(t, first, currentAt(t, newTokens(), c, window.Add(50*time.Minute)))
	require.NotEqual(t, first, currentAt(t, newTokens(), keyed(t), window), "another key's")

	other := c.Settings()
	other.KeyID = "ABCDEFGHIJ"
	require.NotEqual(t, first, currentAt(t, newTokens(), parseToken(t, c.Secret(), other), window))
}

// Apple: no more than once every 20 minutes, and at least every 60.
func TestToken_ChangesNeitherTooOftenNorTooLate(t *testing.T) {
	for _, renewal := range []time.Duration{-1, 0, 10, 28, 30, 31, 40, 49, 50, 70} { // minutes after the window's start
		c, all := keyed(t), newTokens()
		var last string
		var changed time.Time
		changes := 0
		for minute := range 10 * 60 {
			now := window.Add(time.Duration(minute) * time.Minute)
			token := currentAt(t, all, c, now)
			if time.Duration(minute) == renewal {
				renewed, ok := all.renew(c, token, now)
				require.Equal(t, renewal != 50, ok, "renewed at %d: not just after a change", renewal)
				if ok {
					token = renewed
				}
			}
			age := now.Sub(issued(t, token))
			require.GreaterOrEqual(t, age, time.Duration(0))
			require.Less(t, age, time.Hour)
			if token != last && last != "" {
				if changes++; changes > 1 {
					require.GreaterOrEqual(t, now.Sub(changed), tokenRest, "renewed at %d, in minute %d", renewal, minute)
				}
				changed = now
			}
			last = token
		}
		require.Less(t, changes, 14)
	}
}

func TestToken_ComesBackToTheWindowsAfterARenewal(t *testing.T) {
	c, all := keyed(t), newTokens()
	currentAt(t, all, c, window)
	renewed, ok := all.renew(c, currentAt(t, all, c, window.Add(45*time.Minute)), window.Add(45*time.Minute))
	require.True(t, ok)
	require.Equal(t, window.Add(45*time.Minute).Unix(), issued(t, renewed).Unix())
	require.Equal(t, renewed, currentAt(t, all, c, window.Add(64*time.Minute)), "20 minutes at least")
	require.Equal(t, currentAt(t, newTokens(), c, window.Add(65*time.Minute)), currentAt(t, all, c, window.Add(65*time.Minute)))
}

func TestToken_RenewsOnceForAllSendsAndNotAgainSoon(t *testing.T) {
	c, all := keyed(t), newTokens()
	old := currentAt(t, all, c, noon)
	renewed, ok := all.renew(c, old, noon)
	require.True(t, ok)
	require.NotEqual(t, old, renewed)
	again, ok := all.renew(c, old, noon.Add(time.Second))
	require.True(t, ok)
	require.Equal(t, renewed, again, "another send was first")
	_, ok = all.renew(c, renewed, noon.Add(20*time.Minute-1))
	require.False(t, ok)
	_, ok = all.renew(c, renewed, noon.Add(20*time.Minute))
	require.True(t, ok)
}

func TestToken_StaysWhenTheClockIsSetBackALittle(t *testing.T) {
	c, all := keyed(t), newTokens()
	currentAt(t, all, c, window.Add(-time.Second))
	fresh := currentAt(t, all, c, window)
	require.Equal(t, fresh, currentAt(t, all, c, window.Add(-time.Second)))
	require.NotEqual(t, fresh, currentAt(t, all, c, window.Add(-time.Hour)), "by much: it would be from the future")
}

func TestToken_OfKeysThatAreNoLongerUsedIsForgotten(t *testing.T) {
	all := newTokens()
	for range 10 {
		currentAt(t, all, keyed(t), noon)
	}
	require.Len(t, all.kept, 10)
	currentAt(t, all, keyed(t), noon.Add(3*time.Hour))
	require.Len(t, all.kept, 1)
}

func TestSend_RenewsAnExpiredProviderTokenAtOnce(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send().Outcome)
	expired := simulate.Fault{Times: 1, Status: 403, Reason: "ExpiredProviderToken"}
	require.NoError(t, r.production.Fault(expired))
	require.Equal(t, push.Delivered, r.send().Outcome)
	require.Len(t, r.production.Log(), 3)

	require.NoError(t, r.production.Fault(expired))
	result := r.send()
	require.Equal(t, push.Refused, result.Outcome, "a second time within 20 minutes the clocks are to blame")
	require.Equal(t, "ExpiredProviderToken", result.Reason)
	require.Equal(t, push.Delivered, r.send().Outcome)

	r.clock.advance(21 * time.Minute)
	require.Equal(t, push.Delivered, r.send().Outcome, "the next window's")
	r.clock.advance(21 * time.Minute)
	expired.Times = 2
	require.NoError(t, r.production.Fault(expired))
	require.Equal(t, push.Refused, r.send().Outcome, "the new one does not help: once is enough")
	require.Equal(t, push.Delivered, r.send().Outcome)
}

func TestSend_HasAConnectionForEachWindow(t *testing.T) {
	r := newRig(t)
	windows := make(map[time.Time]bool)
	for range 60 {
		require.Equal(t, push.Delivered, r.send().Outcome)
		windows[windowOf(r.clock.Now())] = true
		r.clock.advance(7 * time.Minute)
	}
	require.Equal(t, len(windows), r.production.Connections())
	require.Equal(t, 1, r.open(), "those of past windows are closed")
}

// APNs counts the changes of token on a connection: requests with the old one and
// the new one must not take turns there.
func TestSend_ChangesTheProviderTokenWithTheConnection(t *testing.T) {
	const each = 20
	r := newRig(t, streamLimit(1))
	r.Provider = r.provider(func(c *Config) { c.Connections = 1 })
	require.Equal(t, push.Delivered, r.send().Outcome)
	r.clock.advance(window.Add(tokenWindow - time.Second).Sub(noon))
	require.NoError(t, r.production.Fault(simulate.Fault{Times: 1, DelayMillis: 2000}))
	var before, after map[push.Outcome]int
	var sending sync.WaitGroup
	sending.Go(func() { before = r.sendMany(0, each) })
	r.awaitWaiting(each - 1)
	r.clock.advance(time.Second)
	sending.Go(func() { after = r.sendMany(each, 2*each) })
	sending.Wait()
	require.Equal(t, map[push.Outcome]int{push.Delivered: each}, before)
	require.Equal(t, map[push.Outcome]int{push.Delivered: each}, after)
	require.Equal(t, 2, r.production.Connections())
}

func TestSend_DialsAnewForARenewedProviderToken(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send().Outcome)
	old := r.productions().Conns()[0]
	require.NoError(t, r.production.Fault(simulate.Fault{Times: 1, Status: 403, Reason: "ExpiredProviderToken"}))
	require.Equal(t, push.Delivered, r.send().Outcome)
	require.Equal(t, 2, r.production.Connections())
	require.Error(t, old.Err(), "it is closed")
}

func TestSend_SharesOneProviderTokenOnAllConnections(t *testing.T) {
	r := newRig(t, streamLimit(2))
	require.Equal(t, map[push.Outcome]int{push.Delivered: 50}, r.sendMany(0, 50))
	again := r.provider()
	require.Equal(t, push.Delivered, again.Send(t.Context(), messageOf(t)).Outcome)
	require.Len(t, r.tokens.kept, 1)
	require.Equal(t, currentAt(t, r.tokens, r.credential, noon), currentAt(t, again.tokens, r.credential, noon))
}
