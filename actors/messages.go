package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// The protocol: every message of the tree, grouped by who receives it, in the
// order of the tree. Commands are imperative, facts are in the past tense. A
// message is not changed after it was sent.

// To any actor.
type (
	// inspect asks an actor to describe itself; answered by inspected.
	inspect struct {
		child string // also find this child
		after string // list children whose names come after this one
		limit int    // at most so many; 0 lists none
	}
	inspected struct {
		node     Node
		child    *childRef  // nil if there is no such child
		children []childRef // by name
		more     bool       // there are more after these
		total    int        // children, listed or not
	}
	// childRef is a child as its parent knows it.
	childRef struct {
		name string
		pid  *actor.PID // nil while the child is between two generations

		restarts int
		failure  string // what it panicked with last, cut short
		failedAt time.Time

		// What else the parent knows of a child without a pid.
		kind  string
		state string
		next  time.Time
	}
)

// To a shard range and the lanes.
type (
	// search asks for children by a part of their name, in lower case; answered by
	// searched.
	search struct {
		part  string
		limit int
	}
	searched struct {
		found []childRef // by name
		more  bool       // there are more after these
	}
)

// To the journal.
type (
	// accept asks to make new notifications durable; answered by accepted or refused.
	accept struct {
		drafts []Draft
		key    *Key // nil for none
	}

	// record notes a final delivery, which is an event too, whether it was its
	// notification's last, a change, and other events. Who asks rather than
	// tells is answered by flushed once it is durable; of a receipt, by refused if
	// too much waits.
	record struct {
		user       push.User
		delivery   push.Delivery // of no State when only finished is meant
		registered time.Time     // with StateGone: push.Subscription.RegisteredAt of what is gone
		finished   bool
		change     any          // nil, or store.SubscriptionRest, store.SubscriptionSeen, mismatched, *park, push.Receipt, store.WebhookProgress
		events     []push.Event // without IDs: the journal gives them
	}

	// mismatched notes push.Subscription.KeyMismatch.
	mismatched struct{ store.UserSubscription }

	// park asks to have a notification wait in the store; answered by parked
	// once that is durable.
	park struct {
		store.Parking
		from *actor.PID
		time int // how often this was asked of the notification: the answer has it too
	}

	// flush is answered by flushed once all that was recorded before is durable.
	flush struct{}

	committed struct{ group *commitGroup } // from its own commit
	resume    struct{}                     // from its own timer: try again what failed
)

// From the journal to whoever asked.
type (
	accepted struct{ ids []push.ID }
	refused  struct{ err error }
	flushed  struct{}
	// Also parked, to a user.
)

// From a user, or its range, to whoever asked to cancel.
type (
	cancelled struct{}

	// missing tells that the notification is not in hand. All that was recorded of
	// it is on its way to the store, and nobody takes it up until the next cancel,
	// which is to name the turn.
	missing struct{ turn int }
)

// To lanes and a lane.
type (
	// carry asks to send a message as soon as the lane permits; answered by
	// carried to the sender, always once.
	carry struct {
		key     laneKey
		message push.Message // without TTL: the lane fills in what remains
	}
	carried struct {
		verdict verdict
		result  push.Result // with verdictSent
		panic   any         // with verdictPanicked: what the provider panicked with
		until   time.Time   // with verdictShut: when to ask again; result says why
	}

	// survey asks for the lanes to look at first, at most so many: those that are
	// shut, and those that were given the most to carry; answered by inspected.
	survey struct{ limit int }

	// withdraw takes back what the sender asked to carry, if it has not begun.
	withdraw struct{ key laneKey }

	// halt stops a lane, or all, from beginning new sends: the system drains.
	// It is answered by halted once none is under way.
	halt   struct{}
	halted struct{}

	// sent gives a permit back, from a lane's own send. The lane passes the
	// answer on to whoever asked.
	sent struct {
		from   *actor.PID
		user   push.User
		answer *carried
		probe  bool
		life   uint64 // of the incarnation that began it
	}

	// reconsider tells that an app's credentials changed: its lanes need not
	// wait any longer because the old ones were refused.
	reconsider struct{ app string }

	probe struct{} // from a lane's own timer: the pause is over
	prune struct { // from a lane's own timer: look for expired work
		life uint64
	}
)

// To a shard range.
type (
	// coming tells whose notifications are being committed.
	coming struct{ users []push.User }

	// handOut brings newly committed notifications, by ascending ID.
	handOut struct{ notifications []push.Notification }

	// settled tells that these notifications are finished, durably.
	settled struct{ ids []push.ID }

	// fetch asks for a page of a user's notifications that were parked and are
	// due; answered by restock.
	fetch struct {
		from  *actor.PID
		user  push.User
		after push.ID
	}

	// left tells that a notification is parked, durably, and no longer in
	// its user's memory.
	left struct {
		from  *actor.PID
		user  push.User
		id    push.ID
		until time.Time
	}

	// changed tells that a user's subscriptions changed in the store.
	changed struct{ user push.User }

	// doubt tells that somebody's subscriptions may have changed.
	doubt struct{}

	// forget tells that a user was removed from the store with all its work.
	forget struct{ user push.User }

	// cancel takes a notification back; answered by cancelled to the asker, or by
	// missing.
	cancel struct {
		notification push.Notification
		done         []push.Digest // where its delivery is final already, by what was durable after missing came
		turn         int           // that missing named; 0 for only if it is in hand
		missed       int           // the turn that missing is to name
		asker        *actor.PID
	}

	// track asks for the live deliveries of a notification; answered by tracked.
	track struct {
		user push.User
		id   push.ID
	}
	tracked struct{ deliveries []Progress }

	// sweep asks to look for work in the store that nobody holds.
	sweep struct{}

	filled    struct{ read pendingRead } // from its own read of the store
	swept     struct{ read pendingRead } // from its own read of the store
	loaded    struct{ read cacheRead }   // from its own read of the store
	recovered struct{ read userRead }    // from its own read of the store
	caughtUp  struct{ read userRead }    // from its own read of the store
	begun     struct{ err error }        // from its own question to the journal
	found     struct{ read dueRead }     // from its own read of the store
	fetched   struct{ read fetchRead }   // from its own read of the store
	tick      struct{}                   // from its own timer
	reload    struct{}                   // from its own timer: the store failed before
	respawn   struct{ user push.User }   // from its own timer: a crashed user's pause is over
)

