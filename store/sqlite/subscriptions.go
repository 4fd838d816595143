package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

const (
	subscriptionColumns = `app, digest, usr, kind, endpoint, p256dh, auth, vapid_key, topic, environment, project,
		created_at, seen_at, expires_at, key_mismatch, registered_at, ` + restColumns
	restColumns = `rest_until, rest_notification, rest_attempts, rest_status, rest_reason`
)

// PutSubscription registers a subscription, unique by (app, digest).
func (s *Store) PutSubscription(ctx context.Context, sub push.Subscription) (put store.Put, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		put, err = putSubscription(tx, sub)
		return err
	})
	if err != nil {
		return store.Put{}, fmt.Errorf("put subscription %s: %w", sub.Digest.Short(), err)
	}
	return put, nil
}

// ReplaceSubscription registers sub and removes the same user's subscription old.
func (s *Store) ReplaceSubscription(ctx context.Context, old push.Digest, sub push.Subscription) (put store.Put, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		if put, err = putSubscription(tx, sub); err != nil {
			return err
		}
		if old == sub.Digest {
			return sameOwner(put)
		}
		return deleteSubscription(tx, sub.User, old)
	})
	if err != nil {
		return store.Put{}, fmt.Errorf("replace subscription %s: %w", old.Short(), err)
	}
	return put, nil
}

// putSubscription does one of three things: renew what this user has, the
// common case; insert what nobody has; or take over what another user has.
func putSubscription(tx *sql.Tx, sub push.Subscription) (store.Put, error) {
	var hadBy string
	var since int64
	err := tx.QueryRow(`SELECT usr, created_at FROM subscriptions WHERE app = ? AND digest = ?`,
		sub.User.App, sub.Digest[:]).Scan(&hadBy, &since)
	if err == nil && hadBy == sub.User.ID {
		put := store.Put{CreatedAt: fromMillis(since)}
		err := tx.QueryRow(`UPDATE subscriptions
			SET p256dh = ?4, auth = ?5, vapid_key = ?6, topic = ?7, environment = ?8, project = ?9, seen_at = ?10, expires_at = ?11, registered_at = ?12,
				key_mismatch = key_mismatch AND p256dh IS ?4 AND auth IS ?5 AND vapid_key IS ?6
			WHERE app = ?1 AND digest = ?2 AND usr = ?3
			RETURNING key_mismatch`,
			sub.User.App, sub.Digest[:], sub.User.ID,
			orNull(sub.P256dh), orNull(sub.Auth), orNull(sub.VAPIDKey),
			valueOrNull(sub.Topic), valueOrNull(uint8(sub.Environment)), valueOrNull(sub.Project),
			millis(sub.SeenAt), millisOrNull(sub.ExpiresAt), millisOrNull(sub.RegisteredAt)).Scan(&put.KeyMismatch)
		return put, err
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return store.Put{}, err
	}
	_, err = tx.Exec(`INSERT OR REPLACE INTO subscriptions (`+subscriptionColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		append([]any{sub.User.App, sub.Digest[:], sub.User.ID, uint8(sub.Kind), string(sub.Endpoint),
			orNull(sub.P256dh), orNull(sub.Auth), orNull(sub.VAPIDKey),
			valueOrNull(sub.Topic), valueOrNull(uint8(sub.Environment)), valueOrNull(sub.Project),
			millis(sub.CreatedAt), millis(sub.SeenAt), millisOrNull(sub.ExpiresAt), sub.KeyMismatch, millisOrNull(sub.RegisteredAt)}, restOrNull(sub.Rest)...)...)
	return store.Put{
		Created: hadBy == "", MovedFrom: hadBy, CreatedAt: fromMillis(millis(sub.CreatedAt)), KeyMismatch: sub.KeyMismatch,
	}, err
}

// sameOwner tells from a Put whether the user had the subscription before.
func sameOwner(put store.Put) error {
	if put.Created || put.MovedFrom != "" {
		return store.ErrNotFound
	}
	return nil
}

// listSubscriptions has one parameter, pairs of app and user as JSON. CROSS JOIN
// and INDEXED BY fix the plan, one probe of the index for each user: SQLite, which
// knows no figures of the table, would take the primary key, and so read all
// subscriptions of the app for each.
const listSubscriptions = `SELECT ` + subscriptionColumns + `
	FROM json_each(?) AS wanted CROSS JOIN subscriptions INDEXED BY subscriptions_user
	WHERE app = wanted.value ->> 0 AND usr = wanted.value ->> 1
	ORDER BY created_at, digest`

