package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// FindIdempotencyKey finds what a request with this key was answered; ErrNotFound.
func (s *Store) FindIdempotencyKey(ctx context.Context, app, key string) (store.IdempotencyKey, error) {
	k, err := scanIdempotencyKey(s.pool.QueryRow(ctx, `SELECT app, key, request, ids, created_at
		FROM idempotency_keys WHERE app = $1 AND key = $2`, app, key))
	if err != nil {
		return store.IdempotencyKey{}, fmt.Errorf("find idempotency key of app %q: %w", app, known(err))
	}
	return k, nil
}

func queueKeys(batch *pgx.Batch, keys []store.IdempotencyKey) {
	for _, k := range keys {
		batch.Queue(`INSERT INTO idempotency_keys (app, key, request, ids, created_at) VALUES ($1, $2, $3, $4, $5)`,
			k.App, k.Key, k.Request[:], joinIDs(k.IDs), millis(k.CreatedAt))
	}
}

func (s *Store) deleteKeys(ctx context.Context, before time.Time, limit int) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM idempotency_keys WHERE (app, key) IN
		(SELECT app, key FROM idempotency_keys WHERE created_at < $1 ORDER BY created_at LIMIT $2)`, millis(before), limit)
	return err
}

func scanIdempotencyKey(row pgx.Row) (store.IdempotencyKey, error) {
	var k store.IdempotencyKey
	var request, ids []byte
	if err := row.Scan(&k.App, &k.Key, &request, &ids, &k.CreatedAt); err != nil {
		return store.IdempotencyKey{}, err
	}
	k.Request = [32]byte(request)
	k.IDs = splitIDs(ids)
	k.CreatedAt = k.CreatedAt.UTC()
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