// To a user; those marked (counted) take part in the drain handshake.
type (
	// deliver brings a notification (counted).
	deliver struct {
		notification push.Notification
		done         []push.Digest // where its delivery is final already
		back         bool          // it was parked, because some subscriptions rest
		askers       []*actor.PID  // who cancelled it: it is not to be sent, and they get cancelled
	}

	// comeDue tells that something that was parked is due (counted).
	comeDue struct{}

	// restock brings a page of what was parked and is due (counted).
	restock struct {
		pending  []store.Pending
		upTo     push.ID // the page goes up to here
		complete bool    // there is nothing after it
	}

	// supply brings the user's subscriptions as they are in the store (counted).
	supply struct{ subscriptions []push.Subscription }

	// invalidate tells that the cached subscriptions are old; supply follows (counted).
	invalidate struct{}

	// concluded tells that a subscription is done with a notification.
	concluded struct {
		generation  int
		delivery    push.Delivery
		registered  time.Time // push.Subscription.RegisteredAt of what it was sent to last
		keyMismatch bool      // see push.Subscription.KeyMismatch
	}

	// progressed tells that an attempt failed and another will follow.
	progressed struct {
		digest push.Digest
		id     push.ID
		at     attempt
	}

	// rested tells that a subscription's next attempt is far off. All that it
	// was given and has not concluded is the user's again.
	rested struct {
		generation int
		digest     push.Digest
		id         push.ID // the first of it
		at         attempt
		tried      bool // an attempt failed just now; otherwise its lane does not carry it
	}

	// parked tells that a notification is parked, durably.
	parked struct {
		id   push.ID
		time int
	}

	// dropped tells that a subscription has seen to a drop.
	dropped struct{ asked *gathering }

	wake struct{} // from its own timer: a subscription's rest is over

	revive struct { // from its own timer: a crashed subscription's pause is over
		digest     push.Digest
		generation int // the one that crashed
	}
)

// To a subscription.
type (
	// send brings a notification to deliver.
	send struct {
		notification push.Notification
		before       attempt // made by an earlier generation
	}

	// renew brings the subscription with new keys.
	renew struct{ subscription push.Subscription }

	// abandon tells that the subscription is no longer this user's: what it
	// was given and did not send yet will not be sent.
	abandon struct{}

	// drop takes back one notification that has not begun to be sent; answered
	// by dropped to the user.
	drop struct {
		id    push.ID
		asked *gathering
	}

	due struct{} // from its own timer: the wait before the next attempt is over
)

// To the janitor.
type (
	maintain   struct{} // from its own timer
	maintained struct { // from its own work on the store
		removed int
		err     error
	}
	audit   struct{} // from its own timer
	audited struct { // from its own work on the store
		pending int // notifications with work left
		unused  []push.Subscription
		err     error
	}
)

// To the webhooks and a webhook. Also halt, answered by halted once no call is under way.
type (
	// newEvents tells that there are events of these apps, up to System.LatestEvent.
	newEvents struct{ apps []string }

	// webhooksChanged tells that an app's webhooks changed in the store.
	webhooksChanged struct{ app string }

	webhooksListed struct{ list *webhookList } // from its own read of the store
	readWebhooks   struct{}                    // from its own timer: the store failed before
	reopenWebhook  struct{ name string }       // from its own timer: a crashed webhook's pause is over

	// amend brings a webhook as it is in the store.
	amend struct{ webhook store.Webhook }

	// reveal is answered by revealed.
	reveal   struct{}
	revealed struct{ state WebhookState }

	gathered  struct{ read *parcelRead } // from its own read of the feed
	lookAgain struct{}                   // from its own timer
	callAgain struct{ parcel *parcel }   // from its own timer
	called    struct {                   // from its own call
		result CallResult
		panic  any // what the Caller panicked with; nil for nothing
	}
)

// To children that a parent may let go, and back.
type (
	// drain asks whether the child handled all that was sent to it and has
	// nothing left; it answers drained if so, and nothing otherwise.
	drain   struct{ sent uint64 }
	drained struct {
		from *actor.PID
		sent uint64
	}

	// settle is answered by settledDown once every result that was on its way
	// to this actor or its children has reached the journal.
	settle      struct{}
	settledDown struct{}
)

// verdict is how a lane answers.
type verdict uint8

const (
	verdictSent      verdict = iota + 1 // an attempt was made: see the result
	verdictExpired                      // the notification's time passed while it waited
	verdictWithdrawn                    // taken back before it began
	verdictPanicked                     // the provider panicked
	verdictShut                         // the lane will not carry it for a while
)

// attempt is the last thing known of a delivery that is not final.
type attempt struct {
	attempts int
	result   push.Result
	next     time.Time // when it is tried again
}
