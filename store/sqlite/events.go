package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/belfryhq/belfry/push"
)

const eventColumns = `app, id, type, at, usr, notification, subscription, detail`

// ListEvents gives an app's events by ascending ID.
func (s *Store) ListEvents(ctx context.Context, app string, after, upTo push.ID, limit int) ([]push.Event, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT `+eventColumns+` FROM events
		WHERE app = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?`, app, after[:], upTo[:], limit)
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
	rows, err := s.reader.QueryContext(ctx, `SELECT `+eventColumns+` FROM events
		WHERE app = ? AND notification = ? AND type IN (20, 21) ORDER BY id DESC LIMIT ?`, app, notification[:], maxAttempts)
	attempts, err := collect(rows, err, scanEvent)
	if err != nil {
		return nil, fmt.Errorf("list attempts for notification %s: %w", notification, err)
	}
	slices.Reverse(attempts)
	return attempts, nil
}

// withFeeds begins a statement with the names of the apps that have events, each
// found by one probe of the primary key.
const withFeeds = `WITH RECURSIVE feeds (feed) AS (
		SELECT min(app) FROM events
		UNION ALL SELECT (SELECT min(app) FROM events WHERE app > feed) FROM feeds WHERE feed IS NOT NULL)
	`

// LastEvent gives the newest event's ID, or the zero ID.
func (s *Store) LastEvent(ctx context.Context) (push.ID, error) {
	var id push.ID
	err := s.reader.QueryRowContext(ctx, withFeeds+`SELECT (SELECT id FROM events WHERE app = feed ORDER BY id DESC LIMIT 1) AS last
		FROM feeds WHERE feed IS NOT NULL ORDER BY last DESC LIMIT 1`).Scan(fixed(id[:]))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return push.ID{}, fmt.Errorf("read the newest event's id: %w", err)
	}
	return id, nil
}

// deleteOldEvents removes at most limit of them: of each app's, which stand in the
// order of their IDs, the first.
func (s *Store) deleteOldEvents(ctx context.Context, before time.Time, limit int) (removed int, err error) {
	first := firstID(before)
	return count(s.writer.ExecContext(ctx, withFeeds+`DELETE FROM events WHERE (app, id) IN
		(SELECT app, id FROM feeds CROSS JOIN events WHERE app = feed AND id < ? LIMIT ?)`, first[:], limit))
}

// namesUser finds the events that name a user: as whom they concern, or as who had
// a subscription that moved.
const namesUser = `(usr = ?3 OR type = 41 AND detail ->> 'f' = ?3)`

func scanEvent(row row) (push.Event, error) {
	var e push.Event
	var detail []byte
	err := row.Scan(&e.App, fixed(e.ID[:]), &e.Type, intoTime(&e.At), orZero(&e.User),
		nullable(fixed(e.Notification[:])), nullable(fixed(e.Subscription[:])), &detail)
	if err != nil {
		return push.Event{}, err
	}
	e.EventDetail, err = push.DecodeEventDetail(detail)
	return e, err
}

// encodeDetail gives the text that is kept, with its time as all are.
func encodeDetail(d push.EventDetail) string {
	d.Next = d.Next.Truncate(time.Millisecond).UTC()
	return string(d.Encode())
}

func idOrNull(id push.ID) any {
	if id.IsZero() {
		return nil
	}
	return id[:]
}

func digestOrNull(d push.Digest) any {
	if d == (push.Digest{}) {
		return nil
	}
	return d[:]
}
