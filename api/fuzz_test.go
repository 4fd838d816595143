package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// FuzzReadJSON and FuzzRegistration are in contract_test.go.

// requireProblem checks that an error is the caller's, and says so.
func requireProblem(t *testing.T, err error, statuses ...int) {
	t.Helper()
	p, internal := problemOf(err)
	require.False(t, internal, "%v", err)
	if len(statuses) == 0 {
		statuses = []int{http.StatusBadRequest}
	}
	require.Contains(t, statuses, p.status)
	require.True(t, strings.HasSuffix(p.detail, "."), p.detail)
}

// stranger is a Server as far as who has no API key gets.
func stranger() *Server {
	app := store.App{Name: push.DefaultApp, TokenSecret: []byte("a secret of thirty-two bytes....")}
	return &Server{
		config: Config{Log: slog.New(slog.DiscardHandler)},
		apps: &Directory{apps: map[string]tenant{push.DefaultApp: {
			App: app, vapidKeys: []store.VAPIDKey{{Public: []byte{4}}},
		}}},
		visitors: newAllowances[push.User](tokenRate, tokenBurst),
		receipts: newAllowances[receiptOf](receiptRate, receiptBurst),
	}
}

// A token is taken only with a signature that the app's secret makes.
func FuzzVerifyToken(f *testing.F) {
	s := stranger()
	app, err := s.apps.get(push.DefaultApp)
	require.NoError(f, err)
	now := time.Now()
	good := makeUserToken(app.App, "ann", now, now.Add(time.Hour))
	f.Add(good)
	f.Add(makeRenewalToken(caller{app: app.Name, user: "ann", token: &grant{secret: app.TokenSecret, made: now}}, push.DigestOf("x")))
	head, rest, _ := strings.Cut(good, ".")
	body, signature, _ := strings.Cut(rest, ".")
	part := func(json string) string { return base64.RawURLEncoding.EncodeToString([]byte(json)) }
	f.Add(part(`{"alg":"none"}`) + "." + body + ".")
	f.Add(part(`{"alg":"HS256","crit":["exp"],"exp":1}`) + "." + body + "." + signature)
	f.Add(head + "." + part(`{"iss":"default","aud":["belfry:user","x"],"sub":"\u0000","exp":1e400}`) + "." + signature)
	f.Add(strings.Repeat(".", 1000))
	f.Fuzz(func(t *testing.T, token string) {
		who, err := s.verifyToken(token, now)
		if err != nil {
			requireProblem(t, err, http.StatusUnauthorized)
			return
		}
		signed, signature, _ := strings.Cut(token, ".")
		payload, signature, _ := strings.Cut(signature, ".")
		mac := hmac.New(sha256.New, app.TokenSecret)
		mac.Write([]byte(signed + "." + payload))
		raw, err := base64.RawURLEncoding.DecodeString(signature)
		require.NoError(t, err)
		require.True(t, hmac.Equal(raw, mac.Sum(nil)))
		require.True(t, push.ValidUserID(who.user))
	})
}

func FuzzIdempotencyKey(f *testing.F) {
	for _, seed := range []string{"k-1", "", "a\tb", "\xff", strings.Repeat("k", 256), "\u202e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := keyOf(push.DefaultApp, text, &NewNotifications{})
		switch {
		case err != nil:
			requireProblem(t, err)
		case key != nil:
			require.Equal(t, text, key.Key)
			require.True(t, utf8.ValidString(text))
			require.False(t, strings.ContainsAny(text, "\r\n\x00"))
		}
	})
}

// An origin that may be allowed is one that a browser could send.
func FuzzCheckOrigin(f *testing.F) {
	for _, seed := range []string{"https://app.your.domain", "http://[::1]:8080", "null", "https://*", "https://a@b", "https://a:443", "https://A", "https://a/"} {
		f.Add(seed)
	}
	request := httptest.NewRequest(http.MethodGet, "https://belfry.dev/v1/config", nil)
	f.Fuzz(func(t *testing.T, origin string) {
		if sameOrigin(origin, request) {
			u, err := url.Parse(origin)
			require.NoError(t, err)
			require.Equal(t, "belfry.dev", u.Host)
		}
		if CheckOrigin(origin) != nil {
			return
		}
		u, err := url.Parse(origin)
		require.NoError(t, err)
		require.Contains(t, []string{"http", "https"}, u.Scheme)
		require.Equal(t, origin, u.Scheme+"://"+u.Host)
		require.Equal(t, strings.ToLower(origin), origin)
	})
}

// A credential that is refused is not repeated.
func FuzzCredential(f *testing.F) {
	for _, seed := range []string{
		`{"kind":"apns","key":"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----","key_id":"ABC","team_id":"DEF","topics":["a.b"]}`,
		`{"kind":"apns","certificate":"MIIB","password":"sesame","topics":["a.b"],"sandbox_host":"https://x"}`,
		`{"kind":"fcm","service_account":{"type":"service_account","project_id":"p","private_key":"x","client_email":"a@b","token_uri":"https://c"}}`,
		`{"kind":"fcm","service_account":"x","host":"\u0000"}`, `{}`, `null`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var given NewCredential
		if json.Unmarshal([]byte(body), &given) != nil {
			return
		}
		made, err := credentialOf(&given)
		if err == nil {
			_, err = readCredential(made.row())
			require.NoError(t, err, "what was taken can be used")
			return
		}
		requireProblem(t, err)
		for _, secret := range []string{given.Key, given.Password, given.Certificate} {
			if len(secret) > 12 {
				require.NotContains(t, err.Error(), secret)
			}
		}
	})
}

