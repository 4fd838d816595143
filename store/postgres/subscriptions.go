package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

const (
	subscriptionColumns = `app, digest, usr, kind, endpoint, p256dh, auth, vapid_key, topic, environment, project,
		created_at, seen_at, expires_at, key_mismatch, registered_at, ` + restColumns
	restColumns = `rest_until, rest_notification, rest_attempts, rest_status, rest_reason`
)

// PutSubscription registers a subscription, unique by (app, digest).
func (s *Store) PutSubscription(ctx context.Context, sub push.Subscription) (store.Put, error) {
	put, err := putSubscription(ctx, s.pool, sub)
	if err != nil {
		return store.Put{}, fmt.Errorf("put subscription %s: %w", sub.Digest.Short(), err)
	}
	return put, nil
}

// ReplaceSubscription registers sub and removes the same user's subscription old.
func (s *Store) ReplaceSubscription(ctx context.Context, old push.Digest, sub push.Subscription) (put store.Put, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT FROM subscriptions WHERE app = $1 AND digest IN ($2, $3) ORDER BY digest FOR UPDATE`,
			sub.User.App, old[:], sub.Digest[:])
		if err != nil {
			return err
		}
		if put, err = putSubscription(ctx, tx, sub); err != nil {
			return err
		}
		if old == sub.Digest {
			return sameOwner(put)
		}
		return deleteSubscription(ctx, tx, sub.User, old)
	})
	if err != nil {
		return store.Put{}, fmt.Errorf("replace subscription %s: %w", old.Short(), err)
	}
	return put, nil
}

// querier is the pool or a transaction.
type querier interface {
	Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error)
	QueryRow(ctx context.Context, sql string, arguments ...any) pgx.Row
}

// putSubscription does one of three things: renew what this user has, the
// common case; insert what nobody has; or take over what another user has.
// Each is one atomic statement that does nothing when it is not its turn. That
// none of them applies means that another call came between; then it starts over.
func putSubscription(ctx context.Context, q querier, sub push.Subscription) (store.Put, error) {
	rest := restOrNull(sub.Rest)
	row := []any{
		sub.User.App, sub.Digest[:], sub.User.ID, int16(sub.Kind), string(sub.Endpoint),
		orNull(sub.P256dh), orNull(sub.Auth), orNull(sub.VAPIDKey),
		valueOrNull(sub.Topic), valueOrNull(int16(sub.Environment)), valueOrNull(sub.Project),
		millis(sub.CreatedAt), millis(sub.SeenAt), millisOrNull(sub.ExpiresAt), sub.KeyMismatch, millisOrNull(sub.RegisteredAt),
		rest.until, rest.notification, rest.attempts, rest.status, rest.reason,
	}
	renewal := []any{row[0], row[1], row[2], row[5], row[6], row[7], row[8], row[9], row[10], row[12], row[13], row[15]}
	for {
		var put store.Put
		err := q.QueryRow(ctx, `UPDATE subscriptions
			SET p256dh = $4, auth = $5, vapid_key = $6, topic = $7, environment = $8, project = $9, seen_at = $10, expires_at = $11, registered_at = $12,
				key_mismatch = key_mismatch AND (p256dh, auth, vapid_key) IS NOT DISTINCT FROM ($4, $5, $6)
			WHERE app = $1 AND digest = $2 AND usr = $3
			RETURNING created_at, key_mismatch`, renewal...).Scan(&put.CreatedAt, &put.KeyMismatch)
		if !errors.Is(err, pgx.ErrNoRows) {
			return put, err
		}
		err = q.QueryRow(ctx, `INSERT INTO subscriptions (`+subscriptionColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
			ON CONFLICT DO NOTHING
			RETURNING created_at, key_mismatch, true`, row...).Scan(&put.CreatedAt, &put.KeyMismatch, &put.Created)
		if !errors.Is(err, pgx.ErrNoRows) {
			return put, err
		}
		err = q.QueryRow(ctx, `UPDATE subscriptions s
			SET (`+subscriptionColumns+`) = ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
			FROM (SELECT app, digest, usr FROM subscriptions
				WHERE app = $1 AND digest = $2 AND usr <> $3 FOR UPDATE) AS had
			WHERE s.app = had.app AND s.digest = had.digest
			RETURNING s.created_at, s.key_mismatch, had.usr`, row...).Scan(&put.CreatedAt, &put.KeyMismatch, &put.MovedFrom)
		if !errors.Is(err, pgx.ErrNoRows) {
			return put, err
		}
	}
}

