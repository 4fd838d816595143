package actors

import (
	"time"

	"github.com/belfryhq/belfry/push"
)

// Event is something that happened in the tree. Config.Observe gets every
// event; logs and metrics are made of them. The set is closed: the types
// below.
type Event interface{ event() }

// The events.
type (
	// AttemptMade: a push service was asked once.
	AttemptMade struct {
		Notification push.ID
		User         push.User
		Subscription push.Digest
		Lane         string
		Result       push.Result
		Began        time.Time
		Took         time.Duration
		AcceptedAt   time.Time // the notification
		Trace        []byte    // the notification's; only to be read
	}

	// DeliveryConcluded: a delivery is final.
	DeliveryConcluded struct {
		User       push.User
		Delivery   push.Delivery
		AcceptedAt time.Time // the notification
		SendAt     time.Time // push.Notification.SendAt
		Trace      []byte    // the notification's; only to be read
	}

	// LanePaused: a push host refuses our credentials, fails, or refuses too
	// much; its work waits.
	LanePaused struct {
		Lane   string
		Cause  string // one of these, in words
		Reason string // what the push host said
		Until  time.Time
	}

	// LaneResumed: a paused lane carries again.
	LaneResumed struct{ Lane string }

	// ActorFailed: an actor panicked. Pause is how long until it starts anew.
	ActorFailed struct {
		Path     string
		Reason   string // what it panicked with
		Stack    string // where
		Restarts int    // how often this child failed so far
		Pause    time.Duration
	}

	// GroupCommitted: the store took a group of the journal's, or with Err did
	// not. Records that it did not take come again in another group.
	GroupCommitted struct {
		Notifications int // accepted
		Records       int // of what became of others
		Took          time.Duration
		Err           error
		Events        []push.Event // that the records tell of; only to be read
	}

	// ReceiptTaken: what a device said is recorded.
	ReceiptTaken struct {
		User    push.User
		Receipt push.Receipt
	}

	// StoreFailed: the store could not do something now; it is tried again.
	StoreFailed struct {
		What string
		Err  error
	}

	// SubscriptionUnused: a subscription was removed, because there was no sign
	// of life of it for Config.UnusedAfter.
	SubscriptionUnused struct {
		User         push.User
		Subscription push.Digest
		Kind         push.Kind
		Host         string
		SeenAt       time.Time
	}

	// WebhookFailed: a call of an app's webhook was not taken. It is made again at
	// Next; if that is zero, the receiver wants no more calls.
	WebhookFailed struct {
		App, Name string
		Result    CallResult
		Attempts  int
		Next      time.Time
	}

	// WebhookGaveUp: events were not sent, because all the calls for them were not
	// taken until they were older than events are kept. Those that came next may
	// have been removed from the feed meanwhile, up to Before.
	WebhookGaveUp struct {
		App, Name string
		Events    int
		Before    time.Time
	}

	// WorkRejoined: the sweep found work in the store that nobody held.
	WorkRejoined struct{ Notification push.ID }
)

func (AttemptMade) event()        {}
func (DeliveryConcluded) event()  {}
func (LanePaused) event()         {}
func (LaneResumed) event()        {}
func (ActorFailed) event()        {}
func (GroupCommitted) event()     {}
func (ReceiptTaken) event()       {}
func (StoreFailed) event()        {}
func (SubscriptionUnused) event() {}
func (WebhookFailed) event()      {}
func (WebhookGaveUp) event()      {}
func (WorkRejoined) event()       {}
