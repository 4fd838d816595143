package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/belfryhq/belfry/push"
)

const (
	feedLimit    = 100              // events in an answer when the request does not say
	feedLimitMax = 1000             // and at most
	feedWaitMax  = 50 * time.Second // for an event to come, in one request
	feedLook     = 2 * time.Second  // through events of other types, in one request
	feedAhead    = time.Hour        // that a cursor may be ahead of this clock
	drainLook    = time.Second      // between looks whether the system drains
)

// ListEvents gives a page of the app's events, or with the right Accept header a
// stream of them.
func (s *Server) ListEvents(ctx context.Context, request ListEventsRequestObject) (ListEventsResponseObject, error) {
	stream := wantsStream(requestOf(ctx).Header.Values("Accept"))
	q, err := s.feedQuery(callerOf(ctx).app, request.Params, stream)
	if err != nil {
		return nil, err
	}
	if stream {
		return &eventStream{server: s, ctx: ctx, query: q}, nil
	}
	events, more, err := s.awaitEvents(ctx, &q)
	if err != nil {
		return nil, err
	}
	answer := ListEvents200JSONResponse{Events: make([]Event, len(events)), Next: q.after.String(), More: more}
	for i, event := range events {
		answer.Events[i] = ShownEvent(event)
	}
	return answer, nil
}

// feedQuery is what a request wants of a feed.
type feedQuery struct {
	app   string
	after push.ID // moves on with what was read
	types []push.EventType
	limit int
	wait  time.Duration
}

func (s *Server) feedQuery(app string, params ListEventsParams, stream bool) (q feedQuery, err error) {
	if s.config.EventRetention < 0 {
		return q, problem{
			status: http.StatusNotFound, code: "events_off",
			detail: "This Belfry keeps no events. The operator can change that with BELFRY_EVENT_RETENTION; until then, look at states by GET /v1/notifications/{id}.",
		}
	}
	q = feedQuery{app: app, limit: params.Limit, wait: time.Duration(params.Wait) * time.Second}
	if q.limit == 0 {
		q.limit = feedLimit
	}
	if q.limit < 1 || q.limit > feedLimitMax {
		return q, invalid("limit", "limit is %d. Use 1 to %d.", q.limit, feedLimitMax)
	}
	if q.wait < 0 || q.wait > feedWaitMax {
		return q, invalid("wait", "wait is %d seconds. Use 0 to %d.", params.Wait, int(feedWaitMax/time.Second))
	}
	if q.types, err = eventTypes(params.Types); err != nil {
		return q, err
	}
	latest, now := s.config.System.LatestEvent(), time.Now()
	if stream && params.LastEventID != "" {
		q.after, err = s.cursor("Last-Event-ID", params.LastEventID, latest, now)
	} else {
		q.after, err = s.cursor("after", params.After, latest, now)
	}
	return q, err
}

// eventTypes reads types that are separated by commas; nil for all.
func eventTypes(list string) (types []push.EventType, err error) {
	if list == "" {
		return nil, nil
	}
	for name := range strings.SplitSeq(list, ",") {
		t, err := push.ParseEventType(strings.TrimSpace(name))
		if err != nil {
			return nil, invalid("types", "%s GET /openapi.yaml lists those that there are, under Event.", sentence(err))
		}
		types = append(types, t)
	}
	return types, nil
}

// cursor reads where to go on in a feed, of which the newest event is latest.
func (s *Server) cursor(field, text string, latest push.ID, now time.Time) (push.ID, error) {
	switch text {
	case "":
		return push.ID{}, nil
	case "latest":
		return latest, nil
	}
	id, err := push.ParseID(text)
	beyond := id.Compare(latest)
	switch {
	case err != nil:
		return push.ID{}, invalid(field, "%s is not a place in the feed. Use next of an answer, the id of an event, or latest.", field)
	case id.IsZero(): // next, of an answer before anything had ever happened
		return id, nil
	case id.Time().After(now.Add(feedAhead)) && beyond > 0:
		return push.ID{}, invalid(field, "%s is a place in the feed that is yet to come. Use next of an answer, the id of an event, or latest.", field)
	case beyond < 0 && !s.quiet.covers(id, now):
		return push.ID{}, problem{
			status: http.StatusGone, code: "events_gone", field: field,
			detail: fmt.Sprintf("Events are kept for %s, so some that came after this one are gone. Start without %s, or with after=latest, and look at the states you need by GET /v1/notifications/{id}.", span(s.config.EventRetention), field),
		}
	}
	return id, nil
}

