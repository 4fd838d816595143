package apns

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sideshow/apns2"
	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

// documented are all the answers of Apple's two tables of errors, over a real
// connection.
var documented = []struct {
	status  int
	reason  string
	outcome push.Outcome
}{
	{400, "BadCollapseId", push.Rejected},
	{400, "BadExpirationDate", push.Rejected},
	{400, "BadMessageId", push.Rejected},
	{400, "BadPriority", push.Rejected},
	{400, "BadTopic", push.Refused},
	{400, "DeviceTokenNotForTopic", push.Gone},
	{400, "DuplicateHeaders", push.Rejected},
	{400, "IdleTimeout", push.Retry},
	{400, "InvalidPushType", push.Rejected},
	{400, "MissingDeviceToken", push.Refused},
	{400, "MissingTopic", push.Refused},
	{400, "PayloadEmpty", push.Rejected},
	{400, "TopicDisallowed", push.Refused},
	{403, "BadCertificate", push.Refused},
	{403, "BadCertificateEnvironment", push.Refused},
	{403, "BadEnvironmentKeyIdInToken", push.Refused},
	{403, "BadEnvironmentKeyInToken", push.Refused},
	{403, "Forbidden", push.Refused},
	{403, "InvalidProviderToken", push.Refused},
	{403, "MissingProviderToken", push.Refused},
	{403, "UnrelatedKeyIdInToken", push.Refused},
	{404, "BadPath", push.Rejected},
	{405, "MethodNotAllowed", push.Rejected},
	{410, "ExpiredToken", push.Gone},
	{410, "Unregistered", push.Gone},
	{413, "PayloadTooLarge", push.Rejected},
	{429, "TooManyRequests", push.Retry},
	{429, "TooManyProviderTokenUpdates", push.Retry},
	{500, "InternalServerError", push.Retry},
	{503, "ServiceUnavailable", push.Retry},
	{503, "Shutdown", push.Retry},

	{400, "FeatureNotEnabled", push.Refused},
	{400, "MissingChannelId", push.Rejected},
	{400, "BadChannelId", push.Rejected},
	{400, "ChannelNotRegistered", push.Rejected},
	{400, "MissingPushType", push.Rejected},
	{400, "CannotCreateChannelConfig", push.Rejected},
	{403, "TopicMismatch", push.Refused},
}

func TestOutcome_OfEveryDocumentedAnswer(t *testing.T) {
	r := newRig(t)
	id := messageID(messageOf(t).Notification.ID, messageOf(t).Subscription.Digest)
	for _, test := range documented {
		require.NoError(t, r.production.Fault(simulate.Fault{Times: 1, Status: test.status, Reason: test.reason}))
		want := push.Result{Outcome: test.outcome, Status: test.status, Reason: test.reason, MessageID: id}
		switch test.reason {
		case "TooManyRequests":
			want.AtLeast = 30 * time.Second
		case "TooManyProviderTokenUpdates":
			want.Pause = 20 * time.Minute
		}
		require.Equal(t, want, r.send())
	}
	require.Empty(t, r.sandbox.Log(), "none of these is about the environment")

	covered := map[string]bool{badDeviceToken: true, expiredProviderToken: true} // they have tests of their own
	for _, test := range documented {
		covered[test.reason] = true
	}
	for reason := range outcomes {
		require.True(t, covered[reason], reason)
	}
}

func TestOutcome_GoesByTheReasonBeforeTheStatus(t *testing.T) {
	r := newRig(t)
	for _, test := range documented {
		for _, status := range []int{400, 403, 500} {
			require.NoError(t, r.production.Fault(simulate.Fault{Times: 1, Status: status, Reason: test.reason}))
			require.Equal(t, test.outcome, r.send().Outcome, "%d %s", status, test.reason)
		}
	}
}

func TestOutcome_OfEveryStatusWithoutAKnownReason(t *testing.T) {
	exceptions := map[int]push.Outcome{403: push.Refused, 408: push.Retry, 429: push.Retry}
	byClass := map[int]push.Outcome{1: push.Retry, 2: push.Delivered, 3: push.Retry, 4: push.Rejected, 5: push.Retry}
	for status := 100; status <= 599; status++ {
		want, ok := exceptions[status]
		if !ok {
			want = byClass[status/100]
		}
		for _, body := range []string{"", "<html>", `{"reason":"SomethingNew"}`, `{"reason":7}`, `[`} {
			got := classify(status, http.Header{}, []byte(body), postingTo(tokenHex), noon)
			require.Equal(t, want, got.Outcome, "status %d %s", status, body)
			require.Equal(t, status, got.Status)
			require.Equal(t, want == push.Delivered, got.Reason == "", "status %d: %q", status, got.Reason)
			require.Zero(t, got.RetryAfter, "status %d: nobody asked", status)
			require.Equal(t, status == 429, got.AtLeast != 0, "status %d", status)
		}
	}
	require.Equal(t, "SomethingNew", classify(499, nil, []byte(`{"reason":"SomethingNew"}`), postingTo(tokenHex), noon).Reason)
	require.Equal(t, "HTTP status 499", classify(499, nil, nil, postingTo(tokenHex), noon).Reason)
}

func postingTo(token string) posting {
	return posting{notification: &apns2.Notification{DeviceToken: token, ApnsID: "123e4567-e89b-12d3-a456-426655440000"}, registered: noon}
}

func TestOutcome_FollowsNoRedirect(t *testing.T) {
	r := newRig(t)
	for _, status := range []int{301, 302, 307, 308} {
		require.NoError(t, r.production.Fault(simulate.Fault{Times: 1, Status: status, Header: map[string]string{"Location": r.sandbox.URL() + "/3/device/" + tokenHex}}))
		result := r.send()
		require.Equal(t, push.Retry, result.Outcome)
		require.Equal(t, status, result.Status)
	}
	require.Empty(t, r.sandbox.Log())
}

