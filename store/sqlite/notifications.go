package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

const (
	notificationColumns = `id, app, usr, content, native, urgency, collapse_key, accepted_at, send_at, expires_at, trace`
	deliveryColumns     = `notification, subscription, kind, host, state, attempts, status, reason, message_id, done_at`
)

// LastID gives the newest notification's ID, or the zero ID.
func (s *Store) LastID(ctx context.Context) (push.ID, error) {
	var id push.ID
	err := s.reader.QueryRowContext(ctx, `SELECT id FROM notifications ORDER BY id DESC LIMIT 1`).Scan(fixed(id[:]))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return push.ID{}, fmt.Errorf("read the newest notification's id: %w", err)
	}
	return id, nil
}

// selectPending finishes a page of pending ids. The digests come as one text of
// hexadecimal digits, since SQLite has no arrays. CROSS JOIN fixes the plan:
// one probe for each row of the page.
const selectPending = `
	SELECT n.id, n.app, n.usr, n.content, n.native, n.urgency, n.collapse_key, n.accepted_at, n.send_at, n.expires_at, n.trace,
		(SELECT group_concat(hex(subscription), '' ORDER BY subscription) FROM deliveries WHERE notification = page.id)
	FROM page CROSS JOIN notifications n ON n.id = page.id
	ORDER BY page.id`

// ListPending gives notifications with work left that are not parked.
func (s *Store) ListPending(ctx context.Context, shards push.ShardRange, after, upTo push.ID, limit int) ([]store.Pending, error) {
	rows, err := s.reader.QueryContext(ctx, `WITH page AS MATERIALIZED (
			SELECT id FROM pending
			WHERE id > ? AND id <= ? AND shard BETWEEN ? AND ? AND due_at IS NULL
			ORDER BY id LIMIT ?)`+selectPending,
		after[:], upTo[:], uint16(shards.First), uint16(shards.Last), limit)
	pending, err := collect(rows, err, scanPending)
	if err != nil {
		return nil, fmt.Errorf("list pending notifications of shards %d to %d: %w", shards.First, shards.Last, err)
	}
	return pending, nil
}

// ListPendingOf gives one user's notifications with work left that are not parked.
func (s *Store) ListPendingOf(ctx context.Context, user push.User, after, upTo push.ID, limit int) ([]store.Pending, error) {
	rows, err := s.reader.QueryContext(ctx, `WITH page AS MATERIALIZED (
			SELECT id FROM pending
			WHERE app = ? AND usr = ? AND id > ? AND id <= ? AND due_at IS NULL
			ORDER BY id LIMIT ?)`+selectPending,
		user.App, user.ID, after[:], upTo[:], limit)
	pending, err := collect(rows, err, scanPending)
	if err != nil {
		return nil, fmt.Errorf("list pending notifications of a user: %w", err)
	}
	return pending, nil
}