// awaitEvents gives a page of events, and tells whether there is more to look at
// already. If there is nothing it waits for some, as long as the query says, the
// client is there, its key is valid and the system does not drain. The query is
// moved on.
func (s *Server) awaitEvents(ctx context.Context, q *feedQuery) (events []push.Event, more bool, err error) {
	if q.wait > 0 {
		leave, err := s.seats.take(q.app)
		if err != nil {
			return nil, false, err
		}
		defer leave()
	}
	ctx, cancel := untilRevoked(ctx)
	defer cancel()
	over := time.NewTimer(q.wait)
	defer over.Stop()
	drain := time.NewTicker(drainLook)
	defer drain.Stop()
	for {
		coming := s.config.System.EventsComing(q.app)
		events, more, err := s.fillPage(ctx, q, time.Now().Add(feedLook))
		if err != nil || len(events) > 0 || more {
			return events, more, err
		}
		for came := false; !came; {
			select {
			case <-ctx.Done():
				return nil, false, context.Cause(ctx)
			case <-over.C:
				return nil, false, nil
			case <-drain.C:
				if s.config.System.Draining() {
					return nil, false, nil
				}
			case <-coming:
				came = true
			}
		}
	}
}

// fillPage reads until the page is full, the feed is at its end or it is late:
// one read may find few among many of other types.
func (s *Server) fillPage(ctx context.Context, q *feedQuery, late time.Time) (events []push.Event, more bool, err error) {
	part := *q
	for more = true; more && len(events) < q.limit; {
		part.limit = q.limit - len(events)
		var found []push.Event
		if found, more, err = s.readEvents(ctx, &part); err != nil {
			return nil, false, err
		}
		events = append(events, found...)
		if !time.Now().Before(late) {
			break
		}
	}
	q.after = part.after
	return events, more, nil
}

// readEvents gives the next page, without waiting, and moves the query on. It
// tells whether there is more already, on the page or not. If ctx has ended, the error
// says why.
func (s *Server) readEvents(ctx context.Context, q *feedQuery) (events []push.Event, more bool, err error) {
	now, latest := time.Now(), s.config.System.LatestEvent()
	events, next, err := s.config.System.Events(ctx, q.app, q.after, q.types, q.limit)
	switch {
	case ctx.Err() != nil:
		return nil, false, context.Cause(ctx)
	case err != nil:
		return nil, false, err
	}
	q.after = next
	more = next.Compare(latest) < 0
	if !more {
		s.quiet.note(next, now)
	}
	return events, more, nil
}

// quiet remembers how long nothing happened after an event, where that was long.
// Then a place in the feed is old, though nothing is missing after it.
type quiet struct {
	retention time.Duration

	mu    sync.Mutex
	until map[push.ID]time.Time // by the event, or whichever place came last
}

func newQuiet(retention time.Duration) *quiet {
	return &quiet{retention: retention, until: make(map[push.ID]time.Time)}
}

// note tells that nothing had happened after a place at a time. Places of which
// that matters are few: between two of them nothing happened for half of the
// retention.
func (q *quiet) note(place push.ID, at time.Time) {
	if place.Time().After(at.Add(-q.retention / 2)) {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for other, until := range q.until {
		if until.Before(at.Add(-q.retention)) {
			delete(q.until, other)
		}
	}
	q.until[place] = at
}

// covers tells whether nothing that happened after a place is gone at a time.
func (q *quiet) covers(place push.ID, at time.Time) bool {
	kept := at.Add(-q.retention)
	if !place.Time().Before(kept) {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	until, known := q.until[place]
	return known && !until.Before(kept)
}

// ShownEvent is an event as the API and webhooks show it.
func ShownEvent(e push.Event) Event {
	shown := Event{
		Id:        e.ID.String(),
		Type:      e.Type.String(),
		At:        e.At.UTC(),
		User:      e.User,
		Host:      e.Host,
		Attempts:  e.Attempts,
		Status:    e.Status,
		Reason:    e.Reason,
		MessageId: e.MessageID,
		Lane:      e.Lane,
		Cause:     e.Cause,
		MovedFrom: e.From,
	}
	if !e.Notification.IsZero() {
		shown.Notification = e.Notification.String()
	}
	if !e.Subscription.IsZero() {
		shown.Subscription = e.Subscription.String()
	}
	if e.Kind != 0 {
		shown.Kind = e.Kind.String()
	}
	if e.Type == push.EventLanePaused {
		shown.Until = utc(e.Next)
	} else {
		shown.NextAttemptAt = utc(e.Next)
	}
	return shown
}
