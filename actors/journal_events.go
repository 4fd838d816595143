package actors

import (
	"time"

	"github.com/belfryhq/belfry/push"
)

// What becomes an event in an app's feed. A final delivery is one by itself;
// whatever else there is to tell stands in the record that makes it durable, so
// neither is in the store without the other. What nothing else is recorded of
// comes in a record of its own.
//
// Events get their IDs when they go to the store for the first time. One group
// with records at a time is under way, so the order of IDs is that of commits.

// keepsEvents tells whether events are recorded at all.
func (s *System) keepsEvents() bool { return s.config.EventRetention > 0 }

// tell records events that nothing else is recorded of.
func (s *System) tell(events ...push.Event) {
	if s.keepsEvents() && len(events) > 0 {
		s.send(s.journal, &record{events: events})
	}
}

// tells is how many events a record makes.
func (r *record) tells() int {
	n := len(r.events)
	if r.delivery.State != 0 {
		n++
	}
	return n
}

// eventsOf gives the events of records, with their IDs. It is called for one
// batch at a time, in the order in which they are committed.
func (s *System) eventsOf(records []*record) []push.Event {
	if !s.keepsEvents() {
		return nil
	}
	n := 0
	for _, r := range records {
		n += r.tells()
	}
	if n == 0 {
		return nil
	}
	now := time.Now()
	events := make([]push.Event, 0, n)
	for _, r := range records {
		if r.delivery.State != 0 {
			events = append(events, deliveryEvent(r.user, r.delivery))
		}
		events = append(events, r.events...)
	}
	for i := range events {
		e := &events[i]
		e.ID = s.eventIDs.next(now)
		e.At = e.At.Truncate(time.Millisecond).UTC()
		e.Next = e.Next.Truncate(time.Millisecond).UTC()
	}
	return events
}

// deliveryEvent is the event of a final delivery.
func deliveryEvent(user push.User, d push.Delivery) push.Event {
	return push.Event{
		App: user.App, Type: push.EventOf(d.State), At: d.DoneAt,
		User: user.ID, Notification: d.Notification, Subscription: d.Subscription,
		EventDetail: push.EventDetail{
			Kind: d.Kind, Host: d.Host, Attempts: d.Attempts, Status: d.Status, Reason: d.Reason, MessageID: d.MessageID,
		},
	}
}

// attemptEvent is the event of an attempt that failed and that another follows.
func attemptEvent(sub push.Subscription, notification push.ID, at attempt) push.Event {
	kind := push.EventRetrying
	if at.result.Outcome == push.Refused {
		kind = push.EventRefused
	}
	e := subscriptionEvent(sub, kind, at.result.Reason)
	e.Notification = notification
	e.Attempts, e.Status, e.MessageID, e.Next = at.attempts, at.result.Status, at.result.MessageID, at.next
	return e
}

// subscriptionEvent is an event of a subscription that happened now.
func subscriptionEvent(sub push.Subscription, kind push.EventType, reason string) push.Event {
	return push.Event{
		App: sub.User.App, Type: kind, At: time.Now(), User: sub.User.ID, Subscription: sub.Digest,
		EventDetail: push.EventDetail{Kind: sub.Kind, Host: sub.Host(), Reason: reason},
	}
}

// removedEvent is the event of a subscription of which no more is known.
func removedEvent(user push.User, digest push.Digest, reason string) push.Event {
	return push.Event{
		App: user.App, Type: push.EventSubscriptionRemoved, At: time.Now(), User: user.ID, Subscription: digest,
		EventDetail: push.EventDetail{Reason: reason},
	}
}

// putEvents are the events of a registration: none if it was known.
func putEvents(sub push.Subscription, movedFrom string, created bool) []push.Event {
	switch {
	case movedFrom != "":
		moved := subscriptionEvent(sub, push.EventSubscriptionMoved, "")
		moved.From = movedFrom
		return []push.Event{moved}
	case created:
		return []push.Event{subscriptionEvent(sub, push.EventSubscriptionAdded, "")}
	default:
		return nil
	}
}

// event is an event of a lane that happened now.
func (k laneKey) event(kind push.EventType) push.Event {
	return push.Event{
		App: k.app, Type: kind, At: time.Now(),
		EventDetail: push.EventDetail{Kind: k.kind, Host: k.host, Lane: k.String()},
	}
}
