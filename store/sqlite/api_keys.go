package sqlite

import (
	"context"
	"fmt"

	"github.com/belfryhq/belfry/store"
)

const apiKeyColumns = `id, app, name, hash, scopes, created_at`

// CreateAPIKey adds a key; ErrExists if its hash or ID is there already.
func (s *Store) CreateAPIKey(ctx context.Context, key store.APIKey) error {
	_, err := s.writer.ExecContext(ctx, `INSERT INTO api_keys (`+apiKeyColumns+`) VALUES (?, ?, ?, ?, ?, ?)`,
		key.ID, key.App, key.Name, key.Hash[:], list(key.Scopes), millis(key.CreatedAt))
	if err != nil {
		return fmt.Errorf("create API key %s of app %q: %w", key.ID, key.App, known(err))
	}
	return nil
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

// DeleteAPIKey revokes a key of one app; ErrNotFound.
func (s *Store) DeleteAPIKey(ctx context.Context, app, id string) error {
	result, err := s.writer.ExecContext(ctx, `DELETE FROM api_keys WHERE app = ? AND id = ?`, app, id)
	if err := affected(result, err); err != nil {
		return fmt.Errorf("delete API key %s of app %q: %w", id, app, err)
	}
	return nil
}

func scanAPIKey(row row) (store.APIKey, error) {
	var key store.APIKey
	err := row.Scan(&key.ID, &key.App, &key.Name, fixed(key.Hash[:]), intoList(&key.Scopes), intoTime(&key.CreatedAt))
	return key, err
}
