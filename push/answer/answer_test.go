package answer_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/answer"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestRetryAfter_IsSecondsOrADate(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"":                                0,
		"0":                               0,
		"1":                               time.Second,
		"  900\t":                         15 * time.Minute,
		"Sun, 22 Nov 2026 12:02:00 GMT":   2 * time.Minute,
		" Sun, 22 Nov 2026 12:02:00 GMT ": 2 * time.Minute,
		"Sunday, 22-Nov-26 12:02:00 GMT":  2 * time.Minute,
		"Sun, 22 Nov 2026 11:59:59 GMT":   0,
		"Sun, 22 Nov 2099 12:00:00 GMT":   24 * time.Hour,
		"9223372036854775807":             24 * time.Hour,
		"99999999999999999999999999":      0,
		"-1":                              0,
		"1.5":                             0,
		"+1":                              0,
		"soon":                            0,
		"2026-11-22T12:02:00Z":            0,
	} {
		require.Equal(t, want, answer.RetryAfter(value, noon), "%q", value)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "1", " 900 ", "-1", "Sun, 22 Nov 2026 12:02:00 GMT", "99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got := answer.RetryAfter(value, noon)
		require.GreaterOrEqual(t, got, time.Duration(0))
		require.LessOrEqual(t, got, 24*time.Hour)
	})
}

func TestStatusText_KnowsEveryStatus(t *testing.T) {
	require.Equal(t, "Gone", answer.StatusText(410))
	require.Equal(t, "HTTP status 599", answer.StatusText(599))
}

func TestFailure_SaysWhatKindAndNothingElse(t *testing.T) {
	const secret = "a11ce0/secret"
	for err, want := range map[error]string{
		fmt.Errorf("%s: %w", secret, context.Canceled):                                  "cancelled before it answered",
		fmt.Errorf("%s: %w", secret, context.DeadlineExceeded):                          "it did not answer in time",
		&net.DNSError{Name: secret, IsNotFound: true}:                                   "the name of it does not resolve",
		&net.OpError{Op: "dial", Err: os.NewSyscallError(secret, syscall.ECONNREFUSED)}: "it refuses connections",
		&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}:                           "it did not answer in time",
		&tls.CertificateVerificationError{Err: errors.New(secret)}:                      "the certificate of it is not trusted",
		&net.OpError{Op: "remote error", Err: errors.New(secret)}:                       "it does not speak TLS as it should",
		tls.RecordHeaderError{Msg: secret}:                                              "it does not speak TLS as it should",
		fmt.Errorf("%s: %w", secret, io.ErrUnexpectedEOF):                               "the connection to it broke",
		&net.OpError{Op: "read", Err: os.NewSyscallError(secret, syscall.ECONNRESET)}:   "the connection to it broke",
	} {
		require.Equal(t, want, answer.Failure("it", err), "%T", err)
	}
}

func TestRejected_IsOneShortLine(t *testing.T) {
	got := answer.Rejected(errors.New("data: \x00 is not\n  JSON\xff " + strings.Repeat("é", 300)))
	require.Equal(t, push.Rejected, got.Outcome)
	require.True(t, strings.HasPrefix(got.Reason, "data: is not JSON éé"), got.Reason)
	require.LessOrEqual(t, len(got.Reason), push.MaxReasonBytes)
	require.True(t, utf8.ValidString(got.Reason))
	require.Equal(t, "plain", answer.Shorten("plain"))
}
