package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// What devices say of what they got.

// Receive records what a device said. It is durable when it returns without
// an error. One that is known already changes nothing, and one of a
// notification that is not kept, or is not this user's, is dropped.
// ErrUnavailable.
func (s *System) Receive(ctx context.Context, user push.User, receipt push.Receipt) error {
	receipt.At = receipt.At.Truncate(time.Millisecond).UTC()
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	known, err := s.config.Store.GetNotification(ctx, user.App, receipt.Notification)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case known.Notification.User != user || slices.ContainsFunc(known.Receipts, receiptOf(receipt).is):
		return nil
	}
	r := &record{user: user, change: receipt}
	if s.keepsEvents() {
		r.events = []push.Event{receiptEvent(known, receipt)}
	}
	answer, err := s.ask(s.journal, r, acceptTimeout)
	if refused, ok := answer.(*refused); ok {
		err = refused.err
	}
	if err != nil {
		return fmt.Errorf("%w: record a receipt: %w", ErrUnavailable, err)
	}
	s.observe(ReceiptTaken{User: user, Receipt: receipt})
	return nil
}

// receiptEvent is the event of a receipt. It may come before its delivery is
// recorded; then the push host is not known.
func receiptEvent(known store.Record, receipt push.Receipt) push.Event {
	e := push.Event{
		App: known.Notification.User.App, Type: receipt.Type.Event(), At: receipt.At,
		User: known.Notification.User.ID, Notification: receipt.Notification, Subscription: receipt.Subscription,
	}
	for _, d := range known.Deliveries {
		if d.Subscription == receipt.Subscription {
			e.Kind, e.Host = d.Kind, d.Host
		}
	}
	return e
}

// receiptName is what is told once.
type receiptName struct {
	notification push.ID
	subscription push.Digest
	kind         push.ReceiptType
}

func receiptOf(r push.Receipt) receiptName {
	return receiptName{r.Notification, r.Subscription, r.Type}
}

func (n receiptName) is(r push.Receipt) bool { return receiptOf(r) == n }

// receiptAge is how long the journal remembers a receipt that is in the
// store: for a device that said it twice, and was looked up just before.
const receiptAge = time.Minute

// receiptMemory sees to it that of several receipts that say the same one
// alone is recorded. The store knows those that were; this one knows those that
// are on their way there.
type receiptMemory struct {
	known  map[receiptName]bool
	recent []recentReceipt // by time
}

type recentReceipt struct {
	name   receiptName
	at     time.Time
	record uint64 // which of the journal's records it is
}

// enter tells whether the receipt, of which this would be the record, is new.
func (m *receiptMemory) enter(receipt push.Receipt, record, durable uint64) bool {
	now := time.Now()
	for len(m.recent) > 0 && m.recent[0].record <= durable && now.Sub(m.recent[0].at) > receiptAge {
		delete(m.known, m.recent[0].name)
		m.recent = m.recent[1:]
	}
	name := receiptOf(receipt)
	if m.known[name] {
		return false
	}
	if m.known == nil {
		m.known = make(map[receiptName]bool)
	}
	m.known[name] = true
	m.recent = append(m.recent, recentReceipt{name, now, record})
	return true
}
