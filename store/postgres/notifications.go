package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

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
	err := s.pool.QueryRow(ctx, `SELECT id FROM notifications ORDER BY id DESC LIMIT 1`).Scan((*[16]byte)(&id))
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return push.ID{}, fmt.Errorf("read the newest notification's id: %w", err)
	}
	return id, nil
}

// selectPending finishes a page of pending ids. LATERAL with LIMIT keeps the
// planner from reading whole days to find one page: each row of the page is one
// probe into the one partition that its id names.
const selectPending = `
	SELECT n.*, ARRAY(SELECT subscription FROM deliveries WHERE notification = page.id ORDER BY subscription)
	FROM page CROSS JOIN LATERAL (
		SELECT ` + notificationColumns + ` FROM notifications WHERE id = page.id LIMIT 1) AS n
	ORDER BY page.id`

// ListPending gives notifications with work left that are not parked.
func (s *Store) ListPending(ctx context.Context, shards push.ShardRange, after, upTo push.ID, limit int) ([]store.Pending, error) {
	rows, err := s.pool.Query(ctx, `WITH page AS MATERIALIZED (
			SELECT id FROM pending
			WHERE id > $1 AND id <= $2 AND shard BETWEEN $3 AND $4 AND due_at IS NULL
			ORDER BY id LIMIT $5)`+selectPending,
		[16]byte(after), [16]byte(upTo), int16(shards.First), int16(shards.Last), limit)
	pending, err := collect(rows, err, scanPending)
	if err != nil {
		return nil, fmt.Errorf("list pending notifications of shards %d to %d: %w", shards.First, shards.Last, err)
	}
	return pending, nil
}

// ListPendingOf gives one user's notifications with work left that are not parked.
func (s *Store) ListPendingOf(ctx context.Context, user push.User, after, upTo push.ID, limit int) ([]store.Pending, error) {
	rows, err := s.pool.Query(ctx, `WITH page AS MATERIALIZED (
			SELECT id FROM pending
			WHERE app = $1 AND usr = $2 AND id > $3 AND id <= $4 AND due_at IS NULL
			ORDER BY id LIMIT $5)`+selectPending,
		user.App, user.ID, [16]byte(after), [16]byte(upTo), limit)
	pending, err := collect(rows, err, scanPending)
	if err != nil {
		return nil, fmt.Errorf("list pending notifications of a user: %w", err)
	}
	return pending, nil
}

// ListDue gives parked notifications that are due, by Until and ID.
func (s *Store) ListDue(ctx context.Context, shards push.ShardRange, after store.Parking, upTo time.Time, limit int) ([]store.Due, error) {
	rows, err := s.pool.Query(ctx, `SELECT due_at, id, app, usr FROM pending
		WHERE (due_at, id) > ($1, $2) AND due_at <= $3 AND shard BETWEEN $4 AND $5
		ORDER BY due_at, id LIMIT $6`,
		millis(after.Until), [16]byte(after.Notification), millis(upTo), int16(shards.First), int16(shards.Last), limit)
	due, err := collect(rows, err, scanDue)
	if err != nil {
		return nil, fmt.Errorf("list due notifications of shards %d to %d: %w", shards.First, shards.Last, err)
	}
	return due, nil
}

// ListDueOf gives the users' parked notifications that are due, by ascending
// ID. coalesce keeps the planner off the index of what is due: that may hold
// millions of rows, and a user has few.
func (s *Store) ListDueOf(ctx context.Context, users []store.UserAfter, upTo time.Time, limit int) (map[push.User][]store.Pending, error) {
	n := len(users)
	apps, ids, afters := make([]string, n), make([]string, n), make([][16]byte, n)
	for i, u := range users {
		apps[i], ids[i], afters[i] = u.User.App, u.User.ID, u.After
	}
	rows, err := s.pool.Query(ctx, `WITH page AS MATERIALIZED (
			SELECT due.id FROM unnest($1::text[], $2::text[], $3::uuid[]) AS u (app, usr, after)
			CROSS JOIN LATERAL (
				SELECT p.id FROM pending p
				WHERE p.app = u.app AND p.usr = u.usr AND p.id > u.after AND coalesce(due_at, 'infinity') <= $4
				ORDER BY p.id LIMIT $5) AS due)`+selectPending,
		apps, ids, afters, millis(upTo), limit)
	due, err := collect(rows, err, scanPending)
	if err != nil {
		return nil, fmt.Errorf("list due notifications of %d users: %w", n, err)
	}
	byUser := make(map[push.User][]store.Pending)
	for _, p := range due {
		byUser[p.Notification.User] = append(byUser[p.Notification.User], p)
	}
	return byUser, nil
}

