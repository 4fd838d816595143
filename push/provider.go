package push

import (
	"context"
	"time"
)

// Message is one notification on its way to one subscription.
type Message struct {
	Notification Notification
	Subscription Subscription
	TTL          time.Duration // what remains until the notification expires, more than nothing; whole seconds of it are rounded up
}

// Provider speaks to one kind of push service.
//
// Send makes one attempt, without retrying, and tells what it came to. It
// returns when the push service answered, when ctx ends, or at the provider's
// own time-out, whichever is first. It never fails otherwise: a broken
// connection is Retry, a subscription that cannot be used is Gone only if the
// push service said so. What the message holds is only read. Send may be
// called from many goroutines at once.
type Provider interface {
	Send(ctx context.Context, message Message) Result
}

// Checker tells beforehand what a provider could never send. Providers are
// Checkers too.
type Checker interface {
	// CheckSubscription tells whether a subscription can be sent to, as far as
	// that can be known without sending. An *InvalidError names the field of
	// the registration; any other error means that it cannot be told now.
	CheckSubscription(ctx context.Context, subscription Subscription) error

	// CheckNotification tells whether a notification can be made a message of
	// this kind: an *InvalidError or a *TooLargeError if not. It may have no
	// ID yet.
	CheckNotification(notification Notification) error
}
