package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry/push"
)

const eventColumns = `app, id, type, at, usr, notification, subscription, detail`

func queueEvents(batch *pgx.Batch, events []push.Event) {
	n := len(events)
	var (
		apps          = make([]string, n)
		ids           = make([][16]byte, n)
		types         = make([]int16, n)
		at            = make([]time.Time, n)
		users         = make([]*string, n)
		notifications = make([]*[16]byte, n)
		subscriptions = make([][]byte, n)
		details       = make([]string, n)
		named         = make([]push.ID, n)
	)
	for i := range events {
		e := &events[i]
		apps[i], ids[i], types[i], at[i] = e.App, e.ID, int16(e.Type), millis(e.At)
		users[i], details[i], named[i] = pointerOrNull(&e.User), encodeDetail(e.EventDetail), e.Notification
		notifications[i] = pointerOrNull((*[16]byte)(&e.Notification))
		if e.Subscription != (push.Digest{}) {
			subscriptions[i] = e.Subscription[:]
		}
	}
	first, last := bounds(named)
	batch.Queue(`INSERT INTO events (`+eventColumns+`)
		SELECT * FROM unnest($1::text[], $2::uuid[], $3::smallint[], $4::timestamptz[], $5::text[], $6::uuid[], $7::bytea[], $8::text[])
			AS e (app, id, type, at, usr, notification)
		WHERE notification IS NULL
			OR (SELECT true FROM notifications n WHERE n.id = e.notification AND n.id BETWEEN $9 AND $10)
		ORDER BY app, id`, apps, ids, types, at, users, notifications, subscriptions, details, first, last)
}

// ListEvents gives an app's events by ascending ID.
func (s *Store) ListEvents(ctx context.Context, app string, after, upTo push.ID, limit int) ([]push.Event, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+eventColumns+` FROM events
		WHERE app = $1 AND id > $2 AND id <= $3 ORDER BY id LIMIT $4`, app, [16]byte(after), [16]byte(upTo), limit)
	events, err := collect(rows, err, scanEvent)
	if err != nil {
		return nil, fmt.Errorf("list events of app %q: %w", app, err)
	}
	return events, nil
}

// maxAttempts is the most that ListAttempts gives.
const maxAttempts = 1000

// ListAttempts gives the attempts for a notification that were not the last. The
// types are those of the index.
func (s *Store) ListAttempts(ctx context.Context, app string, notification push.ID) ([]push.Event, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+eventColumns+` FROM events
		WHERE app = $1 AND notification = $2 AND type IN (20, 21) ORDER BY id DESC LIMIT $3`, app, [16]byte(notification), maxAttempts)
	attempts, err := collect(rows, err, scanEvent)
	if err != nil {
		return nil, fmt.Errorf("list attempts for notification %s: %w", notification, err)
	}
	slices.Reverse(attempts)
	return attempts, nil
}

// LastEvent gives the newest event's ID, or the zero ID. The apps that have events
// are each found by one probe of the primary key.
func (s *Store) LastEvent(ctx context.Context) (push.ID, error) {
	var id push.ID
	err := s.pool.QueryRow(ctx, `WITH RECURSIVE feeds (feed) AS (
			SELECT min(app) FROM events
			UNION ALL SELECT (SELECT min(app) FROM events WHERE app > feed) FROM feeds WHERE feed IS NOT NULL)
		SELECT last.id FROM feeds
		CROSS JOIN LATERAL (SELECT id FROM events WHERE app = feed ORDER BY id DESC LIMIT 1) AS last
		ORDER BY last.id DESC LIMIT 1`).Scan((*[16]byte)(&id))
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return push.ID{}, fmt.Errorf("read the newest event's id: %w", err)
	}
	return id, nil
}

// deleteOldEvents removes at most limit of those that are in no day's partition;
// the others go with their day.
func (s *Store) deleteOldEvents(ctx context.Context, before time.Time, limit int) (removed int, err error) {
	tag, err := s.pool.Exec(ctx, `DELETE FROM events_default WHERE (app, id) IN
		(SELECT app, id FROM events_default WHERE id < $1 LIMIT $2)`, [16]byte(firstID(before)), limit)
	return int(tag.RowsAffected()), err
}

// namesUser finds the events that name a user: as whom they concern, or as who had
// a subscription that moved.
const namesUser = `(usr = $3 OR type = 41 AND detail::json ->> 'f' = $3)`

func scanEvent(row pgx.Row) (push.Event, error) {
	var e push.Event
	var user *string
	var notification *[16]byte
	var subscription, detail []byte
	err := row.Scan(&e.App, (*[16]byte)(&e.ID), &e.Type, &e.At, &user, &notification, &subscription, &detail)
	if err != nil {
		return push.Event{}, err
	}
	if user != nil {
		e.User = *user
	}
	if notification != nil {
		e.Notification = *notification
	}
	copy(e.Subscription[:], subscription)
	e.EventDetail, err = push.DecodeEventDetail(detail)
	return e, err
}

// encodeDetail gives the text that is kept, with its time as all are.
func encodeDetail(d push.EventDetail) string {
	d.Next = millis(d.Next).UTC()
	return string(d.Encode())
}
