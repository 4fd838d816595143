package api

import (
	"slices"
	"strings"
	"time"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
)

// facts are what is known of a user and, if it was asked for, of one
// notification. What is said of them depends on nothing else.
type facts struct {
	now           time.Time
	user          push.User
	account                                   // of the notification; none in an overview
	subscriptions []push.Subscription         // the user's, as they are now
	lanes         map[push.Digest]actors.Node // the ways to these that are not open
	attempts      []push.Event                // those that were not the last, by ID
	ends          map[push.Digest]push.Event  // what ended subscriptions before it was sent to them
	successor     push.ID                     // what superseded it

	// In an overview.
	recent []account // the user's newest, the newest first
	since  time.Time // there may be older ones than this; zero if not
}

// isOverview tells whether it is about no notification.
func (f facts) isOverview() bool { return f.Notification.ID.IsZero() }

// isTheirs tells whether the notification is the user's.
func (f facts) isTheirs() bool { return f.Notification.User == f.user }

// places are the user's subscriptions, and those that the notification went to and
// that have ended since.
func (f facts) places() (all []place) {
	if f.isTheirs() {
		for _, d := range f.Deliveries {
			if !d.Subscription.IsZero() {
				all = append(all, place{id: d.Subscription, kind: d.Kind, host: d.Host, delivery: &d})
			}
		}
		for _, p := range f.live {
			all = append(all, place{id: p.Subscription, kind: p.Kind, host: p.Host, live: &p})
		}
	}
	for _, sub := range f.subscriptions {
		if !slices.ContainsFunc(all, func(p place) bool { return p.id == sub.Digest }) {
			all = append(all, place{id: sub.Digest, kind: sub.Kind, host: sub.Host()})
		}
	}
	for i := range all {
		f.complete(&all[i])
	}
	return all
}

// complete adds what is known of a place beside its delivery.
func (f facts) complete(p *place) {
	for _, sub := range f.subscriptions {
		if sub.Digest == p.id {
			p.now = &sub
		}
	}
	if lane, ok := f.lanes[p.id]; ok {
		p.lane = &lane
	}
	if end, ok := f.ends[p.id]; ok {
		p.end = &end
	}
	if !f.isTheirs() {
		return
	}
	for _, e := range f.attempts {
		if e.Subscription == p.id {
			p.attempts = append(p.attempts, e)
		}
	}
	for _, r := range f.Receipts {
		if r.Subscription == p.id {
			p.receipts = append(p.receipts, r)
		}
	}
}

// explanation is the answer.
func (f facts) explanation() Explanation {
	places := f.places()
	answer := Explanation{User: f.user.ID, Summary: f.summary(places), Subscriptions: make([]SubscriptionExplanation, len(places))}
	for i, p := range places {
		answer.Subscriptions[i] = f.explained(p)
	}
	if f.isTheirs() {
		answer.Notification = f.account.shown()
	}
	for _, one := range f.recent {
		answer.Recent = append(answer.Recent, one.shown())
	}
	answer.RecentSince = utc(f.since)
	return answer
}

func (f facts) explained(p place) SubscriptionExplanation {
	answer := SubscriptionExplanation{Id: p.id.String(), Kind: p.kind.String(), Host: p.host, Attempts: p.made()}
	if f.isTheirs() {
		answer.Summary = f.about(p)
	} else {
		answer.Summary = f.aboutSubscription(p)
	}
	switch {
	case p.delivery != nil:
		answer.Delivery = finalDelivery(*p.delivery, p.receipts)
	case p.live != nil:
		answer.Delivery = liveDelivery(*p.live)
	}
	if p.now != nil {
		answer.Subscription = shown(*p.now)
	}
	if p.lane != nil {
		answer.Lane = LaneState{
			Name:   p.lane.Path[strings.LastIndexByte(p.lane.Path, '/')+1:],
			State:  p.lane.State,
			Cause:  p.lane.Cause,
			Reason: p.lane.Reason,
			Until:  utc(p.lane.NextAttempt),
		}
	}
	return answer
}

// made are the attempts: those that the events tell of, and the last one, which the
// delivery tells of.
func (p place) made() []Attempt {
	made := []Attempt{}
	for _, e := range p.attempts {
		outcome := push.Retry
		if e.Type == push.EventRefused {
			outcome = push.Refused
		}
		made = append(made, Attempt{
			Number: e.Attempts, At: e.At.UTC(), Outcome: outcome.String(), Status: e.Status, Reason: e.Reason, NextAttemptAt: utc(e.Next),
		})
	}
	if p.delivery == nil || p.delivery.Attempts == 0 {
		return made
	}
	last := Attempt{Number: p.delivery.Attempts, At: p.delivery.DoneAt.UTC(), Status: p.delivery.Status, Reason: p.delivery.Reason}
	switch p.delivery.State {
	case push.StateDelivered:
		last.Outcome = push.Delivered.String()
	case push.StateGone:
		last.Outcome = push.Gone.String()
	case push.StateRejected:
		last.Outcome = push.Rejected.String()
	default:
		return made // it was not sent any more
	}
	return append(made, last)
}
