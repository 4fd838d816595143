package fcm

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const (
	fcmError   = `{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":%q}`
	badRequest = `{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":%q,"description":%q}]}`
	apnsError  = `{"@type":"type.googleapis.com/google.firebase.fcm.v1.ApnsError","statusCode":%d,"reason":%q}`
)

// googleError is an error of Google's APIs.
func googleError(status, message string, details ...string) string {
	text, _ := json.Marshal(message)
	return fmt.Sprintf(`{"error":{"code":0,"message":%s,"status":%q,"details":[%s]}}`, text, status, strings.Join(details, ","))
}

func classified(status int, header http.Header, body string) push.Result {
	return classify(read(response{status: status, header: header, body: []byte(body)}), registrationToken, noon)
}

func TestOutcome_OfEveryStatus(t *testing.T) {
	byClass := map[int]push.Outcome{1: push.Retry, 2: push.Delivered, 3: push.Retry, 4: push.Rejected, 5: push.Retry}
	exceptions := map[int]push.Outcome{401: push.Refused, 403: push.Refused, 404: push.Refused, 408: push.Retry, 429: push.Retry}
	for _, body := range []string{"", "{}", "null", "<!DOCTYPE html>", googleError("SOMETHING", "of some kind")} {
		for status := 100; status <= 599; status++ {
			want, ok := exceptions[status]
			if !ok {
				want = byClass[status/100]
			}
			got := classified(status, nil, body)
			require.Equal(t, want, got.Outcome, "status %d", status)
			require.Equal(t, status, got.Status)
			require.Equal(t, want == push.Delivered, got.Reason == "", "status %d: %q", status, got.Reason)
			require.Zero(t, got.RetryAfter, "status %d: nobody asked", status)
			require.Equal(t, want == push.Retry, got.AtLeast != 0, "status %d", status)
			require.Equal(t, status == 429, got.Pause != 0, "status %d", status)
			require.False(t, got.KeyMismatch)
		}
	}
	require.Equal(t, push.Retry, classified(999, nil, "").Outcome)
}

// No errorCode alone makes anything of a status that means something else.
func TestOutcome_OfEveryErrorCode(t *testing.T) {
	for code, byClass := range map[string][2]push.Outcome{ // with 4xx, with 5xx
		"UNREGISTERED":           {push.Gone, push.Retry},
		"SENDER_ID_MISMATCH":     {push.Gone, push.Retry},
		"THIRD_PARTY_AUTH_ERROR": {push.Retry, push.Retry},
		"QUOTA_EXCEEDED":         {push.Retry, push.Retry},
	} {
		body := googleError("WHATEVER", "words", fmt.Sprintf(fcmError, code))
		for status := 200; status <= 599; status++ {
			want := push.Retry
			switch status / 100 {
			case 2:
				want = push.Delivered
			case 4:
				want = byClass[0]
			case 5:
				want = byClass[1]
			}
			require.Equal(t, want, classified(status, nil, body).Outcome, "%d %s", status, code)
		}
	}
	for _, code := range []string{"UNSPECIFIED_ERROR", "INTERNAL", "UNAVAILABLE", "INVALID_ARGUMENT", "SOMETHING_NEW", ""} {
		body := googleError("WHATEVER", "words", fmt.Sprintf(fcmError, code))
		for status := 200; status <= 599; status++ {
			if status == 400 && code == "INVALID_ARGUMENT" {
				continue // see below
			}
			require.Equal(t, classified(status, nil, "").Outcome, classified(status, nil, body).Outcome, "%d %s", status, code)
		}
	}
}

