package simulate

import (
	"crypto/rand"
	"crypto/rsa"
	"net/url"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

func TestFCM_EndsAccessTokensAfterAnHour(t *testing.T) {
	now := time.Now()
	s := startFCM(t, func(c *FCMConfig) { c.Now = func() time.Time { return now } })
	const body = `{"message":{"token":"` + registrationToken + `"}}`
	status, _ := s.send(t, body)
	require.Equal(t, 200, status)
	now = now.Add(3598 * time.Second)
	status, _ = s.send(t, body)
	require.Equal(t, 200, status)
	now = now.Add(time.Second)
	status, _ = s.send(t, body)
	require.Equal(t, 401, status)
}

func TestFCM_GivesAccessTokensForGoodAssertionsOnly(t *testing.T) {
	s := startFCM(t)
	status, answer := s.ask(t, grantOf(s.assertion(t)))
	require.Equal(t, 200, status)
	require.Equal(t, "Bearer", answer["token_type"])
	require.Equal(t, 3599.0, answer["expires_in"])
	require.NotEmpty(t, answer["access_token"])

	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	forged := *s
	forged.key = other
	claim := func(name string, value any) func(*jwt.Token, jwt.MapClaims) {
		return func(_ *jwt.Token, claims jwt.MapClaims) { claims[name] = value }
	}
	for name, test := range map[string]struct {
		form url.Values
		want string
	}{
		"another grant":       {url.Values{"grant_type": {"client_credentials"}, "assertion": {"x"}}, "unsupported_grant_type"},
		"no assertion":        {url.Values{"grant_type": {fcmGrant}}, "invalid_request"},
		"no JWT":              {grantOf("x"), "invalid_grant"},
		"another key":         {grantOf(forged.assertion(t)), "invalid_grant"},
		"another key's name":  {grantOf(s.assertion(t, func(token *jwt.Token, _ jwt.MapClaims) { token.Header["kid"] = "x" })), "invalid_grant"},
		"another algorithm":   {grantOf(s.assertion(t, func(token *jwt.Token, _ jwt.MapClaims) { token.Method = jwt.SigningMethodRS512 })), "invalid_grant"},
		"another account":     {grantOf(s.assertion(t, claim("iss", "x@example.com"))), "invalid_grant"},
		"another audience":    {grantOf(s.assertion(t, claim("aud", "https://oauth2.googleapis.com/token"))), "invalid_grant"},
		"another scope":       {grantOf(s.assertion(t, claim("scope", "https://www.googleapis.com/auth/drive"))), "invalid_scope"},
		"good for too long":   {grantOf(s.assertion(t, claim("exp", time.Now().Add(2*time.Hour).Unix()))), "invalid_grant"},
		"ended":               {grantOf(s.assertion(t, claim("exp", time.Now().Add(-2*time.Minute).Unix()))), "invalid_grant"},
		"of tomorrow":         {grantOf(s.assertion(t, claim("iat", time.Now().Add(time.Hour).Unix()))), "invalid_grant"},
		"without its end":     {grantOf(s.assertion(t, func(_ *jwt.Token, claims jwt.MapClaims) { delete(claims, "exp") })), "invalid_grant"},
		"without a beginning": {grantOf(s.assertion(t, func(_ *jwt.Token, claims jwt.MapClaims) { delete(claims, "iat") })), "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer := s.ask(t, test.form)
			require.Equal(t, 400, status)
			require.Equal(t, test.want, answer["error"], "%v", answer)
		})
	}
	require.Equal(t, 1, s.fcm.AccessTokens())
}

func TestFCM_MeetsFaultsAtTheTokenEndpoint(t *testing.T) {
	s := startFCM(t)
	require.NoError(t, s.fcm.TokenFault(Fault{Times: 1, Status: 401, Reason: "invalid_client"}))
	require.NoError(t, s.fcm.TokenFault(Fault{Times: 1, Status: 500, Body: `{"error":"internal_failure"}`}))
	status, answer := s.ask(t, grantOf(s.assertion(t)))
	require.Equal(t, 401, status)
	require.Equal(t, "invalid_client", answer["error"])
	status, answer = s.ask(t, grantOf(s.assertion(t)))
	require.Equal(t, 500, status)
	require.Equal(t, "internal_failure", answer["error"])
	status, _ = s.ask(t, grantOf(s.assertion(t)))
	require.Equal(t, 200, status)

	require.NoError(t, s.fcm.TokenFault(Fault{Status: 500}))
	s.fcm.ClearFaults()
	status, _ = s.ask(t, grantOf(s.assertion(t)))
	require.Equal(t, 200, status)
	require.Empty(t, s.fcm.Log(), "the log is of messages")
}
