package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry/push"
)

// RevokeTokens ends a user's tokens that were made up to then. The later of two
// times is kept.
func (s *Store) RevokeTokens(ctx context.Context, user push.User, upTo time.Time) error {
	_, err := s.pool.Exec(ctx, `INSERT INTO token_revocations AS kept (app, usr, up_to) VALUES ($1, $2, $3)
		ON CONFLICT (app, usr) DO UPDATE SET up_to = greatest(kept.up_to, excluded.up_to)`, user.App, user.ID, millis(upTo))
	if err != nil {
		return fmt.Errorf("revoke tokens of a user of app %q: %w", user.App, err)
	}
	return nil
}

// TokensRevoked gives the time up to which a user's tokens have ended, or the
// zero time.
func (s *Store) TokensRevoked(ctx context.Context, user push.User) (upTo time.Time, err error) {
	err = s.pool.QueryRow(ctx, `SELECT up_to FROM token_revocations WHERE app = $1 AND usr = $2`,
		user.App, user.ID).Scan(&upTo)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, fmt.Errorf("find revoked tokens of a user of app %q: %w", user.App, err)
	}
	return upTo, nil
}
