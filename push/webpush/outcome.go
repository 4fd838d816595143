package webpush

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"code.dny.dev/ssrf"

	"github.com/belfryhq/belfry/push"
)

const (
	// windowsPause is how long to wait after a 406 that does not say: Windows
	// throttles with it, and asks for this where it asks.
	windowsPause = 15 * time.Minute

	// maxRetryAfter is the longest wait believed.
	maxRetryAfter = 24 * time.Hour
)

// classify turns an answer into a result. This is all there is to know about
// how push services answer:
//
//	status                outcome    why
//	2xx                   Delivered  201 by RFC 8030; 200, 202 and 204 have been seen
//	302, 307              Retry      not followed; the service says it is elsewhere for now
//	other 3xx             Rejected   not followed
//	401, 403              Refused    our VAPID token is wrong, unless …
//	400, 401, 403 and …   Rejected   … the reason says that this one subscription was made with another key
//	404, 410              Gone       the only two that say so
//	406                   Retry      Windows throttles; 15 minutes unless it says otherwise
//	408, 429              Retry
//	other 4xx             Rejected   413 among them
//	everything else       Retry      5xx, and what is no final status at all
//
// A redirect is never Refused: anyone can register an endpoint that redirects,
// and Refused stops all that goes to its host.
func classify(status int, header http.Header, body []byte, target *url.URL, now time.Time) push.Result {
	result := push.Result{Outcome: outcomeOf(status), Status: status}
	if result.Outcome == push.Delivered {
		return result
	}
	result.Reason = reasonOf(status, header, body, target)
	if keyStatus(status) && saysKeyMismatch(body) {
		result.Outcome = push.Rejected
		result.Reason = shorten("key_mismatch: " + result.Reason)
	}
	if result.Outcome == push.Retry {
		result.RetryAfter = retryAfter(header.Get("Retry-After"), now)
		if status == http.StatusNotAcceptable && result.RetryAfter == 0 {
			result.RetryAfter = windowsPause
		}
	}
	return result
}

func outcomeOf(status int) push.Outcome {
	switch {
	case status >= 200 && status <= 299:
		return push.Delivered
	case status == 404 || status == 410:
		return push.Gone
	case status == 401 || status == 403:
		return push.Refused
	case status == 302 || status == 307 || status == 406 || status == 408 || status == 429:
		return push.Retry
	case status >= 300 && status <= 499:
		return push.Rejected
	default:
		return push.Retry
	}
}

// keyMismatches are how push services say that a subscription was made with
// another VAPID key than the one that signed. They agree on neither status nor
// words.
var keyMismatches = [][]byte{
	[]byte("VapidPkHashMismatch"),                  // Apple, as 400 or 403
	[]byte("do not correspond to the credentials"), // FCM, 403
	[]byte("does not correspond to the sender ID"), // FCM, before VAPID had its name
	[]byte("UnauthorizedRegistration"),             // FCM, 400 or 401
	[]byte("MismatchSenderId"),                     // FCM, 403
	[]byte("VAPID public key mismatch"),            // Mozilla, 401
}

func keyStatus(status int) bool { return status == 400 || status == 401 || status == 403 }

func saysKeyMismatch(body []byte) bool {
	for _, words := range keyMismatches {
		if bytes.Contains(body, words) {
			return true
		}
	}
	return false
}

// reasonOf says in the push service's words why, or in HTTP's if it has none.
func reasonOf(status int, header http.Header, body []byte, target *url.URL) string {
	for _, words := range []string{windowsReason(header), bodyReason(body)} {
		if reason := presentable(words, target); reason != "" {
			return reason
		}
	}
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "HTTP status " + strconv.Itoa(status)
}

// windowsReason reads the headers of the Windows Notification Service, whose
// bodies are empty.
func windowsReason(header http.Header) string {
	return strings.TrimSpace(header.Get("X-WNS-Status") + " " + header.Get("X-WNS-Error-Description"))
}

// bodyReason reads Apple's {"reason"}, Mozilla's {"errno","message"}, Google's
// {"error":{"status","message"}} and plain text. HTML, which proxies answer
// with, is not for a person.
func bodyReason(body []byte) string {
	body = bytes.TrimSpace(body)
	if bytes.HasPrefix(body, []byte("<")) {
		return ""
	}
	var answer struct {
		Reason  string          `json:"reason"`
		Errno   int             `json:"errno"`
		Message string          `json:"message"`
		Error   json.RawMessage `json:"error"` // an object at Google, a string elsewhere
	}
	if json.Unmarshal(body, &answer) != nil {
		return string(body)
	}
	var google struct {
		Status  string `json:"status"`
		Message string `json:"message"`
	}
	switch {
	case answer.Reason != "":
		return answer.Reason
	case answer.Errno != 0:
		return fmt.Sprintf("errno %d %s", answer.Errno, answer.Message)
	case json.Unmarshal(answer.Error, &google) == nil && google.Status+google.Message != "":
		return google.Status + " " + google.Message
	case answer.Message != "":
		return answer.Message
	default:
		return string(body)
	}
}