func TestOutcome_OfWhatFCMSays(t *testing.T) {
	invalid := fmt.Sprintf(fcmError, "INVALID_ARGUMENT")
	for name, test := range map[string]struct {
		status int
		header http.Header
		body   string
		want   push.Result
	}{
		"taken":                 {200, nil, `{"name":"projects/x/messages/0:1500415314455276%31bd1c9631bd1c96"}`, push.Result{Outcome: push.Delivered, MessageID: "projects/x/messages/0:1500415314455276%31bd1c9631bd1c96"}},
		"taken, without a name": {200, nil, ``, push.Result{Outcome: push.Delivered}},
		"taken, with the token for a name": {
			200, nil, `{"name":"` + registrationToken + `"}`, push.Result{Outcome: push.Delivered},
		},
		"taken, with a name that is too long": {
			200, nil, `{"name":"projects/x/messages/` + strings.Repeat("x", 255) + `"}`, push.Result{Outcome: push.Delivered},
		},

		"bad token, as documented": {
			400, nil, googleError("INVALID_ARGUMENT", "The registration token is not a valid FCM registration token", invalid),
			push.Result{Outcome: push.Gone, Reason: "INVALID_ARGUMENT The registration token is not a valid FCM registration token"},
		},
		"bad token, with its field": {
			400, nil, googleError("INVALID_ARGUMENT", "Request contains an invalid argument.", invalid, fmt.Sprintf(badRequest, "message.token", "Invalid registration token")),
			push.Result{Outcome: push.Gone, Reason: "INVALID_ARGUMENT message.token: Invalid registration token"},
		},
		"device gone, says Apple": {
			400, nil, googleError("INVALID_ARGUMENT", "APNs device token is disabled.", invalid, fmt.Sprintf(apnsError, 410, "Unregistered")),
			push.Result{Outcome: push.Gone, Reason: "INVALID_ARGUMENT Unregistered (APNs)"},
		},
		"another app's device, says Apple": {
			400, nil, googleError("INVALID_ARGUMENT", "Request contains an invalid argument.", invalid, fmt.Sprintf(apnsError, 400, "DeviceTokenNotForTopic")),
			push.Result{Outcome: push.Rejected, Reason: "INVALID_ARGUMENT DeviceTokenNotForTopic (APNs)"},
		},
		"too big, without details": {
			400, nil, `{"error":{"code":400,"message":"Request contains an invalid argument.","status":"INVALID_ARGUMENT"}}`,
			push.Result{Outcome: push.Rejected, Reason: "INVALID_ARGUMENT Request contains an invalid argument."},
		},
		"too big, without a field": {
			400, nil, googleError("INVALID_ARGUMENT", "Android message is too big", `{"@type":"type.googleapis.com/google.rpc.BadRequest"}`, invalid),
			push.Result{Outcome: push.Rejected, Reason: "INVALID_ARGUMENT Android message is too big"},
		},
		"another field": {
			400, nil, googleError("INVALID_ARGUMENT", "Invalid value", fmt.Sprintf(badRequest, "message.data[0].value", "Invalid value at 'message.data[0].value' (TYPE_STRING), 12")),
			push.Result{Outcome: push.Rejected, Reason: "INVALID_ARGUMENT message.data[0].value: Invalid value at 'message.data[0].value' (TYPE_STRING), 12"},
		},
		"another field, from FCM itself": {
			400, nil, googleError("INVALID_ARGUMENT", "no", invalid, fmt.Sprintf(badRequest, "message", "Recipient of the message is not set.")),
			push.Result{Outcome: push.Rejected, Reason: "INVALID_ARGUMENT message: Recipient of the message is not set."},
		},
		"the token and another field": {
			400, nil, googleError("INVALID_ARGUMENT", "no", invalid, fmt.Sprintf(badRequest, "message.token", "bad"), fmt.Sprintf(badRequest, "message.android.ttl", "bad")),
			push.Result{Outcome: push.Rejected, Reason: "INVALID_ARGUMENT message.token: bad"},
		},
		"the token, and not from FCM itself": {
			400, nil, googleError("INVALID_ARGUMENT", "no", fmt.Sprintf(badRequest, "message.token", "Invalid value")),
			push.Result{Outcome: push.Rejected, Reason: "INVALID_ARGUMENT message.token: Invalid value"},
		},
		"a detail of a new kind": {
			400, nil, googleError("INVALID_ARGUMENT", "no", invalid, `{"@type":"type.googleapis.com/google.rpc.PreconditionFailure"}`),
			push.Result{Outcome: push.Rejected, Reason: "INVALID_ARGUMENT no"},
		},
		"a detail of a wrong form": {
			400, nil, googleError("INVALID_ARGUMENT", "no", invalid, `{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":"?"}`),
			push.Result{Outcome: push.Rejected, Reason: "INVALID_ARGUMENT no"},
		},

		"unregistered": {
			404, nil, googleError("NOT_FOUND", "Requested entity was not found.", fmt.Sprintf(fcmError, "UNREGISTERED")),
			push.Result{Outcome: push.Gone, Reason: "UNREGISTERED Requested entity was not found."},
		},
		"unregistered, says Apple": {
			404, nil, googleError("NOT_FOUND", "Requested entity was not found.", fmt.Sprintf(fcmError, "UNREGISTERED"), fmt.Sprintf(apnsError, 410, "Unregistered")),
			push.Result{Outcome: push.Gone, Reason: "UNREGISTERED Unregistered (APNs)"},
		},
		"no such project": {
			404, nil, googleError("NOT_FOUND", "Requested entity was not found."),
			push.Result{Outcome: push.Refused, Reason: "NOT_FOUND Requested entity was not found."},
		},
		"a page that is not there": {404, nil, "<!DOCTYPE html><title>Error 404</title>", push.Result{Outcome: push.Refused, Reason: "Not Found"}},
		"another sender": {
			403, nil, googleError("PERMISSION_DENIED", "SenderId mismatch", fmt.Sprintf(fcmError, "SENDER_ID_MISMATCH")),
			push.Result{Outcome: push.Gone, Reason: "SENDER_ID_MISMATCH SenderId mismatch"},
		},
		"not allowed": {
			403, nil, googleError("PERMISSION_DENIED", "Permission 'cloudmessaging.messages.create' denied"),
			push.Result{Outcome: push.Refused, Reason: "PERMISSION_DENIED Permission 'cloudmessaging.messages.create' denied"},
		},
		"no access token": {
			401, nil, googleError("UNAUTHENTICATED", "Request had invalid authentication credentials.", `{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"ACCESS_TOKEN_EXPIRED"}`),
			push.Result{Outcome: push.Refused, Reason: "UNAUTHENTICATED Request had invalid authentication credentials."},
		},
		"the project's key at Apple": {
			401, nil, googleError("UNAUTHENTICATED", "Expected OAuth 2 access token", fmt.Sprintf(fcmError, "THIRD_PARTY_AUTH_ERROR"), fmt.Sprintf(apnsError, 403, "InvalidProviderToken")),
			push.Result{Outcome: push.Retry, Reason: "THIRD_PARTY_AUTH_ERROR InvalidProviderToken (APNs)", AtLeast: 10 * time.Second},
		},
		"a project that has no key at Apple": {
			401, http.Header{"Retry-After": {"30"}}, googleError("UNAUTHENTICATED", "Auth error from APNS or Web Push Service", fmt.Sprintf(fcmError, "THIRD_PARTY_AUTH_ERROR")),
			push.Result{Outcome: push.Retry, Reason: "THIRD_PARTY_AUTH_ERROR Auth error from APNS or Web Push Service", RetryAfter: 30 * time.Second},
		},

		"the project's quota": {
			429, nil, googleError("RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Send requests'",
				`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"RATE_LIMIT_EXCEEDED","metadata":{"quota_limit":"SendsPerMinutePerProject","quota_unit":"1/min/{project}"}}`,
				`{"@type":"type.googleapis.com/google.rpc.Help","links":[]}`),
			push.Result{Outcome: push.Retry, Reason: "RESOURCE_EXHAUSTED Quota exceeded for quota metric 'Send requests'", AtLeast: time.Minute, Pause: time.Minute},
		},
		"some quota": {
			429, http.Header{"Retry-After": {"120"}}, googleError("RESOURCE_EXHAUSTED", "Device message rate exceeded", fmt.Sprintf(fcmError, "QUOTA_EXCEEDED")),
			push.Result{Outcome: push.Retry, Reason: "QUOTA_EXCEEDED Device message rate exceeded", RetryAfter: 2 * time.Minute}, // nobody says whose
		},
		"the device's own quota": {
			429, http.Header{"Retry-After": {"120"}}, googleError("RESOURCE_EXHAUSTED", "words", fmt.Sprintf(fcmError, "QUOTA_EXCEEDED"),
				`{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"subject":"DEVICE","description":"words"}]}`),
			push.Result{Outcome: push.Retry, Reason: "QUOTA_EXCEEDED words", RetryAfter: 2 * time.Minute},
		},
		"the token's own quota": {
			429, nil, googleError("RESOURCE_EXHAUSTED", "words", fmt.Sprintf(fcmError, "QUOTA_EXCEEDED"),
				`{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"subject":"to:`+registrationToken+`"}]}`),
			push.Result{Outcome: push.Retry, Reason: "QUOTA_EXCEEDED words", AtLeast: time.Minute},
		},
		"a topic's quota": {
			429, nil, googleError("RESOURCE_EXHAUSTED", "words", fmt.Sprintf(fcmError, "QUOTA_EXCEEDED"),
				`{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"subject":"TOPIC","description":"of the device"}]}`),
			push.Result{Outcome: push.Retry, Reason: "QUOTA_EXCEEDED words", AtLeast: time.Minute},
		},
		"the older name of a third party's": {
			401, nil, googleError("UNAUTHENTICATED", "words", fmt.Sprintf(fcmError, "APNS_AUTH_ERROR")),
			push.Result{Outcome: push.Retry, Reason: "THIRD_PARTY_AUTH_ERROR words", AtLeast: minWait},
		},
		"the project's quota, with FCM's code": {
			429, nil, googleError("RESOURCE_EXHAUSTED", "words", fmt.Sprintf(fcmError, "QUOTA_EXCEEDED"),
				`{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"subject":"project:123456789012","description":"words"}]}`),
			push.Result{Outcome: push.Retry, Reason: "QUOTA_EXCEEDED words", AtLeast: time.Minute, Pause: time.Minute},
		},
		"overload": {429, http.Header{"Retry-After": {"1"}}, "", push.Result{Outcome: push.Retry, Reason: "Too Many Requests", RetryAfter: 10 * time.Second, Pause: 10 * time.Second}},
		"overload, for a day": {
			429, http.Header{"Retry-After": {"86400"}}, "", push.Result{Outcome: push.Retry, Reason: "Too Many Requests", RetryAfter: time.Hour, Pause: time.Hour},
		},

		"a fault": {
			500, nil, googleError("INTERNAL", "Internal error encountered.", fmt.Sprintf(fcmError, "INTERNAL")),
			push.Result{Outcome: push.Retry, Reason: "INTERNAL Internal error encountered.", AtLeast: 10 * time.Second},
		},
		"Google's front end": {
			502, nil, "<!DOCTYPE html>\n<html lang=en><title>Error 502 (Server Error)!!1</title>", push.Result{Outcome: push.Retry, Reason: "Bad Gateway", AtLeast: 10 * time.Second},
		},
		"overloaded": {
			503, http.Header{"Retry-After": {" 45 "}}, googleError("UNAVAILABLE", "The service is currently unavailable.", fmt.Sprintf(fcmError, "UNAVAILABLE")),
			push.Result{Outcome: push.Retry, Reason: "UNAVAILABLE The service is currently unavailable.", RetryAfter: 45 * time.Second},
		},
		"nothing known": {499, nil, "", push.Result{Outcome: push.Rejected, Reason: "HTTP status 499"}},
		"other JSON":    {413, nil, `{"error":"no"}`, push.Result{Outcome: push.Rejected, Reason: "Request Entity Too Large"}},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.Status = test.status
			require.Equal(t, test.want, classified(test.status, test.header, test.body))
		})
	}
}

