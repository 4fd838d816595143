package webpush

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

// documented is an answer that a vendor documents, or that was seen from it.
type documented struct {
	status int
	header http.Header
	body   string
	want   push.Result // without its Status
}

func TestOutcome_OfEveryAnswerGoogleGives(t *testing.T) {
	requireOutcomes(t, []documented{
		{201, http.Header{"Location": {"https://fcm.googleapis.com/0:1%7e2"}}, "", push.Result{Outcome: push.Delivered}},
		{200, nil, "", push.Result{Outcome: push.Delivered}},
		{400, nil, "UnauthorizedRegistration", keyMismatch("UnauthorizedRegistration")},
		{400, nil, "InvalidRegistration", push.Result{Outcome: push.Rejected, Reason: "InvalidRegistration"}},
		{
			400, nil, `{"error":{"code":400,"message":"Request contains an invalid argument.","status":"INVALID_ARGUMENT"}}`,
			push.Result{Outcome: push.Rejected, Reason: "INVALID_ARGUMENT Request contains an invalid argument."},
		},
		{401, nil, "UnauthorizedRegistration", keyMismatch("UnauthorizedRegistration")},
		{
			401, nil, `{"error":{"code":401,"message":"Request is missing required authentication credential.","status":"UNAUTHENTICATED"}}`,
			push.Result{Outcome: push.Refused, Reason: "UNAUTHENTICATED Request is missing required authentication credential."},
		},
		{
			403, nil, "the VAPID credentials in the authorization header do not correspond to the credentials used to create the subscriptions.\n",
			keyMismatch("the VAPID credentials in the authorization header do not correspond to the credentials used to create the subscriptions."),
		},
		{
			403, nil, "the key in the authorization header does not correspond to the sender ID used to subscribe this user.",
			keyMismatch("the key in the authorization header does not correspond to the sender ID used to subscribe this user."),
		},
		{403, nil, "MismatchSenderId", keyMismatch("MismatchSenderId")},
		{403, nil, "invalid JWT provided", push.Result{Outcome: push.Refused, Reason: "invalid JWT provided"}},
		{404, nil, "", push.Result{Outcome: push.Gone, Reason: "Not Found"}},
		{410, nil, "NotRegistered", push.Result{Outcome: push.Gone, Reason: "NotRegistered"}},
		{410, nil, "push subscription has unsubscribed or expired.\n", push.Result{Outcome: push.Gone, Reason: "push subscription has unsubscribed or expired."}},
		{413, nil, "", push.Result{Outcome: push.Rejected, Reason: "Request Entity Too Large"}},
		{
			429, http.Header{"Retry-After": {"60"}}, `{"error":{"code":429,"message":"Quota exceeded.","status":"RESOURCE_EXHAUSTED"}}`,
			push.Result{Outcome: push.Retry, Reason: "RESOURCE_EXHAUSTED Quota exceeded.", RetryAfter: time.Minute},
		},
		{500, nil, "", push.Result{Outcome: push.Retry, Reason: "Internal Server Error"}},
		{502, nil, "<!DOCTYPE html><html lang=en><title>Error 502 (Server Error)!!1</title>", push.Result{Outcome: push.Retry, Reason: "Bad Gateway"}},
		{503, http.Header{"Retry-After": {"30"}}, "", push.Result{Outcome: push.Retry, Reason: "Service Unavailable", RetryAfter: 30 * time.Second}},
	})
}

func TestOutcome_OfEveryAnswerMozillaGives(t *testing.T) {
	answers := []documented{
		{201, http.Header{"Location": {"https://updates.push.services.mozilla.com/m/gAAAA"}, "Ttl": {"60"}}, `{"message-id":"gAAAA"}`, push.Result{Outcome: push.Delivered}},
		{202, nil, "", push.Result{Outcome: push.Delivered}},
		{301, http.Header{"Location": {"https://updates.push.services.mozilla.com/wpush/v1/x"}}, "", push.Result{Outcome: push.Rejected, Reason: "Moved Permanently"}},
		mozilla(401, 109, "VAPID public key mismatch", keyMismatch("errno 109 VAPID public key mismatch")),
	}
	for status, errnos := range map[int]map[int]push.Outcome{
		400: {101: push.Rejected, 108: push.Rejected, 110: push.Rejected, 111: push.Rejected, 112: push.Rejected, 113: push.Rejected, 114: push.Rejected},
		401: {109: push.Refused},
		404: {102: push.Gone},
		410: {103: push.Gone, 105: push.Gone, 106: push.Gone},
		413: {104: push.Rejected},
		429: {201: push.Retry},
		500: {999: push.Retry},
		502: {900: push.Retry, 901: push.Retry, 902: push.Retry, 903: push.Retry},
		503: {201: push.Retry, 202: push.Retry},
	} {
		for errno, outcome := range errnos {
			want := push.Result{Outcome: outcome, Reason: fmt.Sprintf("errno %d said so", errno)}
			if status == 503 || status == 429 {
				want.RetryAfter = 2 * time.Minute
			}
			answers = append(answers, mozilla(status, errno, "said so", want))
		}
	}
	requireOutcomes(t, answers)
}