// secretLike matches what might be an endpoint, a token or a key: a URL, also
// with the slashes JSON escapes, and any long run without a space.
var secretLike = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*:\\?/\\?/[^\s"'<>]*|[\w+/=.:%~&?\\-]{32,}`)

// presentable makes a text of a push service fit to be shown: printable, on one
// line, short, and without the endpoint or anything that looks like a secret.
func presentable(text string, target *url.URL) string {
	for _, part := range secretsOf(target) {
		text = strings.ReplaceAll(text, part, "…")
	}
	text = secretLike.ReplaceAllString(text, "…")
	return shorten(strings.Join(strings.FieldsFunc(text, unprintable), " "))
}

// secretsOf gives what of an endpoint must not be repeated: all that follows the
// host, as it is sent and as it is meant, and its longer parts one by one.
func secretsOf(target *url.URL) []string {
	var whole, parts []string
	for _, form := range []string{target.RequestURI(), target.EscapedPath(), target.Path} {
		if len(form) < 2 {
			continue
		}
		whole = append(whole, form)
		for part := range strings.FieldsFuncSeq(form, func(r rune) bool { return strings.ContainsRune("/?&=", r) }) {
			if len(part) >= 8 {
				parts = append(parts, part)
			}
		}
	}
	return append(whole, parts...)
}

// unprintable tells where a text is split into words.
func unprintable(r rune) bool {
	return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == unicode.ReplacementChar
}

// shorten cuts a text to push.MaxReasonBytes, between two characters.
func shorten(text string) string {
	if len(text) <= push.MaxReasonBytes {
		return text
	}
	const ellipsis = "…"
	return strings.ToValidUTF8(text[:push.MaxReasonBytes-len(ellipsis)], "") + ellipsis
}

// retryAfter reads a Retry-After header (RFC 9110 §10.2.3): seconds or a date.
// It is 0 when there is none, when it is past, and when it cannot be read.
func retryAfter(value string, now time.Time) time.Duration {
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

// unanswered turns a request without an answer into a result. The message may
// have been taken, so it is Retry; its Topic lets the copy replace it.
//
// So is an address that the guard refused to dial: it may be a passing whim of
// the name service, every attempt is guarded, and the TTL ends them.
//
// The errors' own texts hold addresses and are not repeated.
func unanswered(err error) push.Result {
	if errors.Is(err, ssrf.ErrProhibitedIP) || errors.Is(err, ssrf.ErrProhibitedNetwork) {
		return push.Result{
			Outcome: push.Retry,
			Reason:  "the endpoint's host resolves to an address that is not on the public internet",
		}
	}
	return push.Result{Outcome: push.Retry, Reason: failure(err)}
}

// failure names the kind of a network error.
func failure(err error) string {
	var (
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		operation   *net.OpError
		network     net.Error
	)
	switch {
	case errors.Is(err, context.Canceled):
		return "cancelled before the push service answered"
	case errors.As(err, &dns):
		return "the name of the push service does not resolve"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "the push service did not answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the push service refuses connections"
	case errors.As(err, &certificate):
		return "the push service's certificate is not trusted"
	case errors.As(err, &record), errors.As(err, &operation) && (operation.Op == "remote error" || operation.Op == "local error"):
		return "the push service does not speak TLS as it should"
	default:
		return "the connection to the push service broke"
	}
}

// unsigned turns a failure to make a token into a result. A key that is gone
// concerns the subscriptions made with it; a key that is broken is ours to mend;
// a lookup that failed may succeed later.
func unsigned(err error) push.Result {
	switch {
	case errors.Is(err, ErrUnknownKey):
		return push.Result{
			Outcome: push.Rejected,
			Reason:  "key_mismatch: the app no longer has the VAPID key that this subscription was made with",
		}
	case errors.Is(err, errUnusableKey):
		return push.Result{Outcome: push.Refused, Reason: shorten(err.Error())}
	default:
		return push.Result{Outcome: push.Retry, Reason: "the app's VAPID key could not be looked up"}
	}
}

// rejected turns what is wrong with a message or its subscription into a
// result. The errors are this package's own and hold no secrets.
func rejected(err error) push.Result {
	return push.Result{Outcome: push.Rejected, Reason: shorten(err.Error())}
}