// ListDue gives parked notifications that are due, by Until and ID.
func (s *Store) ListDue(ctx context.Context, shards push.ShardRange, after store.Parking, upTo time.Time, limit int) ([]store.Due, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT due_at, id, app, usr FROM pending
		WHERE (due_at, id) > (?, ?) AND due_at <= ? AND shard BETWEEN ? AND ?
		ORDER BY due_at, id LIMIT ?`,
		millis(after.Until), after.Notification[:], millis(upTo), uint16(shards.First), uint16(shards.Last), limit)
	due, err := collect(rows, err, scanDue)
	if err != nil {
		return nil, fmt.Errorf("list due notifications of shards %d to %d: %w", shards.First, shards.Last, err)
	}
	return due, nil
}

// ListDueOf gives the users' parked notifications that are due, by ascending ID.
func (s *Store) ListDueOf(ctx context.Context, users []store.UserAfter, upTo time.Time, limit int) (map[push.User][]store.Pending, error) {
	byUser, err := s.listDueOf(ctx, users, upTo, limit)
	if err != nil {
		return nil, fmt.Errorf("list due notifications of %d users: %w", len(users), err)
	}
	return byUser, nil
}

// listDueOf reads in one transaction. The plus keeps SQLite off the index of
// what is due: that may hold millions of rows, and a user has few.
func (s *Store) listDueOf(ctx context.Context, users []store.UserAfter, upTo time.Time, limit int) (map[push.User][]store.Pending, error) {
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	page, err := tx.PrepareContext(ctx, `WITH page AS MATERIALIZED (
			SELECT id FROM pending
			WHERE app = ? AND usr = ? AND id > ? AND +due_at <= ?
			ORDER BY id LIMIT ?)`+selectPending)
	if err != nil {
		return nil, err
	}
	defer page.Close()
	byUser := make(map[push.User][]store.Pending)
	for _, u := range users {
		rows, err := page.QueryContext(ctx, u.User.App, u.User.ID, u.After[:], millis(upTo), limit)
		due, err := collect(rows, err, scanPending)
		if err != nil {
			return nil, err
		}
		if len(due) > 0 {
			byUser[u.User] = due
		}
	}
	return byUser, nil
}

// NextDue gives the earliest Until after the given time, or the zero time.
func (s *Store) NextDue(ctx context.Context, shards push.ShardRange, after time.Time) (time.Time, error) {
	var next time.Time
	err := s.reader.QueryRowContext(ctx, `SELECT due_at FROM pending
		WHERE due_at > ? AND shard BETWEEN ? AND ?
		ORDER BY due_at LIMIT 1`, millis(after), uint16(shards.First), uint16(shards.Last)).Scan(intoTime(&next))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, fmt.Errorf("find the next due notification of shards %d to %d: %w", shards.First, shards.Last, err)
	}
	return next, nil
}

// CountPending counts the notifications with work left.
func (s *Store) CountPending(ctx context.Context) (n int, err error) {
	if err := s.reader.QueryRowContext(ctx, `SELECT count(*) FROM pending`).Scan(&n); err != nil {
		return 0, fmt.Errorf("count pending notifications: %w", err)
	}
	return n, nil
}

// GetNotification gives one notification, its final deliveries and their
// receipts; ErrNotFound.
func (s *Store) GetNotification(ctx context.Context, app string, id push.ID) (store.Record, error) {
	record, err := s.getNotification(ctx, app, id)
	if err != nil {
		return store.Record{}, fmt.Errorf("get notification %s: %w", id, known(err))
	}
	return record, nil
}

// getNotification reads in one transaction, so that what it finds belongs together.
func (s *Store) getNotification(ctx context.Context, app string, id push.ID) (record store.Record, err error) {
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return store.Record{}, err
	}
	defer tx.Rollback()

	record.Notification, err = scanNotification(tx.QueryRow(`SELECT `+notificationColumns+`,
		EXISTS (SELECT 1 FROM pending p WHERE p.id = n.id)
		FROM notifications n WHERE id = ? AND app = ?`, id[:], app), &record.Pending)
	if err != nil {
		return store.Record{}, err
	}
	rows, err := tx.Query(`SELECT `+deliveryColumns+` FROM deliveries WHERE notification = ?
		ORDER BY done_at, subscription`, id[:])
	if record.Deliveries, err = collect(rows, err, scanDelivery); err != nil {
		return store.Record{}, err
	}
	rows, err = tx.Query(`SELECT `+receiptColumns+` FROM receipts WHERE notification = ?
		ORDER BY at, subscription, type`, id[:])
	record.Receipts, err = collect(rows, err, scanReceipt)
	return record, err
}

// recentWindow is how many notifications of all users ListRecent looks at. There
// is no index to find a user's by, and to look at this many takes 150 ms.
const recentWindow = 200_000

// ListRecent gives a user's newest notifications, of the newest of all.
func (s *Store) ListRecent(ctx context.Context, user push.User, limit int) (store.Recent, error) {
	recent, err := s.listRecent(ctx, user, limit, recentWindow)
	if err != nil {
		return store.Recent{}, fmt.Errorf("list recent notifications of a user: %w", err)
	}
	return recent, nil
}

func (s *Store) listRecent(ctx context.Context, user push.User, limit, window int) (recent store.Recent, err error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT id FROM notifications ORDER BY id DESC LIMIT 2 OFFSET ?`, window-1)
	edge, err := collect(rows, err, scanID)
	if err != nil {
		return store.Recent{}, err
	}
	var oldest push.ID
	if len(edge) == 2 { // the oldest in the window, and one beyond
		oldest = edge[0]
	}
	rows, err = s.reader.QueryContext(ctx, `SELECT id FROM notifications WHERE id >= ? AND app = ? AND usr = ?
		ORDER BY id DESC LIMIT ?`, oldest[:], user.App, user.ID, limit)
	if recent.IDs, err = collect(rows, err, scanID); err != nil {
		return store.Recent{}, err
	}
	if !oldest.IsZero() && len(recent.IDs) < limit {
		recent.Since = oldest.Time().UTC()
	}
	return recent, nil
}

// scanNotification reads the notification's columns and those that follow.
func scanNotification(row row, more ...any) (push.Notification, error) {
	var n push.Notification
	err := row.Scan(append([]any{fixed(n.ID[:]), &n.User.App, &n.User.ID, &n.Content, &n.Native,
		&n.Urgency, &n.CollapseKey, intoTime(&n.AcceptedAt), intoTime(&n.SendAt), intoTime(&n.ExpiresAt), &n.Trace}, more...)...)
	return n, err
}

func scanPending(row row) (pending store.Pending, err error) {
	var digits sql.NullString
	if pending.Notification, err = scanNotification(row, &digits); err != nil {
		return store.Pending{}, err
	}
	done, err := hex.DecodeString(digits.String)
	for ; len(done) > 0; done = done[len(push.Digest{}):] {
		pending.Done = append(pending.Done, push.Digest(done[:len(push.Digest{})]))
	}
	return pending, err
}

func scanDue(row row) (store.Due, error) {
	var due store.Due
	err := row.Scan(intoTime(&due.Until), fixed(due.Notification[:]), &due.User.App, &due.User.ID)
	return due, err
}

func scanDelivery(row row) (push.Delivery, error) {
	var d push.Delivery
	err := row.Scan(fixed(d.Notification[:]), fixed(d.Subscription[:]), &d.Kind, &d.Host,
		&d.State, &d.Attempts, &d.Status, &d.Reason, &d.MessageID, intoTime(&d.DoneAt))
	return d, err
}