func TestWait_IsSecondsOrADateWithinBounds(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"1":                             10 * time.Second,
		"  900\t":                       15 * time.Minute,
		"Sun, 22 Nov 2026 12:02:00 GMT": 2 * time.Minute,
		"Sun, 22 Nov 2026 12:00:01 GMT": 10 * time.Second,
		"Sun, 22 Nov 2026 11:59:59 GMT": 0,
		"Sun, 22 Nov 2099 12:00:00 GMT": time.Hour,
		"9223372036854775807":           time.Hour,
		"99999999999999999999999999":    0,
		"-1":                            0,
		"1.5":                           0,
		"soon":                          0,
	} {
		require.Equal(t, want, asked(header, noon), "%q", header)
	}
}

func TestReason_IsFitToBeShown(t *testing.T) {
	const key = "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocIn"
	for said, want := range map[string]string{
		"two\r\nlines\t and\x00 \x1b[31mred":       "NOT_FOUND two lines and [31mred",
		"right\u202eto left\u200b":                 "NOT_FOUND right to left",
		"no " + registrationToken + " here":        "NOT_FOUND no … here",
		"key " + key:                               "NOT_FOUND key …",
		"see https://example.com/x/y/z/0123456789": "NOT_FOUND see …",
		"": "NOT_FOUND",
	} {
		require.Equal(t, want, classified(404, nil, googleError("NOT_FOUND", said)).Reason, "%q", said)
	}
	long := classified(404, nil, googleError("NOT_FOUND", strings.Repeat("é ", 300))).Reason
	require.LessOrEqual(t, len(long), push.MaxReasonBytes)
	require.True(t, utf8.ValidString(long))
	require.True(t, strings.HasSuffix(long, "…"), long)

	// What claims to be a code, a field or Apple's reason has to look like one.
	require.Equal(t, "Not Found", classified(404, nil, googleError(registrationToken, "")).Reason)
	require.Equal(t, "X: no", classified(404, nil, googleError("", "X: no", fmt.Sprintf(fcmError, key))).Reason)
	require.Equal(t, "INVALID_ARGUMENT no", classified(400, nil, googleError("INVALID_ARGUMENT", "", fmt.Sprintf(badRequest, "message."+key, "no"))).Reason)
	require.Equal(t, "INVALID_ARGUMENT no", classified(400, nil, googleError("INVALID_ARGUMENT", "no", fmt.Sprintf(apnsError, 400, key))).Reason)
	require.Equal(t, "INVALID_ARGUMENT message.android.notification.notification_count: no",
		classified(400, nil, googleError("INVALID_ARGUMENT", "", fmt.Sprintf(badRequest, "message.android.notification.notification_count", "no"))).Reason)
}

