// Package answer reads what the answers of all push services, and the failures
// to get one, have in common: when to come back, and why, in words for a person.
// Only providers need it.
package answer

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/belfryhq/belfry/push"
)

const maxRetryAfter = 24 * time.Hour // the longest wait believed

// RetryAfter reads the value of a Retry-After header (RFC 9110 §10.2.3): seconds or a date.
// It is 0 when there is none, when it is past, and when it cannot be read; it is
// a day at most.
func RetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseUint(value, 10, 63); err == nil {
		return time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), maxRetryAfter)
}

// StatusText is HTTP's own word for a status, or its number.
func StatusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "HTTP status " + strconv.Itoa(status)
}

// Failure names the kind of a network error; who is whom it was that did not
// answer, as in "the push service". The error's own text, which may hold a
// token or an address, is not repeated.
func Failure(who string, err error) string {
	var (
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		operation   *net.OpError
		network     net.Error
	)
	switch {
	case errors.Is(err, context.Canceled):
		return "cancelled before " + who + " answered"
	case errors.As(err, &dns):
		return "the name of " + who + " does not resolve"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return who + " did not answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return who + " refuses connections"
	case errors.As(err, &certificate):
		return "the certificate of " + who + " is not trusted"
	case errors.As(err, &record), errors.As(err, &operation) && (operation.Op == "remote error" || operation.Op == "local error"):
		return who + " does not speak TLS as it should"
	default:
		return "the connection to " + who + " broke"
	}
}

// Rejected is the result for what is wrong with a message or its subscription,
// before anything is sent. The error's text must hold no secrets.
func Rejected(err error) push.Result {
	return push.Result{Outcome: push.Rejected, Reason: Shorten(OneLine(err.Error()))}
}

// OneLine makes a text one of printable words with a space between them.
func OneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, unprintable), " ")
}

// unprintable tells where a text is split into words.
func unprintable(r rune) bool {
	return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == unicode.ReplacementChar
}

// Shorten cuts a text to push.MaxReasonBytes, between two characters.
func Shorten(text string) string {
	if len(text) <= push.MaxReasonBytes {
		return text
	}
	const ellipsis = "…"
	return strings.ToValidUTF8(text[:push.MaxReasonBytes-len(ellipsis)], "") + ellipsis
}
