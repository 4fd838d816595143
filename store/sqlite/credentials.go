package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/belfryhq/belfry/store"
)

const credentialColumns = `app, name, kind, settings, secret, created_at`

// PutCredential adds a credential, or replaces the app's of that name.
func (s *Store) PutCredential(ctx context.Context, credential store.Credential) (created bool, err error) {
	row := []any{
		credential.App, credential.Name, uint8(credential.Kind),
		orNull(credential.Settings), credential.Secret, millis(credential.CreatedAt),
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		replaced, err := count(tx.Exec(`UPDATE credentials SET kind = ?3, settings = ?4, secret = ?5, created_at = ?6
			WHERE app = ?1 AND name = ?2`, row...))
		if err != nil || replaced > 0 {
			return err
		}
		created = true
		_, err = tx.Exec(`INSERT INTO credentials (`+credentialColumns+`) VALUES (?, ?, ?, ?, ?, ?)`, row...)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("put credential %q of app %q: %w", credential.Name, credential.App, known(err))
	}
	return created, nil
}

// ListCredentials gives an app's credentials by name.
func (s *Store) ListCredentials(ctx context.Context, app string) ([]store.Credential, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT `+credentialColumns+` FROM credentials WHERE app = ? ORDER BY name`, app)
	credentials, err := collect(rows, err, scanCredential)
	if err != nil {
		return nil, fmt.Errorf("list credentials of app %q: %w", app, err)
	}
	return credentials, nil
}

// DeleteCredential removes a credential; ErrNotFound.
func (s *Store) DeleteCredential(ctx context.Context, app, name string) error {
	result, err := s.writer.ExecContext(ctx, `DELETE FROM credentials WHERE app = ? AND name = ?`, app, name)
	if err := affected(result, err); err != nil {
		return fmt.Errorf("delete credential %q of app %q: %w", name, app, err)
	}
	return nil
}

func scanCredential(row row) (store.Credential, error) {
	var c store.Credential
	err := row.Scan(&c.App, &c.Name, &c.Kind, &c.Settings, &c.Secret, intoTime(&c.CreatedAt))
	return c, err
}
