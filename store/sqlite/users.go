package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// DeleteUser forgets a user, in one transaction.
//
// There is no index to find the user's notifications by. All are looked through
// beforehand, while others may write, and in the transaction only those that
// may have come since.
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
	last, err := s.LastID(ctx)
	if err != nil {
		return store.Forgotten{}, err
	}
	const selectIDs = `SELECT id FROM notifications WHERE id >= ? AND app = ? AND usr = ?`
	var first push.ID
	rows, err := s.reader.QueryContext(ctx, selectIDs, first[:], user.App, user.ID)
	ids, err := collect(rows, err, scanID)
	if err != nil {
		return store.Forgotten{}, err
	}
	first = firstID(last.Time().Add(-commitOverlap))

	err = s.write(ctx, func(tx *sql.Tx) error {
		if forgotten.Subscriptions, err = count(tx.Exec(`DELETE FROM subscriptions WHERE app = ? AND usr = ?`, user.App, user.ID)); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM pending WHERE app = ? AND usr = ?`, user.App, user.ID); err != nil {
			return err
		}
		rows, err := tx.Query(selectIDs, first[:], user.App, user.ID)
		since, err := collect(rows, err, scanID)
		if err != nil {
			return err
		}
		forgotten.Notifications, err = deleteNotifications(tx, append(ids, since...))
		return err
	})
	return forgotten, err
}

// deleteNotifications removes notifications and their deliveries, and counts
// those that there were.
func deleteNotifications(tx *sql.Tx, ids []push.ID) (removed int, err error) {
	deliveries, err := tx.Prepare(`DELETE FROM deliveries WHERE notification = ?`)
	if err != nil {
		return 0, err
	}
	defer deliveries.Close()
	notification, err := tx.Prepare(`DELETE FROM notifications WHERE id = ?`)
	if err != nil {
		return 0, err
	}
	defer notification.Close()
	for _, id := range ids {
		if _, err := deliveries.Exec(id[:]); err != nil {
			return 0, err
		}
		n, err := count(notification.Exec(id[:]))
		if err != nil {
			return 0, err
		}
		removed += n
	}
	return removed, nil
}

func scanID(row row) (id push.ID, err error) {
	err = row.Scan(fixed(id[:]))
	return id, err
}
