package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry/store"
)

const apiKeyColumns = `id, app, name, hash, scopes, rate, created_at`

// CreateAPIKey adds a key; ErrExists if its hash or ID is there already.
func (s *Store) CreateAPIKey(ctx context.Context, key store.APIKey) error {
	if err := insertAPIKey(ctx, s.pool, key); err != nil {
		return fmt.Errorf("create API key %s of app %q: %w", key.ID, key.App, known(err))
	}
	return nil
}

func insertAPIKey(ctx context.Context, q querier, key store.APIKey) error {
	_, err := q.Exec(ctx, `INSERT INTO api_keys (`+apiKeyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		key.ID, key.App, key.Name, key.Hash[:], orNull(key.Scopes), key.Rate, millis(key.CreatedAt))
	return err
}

// FindAPIKey finds a key by its hash; ErrNotFound.
func (s *Store) FindAPIKey(ctx context.Context, hash [32]byte) (store.APIKey, error) {
	key, err := scanAPIKey(s.pool.QueryRow(ctx, `SELECT `+apiKeyColumns+` FROM api_keys WHERE hash = $1`, hash[:]))
	if err != nil {
		return store.APIKey{}, fmt.Errorf("find API key: %w", known(err))
	}
	return key, nil
}

// ListAPIKeys gives the keys of one app, oldest first.
func (s *Store) ListAPIKeys(ctx context.Context, app string) ([]store.APIKey, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+apiKeyColumns+` FROM api_keys WHERE app = $1 ORDER BY created_at, id`, app)
	keys, err := collect(rows, err, scanAPIKey)
	if err != nil {
		return nil, fmt.Errorf("list API keys of app %q: %w", app, err)
	}
	return keys, nil
}

// ReplaceAPIKey adds a key and revokes another of the same app.
func (s *Store) ReplaceAPIKey(ctx context.Context, old string, key store.APIKey) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := deleteAPIKey(ctx, tx, key.App, old); err != nil {
			return err
		}
		return insertAPIKey(ctx, tx, key)
	})
	if err != nil {
		return fmt.Errorf("replace API key %s of app %q: %w", old, key.App, known(err))
	}
	return nil
}

// DeleteAPIKey revokes a key of one app; ErrNotFound.
func (s *Store) DeleteAPIKey(ctx context.Context, app, id string) error {
	if err := deleteAPIKey(ctx, s.pool, app, id); err != nil {
		return fmt.Errorf("delete API key %s of app %q: %w", id, app, err)
	}
	return nil
}

func deleteAPIKey(ctx context.Context, q querier, app, id string) error {
	return affected(q.Exec(ctx, `DELETE FROM api_keys WHERE app = $1 AND id = $2`, app, id))
}

func scanAPIKey(row pgx.Row) (store.APIKey, error) {
	var key store.APIKey
	err := row.Scan(&key.ID, &key.App, &key.Name, fixed(key.Hash[:]), &key.Scopes, &key.Rate, &key.CreatedAt)
	return key, err
}