// sameOwner tells from a Put whether the user had the subscription before.
func sameOwner(put store.Put) error {
	if put.Created || put.MovedFrom != "" {
		return store.ErrNotFound
	}
	return nil
}

// ListSubscriptions gives the subscriptions of the users.
func (s *Store) ListSubscriptions(ctx context.Context, users []push.User) (map[push.User][]push.Subscription, error) {
	apps, ids := make([]string, len(users)), make([]string, len(users))
	for i, user := range users {
		apps[i], ids[i] = user.App, user.ID
	}
	rows, err := s.pool.Query(ctx, `SELECT `+subscriptionColumns+` FROM subscriptions
		WHERE (app, usr) IN (SELECT * FROM unnest($1::text[], $2::text[]))
		ORDER BY created_at, digest`, apps, ids)
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
	if err := deleteSubscription(ctx, s.pool, user, digest); err != nil {
		return fmt.Errorf("delete subscription %s: %w", digest.Short(), err)
	}
	return nil
}

func deleteSubscription(ctx context.Context, q querier, user push.User, digest push.Digest) error {
	return affected(q.Exec(ctx, `DELETE FROM subscriptions WHERE app = $1 AND digest = $2 AND usr = $3`,
		user.App, digest[:], user.ID))
}

// DeleteUnused removes at most limit subscriptions that were seen last before
// the given time.
func (s *Store) DeleteUnused(ctx context.Context, before time.Time, limit int) ([]push.Subscription, error) {
	rows, err := s.pool.Query(ctx, `WITH unused AS (
			SELECT app AS its_app, digest AS its_digest FROM subscriptions
			WHERE seen_at < $1 ORDER BY app, digest LIMIT $2 FOR UPDATE)
		DELETE FROM subscriptions USING unused WHERE app = its_app AND digest = its_digest
		RETURNING `+subscriptionColumns, millis(before), limit)
	unused, err := collect(rows, err, scanSubscription)
	if err != nil {
		return nil, fmt.Errorf("delete unused subscriptions: %w", err)
	}
	return unused, nil
}

func scanSubscription(row pgx.Row) (push.Subscription, error) {
	var sub push.Subscription
	var rest nullableRest
	err := row.Scan(&sub.User.App, fixed(sub.Digest[:]), &sub.User.ID, &sub.Kind, (*string)(&sub.Endpoint),
		&sub.P256dh, &sub.Auth, &sub.VAPIDKey, orZero(&sub.Topic), orZero(&sub.Environment), orZero(&sub.Project),
		&sub.CreatedAt, &sub.SeenAt, nullable(&sub.ExpiresAt), &sub.KeyMismatch, nullable(&sub.RegisteredAt),
		&rest.until, &rest.notification, &rest.attempts, &rest.status, &rest.reason)
	sub.Rest = rest.orZero()
	if sub.RegisteredAt.IsZero() {
		sub.RegisteredAt = sub.CreatedAt
	}
	return sub, err
}

// nullableRest has the values of restColumns: all nil or none.
type nullableRest struct {
	until            *time.Time
	notification     *[16]byte
	attempts, status *int32
	reason           *string
}

func restOrNull(r push.Rest) nullableRest {
	if r.IsZero() {
		return nullableRest{}
	}
	attempts, status := int32(r.Attempts), int32(r.Status)
	return nullableRest{millisOrNull(r.Until), (*[16]byte)(&r.Notification), &attempts, &status, &r.Reason}
}

func (r nullableRest) orZero() push.Rest {
	if r.until == nil {
		return push.Rest{}
	}
	return push.Rest{
		Until: *r.until, Notification: *r.notification, Attempts: int(*r.attempts), Status: int(*r.status), Reason: *r.reason,
	}
}