// mozilla is an answer as Mozilla writes it.
func mozilla(status, errno int, message string, want push.Result) documented {
	header := http.Header{}
	switch status {
	case 410:
		header.Set("Cache-Control", "max-age=86400")
	case 429, 503:
		header.Set("Retry-After", "120")
	}
	return documented{status, header, fmt.Sprintf(
		`{"code":%d,"errno":%d,"error":%q,"message":%q,"more_info":"http://autopush.readthedocs.io/en/latest/http.html#error-codes"}`,
		status, errno, http.StatusText(status), message), want}
}

func TestOutcome_OfEveryAnswerAppleGives(t *testing.T) {
	const id = "EC1BF194-B3B2-424A-89A9-5A918A6E6B5D"
	answers := []documented{
		{201, http.Header{"Apns-Id": {id}}, "", push.Result{Outcome: push.Delivered, MessageID: id}},
		{400, http.Header{"Apns-Id": {id}}, `{"reason":"BadWebPushRequest"}`, push.Result{Outcome: push.Rejected, Reason: "BadWebPushRequest", MessageID: id}},
	}
	for status, reasons := range map[int]map[string]push.Outcome{
		400: {
			"BadTtl": push.Rejected, "BadWebPushTtl": push.Rejected, "BadUrgency": push.Rejected, "BadWebPushTopic": push.Rejected, "BadWebPushRequest": push.Rejected,
			"BadDeviceToken": push.Rejected, "IdleTimeout": push.Retry,
			"BadJwtToken": push.Refused, "BadAuthorizationHeader": push.Refused, "BadVapidPublicKey": push.Refused, // the reason counts, not the status
		},
		403: {"BadJwtToken": push.Refused, "BadAuthorizationHeader": push.Refused, "BadVapidPublicKey": push.Refused, "ExpiredToken": push.Refused},
		404: {"BadPath": push.Gone},
		405: {"MethodNotAllowed": push.Rejected},
		410: {"Unregistered": push.Gone, "ExpiredToken": push.Gone},
		413: {"PayloadTooLarge": push.Rejected},
		429: {"TooManyRequests": push.Retry},
		500: {"InternalServerError": push.Retry},
		503: {"ServiceUnavailable": push.Retry, "Shutdown": push.Retry},
	} {
		for reason, outcome := range reasons {
			answers = append(answers, documented{status, nil, `{"reason":"` + reason + `"}`, push.Result{Outcome: outcome, Reason: reason}})
		}
	}
	for _, status := range []int{400, 403} {
		answers = append(answers, documented{status, nil, `{"reason":"VapidPkHashMismatch"}`, keyMismatch("VapidPkHashMismatch")})
	}
	requireOutcomes(t, answers)
}

func TestOutcome_OfEveryAnswerWindowsGives(t *testing.T) {
	const id = "73B9D5431ABF0590"
	requireOutcomes(t, []documented{
		{
			201, http.Header{"X-Wns-Status": {"received"}, "X-Wns-Notificationstatus": {"received"}, "X-Wns-Deviceconnectionstatus": {"disconnected"}, "X-Wns-Msg-Id": {id}}, "",
			push.Result{Outcome: push.Delivered, MessageID: id},
		},
		{
			201, http.Header{"X-Wns-Status": {"dropped"}, "X-Wns-Deviceconnectionstatus": {"disconnected"}}, "",
			push.Result{Outcome: push.Delivered, Reason: "dropped (device disconnected)"},
		},
		{200, http.Header{"X-Wns-Status": {"received"}, "X-Wns-Notificationstatus": {"channelThrottled"}}, "", push.Result{Outcome: push.Delivered, Reason: "channelThrottled"}},
		{
			400, http.Header{"X-Wns-Status": {"dropped"}, "X-Wns-Error-Description": {"Ttl value conflicts with X-WNS-Cache-Policy"}, "X-Wns-Msg-Id": {id}}, "",
			push.Result{Outcome: push.Rejected, Reason: "dropped Ttl value conflicts with X-WNS-Cache-Policy", MessageID: id},
		},
		{
			401, http.Header{"X-Wns-Status": {"dropped"}, "X-Wns-Error-Description": {"Zero or duplicate tokens or token signing keys."}}, "",
			push.Result{Outcome: push.Refused, Reason: "dropped Zero or duplicate tokens or token signing keys."},
		},
		{
			403, http.Header{"X-Wns-Notificationstatus": {"dropped"}, "X-Wns-Error-Description": {"Channel URL incompatible with caller app"}}, "",
			push.Result{Outcome: push.Refused, Reason: "dropped Channel URL incompatible with caller app"},
		},
		{404, nil, "", push.Result{Outcome: push.Gone, Reason: "Not Found"}},
		{406, http.Header{"X-Wns-Status": {"channelthrottled"}, "Retry-After": {"900 "}}, "", push.Result{Outcome: push.Retry, Reason: "channelthrottled", RetryAfter: 15 * time.Minute}},
		{406, http.Header{"X-Wns-Status": {"appthrottled"}, "Retry-After": {"60"}}, "", push.Result{Outcome: push.Retry, Reason: "appthrottled", RetryAfter: time.Minute}},
		{406, http.Header{"X-Wns-Status": {"appthrottled"}}, "", push.Result{Outcome: push.Retry, Reason: "appthrottled", AtLeast: 15 * time.Minute}},
		{410, http.Header{"X-Wns-Deviceconnectionstatus": {"tempdisconnected"}}, "", push.Result{Outcome: push.Gone, Reason: "(device tempdisconnected)"}},
		{413, nil, "", push.Result{Outcome: push.Rejected, Reason: "Request Entity Too Large"}},
		{500, nil, "", push.Result{Outcome: push.Retry, Reason: "Internal Server Error"}},
		{503, nil, "", push.Result{Outcome: push.Retry, Reason: "Service Unavailable"}},
	})
}

