package fcm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

func TestSend_MakesTheRequestOfTheReference(t *testing.T) {
	r := newRig(t)
	result := r.send(t)

	require.Equal(t, push.Delivered, result.Outcome, result.Reason)
	require.Equal(t, 200, result.Status)
	log := r.Log()
	require.Len(t, log, 1)
	require.Equal(t, log[0].ID, result.MessageID)
	require.Regexp(t, `^projects/example-shop/messages/.`, result.MessageID)
	require.Equal(t, registrationToken, log[0].Target)
	require.Equal(t, "application/json; charset=UTF-8", log[0].Header.Get("Content-Type"))
	require.Equal(t, "2", log[0].Header.Get("X-Goog-Api-Format-Version"))
	require.Equal(t, "belfry", log[0].Header.Get("User-Agent"))
	require.Empty(t, log[0].Header.Get("Accept-Encoding"))
	require.Equal(t, "91s", r.payload(t)["android"].(map[string]any)["ttl"])
}

func TestSend_TellsWhatBecameOfADevice(t *testing.T) {
	r := newRig(t)
	r.Unregister("gone-gone-gone")
	r.Disown("from-elsewhere")
	for token, want := range map[push.Endpoint]push.Result{
		"gone-gone-gone": {Outcome: push.Gone, Status: 404, Reason: "UNREGISTERED Requested entity was not found."},
		"from-elsewhere": {Outcome: push.Gone, Status: 403, Reason: "SENDER_ID_MISMATCH Forbidden"},
	} {
		require.Equal(t, want, r.provider.Send(t.Context(), messageTo(t, token)))
	}
}

func TestSend_TellsWhatFCMAnswers(t *testing.T) {
	r := newRig(t)
	for name, test := range map[string]struct {
		fault simulate.Fault
		want  push.Result
	}{
		"400 INVALID_ARGUMENT": {
			simulate.Fault{Status: 400, Reason: "INVALID_ARGUMENT"}, push.Result{Outcome: push.Gone, Reason: "INVALID_ARGUMENT Bad Request"},
		},
		"400": {simulate.Fault{Status: 400}, push.Result{Outcome: push.Rejected, Reason: "INVALID_ARGUMENT Bad Request"}},
		"401 THIRD_PARTY_AUTH_ERROR": {
			simulate.Fault{Status: 401, Reason: "THIRD_PARTY_AUTH_ERROR"}, push.Result{Outcome: push.Retry, Reason: "THIRD_PARTY_AUTH_ERROR Unauthorized", AtLeast: 10 * time.Second},
		},
		"403": {simulate.Fault{Status: 403}, push.Result{Outcome: push.Refused, Reason: "PERMISSION_DENIED Forbidden"}},
		"404": {simulate.Fault{Status: 404}, push.Result{Outcome: push.Refused, Reason: "NOT_FOUND Not Found"}},
		"429 QUOTA_EXCEEDED": {
			simulate.Fault{Status: 429, Reason: "QUOTA_EXCEEDED"},
			push.Result{Outcome: push.Retry, Reason: "QUOTA_EXCEEDED Too Many Requests", AtLeast: time.Minute},
		},
		"429, to be waited for": {
			simulate.Fault{Status: 429, RetryAfter: 90},
			push.Result{Outcome: push.Retry, Reason: "RESOURCE_EXHAUSTED Too Many Requests", RetryAfter: 90 * time.Second, Pause: 90 * time.Second},
		},
		"500": {simulate.Fault{Status: 500, Reason: "INTERNAL"}, push.Result{Outcome: push.Retry, Reason: "INTERNAL Internal Server Error", AtLeast: 10 * time.Second}},
		"502": {simulate.Fault{Status: 502}, push.Result{Outcome: push.Retry, Reason: "Bad Gateway", AtLeast: 10 * time.Second}},
		"503": {
			simulate.Fault{Status: 503, Reason: "UNAVAILABLE", RetryAfter: 45},
			push.Result{Outcome: push.Retry, Reason: "UNAVAILABLE Service Unavailable", RetryAfter: 45 * time.Second},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r.fault(t, test.fault)
			test.want.Status = test.fault.Status
			require.Equal(t, test.want, r.send(t))
		})
	}
}

