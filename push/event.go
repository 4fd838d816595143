package push

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Event is an entry of an app's feed: something that happened to one of its
// deliveries, subscriptions or lanes. What does not concern an event is zero.
type Event struct {
	ID   ID // its place in the feed of all apps
	App  string
	Type EventType
	At   time.Time // when it happened, to the millisecond

	User         string // whom it concerns; empty for a lane
	Notification ID
	Subscription Digest
	EventDetail
}

// EventDetail is what nobody looks for an event by.
type EventDetail struct {
	Kind      Kind      `json:"k,omitempty"`
	Host      string    `json:"h,omitempty"` // the push host
	Attempts  int       `json:"n,omitempty"` // made so far, this one included
	Status    int       `json:"s,omitempty"` // the HTTP status of the last of them
	Reason    string    `json:"r,omitempty"` // why, for a person
	MessageID string    `json:"m,omitempty"` // what the push service calls the message
	Next      time.Time `json:"t,omitzero"`  // when it is tried again, or a lane's pause ends
	Lane      string    `json:"l,omitempty"` // app:kind:host or app:kind:account@host
	Cause     string    `json:"c,omitempty"` // why a lane paused, in fixed words
	From      string    `json:"f,omitempty"` // who had a subscription that moved
}

// Encode gives the form in which stores keep a detail.
func (d EventDetail) Encode() []byte {
	encoded, err := json.Marshal(d)
	if err != nil {
		panic(fmt.Errorf("encode an event: %w", err)) // it has nothing that does not encode
	}
	return encoded
}

// DecodeEventDetail is the inverse of Encode.
func DecodeEventDetail(encoded []byte) (d EventDetail, err error) {
	if err = json.Unmarshal(encoded, &d); err != nil {
		return EventDetail{}, fmt.Errorf("decode an event: %w", err)
	}
	return d, nil
}

// EventType says what happened. The numbers are stored and never change.
type EventType uint8

// The types. Of a delivery, retrying and refused are followed by others; shown,
// clicked and closed come from the device; all others are final.
const (
	EventDelivered      EventType = 1  // the push service took it
	EventGone           EventType = 2  // the push service said the subscription is over
	EventRejected       EventType = 3  // the push service will never take this message
	EventExpired        EventType = 4  // the TTL passed first
	EventUnsubscribed   EventType = 5  // the subscription was removed, or moved, first
	EventNoSubscription EventType = 6  // the user had no subscription
	EventSuperseded     EventType = 7  // a newer one with the same collapse key took its place
	EventCancelled      EventType = 8  // the application took it back first
	EventRetrying       EventType = 20 // an attempt failed, and another follows
	EventRefused        EventType = 21 // our credentials were refused, and another attempt follows
	EventShown          EventType = 30 // the service worker showed it
	EventClicked        EventType = 31 // the user clicked it
	EventClosed         EventType = 32 // the user closed it without a click

	EventSubscriptionAdded   EventType = 40 // registered for the first time
	EventSubscriptionMoved   EventType = 41 // registered for another user than before
	EventSubscriptionRemoved EventType = 42 // its reason says why

	EventLanePaused  EventType = 50 // a push host refuses, fails, or asks for rest; its work waits
	EventLaneResumed EventType = 51 // it carries again
)

var eventNames = map[EventType]string{
	EventDelivered: "delivery.delivered", EventGone: "delivery.gone", EventRejected: "delivery.rejected",
	EventExpired: "delivery.expired", EventUnsubscribed: "delivery.unsubscribed",
	EventNoSubscription: "delivery.no_subscription", EventSuperseded: "delivery.superseded", EventCancelled: "delivery.cancelled",
	EventRetrying: "delivery.retrying", EventRefused: "delivery.refused",
	EventShown: "delivery.shown", EventClicked: "delivery.clicked", EventClosed: "delivery.closed",
	EventSubscriptionAdded: "subscription.added", EventSubscriptionMoved: "subscription.moved", EventSubscriptionRemoved: "subscription.removed",
	EventLanePaused: "lane.paused", EventLaneResumed: "lane.resumed",
}

// EventTypes are all of them, by number.
func EventTypes() []EventType {
	types := make([]EventType, 0, len(eventNames))
	for t := range eventNames {
		types = append(types, t)
	}
	slices.Sort(types)
	return types
}

// EventOf is the type of the event that a final delivery of this state makes.
func EventOf(s State) EventType { return EventType(s) }

// String gives the word used in the API: delivery.delivered.
func (t EventType) String() string {
	if name, ok := eventNames[t]; ok {
		return name
	}
	return fmt.Sprintf("event(%d)", uint8(t))
}

// ParseEventType is the inverse of String.
func ParseEventType(s string) (EventType, error) {
	for t, name := range eventNames {
		if name == s {
			return t, nil
		}
	}
	return 0, fmt.Errorf("there is no event type %q", s)
}
