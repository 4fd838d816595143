package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// DeleteUser forgets a user, in one transaction.
//
// It waits for Commits under way and holds later ones back until it is done: a
// delivery that is just being written must not outlive its notification.
//
// There is no index to find the user's events by. All are looked through
// beforehand, while others may write, and in the transaction only those that may
// have come since.
func (s *Store) DeleteUser(ctx context.Context, user push.User) (store.Forgotten, error) {
	forgotten, err := s.deleteUser(ctx, user)
	if err != nil {
		return store.Forgotten{}, fmt.Errorf("delete a user of app %q: %w", user.App, err)
	}
	return forgotten, nil
}

// commitOverlap is more than the IDs of Commits under way at once lie apart.
const commitOverlap = time.Minute

func (s *Store) deleteUser(ctx context.Context, user push.User) (forgotten store.Forgotten, err error) {
	last, err := s.LastEvent(ctx)
	if err != nil {
		return store.Forgotten{}, err
	}
	rows, err := s.pool.Query(ctx, `SELECT id FROM events WHERE id >= $1 AND app = $2 AND `+namesUser,
		[16]byte{}, user.App, user.ID)
	events, err := collect(rows, err, scanID)
	if err != nil {
		return store.Forgotten{}, err
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, commitKey); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `WITH mine AS (
				SELECT app, digest FROM subscriptions WHERE app = $1 AND usr = $2 ORDER BY digest FOR UPDATE)
			DELETE FROM subscriptions s USING mine WHERE s.app = mine.app AND s.digest = mine.digest`, user.App, user.ID)
		if err != nil {
			return err
		}
		forgotten.Subscriptions = int(tag.RowsAffected())

		if _, err := tx.Exec(ctx, `DELETE FROM pending WHERE app = $1 AND usr = $2`, user.App, user.ID); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `DELETE FROM notifications WHERE app = $1 AND usr = $2 RETURNING id`, user.App, user.ID)
		ids, err := collect(rows, err, scanID)
		if err != nil {
			return err
		}
		forgotten.Notifications = len(ids)
		for _, table := range []string{"deliveries", "receipts"} {
			if _, err = tx.Exec(ctx, `DELETE FROM `+table+` WHERE notification = ANY ($1::uuid[])`, uuids(ids)); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `DELETE FROM events WHERE app = $1 AND id = ANY ($2::uuid[])`, user.App, uuids(events)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM events WHERE id >= $1 AND app = $2 AND `+namesUser,
			[16]byte(firstID(last.Time().Add(-commitOverlap))), user.App, user.ID)
		return err
	})
	return forgotten, err
}

func scanID(row pgx.Row) (id push.ID, err error) {
	err = row.Scan((*[16]byte)(&id))
	return id, err
}
