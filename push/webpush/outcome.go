package webpush

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/answer"
	"github.com/belfryhq/belfry/push/guard"
)

const (
	// windowsRest is how long to wait at least after a 406 that does not say:
	// Windows throttles with it, and asks for this where it asks.
	windowsRest = 15 * time.Minute
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
//	400 and …             Refused    … the reason says that it is our VAPID token after all
//	400 and …             Retry      … the reason says that the connection was idle for too long
//	404, 410              Gone       the only two that say so
//	406                   Retry      Windows throttles; 15 minutes at least unless it says otherwise
//	408, 429              Retry
//	other 4xx             Rejected   413 among them
//	everything else       Retry      5xx, and what is no final status at all
//
// A redirect is never Refused: anyone can register an endpoint that redirects,
// and Refused stops all that goes to its host.
//
// Apple's BadWebPushTopic has no second attempt without the Topic: it says that
// a topic does not decode as base64url, and push.Notification.Topic always does.
func classify(status int, header http.Header, body []byte, target *url.URL, now time.Time) push.Result {
	result := push.Result{Outcome: outcomeOf(status), Status: status, MessageID: messageID(header, target)}
	if result.Outcome == push.Delivered {
		result.Reason = presentable(windowsDrop(header), target)
		return result
	}
	result.Reason = reasonOf(status, header, body, target)
	switch {
	case keyStatus(status) && says(body, keyMismatches):
		result.Outcome, result.KeyMismatch = push.Rejected, true
		result.Reason = answer.Shorten("key_mismatch: " + result.Reason)
	case status == http.StatusBadRequest && says(body, badCredentials):
		result.Outcome = push.Refused
	case status == http.StatusBadRequest && says(body, passing):
		result.Outcome = push.Retry
	}
	if result.Outcome == push.Retry {
		result.RetryAfter = answer.RetryAfter(header.Get("Retry-After"), now)
		if status == http.StatusNotAcceptable && result.RetryAfter == 0 {
			result.AtLeast = windowsRest
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

// badCredentials are Apple's words for a VAPID token or key that is wrong. They
// come with 403, but where status and reason disagree, Apple's reason counts.
var badCredentials = [][]byte{[]byte("BadJwtToken"), []byte("BadAuthorizationHeader"), []byte("BadVapidPublicKey")}

// passing is what Apple answers with 400 and would take on another connection.
var passing = [][]byte{[]byte("IdleTimeout")}

// says tells whether an answer holds one of the words.
func says(body []byte, words [][]byte) bool {
	return slices.ContainsFunc(words, func(word []byte) bool { return bytes.Contains(body, word) })
}

// unanswered turns a request without an answer into a result. The message may
// have been taken, so it is Retry; its Topic lets the copy replace it.
//
// So is an address that the guard refused to dial: it may be a passing whim of
// the name service, every attempt is guarded, and the TTL ends them.
//
// The errors' own texts hold addresses and are not repeated.
func unanswered(err error) push.Result {
	if errors.Is(err, guard.ErrNotPublic) {
		return push.Result{
			Outcome: push.Retry,
			Reason:  "the endpoint's host resolves to an address that is not on the public internet",
		}
	}
	return push.Result{Outcome: push.Retry, Reason: answer.Failure("the push service", err)}
}

// unsigned turns a failure to make a token into a result. A key that is gone
// concerns the subscriptions made with it; a key that is broken is ours to mend;
// a lookup that failed may succeed later.
func unsigned(err error) push.Result {
	switch {
	case errors.Is(err, ErrUnknownKey):
		return push.Result{
			Outcome:     push.Rejected,
			Reason:      "key_mismatch: the app no longer has the VAPID key that this subscription was made with",
			KeyMismatch: true, // as if the push service had said so: it takes the browser to mend it
		}
	case errors.Is(err, errUnusableKey):
		return push.Result{Outcome: push.Refused, Reason: answer.Shorten(err.Error())}
	default:
		return push.Result{Outcome: push.Retry, Reason: "the app's VAPID key could not be looked up"}
	}
}