func TestSend_FollowsNoRedirect(t *testing.T) {
	r := newRig(t)
	for _, status := range []int{301, 302, 303, 307, 308} {
		r.fault(t, simulate.Fault{Status: status, Header: map[string]string{"Location": r.URL() + "/elsewhere"}, Body: "moved"})
		before := len(r.Log())
		result := r.send(t)
		require.Equal(t, push.Retry, result.Outcome)
		require.Equal(t, status, result.Status)
		require.Len(t, r.Log(), before+1)
	}
}

func TestSend_ReadsOnlyTheBeginningOfAnAnswer(t *testing.T) {
	r := newRig(t)
	r.fault(t, simulate.Fault{Status: 404, Body: `{"error":{"details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNREGISTERED"}],"message":"` + strings.Repeat("no ", 1<<18) + `"}}`})
	result := r.send(t)
	require.Equal(t, push.Result{Outcome: push.Refused, Status: 404, Reason: "Not Found"}, result, "what cannot be read deletes nothing")
}

func TestSend_IsRetryWithoutAnAnswer(t *testing.T) {
	r := newRig(t)
	r.fault(t, simulate.Fault{Reset: true})
	require.Equal(t, push.Result{Outcome: push.Retry, Reason: "the connection to the push service broke"}, r.send(t))
	r.Stop()
	result := r.send(t)
	require.Equal(t, push.Retry, result.Outcome)
	require.Zero(t, result.Status)

	away := newRig(t)
	away.Stop()
	require.Equal(t, push.Result{
		Outcome: push.Retry, Reason: "no access token: the token endpoint refuses connections", AtLeast: 10 * time.Second,
	}, away.send(t))
}

func TestSend_IsRetryWhenTheCertificateIsNotTrusted(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send(t).Outcome)
	distrusting := newRig(t, func(s *setup) { s.config.RootCAs = nil })
	require.Equal(t, push.Result{
		Outcome: push.Retry, Reason: "no access token: the certificate of the token endpoint is not trusted", AtLeast: 10 * time.Second,
	}, distrusting.send(t))
}

// A 404 is Gone or Refused by what its body says.
func TestSend_IsRetryWhenTheAnswerBreaksOff(t *testing.T) {
	relay := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		w.Write([]byte(`{"error":`))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	relay.EnableHTTP2 = true
	require.Equal(t, push.Result{Outcome: push.Retry, Reason: "the connection to the push service broke"}, sendThrough(t, relay))
}

func TestSend_SpeaksNoOldTLS(t *testing.T) {
	relay := httptest.NewUnstartedServer(http.NotFoundHandler())
	relay.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	require.Equal(t, push.Result{Outcome: push.Retry, Reason: "the push service does not speak TLS as it should"}, sendThrough(t, relay))
}

// sendThrough sends to a server in FCM's place, with an access token of FCM's.
func sendThrough(t *testing.T, relay *httptest.Server) push.Result {
	t.Helper()
	relay.Config.ErrorLog = log.New(io.Discard, "", 0)
	relay.StartTLS()
	t.Cleanup(relay.Close)
	r := newRig(t, func(s *setup) { s.config.RootCAs.AddCert(relay.Certificate()) })
	credential, err := Parse(r.ServiceAccount(), relay.URL)
	require.NoError(t, err)
	r.credential.Store(credential)
	result := r.send(t)
	require.Equal(t, 1, r.AccessTokens())
	return result
}

func TestSend_EndsAtItsTimeout(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send(t).Outcome)
	r.fault(t, simulate.Fault{DelayMillis: 60_000})
	r.provider.config.Timeout = 100 * time.Millisecond
	require.Equal(t, push.Result{Outcome: push.Retry, Reason: "the push service did not answer in time"}, r.send(t))
}

func TestSend_EndsWithItsContext(t *testing.T) {
	r := newRig(t)
	r.fault(t, simulate.Fault{DelayMillis: 60_000})
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan push.Result, 1)
	go func() { results <- r.provider.Send(ctx, messageTo(t, registrationToken)) }()
	_, err := r.Await(t.Context(), 1)
	require.NoError(t, err)
	cancel()
	require.Equal(t, push.Result{Outcome: push.Retry, Reason: "cancelled before the push service answered"}, <-results)
}

