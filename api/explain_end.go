package api

import (
	"context"
	"slices"
	"time"

	"github.com/belfryhq/belfry/push"
)

const (
	endLooks = 8    // at the feed for an explanation: at some 10,000 events each
	endsMax  = 1000 // events that one look gives
)

// endSpans are where in the feed what ended a subscription is looked for, from
// when its delivery was final. Mostly it stands a moment before that; earlier if the
// user's actor was long in hearing of it, and later if the store was.
var endSpans = []struct{ from, to time.Duration }{
	{-time.Second, time.Second},
	{-10 * time.Second, -time.Second},
	{time.Second, 10 * time.Second},
}

// gatherEnd finds what ended a subscription before a notification was sent to it.
// It is not found where no events are kept, or no longer, nor where so many happened
// meanwhile that the looks are used up.
func (s *Server) gatherEnd(ctx context.Context, known *facts, d push.Delivery, looks *int) error {
	for _, span := range endSpans {
		end, err := s.findEnd(ctx, known.user, d.Subscription, idBefore(d.DoneAt.Add(span.from)), idBefore(d.DoneAt.Add(span.to)), looks)
		if err != nil {
			return err
		}
		if end != nil {
			known.ends[d.Subscription] = *end
			return nil
		}
	}
	return nil
}

// findEnd looks for what ended a subscription of a user's in a part of the feed.
func (s *Server) findEnd(ctx context.Context, user push.User, digest push.Digest, after, upTo push.ID, looks *int) (*push.Event, error) {
	ends := []push.EventType{push.EventSubscriptionMoved, push.EventSubscriptionRemoved}
	for latest := s.config.System.LatestEvent(); *looks > 0 && after.Compare(upTo) < 0 && after.Compare(latest) < 0; *looks-- {
		events, next, err := s.config.System.Events(ctx, user.App, after, ends, endsMax)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(events, func(e push.Event) bool { return e.Subscription == digest && endedFor(e) == user.ID }); i >= 0 {
			return &events[i], nil
		}
		after = next
	}
	return nil, nil
}

// endedFor is the user who no longer has the subscription.
func endedFor(e push.Event) string {
	if e.Type == push.EventSubscriptionMoved {
		return e.From
	}
	return e.User
}

// idBefore is an ID that comes before all that are made from a time on.
func idBefore(at time.Time) (id push.ID) {
	millis := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(millis >> (40 - 8*i))
	}
	return id
}