// ListSubscriptions gives the subscriptions of the users.
func (s *Store) ListSubscriptions(ctx context.Context, users []push.User) (map[push.User][]push.Subscription, error) {
	names := make(map[push.User]bool, len(users))
	var pairs [][2]string
	for _, user := range users {
		if !names[user] {
			names[user] = true
			pairs = append(pairs, [2]string{user.App, user.ID})
		}
	}
	wanted, err := json.Marshal(pairs)
	if err != nil {
		return nil, fmt.Errorf("list subscriptions of %d users: %w", len(users), err)
	}
	rows, err := s.reader.QueryContext(ctx, listSubscriptions, string(wanted))
	subs, err := collect(rows, err, scanSubscription)
	if err != nil {
		return nil, fmt.Errorf("list subscriptions of %d users: %w", len(users), err)
	}
	byUser := make(map[push.User][]push.Subscription, len(users))
	for _, sub := range subs {
		byUser[sub.User] = append(byUser[sub.User], sub)
	}
	return byUser, nil
}

// DeleteSubscription removes a user's subscription; ErrNotFound.
func (s *Store) DeleteSubscription(ctx context.Context, user push.User, digest push.Digest) error {
	err := s.write(ctx, func(tx *sql.Tx) error { return deleteSubscription(tx, user, digest) })
	if err != nil {
		return fmt.Errorf("delete subscription %s: %w", digest.Short(), err)
	}
	return nil
}

func deleteSubscription(tx *sql.Tx, user push.User, digest push.Digest) error {
	return affected(tx.Exec(`DELETE FROM subscriptions WHERE app = ? AND digest = ? AND usr = ?`,
		user.App, digest[:], user.ID))
}

// DeleteUnused looks for what is unused while others may write, and removes of
// it what is unused still.
func (s *Store) DeleteUnused(ctx context.Context, before time.Time, limit int) ([]push.Subscription, error) {
	unused, err := s.deleteUnused(ctx, before, limit)
	if err != nil {
		return nil, fmt.Errorf("delete unused subscriptions: %w", err)
	}
	return unused, nil
}

func (s *Store) deleteUnused(ctx context.Context, before time.Time, limit int) (deleted []push.Subscription, err error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT `+subscriptionColumns+` FROM subscriptions
		WHERE seen_at < ? ORDER BY app, digest LIMIT ?`, millis(before), limit)
	found, err := collect(rows, err, scanSubscription)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		statement, err := tx.Prepare(`DELETE FROM subscriptions WHERE app = ? AND digest = ? AND seen_at < ?
			RETURNING ` + subscriptionColumns)
		if err != nil {
			return err
		}
		defer statement.Close()
		for _, sub := range found {
			rows, err := statement.Query(sub.User.App, sub.Digest[:], millis(before))
			gone, err := collect(rows, err, scanSubscription)
			if err != nil {
				return err
			}
			deleted = append(deleted, gone...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return deleted, nil
}

func scanSubscription(row row) (push.Subscription, error) {
	var sub push.Subscription
	rest := &sub.Rest
	err := row.Scan(&sub.User.App, fixed(sub.Digest[:]), &sub.User.ID, &sub.Kind, (*string)(&sub.Endpoint),
		&sub.P256dh, &sub.Auth, &sub.VAPIDKey, orZero(&sub.Topic), orZero(&sub.Environment), orZero(&sub.Project),
		intoTime(&sub.CreatedAt), intoTime(&sub.SeenAt), intoTime(&sub.ExpiresAt), &sub.KeyMismatch, intoTime(&sub.RegisteredAt),
		intoTime(&rest.Until), nullable(fixed(rest.Notification[:])), orZero(&rest.Attempts), orZero(&rest.Status), orZero(&rest.Reason))
	if sub.RegisteredAt.IsZero() {
		sub.RegisteredAt = sub.CreatedAt
	}
	return sub, err
}

// restOrNull gives the values of restColumns.
func restOrNull(r push.Rest) []any {
	if r.IsZero() {
		return make([]any, 5)
	}
	return []any{millis(r.Until), r.Notification[:], r.Attempts, r.Status, r.Reason}
}
