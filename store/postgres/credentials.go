package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry/store"
)

const credentialColumns = `app, name, kind, settings, secret, created_at`

// PutCredential adds a credential, or replaces the app's of that name.
func (s *Store) PutCredential(ctx context.Context, credential store.Credential) (created bool, err error) {
	created, err = s.putCredential(ctx, credential)
	if err != nil {
		return false, fmt.Errorf("put credential %q of app %q: %w", credential.Name, credential.App, known(err))
	}
	return created, nil
}

// putCredential does one of two things, each in one atomic statement that does
// nothing when it is not its turn. That neither applies means that another call
// came between; then it starts over.
func (s *Store) putCredential(ctx context.Context, credential store.Credential) (created bool, err error) {
	row := []any{
		credential.App, credential.Name, int16(credential.Kind),
		orNull(credential.Settings), credential.Secret, millis(credential.CreatedAt),
	}
	for {
		tag, err := s.pool.Exec(ctx, `UPDATE credentials SET kind = $3, settings = $4, secret = $5, created_at = $6
			WHERE app = $1 AND name = $2`, row...)
		if err != nil || tag.RowsAffected() > 0 {
			return false, err
		}
		tag, err = s.pool.Exec(ctx, `INSERT INTO credentials (`+credentialColumns+`) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT DO NOTHING`, row...)
		if err != nil || tag.RowsAffected() > 0 {
			return true, err
		}
	}
}

// ListCredentials gives an app's credentials by name.
func (s *Store) ListCredentials(ctx context.Context, app string) ([]store.Credential, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+credentialColumns+` FROM credentials WHERE app = $1 ORDER BY name`, app)
	credentials, err := collect(rows, err, scanCredential)
	if err != nil {
		return nil, fmt.Errorf("list credentials of app %q: %w", app, err)
	}
	return credentials, nil
}

// DeleteCredential removes a credential; ErrNotFound.
func (s *Store) DeleteCredential(ctx context.Context, app, name string) error {
	tag, err := s.pool.Exec(ctx, `DELETE FROM credentials WHERE app = $1 AND name = $2`, app, name)
	if err := affected(tag, err); err != nil {
		return fmt.Errorf("delete credential %q of app %q: %w", name, app, err)
	}
	return nil
}

func scanCredential(row pgx.Row) (store.Credential, error) {
	var c store.Credential
	err := row.Scan(&c.App, &c.Name, &c.Kind, &c.Settings, &c.Secret, &c.CreatedAt)
	return c, err
}
