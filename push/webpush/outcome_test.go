package webpush

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/guard"
)

var (
	target = &url.URL{Scheme: "https", Host: "push.example.com", Path: "/wpush/v2/gAAAAABl-secret"}
	noon   = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
)

func TestOutcome_OfEveryStatus(t *testing.T) {
	byClass := map[int]push.Outcome{1: push.Retry, 2: push.Delivered, 3: push.Rejected, 4: push.Rejected, 5: push.Retry}
	exceptions := map[int]push.Outcome{
		302: push.Retry, 307: push.Retry,
		401: push.Refused, 403: push.Refused,
		404: push.Gone, 410: push.Gone,
		406: push.Retry, 408: push.Retry, 429: push.Retry,
	}
	for status := 100; status <= 599; status++ {
		want, ok := exceptions[status]
		if !ok {
			want = byClass[status/100]
		}
		got := classify(status, http.Header{}, nil, target, noon)
		require.Equal(t, want, got.Outcome, "status %d", status)
		require.Equal(t, status, got.Status)
		require.Equal(t, want == push.Delivered, got.Reason == "", "status %d: %q", status, got.Reason)
		require.Zero(t, got.RetryAfter, "status %d: nobody asked", status)
		require.Equal(t, status == 406, got.AtLeast != 0, "status %d", status)
	}
	require.Equal(t, push.Retry, classify(999, nil, nil, target, noon).Outcome)
}

func TestOutcome_OfWhatOthersSay(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		header http.Header
		body   string
		want   push.Result
	}{
		"a proxy's page": {502, nil, "<!DOCTYPE html><html><title>Bad</title>", push.Result{Outcome: push.Retry, Reason: "Bad Gateway"}},
		"a message":      {507, nil, `{"message":"no room"}`, push.Result{Outcome: push.Retry, Reason: "no room"}},
		"other JSON":     {400, nil, `{"error":"no"}`, push.Result{Outcome: push.Rejected, Reason: `{"error":"no"}`}},
		"nothing known":  {499, nil, "", push.Result{Outcome: push.Rejected, Reason: "HTTP status 499"}},
		"key words where they mean nothing": {
			500, nil, "VapidPkHashMismatch", push.Result{Outcome: push.Retry, Reason: "VapidPkHashMismatch"},
		},
		"over, whatever it says of keys":     {410, nil, "MismatchSenderId", push.Result{Outcome: push.Gone, Reason: "MismatchSenderId"}},
		"delivered, with a body and headers": {200, http.Header{"Retry-After": {"9"}}, `{"reason":"Fine"}`, push.Result{Outcome: push.Delivered}},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.Status = test.status
			require.Equal(t, test.want, classify(test.status, test.header, []byte(test.body), target, noon))
		})
	}
}

func TestReason_IsFitToBeShown(t *testing.T) {
	long := strings.Repeat("é ", 300)
	for said, want := range map[string]string{
		"two\r\nlines\t and\x00 \x1b[31mred":                             "two lines and [31mred",
		"bad \xff\xfe bytes":                                             "bad bytes",
		"right\u202eto left\u200b":                                       "right to left",
		"no /wpush/v2/gAAAAABl-secret here":                              "no … here",
		"no gAAAAABl-secret.":                                            "no ….",
		"see https://push.example.com/x now":                             "see … now",
		`see "https:\/\/push.example.com\/x" now`:                        `see "…" now`,
		"key BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocIn": "key …",
		long: strings.TrimSpace(long[:252]) + "…",
	} {
		got := presentable(said, target)
		if said == long {
			require.LessOrEqual(t, len(got), push.MaxReasonBytes)
			require.True(t, utf8.ValidString(got))
			require.True(t, strings.HasSuffix(got, "…"))
			continue
		}
		require.Equal(t, want, got)
	}
}

func TestOutcome_WithoutAnAnswer(t *testing.T) {
	const secret = "10.11.12.13"
	for name, test := range map[string]struct {
		err  error
		want push.Outcome
	}{
		"no such name":     {&net.DNSError{Name: secret, IsNotFound: true}, push.Retry},
		"resolver is slow": {&net.DNSError{Name: secret, IsTimeout: true}, push.Retry},
		"refused":          {&net.OpError{Op: "dial", Err: os.NewSyscallError("connect "+secret, syscall.ECONNREFUSED)}, push.Retry},
		"reset":            {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, push.Retry},
		"end of file":      {io.ErrUnexpectedEOF, push.Retry},
		"dial timeout":     {&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, push.Retry},
		"time-out":         {fmt.Errorf("%s: %w", secret, context.DeadlineExceeded), push.Retry},
		"cancelled":        {fmt.Errorf("%s: %w", secret, context.Canceled), push.Retry},
		"private address":  {&net.OpError{Op: "dial", Err: fmt.Errorf("%w: %s", guard.ErrNotPublic, secret)}, push.Retry},
	} {
		t.Run(name, func(t *testing.T) {
			got := unanswered(test.err)
			require.Equal(t, test.want, got.Outcome)
			require.Zero(t, got.Status)
			require.NotEmpty(t, got.Reason)
			require.NotContains(t, got.Reason, secret)
		})
	}
}

func FuzzOutcome(f *testing.F) {
	f.Add(400, "120", "dropped", `{"reason":"BadWebPushTopic"}`)
	f.Add(201, "", "gAAAAABl-secret", "")
	f.Add(401, "", "", `{"errno":109,"message":"no gAAAAABl-secret"}`)
	f.Add(503, "Sun, 22 Nov 2026 12:02:00 GMT", "", `{"error":{"message":1}}`)
	f.Add(200, "", "\xff\x00", "<html>")
	f.Add(-1, "", "", strings.Repeat("é", 5000))
	f.Fuzz(func(t *testing.T, status int, wait, windows, body string) {
		header := http.Header{"Retry-After": {wait}, "X-Wns-Status": {windows}, "Apns-Id": {windows}}
		got := classify(status, header, []byte(body), target, noon)
		require.Contains(t, []push.Outcome{push.Delivered, push.Retry, push.Gone, push.Rejected, push.Refused}, got.Outcome)
		require.Equal(t, got.Outcome == push.Gone, status == 404 || status == 410)
		require.LessOrEqual(t, len(got.Reason), push.MaxReasonBytes)
		require.True(t, utf8.ValidString(got.Reason))
		require.Equal(t, -1, strings.IndexFunc(got.Reason, func(r rune) bool { return !unicode.IsPrint(r) }), "%q", got.Reason)
		require.NotContains(t, got.Reason+got.MessageID, "gAAAAABl-secret")
		require.LessOrEqual(t, len(got.MessageID), push.MaxReasonBytes)
		require.True(t, utf8.ValidString(got.MessageID))
		require.True(t, !got.KeyMismatch || got.Outcome == push.Rejected)
		require.GreaterOrEqual(t, got.RetryAfter, time.Duration(0))
		require.True(t, got.RetryAfter == 0 || got.AtLeast == 0, "what was asked for counts")
	})
}