// NextDue gives the earliest Until after the given time, or the zero time.
func (s *Store) NextDue(ctx context.Context, shards push.ShardRange, after time.Time) (next time.Time, err error) {
	err = s.pool.QueryRow(ctx, `SELECT due_at FROM pending
		WHERE due_at > $1 AND shard BETWEEN $2 AND $3
		ORDER BY due_at LIMIT 1`, millis(after), int16(shards.First), int16(shards.Last)).Scan(&next)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, fmt.Errorf("find the next due notification of shards %d to %d: %w", shards.First, shards.Last, err)
	}
	return next, nil
}

// CountPending counts the notifications with work left.
func (s *Store) CountPending(ctx context.Context) (n int, err error) {
	if err := s.pool.QueryRow(ctx, `SELECT count(*) FROM pending`).Scan(&n); err != nil {
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

// getNotification reads whether work is left before it reads the deliveries: a
// notification that finishes in between may still be called pending, but one
// that is called finished shows all of its deliveries.
func (s *Store) getNotification(ctx context.Context, app string, id push.ID) (record store.Record, err error) {
	var batch pgx.Batch
	batch.Queue(`SELECT `+notificationColumns+`, EXISTS (SELECT FROM pending p WHERE p.id = n.id)
		FROM notifications n WHERE id = $1 AND app = $2`, [16]byte(id), app)
	batch.Queue(`SELECT `+deliveryColumns+` FROM deliveries WHERE notification = $1
		ORDER BY done_at, subscription`, [16]byte(id))
	batch.Queue(`SELECT `+receiptColumns+` FROM receipts WHERE notification = $1
		ORDER BY at, subscription, type`, [16]byte(id))
	results := s.pool.SendBatch(ctx, &batch)
	defer func() { err = errors.Join(err, results.Close()) }()

	record.Notification, err = scanNotification(results.QueryRow(), &record.Pending)
	if err != nil {
		return store.Record{}, err
	}
	rows, err := results.Query()
	if record.Deliveries, err = collect(rows, err, scanDelivery); err != nil {
		return store.Record{}, err
	}
	rows, err = results.Query()
	record.Receipts, err = collect(rows, err, scanReceipt)
	return record, err
}

// ListRecent gives a user's newest notifications. MATERIALIZED keeps the planner
// from walking all users' from the newest on.
func (s *Store) ListRecent(ctx context.Context, user push.User, limit int) (store.Recent, error) {
	rows, err := s.pool.Query(ctx, `WITH mine AS MATERIALIZED (SELECT id FROM notifications WHERE app = $1 AND usr = $2)
		SELECT id FROM mine ORDER BY id DESC LIMIT $3`, user.App, user.ID, limit)
	ids, err := collect(rows, err, scanID)
	if err != nil {
		return store.Recent{}, fmt.Errorf("list recent notifications of a user: %w", err)
	}
	return store.Recent{IDs: ids}, nil
}

// scanNotification reads the notification's columns and those that follow.
func scanNotification(row pgx.Row, more ...any) (push.Notification, error) {
	var n push.Notification
	err := row.Scan(append([]any{(*[16]byte)(&n.ID), &n.User.App, &n.User.ID, &n.Content, &n.Native,
		&n.Urgency, &n.CollapseKey, &n.AcceptedAt, nullable(&n.SendAt), &n.ExpiresAt, &n.Trace}, more...)...)
	return n, err
}

func scanPending(row pgx.Row) (pending store.Pending, err error) {
	var done [][]byte
	pending.Notification, err = scanNotification(row, &done)
	for _, digest := range done {
		pending.Done = append(pending.Done, push.Digest(digest))
	}
	return pending, err
}

func scanDue(row pgx.Row) (store.Due, error) {
	var due store.Due
	err := row.Scan(&due.Until, (*[16]byte)(&due.Notification), &due.User.App, &due.User.ID)
	return due, err
}

func scanDelivery(row pgx.Row) (push.Delivery, error) {
	var d push.Delivery
	err := row.Scan((*[16]byte)(&d.Notification), fixed(d.Subscription[:]), &d.Kind, &d.Host,
		&d.State, &d.Attempts, &d.Status, &d.Reason, &d.MessageID, &d.DoneAt)
	return d, err
}