func TestOutcome_WaitsAsAPNsAsks(t *testing.T) {
	r := newRig(t)
	for _, test := range []struct {
		fault simulate.Fault
		want  time.Duration
	}{
		{simulate.Fault{Status: 429, Reason: "TooManyRequests", RetryAfter: 7}, 7 * time.Second},
		{simulate.Fault{Status: 503, Reason: "ServiceUnavailable", RetryAfter: 120}, 2 * time.Minute},
		{simulate.Fault{Status: 503, Header: map[string]string{"Retry-After": "Sun, 22 Nov 2026 12:05:00 GMT"}}, 5 * time.Minute},
		{simulate.Fault{Status: 503, Header: map[string]string{"Retry-After": "99999999999"}}, 24 * time.Hour},
		{simulate.Fault{Status: 503, Header: map[string]string{"Retry-After": "soon"}}, 0},
		{simulate.Fault{Status: 400, Reason: "BadPriority", RetryAfter: 7}, 0},
	} {
		test.fault.Times = 1
		require.NoError(t, r.production.Fault(test.fault))
		require.Equal(t, test.want, r.send().RetryAfter)
	}
}

func TestOutcome_UnregisteredIsGoneUnlessTheDeviceRegisteredAfterwards(t *testing.T) {
	r := newRig(t)
	registered := messageOf(t).Subscription.RegisteredAt
	firstOnly := func(m *push.Message) { m.Subscription.CreatedAt, m.Subscription.RegisteredAt = registered, time.Time{} }
	for name, test := range map[string]struct {
		at     time.Time
		change func(*push.Message)
		want   push.Outcome
	}{
		"after it registered, before a delivery": {registered.Add(time.Millisecond), func(*push.Message) {}, push.Gone},
		"at that moment":                         {registered, func(*push.Message) {}, push.Gone},
		"before it registered":                   {registered.Add(-time.Millisecond), func(*push.Message) {}, push.Rejected},
		"after its only registration":            {registered.Add(time.Millisecond), firstOnly, push.Gone},
		"before its only registration":           {registered.Add(-time.Millisecond), firstOnly, push.Rejected},
	} {
		t.Run(name, func(t *testing.T) {
			r.production.Unregister(tokenHex, test.at)
			result := r.send(test.change)
			require.Equal(t, test.want, result.Outcome)
			require.Equal(t, 410, result.Status)
			if test.want == push.Rejected {
				require.Equal(t, "Unregistered at 2026-11-22T10:59:59Z, and registered again after that: kept", result.Reason)
			}
		})
	}
	for _, body := range []string{`{"reason":"Unregistered"}`, `{"reason":"Unregistered","timestamp":"soon"}`, `{"reason":"Unregistered","timestamp":-1}`} {
		require.Equal(t, push.Gone, classify(410, nil, []byte(body), postingTo(tokenHex), noon).Outcome, "%s: APNs says so", body)
	}
	require.Equal(t, push.Rejected, classify(410, nil, nil, postingTo(tokenHex), noon).Outcome, "nobody said why")
}

func TestReason_IsAWordAndNeverHoldsTheToken(t *testing.T) {
	letters := strings.Repeat("abcdefab", 4) // a token that looks like a word
	for _, said := range []string{
		letters, "X" + letters, strings.ToUpper(letters), "Bad token " + letters, "B\u202ead", "Bad\nToken", "bad", strings.Repeat("B", 65),
	} {
		body, err := json.Marshal(map[string]string{"reason": said})
		require.NoError(t, err)
		require.Equal(t, "Bad Request", classify(400, nil, body, postingTo(letters), noon).Reason, said)
	}
	require.Equal(t, "X1", classify(400, nil, []byte(`{"reason":"X1"}`), postingTo(letters), noon).Reason)
}

func FuzzAnswer(f *testing.F) {
	f.Add(410, `{"reason":"Unregistered","timestamp":1795348800345}`, "123e4567-e89b-12d3-a456-426655440000", "")
	f.Add(429, `{"reason":"TooManyRequests"}`, "x", "7")
	f.Add(200, "", "", "")
	f.Add(-1, `{"reason":`, "\xff", "Sun, 22 Nov 2026 12:05:00 GMT")
	f.Add(400, `{"reason":"X`+tokenHex+`"}`, tokenHex, "-1")
	f.Fuzz(func(t *testing.T, status int, body, id, wait string) {
		header := http.Header{"Apns-Id": {id}, "Apns-Unique-Id": {id}, "Retry-After": {wait}}
		got := classify(status, header, []byte(body), postingTo(tokenHex), noon)
		require.Contains(t, []push.Outcome{push.Delivered, push.Retry, push.Gone, push.Rejected, push.Refused}, got.Outcome)
		require.NotEqual(t, "", got.MessageID)
		for _, text := range []string{got.Reason, got.MessageID} {
			require.LessOrEqual(t, len(text), push.MaxReasonBytes)
			require.True(t, utf8.ValidString(text))
			require.NotContains(t, strings.ToLower(text), tokenHex)
		}
		require.GreaterOrEqual(t, got.RetryAfter, time.Duration(0))
		require.LessOrEqual(t, got.RetryAfter, 24*time.Hour)
		require.True(t, got.RetryAfter == 0 || got.AtLeast == 0, "what was asked for counts")
		if got.Outcome == push.Gone {
			require.Equal(t, push.Gone, outcomes[got.said], "Gone is never guessed")
		}
	})
}
