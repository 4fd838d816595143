package push

import (
	"fmt"
	"time"
)

// Outcome is what one attempt to send came to. Every answer of a push
// service, and every failure to get one, is exactly one of these.
type Outcome uint8

// The outcomes. Ambiguity is never Gone.
const (
	Delivered Outcome = 1 // the push service took it
	Retry     Outcome = 2 // not now: network, timeout, throttling, a fault at the push service
	Gone      Outcome = 3 // the subscription is over, and the push service says so
	Rejected  Outcome = 4 // this message is wrong and always will be
	Refused   Outcome = 5 // our credentials are wrong: nothing for this push host will pass
)

// String gives the word used in the API, logs and metrics.
func (o Outcome) String() string {
	switch o {
	case Delivered:
		return "delivered"
	case Retry:
		return "retry"
	case Gone:
		return "gone"
	case Rejected:
		return "rejected"
	case Refused:
		return "refused"
	default:
		return fmt.Sprintf("outcome(%d)", uint8(o))
	}
}

// MaxReasonBytes bounds Result.Reason.
const MaxReasonBytes = 255

// Result is the outcome of one attempt and what is known about it.
type Result struct {
	Outcome    Outcome
	Status     int           // the HTTP status; 0 when there was no answer
	Reason     string        // why, for a person: at most MaxReasonBytes, without secrets or endpoints
	RetryAfter time.Duration // with Retry: what the push service asked for; 0 if it did not ask
	AtLeast    time.Duration // with Retry, when it did not ask: what its vendor wants waited at least, each time; 0 for nothing

	// Pause, with Retry or Refused: the push service wants rest from all that
	// goes to it with these credentials, for so long. 0 if it concerns this
	// subscription alone.
	Pause time.Duration

	// MessageID is what the push service calls the message, for its logs and
	// its support: APNs' apns-id, FCM's name, Windows' X-WNS-MSG-ID. At most
	// MaxReasonBytes; empty if it does not say.
	MessageID string

	// KeyMismatch, with Rejected: see Subscription.KeyMismatch.
	KeyMismatch bool
}
