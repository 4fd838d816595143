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
// There is no index to find the user's notifications and events by. All are
// looked through beforehand, while others may write, and in the transaction only
// those that may have come since.
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
	lastNotification, err := s.LastID(ctx)
	if err != nil {
		return store.Forgotten{}, err
	}
	lastEvent, err := s.LastEvent(ctx)
	if err != nil {
		return store.Forgotten{}, err
	}
	notifications, events, err := findUser(ctx, s.reader, user, push.ID{}, push.ID{})
	if err != nil {
		return store.Forgotten{}, err
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		if forgotten.Subscriptions, err = count(tx.Exec(`DELETE FROM subscriptions WHERE app = ? AND usr = ?`, user.App, user.ID)); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM pending WHERE app = ? AND usr = ?`, user.App, user.ID); err != nil {
			return err
		}
		newNotifications, newEvents, err := findUser(context.WithoutCancel(ctx), tx, user,
			firstID(lastNotification.Time().Add(-commitOverlap)), firstID(lastEvent.Time().Add(-commitOverlap)))
		if err != nil {
			return err
		}
		if forgotten.Notifications, err = deleteNotifications(tx, append(notifications, newNotifications...)); err != nil {
			return err
		}
		_, err = deleteEach(tx, `DELETE FROM events WHERE id = ?1 AND app = ?2`, append(events, newEvents...), user.App)
		return err
	})
	return forgotten, err
}

// querier is the reader or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// findUser looks for a user's notifications and events from these on.
func findUser(ctx context.Context, q querier, user push.User, firstNotification, firstEvent push.ID) (notifications, events []push.ID, err error) {
	rows, err := q.QueryContext(ctx, `SELECT id FROM notifications WHERE id >= ? AND app = ? AND usr = ?`,
		firstNotification[:], user.App, user.ID)
	if notifications, err = collect(rows, err, scanID); err != nil {
		return nil, nil, err
	}
	rows, err = q.QueryContext(ctx, `SELECT id FROM events WHERE id >= ? AND app = ? AND `+namesUser, firstEvent[:], user.App, user.ID)
	events, err = collect(rows, err, scanID)
	return notifications, events, err
}

// deleteNotifications removes notifications, their deliveries and receipts, and
// counts those that there were.
func deleteNotifications(tx *sql.Tx, ids []push.ID) (removed int, err error) {
	for _, query := range []string{
		`DELETE FROM receipts WHERE notification = ?`,
		`DELETE FROM deliveries WHERE notification = ?`,
		`DELETE FROM notifications WHERE id = ?`,
	} {
		if removed, err = deleteEach(tx, query, ids); err != nil {
			return 0, err
		}
	}
	return removed, nil
}

// deleteEach runs a statement for each ID, which is its first parameter, and
// counts the rows.
func deleteEach(tx *sql.Tx, query string, ids []push.ID, more ...any) (removed int, err error) {
	statement, err := tx.Prepare(query)
	if err != nil {
		return 0, err
	}
	defer statement.Close()
	for _, id := range ids {
		n, err := count(statement.Exec(append([]any{id[:]}, more...)...))
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
