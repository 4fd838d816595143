package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// Maintain removes at most limit old notifications without pending work, and at
// most limit old events. There is no room to make: the file grows by itself, and
// what is removed leaves pages that new rows fill.
func (s *Store) Maintain(ctx context.Context, now time.Time, before store.Before, limit int) (removed int, err error) {
	if err := s.deleteKeys(ctx, now.Add(-store.IdempotencyAge), limit); err != nil {
		return 0, fmt.Errorf("remove old idempotency keys: %w", err)
	}
	removed, err = s.deleteOld(ctx, before.Notifications, limit)
	if err != nil {
		return 0, fmt.Errorf("remove old notifications: %w", err)
	}
	events, err := s.deleteOldEvents(ctx, before.Events, limit)
	if err != nil {
		return removed, fmt.Errorf("remove old events: %w", err)
	}
	return removed + events, nil
}

// deleteOld looks for what is old while others may write: what has no pending
// row now will have none later.
func (s *Store) deleteOld(ctx context.Context, before time.Time, limit int) (removed int, err error) {
	first := firstID(before)
	rows, err := s.reader.QueryContext(ctx, `SELECT id FROM notifications n
		WHERE id < ? AND NOT EXISTS (SELECT 1 FROM pending p WHERE p.id = n.id)
		ORDER BY id LIMIT ?`, first[:], limit)
	old, err := collect(rows, err, scanID)
	if err != nil || len(old) == 0 {
		return 0, err
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		removed, err = deleteNotifications(tx, old)
		return err
	})
	return removed, err
}

// firstID is the smallest ID of the millisecond of t, or of 1970 if t is earlier.
func firstID(t time.Time) (id push.ID) {
	millis := max(t.UnixMilli(), 0)
	for i := range 6 {
		id[i] = byte(millis >> (40 - 8*i))
	}
	return id
}
