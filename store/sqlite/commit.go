package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

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
		return fmt.Errorf("commit %d notifications, %d deliveries, %d gone, %d finished: %w",
			len(group.Accepted), len(group.Deliveries), len(group.Gone), len(group.Finished), known(err))
	}
	return nil
}

// commitStatements belong to the write connection and last as long as it does.
type commitStatements struct {
	notification, pending, delivery, gone, finished *sql.Stmt
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
		notification: prepare(`INSERT INTO notifications (` + notificationColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`),
		pending:      prepare(`INSERT INTO pending (id, app, usr, shard) VALUES (?, ?, ?, ?)`),
		delivery: prepare(`INSERT INTO deliveries (` + deliveryColumns + `) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9
			WHERE EXISTS (SELECT 1 FROM pending WHERE id = ?1)
			ON CONFLICT DO NOTHING`),
		gone:     prepare(`DELETE FROM subscriptions WHERE app = ? AND digest = ? AND usr = ?`),
		finished: prepare(`DELETE FROM pending WHERE id = ?`),
	}
	if failed != nil {
		return nil, failed
	}
	s.commit = prepared
	return prepared, nil
}

func (c *commitStatements) run(tx *sql.Tx, group store.Group) error {
	insertNotification, insertPending := tx.Stmt(c.notification), tx.Stmt(c.pending)
	for _, n := range group.Accepted {
		id := n.ID[:]
		_, err := insertNotification.Exec(id, n.User.App, n.User.ID, n.Content, uint8(n.Urgency),
			n.CollapseKey, millis(n.AcceptedAt), millis(n.ExpiresAt))
		if err != nil {
			return err
		}
		if _, err := insertPending.Exec(id, n.User.App, n.User.ID, uint16(n.User.Shard())); err != nil {
			return err
		}
	}
	if err := insertKeys(tx, group.Keys); err != nil {
		return err
	}
	insertDelivery := tx.Stmt(c.delivery)
	for _, d := range group.Deliveries {
		_, err := insertDelivery.Exec(d.Notification[:], d.Subscription[:], uint8(d.Kind), d.Host,
			uint8(d.State), d.Attempts, d.Status, d.Reason, millis(d.DoneAt))
		if err != nil {
			return err
		}
	}
	deleteGone := tx.Stmt(c.gone)
	for _, g := range group.Gone {
		if _, err := deleteGone.Exec(g.User.App, g.Digest[:], g.User.ID); err != nil {
			return err
		}
	}
	deletePending := tx.Stmt(c.finished)
	for _, id := range group.Finished {
		if _, err := deletePending.Exec(id[:]); err != nil {
			return err
		}
	}
	return nil
}