// What is given as a parameter is refused by its name, or understood.
func FuzzParameters(f *testing.F) {
	for _, seed := range []string{"", "delivery.gone,lane.paused", ",", "ios", "-x", strings.Repeat("a", 33), "\xff\x00", "ann"} {
		f.Add(seed, 1)
	}
	f.Add("x", -1)
	f.Fuzz(func(t *testing.T, text string, number int) {
		types, err := eventTypes(text)
		if err != nil {
			requireProblem(t, err)
		}
		require.LessOrEqual(t, len(types), strings.Count(text, ",")+1)
		if err := checkUser("user", text); err != nil {
			requireProblem(t, err)
		}
		if err := checkName(text); err != nil {
			requireProblem(t, err)
		} else {
			require.Equal(t, text, url.PathEscape(text))
		}
		if limit, err := pageLimit(number); err != nil {
			requireProblem(t, err)
		} else {
			require.Positive(t, limit)
		}
		if _, err := receiptsOf([]string{text, text}); err == nil {
			t.Fatal("twice the same")
		}
	})
}

// Whoever has no key gets nowhere by a path, and on the public listener not even
// told of what is for admins. Each user there can be is named by one.
func FuzzPaths(f *testing.F) {
	s := stranger()
	all, public, mux := s.Handler(), s.PublicHandler(), s.routes()
	for _, path := range []string{
		"/v1/keys", "/v1/%6beys", "/v1/users/a%2Fb/tokens", "/debug/actors/a/b", "/debug/../v1/keys", "//v1/keys", "/v1/users/%00", "/metrics", "/v1/apps/x/webhooks/y/test",
		"/v1/config?a=%zz&b;c", "/debug/search?q=%ff", "/", "/v1/users//tokens", "/openapi.yaml", "/healthz",
	} {
		f.Add("GET", path)
		f.Add("DELETE", path)
	}
	f.Fuzz(func(t *testing.T, method, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") || u.Path == "/readyz" { // which asks the store
			return
		}
		serve := func(handler http.Handler) (*http.Request, int) {
			r := &http.Request{Method: method, URL: u, Host: "belfry.dev", Header: http.Header{}, Body: http.NoBody, RequestURI: target, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, r.WithContext(t.Context()))
			return r, answer.Code
		}
		_, status := serve(all)
		require.Less(t, status, 500, "%s %s", method, target)
		_, pattern := mux.Handler(&http.Request{Method: method, URL: u, Host: "belfry.dev"})
		if op, known := operations[pattern]; known && op.needs != open && op.needs != anyone {
			require.Contains(t, []int{http.StatusUnauthorized, http.StatusBadRequest, http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect}, status, "%s %s", method, target)
		}
		_, hidden := serve(public)
		if isForAdmins(pattern) {
			require.Equal(t, http.StatusNotFound, hidden, "%s %s", method, target)
		}
		if push.ValidUserID(target) {
			users, got := http.NewServeMux(), ""
			users.HandleFunc("GET /v1/users/{user}/tokens", func(_ http.ResponseWriter, r *http.Request) { got = r.PathValue("user") })
			users.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/v1/users/"+url.PathEscape(target)+"/tokens", nil))
			require.Equal(t, target, got)
		}
	})
}

// A receipt is for who has its token.
func FuzzReceiptToken(f *testing.F) {
	s := stranger()
	app, err := s.apps.get(push.DefaultApp)
	require.NoError(f, err)
	f.Add(push.ReceiptToken(app.TokenSecret, app.Name, push.ID{1}, push.DigestOf("x")))
	f.Add("default.")
	f.Add(".")
	f.Fuzz(func(t *testing.T, token string) {
		var receipt push.Receipt
		name, err := s.openReceipt(token, &receipt)
		if err != nil {
			require.True(t, errors.As(err, new(problem)))
			requireProblem(t, err)
			return
		}
		require.Equal(t, push.ReceiptToken(app.TokenSecret, name, receipt.Notification, receipt.Subscription), token)
	})
}

// A place in the feed is one that next of an answer, or an event, can name, and
// reads again as it is written.
func FuzzCursor(f *testing.F) {
	s := &Server{config: Config{EventRetention: time.Hour}, quiet: newQuiet(time.Hour)}
	now := time.UnixMilli(1_764_400_000_000)
	latest := idBefore(now)
	for _, seed := range []string{
		"", "latest", push.ID{}.String(), latest.String(), strings.ToUpper(latest.String()), idBefore(now.Add(-2 * time.Hour)).String(), idBefore(now.Add(2 * time.Hour)).String(),
		strings.Repeat("f", 8) + strings.Repeat("-ffff", 3) + "-" + strings.Repeat("f", 12), "019acd5d-6000-7000-8000-00000000000g", latest.String() + "\n", "\xff", strings.Repeat("-", 36),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		place, err := s.cursor("after", text, latest, now)
		if err != nil {
			requireProblem(t, err, http.StatusBadRequest, http.StatusGone)
			return
		}
		switch text {
		case "":
			require.True(t, place.IsZero())
		case "latest":
			require.Equal(t, latest, place)
		default:
			require.Equal(t, strings.ToLower(text), place.String())
		}
		require.False(t, place.Time().After(now.Add(feedAhead)))
		again, err := s.cursor("Last-Event-ID", place.String(), latest, now)
		require.NoError(t, err)
		require.Equal(t, place, again)
	})
}
