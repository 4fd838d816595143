package actors

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// What the journal has the store write in one transaction.

// commitGroup is one transaction on its way.
type commitGroup struct {
	accepts       []waitingAccept
	notifications []push.Notification // of the accepts, in order
	batch         *batch              // nil without records
	committed     bool
	took          time.Duration
	err           error
}

// batch is records that are committed together, with the events of what they
// tell of.
//
// When the store fails it may have taken them all the same: the connection
// broke in the middle of the commit. So they are tried again with the very same
// events, whose IDs the store takes once.
type batch struct {
	records []*record
	events  []push.Event // in the order of the records, and of their IDs
	made    bool         // the events
	inDoubt bool         // an earlier try may have been committed
}

// all are the records; of no batch, none.
func (b *batch) all() []*record {
	if b == nil {
		return nil
	}
	return b.records
}

// told are the events of the records; of no batch, none.
func (b *batch) told() []push.Event {
	if b == nil {
		return nil
	}
	return b.events
}

// last is the newest ID of a group, or zero.
func (g *commitGroup) last() (id push.ID) {
	if n := len(g.notifications); n > 0 {
		id = g.notifications[n-1].ID
	}
	return id
}

// commit gives what commits the group, outside of the journal.
func (g *commitGroup) commit(s *System) func(context.Context) any {
	return func(ctx context.Context) any {
		rows := store.Group{Accepted: g.notifications, Keys: g.keys()}
		if g.batch != nil {
			g.batch.write(s, &rows)
		}
		began := time.Now()
		g.err = s.config.Store.Commit(ctx, rows)
		g.took = time.Since(began)
		if g.batch != nil {
			g.err = g.batch.judge(g.err)
		}
		return &committed{group: g}
	}
}

// keys are the idempotency keys of a group's accepts.
func (g *commitGroup) keys() (keys []store.IdempotencyKey) {
	next := 0
	for _, a := range g.accepts {
		if a.key != nil {
			keys = append(keys, store.IdempotencyKey{
				App: a.key.App, Key: a.key.Key, Request: a.key.Request,
				IDs: idsOf(g.notifications[next : next+len(a.drafts)]), CreatedAt: g.notifications[next].AcceptedAt,
			})
		}
		next += len(a.drafts)
	}
	return keys
}

// write adds what the records say, and their events, to the rows of a group.
func (b *batch) write(s *System, rows *store.Group) {
	if !b.made {
		b.made, b.events = true, s.eventsOf(b.records)
	}
	rows.Events = b.events
	for _, r := range b.records {
		if r.delivery.State != 0 {
			rows.Deliveries = append(rows.Deliveries, r.delivery)
		}
		if r.delivery.State == push.StateGone {
			rows.Gone = append(rows.Gone, store.SubscriptionGone{
				UserSubscription: store.UserSubscription{User: r.user, Digest: r.delivery.Subscription}, RegisteredAt: r.registered,
			})
		}
		if r.finished {
			rows.Finished = append(rows.Finished, r.delivery.Notification)
		}
		switch change := r.change.(type) {
		case store.SubscriptionRest:
			rows.Rests = append(rows.Rests, change)
		case store.SubscriptionSeen:
			rows.Seen = append(rows.Seen, change)
		case mismatched:
			rows.Mismatched = append(rows.Mismatched, change.UserSubscription)
		case *park:
			rows.Parked = append(rows.Parked, change.Parking)
		case push.Receipt:
			rows.Receipts = append(rows.Receipts, change)
		case store.WebhookProgress:
			rows.Webhooks = append(rows.Webhooks, change)
		}
	}
}

// judge tells whether a batch is durable, by what its commit came to.
func (b *batch) judge(err error) error {
	switch exists := errors.Is(err, store.ErrExists); {
	case exists && b.inDoubt:
		return nil // the events are there: an earlier try was committed after all
	case exists:
		b.made = false // something else in the group was there; nothing was written
	case err != nil:
		b.inDoubt = true
	}
	return err
}

// apps are those that have events in the batch.
func (b *batch) apps() (apps []string) {
	for i := range b.events {
		if app := b.events[i].App; len(apps) == 0 || apps[len(apps)-1] != app && !slices.Contains(apps, app) {
			apps = append(apps, app)
		}
	}
	return apps
}

// commits knows the groups that are under way to the store, of whichever
// incarnation of the journal.
type commits struct {
	mu    sync.Mutex
	began map[*commitGroup]time.Time
}

func (c *commits) begin(g *commitGroup) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.began == nil {
		c.began = make(map[*commitGroup]time.Time)
	}
	c.began[g] = time.Now()
}

func (c *commits) end(g *commitGroup) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.began, g)
}

// look tells how many groups are under way, and for how long the oldest is.
func (c *commits) look() (n int, oldest time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, began := range c.began {
		oldest = max(oldest, time.Since(began))
	}
	return len(c.began), oldest
}