func TestOutcome_WithoutAnAnswer(t *testing.T) {
	const secret = "10.11.12.13"
	for name, err := range map[string]error{
		"no such name":     &net.DNSError{Name: secret, IsNotFound: true},
		"resolver is slow": &net.DNSError{Name: secret, IsTimeout: true},
		"refused":          &net.OpError{Op: "dial", Err: os.NewSyscallError("connect "+secret, syscall.ECONNREFUSED)},
		"reset":            &net.OpError{Op: "read", Err: syscall.ECONNRESET},
		"end of file":      io.ErrUnexpectedEOF,
		"time-out":         &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded},
		"TLS":              &net.OpError{Op: "remote error", Err: fmt.Errorf("handshake failure %s", secret)},
	} {
		t.Run(name, func(t *testing.T) {
			got := unanswered(err)
			require.Equal(t, push.Retry, got.Outcome)
			require.Zero(t, got.Status)
			require.NotEmpty(t, got.Reason)
			require.NotContains(t, got.Reason, secret)
		})
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(400, "120", googleError("INVALID_ARGUMENT", "no", fmt.Sprintf(fcmError, "INVALID_ARGUMENT"), fmt.Sprintf(badRequest, "message.token", registrationToken)))
	f.Add(404, "", googleError("NOT_FOUND", "no "+registrationToken, fmt.Sprintf(fcmError, "UNREGISTERED")))
	f.Add(429, "Sun, 22 Nov 2026 12:02:00 GMT", googleError("RESOURCE_EXHAUSTED", "\xff\x00", `{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{}]}`))
	f.Add(401, "", googleError(registrationToken, "", fmt.Sprintf(apnsError, 410, registrationToken)))
	f.Add(200, "", `{"name":"projects/x/messages/`+registrationToken+`"}`)
	f.Add(-1, "", strings.Repeat("é", 5000))
	f.Add(400, "", `{"error":{"details":[1,null,{"errorCode":1}]}}`)
	f.Fuzz(func(t *testing.T, status int, wait, body string) {
		got := classified(status, http.Header{"Retry-After": {wait}}, body)
		require.Contains(t, []push.Outcome{push.Delivered, push.Retry, push.Gone, push.Rejected, push.Refused}, got.Outcome)
		if got.Outcome == push.Gone {
			require.Contains(t, body, "FcmError", "ambiguity is never Gone")
			require.Equal(t, 4, status/100)
		}
		require.Equal(t, got.Outcome == push.Delivered, got.Reason == "")
		for _, text := range []string{got.Reason, got.MessageID} {
			require.LessOrEqual(t, len(text), push.MaxReasonBytes)
			require.True(t, utf8.ValidString(text))
			require.Equal(t, -1, strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }), "%q", text)
			require.NotContains(t, text, registrationToken)
		}
		require.True(t, got.RetryAfter == 0 || got.AtLeast == 0, "what was asked for counts")
		least := max(got.RetryAfter, got.AtLeast)
		require.Contains(t, []time.Duration{0, least}, got.Pause)
		require.Equal(t, got.Outcome == push.Retry, least != 0)
		if got.Outcome == push.Retry {
			require.GreaterOrEqual(t, least, minWait)
			require.LessOrEqual(t, least, maxWait)
		}
	})
}