func TestHeader_HasWhatEachVendorAsksFor(t *testing.T) {
	message, _ := messageTo(t, newSender(t), "https://push.example.com/1")
	declarative := message.Notification.WebPayload("")
	require.True(t, push.Declarative(declarative))
	plain := []byte(`{"id":"1","notification":{}}`)
	for host, test := range map[string]struct{ policy, declaredAs string }{
		"wns2-par02p.notify.windows.com":      {"cache", ""},
		"notify.windows.com":                  {"cache", ""},
		"notify.windows.com:8443":             {"cache", ""},
		"xnotify.windows.com":                 {"", ""},
		"notify.windows.com.example.net":      {"", ""},
		"web.push.apple.com":                  {"", "application/notification+json"},
		"push.apple.com":                      {"", "application/notification+json"},
		"webpush.apple.com":                   {"", ""},
		"web.push.apple.com.example.net":      {"", ""},
		"updates.push.services.mozilla.com":   {"", ""},
		"fcm.googleapis.com":                  {"", ""},
		"example.net":                         {"", ""},
		"push.example.net:8443":               {"", ""},
		"notify.windows.com.push.example.com": {"", ""},
	} {
		target := &url.URL{Scheme: "https", Host: host, Path: "/notify.windows.com"}
		header := headerOf(message, "", target, declarative)
		want := "application/octet-stream"
		if test.declaredAs != "" {
			want = test.declaredAs
		}
		require.Equal(t, want, header.Get("Content-Type"), host)
		require.Equal(t, test.policy, header.Get("X-WNS-Cache-Policy"), host)
		require.Equal(t, "application/octet-stream", headerOf(message, "", target, plain).Get("Content-Type"), host)
	}
}

func keyMismatch(reason string) push.Result {
	return push.Result{Outcome: push.Rejected, Reason: "key_mismatch: " + reason, KeyMismatch: true}
}

func requireOutcomes(t *testing.T, answers []documented) {
	t.Helper()
	for _, answer := range answers {
		answer.want.Status = answer.status
		require.Equal(t, answer.want, classify(answer.status, answer.header, []byte(answer.body), target, noon), "%d %s", answer.status, answer.body)
	}
}

// A push service may write anything into the header that names a message.
func TestMessageID_IsANameAndNoSecret(t *testing.T) {
	target := *target
	target.Path = "/3f2a9c1b7d4e"
	for said, want := range map[string]string{
		"EC1BF194-B3B2-424A-89A9-5A918A6E6B5D": "EC1BF194-B3B2-424A-89A9-5A918A6E6B5D",
		"73B9D5431ABF0590":                     "73B9D5431ABF0590",
		"":                                     "",
		"3f2a9c1b7d4e":                         "",
		"00-3f2a9c1b7d4e-00":                   "",
		"gAAAAABl":                             "",
		"https://push.example.com/m/1":         "",
		"12 34":                                "",
		"12\r\n34":                             "",
		"ééé":                                  "",
	} {
		for _, name := range []string{"apns-id", "X-WNS-Msg-ID"} {
			header := http.Header{}
			header.Set(name, said)
			require.Equal(t, want, classify(201, header, nil, &target, noon).MessageID, "%s: %s", name, said)
		}
	}
	require.Empty(t, classify(201, http.Header{"Location": {"/m/12"}}, []byte(`{"message-id":"12"}`), &target, noon).MessageID, "a capability")
}
