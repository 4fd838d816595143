package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// FindIdempotencyKey finds what a request with this key was answered; ErrNotFound.
func (s *Store) FindIdempotencyKey(ctx context.Context, app, key string) (store.IdempotencyKey, error) {
	k, err := scanIdempotencyKey(s.reader.QueryRowContext(ctx, `SELECT app, key, request, ids, created_at
		FROM idempotency_keys WHERE app = ? AND key = ?`, app, key))
	if err != nil {
		return store.IdempotencyKey{}, fmt.Errorf("find idempotency key of app %q: %w", app, known(err))
	}
	return k, nil
}

func insertKeys(tx *sql.Tx, keys []store.IdempotencyKey) error {
	for _, k := range keys {
		_, err := tx.Exec(`INSERT INTO idempotency_keys (app, key, request, ids, created_at) VALUES (?, ?, ?, ?, ?)`,
			k.App, k.Key, k.Request[:], joinIDs(k.IDs), millis(k.CreatedAt))
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) deleteKeys(ctx context.Context, before time.Time, limit int) error {
	_, err := s.writer.ExecContext(ctx, `DELETE FROM idempotency_keys WHERE (app, key) IN
		(SELECT app, key FROM idempotency_keys WHERE created_at < ? ORDER BY created_at LIMIT ?)`, millis(before), limit)
	return err
}

func scanIdempotencyKey(row row) (store.IdempotencyKey, error) {
	var k store.IdempotencyKey
	var ids []byte
	if err := row.Scan(&k.App, &k.Key, fixed(k.Request[:]), &ids, intoTime(&k.CreatedAt)); err != nil {
		return store.IdempotencyKey{}, err
	}
	k.IDs = splitIDs(ids)
	return k, nil
}

// joinIDs writes IDs one after the other.
func joinIDs(ids []push.ID) []byte {
	joined := make([]byte, 0, len(ids)*len(push.ID{}))
	for _, id := range ids {
		joined = append(joined, id[:]...)
	}
	return joined
}

// splitIDs reads what joinIDs wrote.
func splitIDs(joined []byte) []push.ID {
	const size = len(push.ID{})
	ids := make([]push.ID, len(joined)/size)
	for i := range ids {
		copy(ids[i][:], joined[i*size:])
	}
	return ids
}
