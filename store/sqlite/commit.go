package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// Commit makes one group of changes durable, all or nothing.
//
// Each row is one run of a prepared statement. The group is one transaction and
// is synced to the disk once.
func (s *Store) Commit(ctx context.Context, group store.Group) error {
	prepared, err := s.prepareCommit(ctx)
	if err == nil {
		err = s.write(ctx, func(tx *sql.Tx) error { return prepared.run(tx, group) })
	}
	if err != nil {
		return fmt.Errorf("commit %d notifications, %d deliveries, %d gone, %d rests, %d seen, %d mismatched, %d parked, %d finished, %d receipts, %d events, %d webhooks: %w",
			len(group.Accepted), len(group.Deliveries), len(group.Gone), len(group.Rests), len(group.Seen),
			len(group.Mismatched), len(group.Parked), len(group.Finished), len(group.Receipts), len(group.Events), len(group.Webhooks), known(err))
	}
	return nil
}

// commitStatements belong to the write connection and last as long as it does.
type commitStatements struct {
	notification, pending, delivery, gone, rest, seen, mismatched, parked, finished, receipt, event, webhook *sql.Stmt
}

// prepareCommit prepares at the first Commit: before Migrate there may be no
// tables to prepare for.
func (s *Store) prepareCommit(ctx context.Context) (*commitStatements, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.commit != nil {
		return s.commit, nil
	}
	var failed error
	prepare := func(query string) *sql.Stmt {
		statement, err := s.writer.PrepareContext(ctx, query)
		failed = errors.Join(failed, err)
		return statement
	}
	prepared := &commitStatements{
		notification: prepare(`INSERT INTO notifications (` + notificationColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`),
		pending:      prepare(`INSERT INTO pending (id, app, usr, shard, due_at) VALUES (?, ?, ?, ?, ?)`),
		delivery: prepare(`INSERT INTO deliveries (` + deliveryColumns + `) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10
			WHERE EXISTS (SELECT 1 FROM pending WHERE id = ?1)
			ON CONFLICT DO NOTHING`),
		gone: prepare(`DELETE FROM subscriptions WHERE app = ? AND digest = ? AND usr = ? AND coalesce(registered_at, created_at) <= ?`),
		rest: prepare(`UPDATE subscriptions SET (` + restColumns + `) = (?4, ?5, ?6, ?7, ?8)
			WHERE app = ?1 AND digest = ?2 AND usr = ?3`),
		seen:       prepare(`UPDATE subscriptions SET seen_at = ?4 WHERE app = ?1 AND digest = ?2 AND usr = ?3`),
		mismatched: prepare(`UPDATE subscriptions SET key_mismatch = 1 WHERE app = ? AND digest = ? AND usr = ?`),
		parked:     prepare(`UPDATE pending SET due_at = ?2 WHERE id = ?1`),
		finished:   prepare(`DELETE FROM pending WHERE id = ?`),
		receipt: prepare(`INSERT INTO receipts (` + receiptColumns + `) SELECT ?1, ?2, ?3, ?4
			WHERE EXISTS (SELECT 1 FROM notifications WHERE id = ?1)
			ON CONFLICT DO NOTHING`),
		event: prepare(`INSERT INTO events (` + eventColumns + `) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
			WHERE ?6 IS NULL OR EXISTS (SELECT 1 FROM notifications WHERE id = ?6)`),
		webhook: prepare(`UPDATE webhooks SET after = ?4, up_to = ?5, ended = ?6 WHERE app = ?1 AND name = ?2 AND created_at = ?3`),
	}
	if failed != nil {
		return nil, failed
	}
	s.commit = prepared
	return prepared, nil
}

func (c *commitStatements) run(tx *sql.Tx, group store.Group) error {
	if err := c.insertAccepted(tx, group.Accepted); err != nil {
		return err
	}
	if err := insertKeys(tx, group.Keys); err != nil {
		return err
	}
	err := forEach(tx, c.delivery, group.Deliveries, func(insert *sql.Stmt, d push.Delivery) (sql.Result, error) {
		return insert.Exec(d.Notification[:], d.Subscription[:], uint8(d.Kind), d.Host,
			uint8(d.State), d.Attempts, d.Status, d.Reason, d.MessageID, millis(d.DoneAt))
	})
	if err != nil {
		return err
	}
	if err := c.changeSubscriptions(tx, group); err != nil {
		return err
	}
	err = forEach(tx, c.parked, group.Parked, func(park *sql.Stmt, p store.Parking) (sql.Result, error) {
		return park.Exec(p.Notification[:], millis(p.Until))
	})
	if err != nil {
		return err
	}
	err = forEach(tx, c.finished, group.Finished, func(finish *sql.Stmt, id push.ID) (sql.Result, error) {
		return finish.Exec(id[:])
	})
	if err != nil {
		return err
	}
	return c.report(tx, group)
}

func (c *commitStatements) insertAccepted(tx *sql.Tx, accepted []push.Notification) error {
	insertNotification, insertPending := tx.Stmt(c.notification), tx.Stmt(c.pending)
	for _, n := range accepted {
		id, sendAt := n.ID[:], millisOrNull(n.SendAt)
		_, err := insertNotification.Exec(id, n.User.App, n.User.ID, n.Content, orNull(n.Native), uint8(n.Urgency),
			n.CollapseKey, millis(n.AcceptedAt), sendAt, millis(n.ExpiresAt), orNull(n.Trace))
		if err != nil {
			return err
		}
		if _, err := insertPending.Exec(id, n.User.App, n.User.ID, uint16(n.User.Shard()), sendAt); err != nil {
			return err
		}
	}
	return nil
}

func (c *commitStatements) changeSubscriptions(tx *sql.Tx, group store.Group) error {
	err := forEach(tx, c.gone, group.Gone, func(remove *sql.Stmt, g store.SubscriptionGone) (sql.Result, error) {
		return remove.Exec(g.User.App, g.Digest[:], g.User.ID, millis(g.RegisteredAt))
	})
	if err != nil {
		return err
	}
	err = forEach(tx, c.rest, group.Rests, func(note *sql.Stmt, r store.SubscriptionRest) (sql.Result, error) {
		return note.Exec(append([]any{r.User.App, r.Digest[:], r.User.ID}, restOrNull(r.Rest)...)...)
	})
	if err != nil {
		return err
	}
	err = forEach(tx, c.seen, group.Seen, func(note *sql.Stmt, s store.SubscriptionSeen) (sql.Result, error) {
		return note.Exec(s.User.App, s.Digest[:], s.User.ID, millis(s.At))
	})
	if err != nil {
		return err
	}
	return forEach(tx, c.mismatched, group.Mismatched, func(note *sql.Stmt, m store.UserSubscription) (sql.Result, error) {
		return note.Exec(m.User.App, m.Digest[:], m.User.ID)
	})
}

// report writes what others are told of all that.
func (c *commitStatements) report(tx *sql.Tx, group store.Group) error {
	err := forEach(tx, c.receipt, group.Receipts, func(insert *sql.Stmt, r push.Receipt) (sql.Result, error) {
		return insert.Exec(r.Notification[:], r.Subscription[:], uint8(r.Type), millis(r.At))
	})
	if err != nil {
		return err
	}
	err = forEach(tx, c.event, group.Events, func(insert *sql.Stmt, e push.Event) (sql.Result, error) {
		return insert.Exec(e.App, e.ID[:], uint8(e.Type), millis(e.At), valueOrNull(e.User),
			idOrNull(e.Notification), digestOrNull(e.Subscription), encodeDetail(e.EventDetail))
	})
	if err != nil {
		return err
	}
	return forEach(tx, c.webhook, group.Webhooks, func(note *sql.Stmt, w store.WebhookProgress) (sql.Result, error) {
		return note.Exec(w.App, w.Name, millis(w.CreatedAt), w.After[:], w.UpTo[:], w.Ended)
	})
}

// forEach runs a statement for each row, in their order: of several for one key
// the last counts.
func forEach[T any](tx *sql.Tx, statement *sql.Stmt, rows []T, run func(*sql.Stmt, T) (sql.Result, error)) error {
	if len(rows) == 0 {
		return nil
	}
	statement = tx.Stmt(statement)
	for _, row := range rows {
		if _, err := run(statement, row); err != nil {
			return err
		}
	}
	return nil
}
