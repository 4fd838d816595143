package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry/store"
)

const vapidKeyColumns = `app, public, private, created_at`

// CreateVAPIDKey adds a key pair; ErrExists if the app has this one.
func (s *Store) CreateVAPIDKey(ctx context.Context, key store.VAPIDKey) error {
	_, err := s.pool.Exec(ctx, `INSERT INTO vapid_keys (`+vapidKeyColumns+`) VALUES ($1, $2, $3, $4)`,
		key.App, key.Public, key.Private, millis(key.CreatedAt))
	if err != nil {
		return fmt.Errorf("create VAPID key of app %q: %w", key.App, known(err))
	}
	return nil
}

// UpdateVAPIDKey replaces Private; ErrNotFound if the app has no such key.
func (s *Store) UpdateVAPIDKey(ctx context.Context, key store.VAPIDKey) error {
	tag, err := s.pool.Exec(ctx, `UPDATE vapid_keys SET private = $3 WHERE app = $1 AND public = $2`, key.App, key.Public, key.Private)
	if err := affected(tag, err); err != nil {
		return fmt.Errorf("update VAPID key of app %q: %w", key.App, err)
	}
	return nil
}

// ListVAPIDKeys gives an app's key pairs, the newest first.
func (s *Store) ListVAPIDKeys(ctx context.Context, app string) ([]store.VAPIDKey, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+vapidKeyColumns+` FROM vapid_keys WHERE app = $1 ORDER BY created_at DESC, public`, app)
	keys, err := collect(rows, err, scanVAPIDKey)
	if err != nil {
		return nil, fmt.Errorf("list VAPID keys of app %q: %w", app, err)
	}
	return keys, nil
}

func scanVAPIDKey(row pgx.Row) (store.VAPIDKey, error) {
	var key store.VAPIDKey
	err := row.Scan(&key.App, &key.Public, &key.Private, &key.CreatedAt)
	return key, err
}
