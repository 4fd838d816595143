package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// How notifications are accepted.

// Draft is a notification that has not been accepted yet.
type Draft struct {
	User        push.User
	Content     []byte // push.Content.Encode; not changed afterwards
	Native      []byte // push.Native.Encode; nil for none; not changed afterwards
	Urgency     push.Urgency
	CollapseKey string
	SendAt      time.Time     // when to deliver it; zero, or past, for at once
	TTL         time.Duration // how long it is worth delivering, from its acceptance or SendAt
	Trace       []byte        // push.Notification.Trace; nil for none; not changed afterwards
}

// accept makes a notification of a draft.
func (d Draft) accept(id push.ID, now time.Time) push.Notification {
	n := push.Notification{
		ID:          id,
		User:        d.User,
		Content:     d.Content,
		Native:      d.Native,
		Urgency:     d.Urgency,
		CollapseKey: d.CollapseKey,
		AcceptedAt:  now,
		ExpiresAt:   now.Add(d.TTL),
		Trace:       d.Trace,
	}
	if at := d.SendAt.Truncate(time.Millisecond).UTC(); at.After(now) {
		n.SendAt, n.ExpiresAt = at, at.Add(d.TTL)
	}
	return n
}

// Notify accepts notifications, all or none, and returns their IDs in the
// order of the drafts. When it returns without an error they are durable, and
// each will be delivered, expire, or be explained.
//
// ErrOverloaded, ErrBacklogFull and ErrDraining: nothing was accepted. ErrUnavailable: the
// store failed; nothing was promised, though all of it may have been kept if
// the connection broke during the commit.
func (s *System) Notify(drafts []Draft) ([]push.ID, error) {
	return s.accept(drafts, nil)
}

// Key is an idempotency key: a client that sends the same request with the
// same key again gets the first answer again.
type Key struct {
	App     string
	Key     string   // the client's choice, 1–255 bytes
	Request [32]byte // SHA-256 of the request
}

// NotifyOnce is Notify for a request with an idempotency key: it accepts once
// what is asked for several times, also at the same time, and for as long as the
// store keeps the key. ErrKeyReused: the key was used for another request.
func (s *System) NotifyOnce(ctx context.Context, key Key, drafts []Draft) ([]push.ID, error) {
	known, err := s.config.Store.FindIdempotencyKey(ctx, key.App, key.Key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return s.accept(drafts, &key)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case known.Request != key.Request:
		return nil, ErrKeyReused
	default:
		return known.IDs, nil
	}
}

func (s *System) accept(drafts []Draft, key *Key) ([]push.ID, error) {
	if len(drafts) == 0 {
		return nil, nil
	}
	if s.draining.Load() {
		return nil, ErrDraining
	}
	n := int64(len(drafts))
	waiting := s.waiting.Add(n)
	defer s.waiting.Add(-n)
	switch {
	case waiting > maxWaiting:
		return nil, ErrOverloaded
	case s.backlog.Load()+waiting > int64(s.config.Backlog):
		return nil, ErrBacklogFull
	}
	answer, err := s.ask(s.journal, &accept{drafts: drafts, key: key}, acceptTimeout)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	switch answer := answer.(type) {
	case *accepted:
		return answer.ids, nil
	case *refused:
		if errors.Is(answer.err, ErrKeyReused) {
			return nil, ErrKeyReused
		}
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, answer.err)
	default:
		return nil, fmt.Errorf("%w: the journal answered with %T", ErrUnavailable, answer)
	}
}