func TestSend_NeedsAServiceAccount(t *testing.T) {
	r := newRig(t)
	missing := fmt.Errorf("app default: %w", ErrNoCredential)
	r.lookup.Store(&missing)
	require.Equal(t, push.Result{Outcome: push.Refused, Reason: `the app has no service account of the Firebase project "example-shop"`}, r.send(t))

	broken := errors.New("the store at 10.0.0.1 is away")
	r.lookup.Store(&broken)
	require.Equal(t, push.Result{Outcome: push.Retry, Reason: "the app's service account could not be looked up"}, r.send(t))
	require.Empty(t, r.Log())
}

func TestSend_SendsNothingThatIsKnownToBeWrong(t *testing.T) {
	r := newRig(t)
	for name, change := range map[string]func(*push.Message){
		"no token":      func(m *push.Message) { m.Subscription.Endpoint = "" },
		"no project":    func(m *push.Message) { m.Subscription.Project = "" },
		"too large":     func(m *push.Message) { m.Notification.Content = contentOf(t, 5000) },
		"another token": func(m *push.Message) { m.Notification.Native = []byte(`{"fcm":{"message":{"token":"x"}}}`) },
		"bad content":   func(m *push.Message) { m.Notification.Content = []byte(`{`) },
		"bad native":    func(m *push.Message) { m.Notification.Native = []byte(`{`) },
		"many words": func(m *push.Message) {
			m.Notification.Native = []byte(`{"fcm":{"message":{"data":{"gcm\n` + strings.Repeat("x", 300) + `":"x"}}}}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			message := messageTo(t, registrationToken)
			change(&message)
			result := r.provider.Send(t.Context(), message)
			require.Equal(t, push.Rejected, result.Outcome)
			require.NotEmpty(t, result.Reason)
			require.LessOrEqual(t, len(result.Reason), push.MaxReasonBytes)
			require.NotContains(t, result.Reason, "\n")
		})
	}
	require.Empty(t, r.Log())
	require.Zero(t, r.AccessTokens())
}

func TestCheckSubscription_NamesTheField(t *testing.T) {
	r := newRig(t)
	subscription := messageTo(t, registrationToken).Subscription
	require.NoError(t, r.provider.CheckSubscription(t.Context(), subscription))
	for _, test := range []struct {
		field  string
		change func(*push.Subscription)
	}{
		{"token", func(s *push.Subscription) { s.Endpoint = "" }},
		{"token", func(s *push.Subscription) { s.Endpoint = registrationToken + "\n" }},
		{"token", func(s *push.Subscription) { s.Endpoint = "two words of a token" }},
		{"token", func(s *push.Subscription) { s.Endpoint = "tökén" }},
		{"token", func(s *push.Subscription) { s.Endpoint = push.Endpoint(strings.Repeat("x", 4097)) }},
		{"project", func(s *push.Subscription) { s.Project = "" }},
		{"project", func(s *push.Subscription) { s.Project = "example/shop" }},
		{"project", func(s *push.Subscription) { s.Project = "example-other" }},
		{"project", func(s *push.Subscription) { s.User.App = "another" }},
	} {
		wrong := subscription
		test.change(&wrong)
		err := r.provider.CheckSubscription(t.Context(), wrong)
		var invalid *push.InvalidError
		require.ErrorAs(t, err, &invalid)
		require.Equal(t, test.field, invalid.Field)
		require.NotEmpty(t, invalid.Detail)
		require.NotContains(t, err.Error(), registrationToken)
	}
	subscription.Endpoint = push.Endpoint(strings.Repeat("x", 4096))
	require.NoError(t, r.provider.CheckSubscription(t.Context(), subscription))

	broken := errors.New("the store is away")
	r.lookup.Store(&broken)
	err := r.provider.CheckSubscription(t.Context(), subscription)
	require.ErrorIs(t, err, broken)
	require.NotErrorAs(t, err, new(*push.InvalidError), "it may be right")
}

func TestNew_NamesTheFieldThatIsWrong(t *testing.T) {
	find := func(context.Context, string, string) (*Credential, error) { return nil, ErrNoCredential }
	for want, config := range map[string]Config{
		"Config.Credential": {},
		"Config.Timeout":    {Credential: find, Timeout: -1},
		"Config.MaxConns":   {Credential: find, MaxConns: -1},
	} {
		_, err := New(config)
		require.ErrorContains(t, err, want)
	}
	provider, err := New(Config{Credential: find})
	require.NoError(t, err)
	require.Equal(t, 30*time.Second, provider.config.Timeout)
	require.Equal(t, 4, provider.config.MaxConns)
	provider.Close()
	provider.Close()
}
