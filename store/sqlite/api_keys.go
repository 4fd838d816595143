package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/belfryhq/belfry/store"
)

const apiKeyColumns = `id, app, name, hash, scopes, rate, created_at`

// CreateAPIKey adds a key; ErrExists if its hash or ID is there already.
func (s *Store) CreateAPIKey(ctx context.Context, key store.APIKey) error {
	if err := s.write(ctx, func(tx *sql.Tx) error { return insertAPIKey(tx, key) }); err != nil {
		return fmt.Errorf("create API key %s of app %q: %w", key.ID, key.App, known(err))
	}
	return nil
}

func insertAPIKey(tx *sql.Tx, key store.APIKey) error {
	_, err := tx.Exec(`INSERT INTO api_keys (`+apiKeyColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		key.ID, key.App, key.Name, key.Hash[:], list(key.Scopes), key.Rate, millis(key.CreatedAt))
	return err
}

// FindAPIKey finds a key by its hash; ErrNotFound.
func (s *Store) FindAPIKey(ctx context.Context, hash [32]byte) (store.APIKey, error) {
	key, err := scanAPIKey(s.reader.QueryRowContext(ctx, `SELECT `+apiKeyColumns+` FROM api_keys WHERE hash = ?`, hash[:]))
	if err != nil {
		return store.APIKey{}, fmt.Errorf("find API key: %w", known(err))
	}
	return key, nil
}

// ListAPIKeys gives the keys of one app, oldest first.
func (s *Store) ListAPIKeys(ctx context.Context, app string) ([]store.APIKey, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT `+apiKeyColumns+` FROM api_keys WHERE app = ? ORDER BY created_at, id`, app)
	keys, err := collect(rows, err, scanAPIKey)
	if err != nil {
		return nil, fmt.Errorf("list API keys of app %q: %w", app, err)
	}
	return keys, nil
}

// ReplaceAPIKey adds a key and revokes another of the same app.
func (s *Store) ReplaceAPIKey(ctx context.Context, old string, key store.APIKey) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		if err := deleteAPIKey(tx, key.App, old); err != nil {
			return err
		}
		return insertAPIKey(tx, key)
	})
	if err != nil {
		return fmt.Errorf("replace API key %s of app %q: %w", old, key.App, known(err))
	}
	return nil
}

// DeleteAPIKey revokes a key of one app; ErrNotFound.
func (s *Store) DeleteAPIKey(ctx context.Context, app, id string) error {
	if err := s.write(ctx, func(tx *sql.Tx) error { return deleteAPIKey(tx, app, id) }); err != nil {
		return fmt.Errorf("delete API key %s of app %q: %w", id, app, err)
	}
	return nil
}

func deleteAPIKey(tx *sql.Tx, app, id string) error {
	return affected(tx.Exec(`DELETE FROM api_keys WHERE app = ? AND id = ?`, app, id))
}

func scanAPIKey(row row) (store.APIKey, error) {
	var key store.APIKey
	err := row.Scan(&key.ID, &key.App, &key.Name, fixed(key.Hash[:]), intoList(&key.Scopes), &key.Rate, intoTime(&key.CreatedAt))
	return key, err
}
