package push

import (
	"fmt"
	"time"
)

// Delivery is what became of one notification at one subscription. It is
// written once, when it is final.
type Delivery struct {
	Notification ID
	Subscription Digest // zero with NoSubscription
	Kind         Kind   // zero with NoSubscription
	Host         string // the push host; empty with NoSubscription
	State        State
	Attempts     int       // how often it was sent, or tried to be
	Status       int       // the HTTP status of the last attempt; 0 when there was no answer
	Reason       string    // why, for a person: at most MaxReasonBytes; empty when plain
	MessageID    string    // what the push service calls the message; see Result
	DoneAt       time.Time // when it became final
}

// State is how a delivery ended. The numbers are stored and never change.
type State uint8

// The states.
const (
	StateDelivered      State = 1 // the push service took it
	StateGone           State = 2 // the push service said the subscription is over
	StateRejected       State = 3 // the push service will never take this message
	StateExpired        State = 4 // the TTL passed first
	StateUnsubscribed   State = 5 // the subscription was removed, or moved to another user, first
	StateNoSubscription State = 6 // the user had no subscription
	StateSuperseded     State = 7 // a newer notification with the same collapse key took its place in the queue
	StateCancelled      State = 8 // the application took it back first
)

// String gives the word used in the API, logs and metrics.
func (s State) String() string {
	switch s {
	case StateDelivered:
		return "delivered"
	case StateGone:
		return "gone"
	case StateRejected:
		return "rejected"
	case StateExpired:
		return "expired"
	case StateUnsubscribed:
		return "unsubscribed"
	case StateNoSubscription:
		return "no_subscription"
	case StateSuperseded:
		return "superseded"
	case StateCancelled:
		return "cancelled"
	default:
		return fmt.Sprintf("state(%d)", uint8(s))
	}
}
