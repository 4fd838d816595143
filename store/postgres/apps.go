package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry/store"
)

const appColumns = `name, origins, vapid_subject, push_hosts, token_secret, created_at`

// CreateApp adds an app; ErrExists if the name is taken.
func (s *Store) CreateApp(ctx context.Context, app store.App) error {
	_, err := s.pool.Exec(ctx, `INSERT INTO apps (`+appColumns+`) VALUES ($1, $2, $3, $4, $5, $6)`,
		app.Name, orNull(app.Origins), app.VAPIDSubject, orNull(app.PushHosts), app.TokenSecret, millis(app.CreatedAt))
	if err != nil {
		return fmt.Errorf("create app %q: %w", app.Name, known(err))
	}
	return nil
}

// GetApp finds an app by name; ErrNotFound.
func (s *Store) GetApp(ctx context.Context, name string) (store.App, error) {
	app, err := scanApp(s.pool.QueryRow(ctx, `SELECT `+appColumns+` FROM apps WHERE name = $1`, name))
	if err != nil {
		return store.App{}, fmt.Errorf("get app %q: %w", name, known(err))
	}
	return app, nil
}

// UpdateApp replaces Origins, VAPIDSubject and PushHosts; ErrNotFound.
func (s *Store) UpdateApp(ctx context.Context, app store.App) error {
	tag, err := s.pool.Exec(ctx, `UPDATE apps SET origins = $2, vapid_subject = $3, push_hosts = $4 WHERE name = $1`,
		app.Name, orNull(app.Origins), app.VAPIDSubject, orNull(app.PushHosts))
	if err := affected(tag, err); err != nil {
		return fmt.Errorf("update app %q: %w", app.Name, err)
	}
	return nil
}

// UpdateTokenSecret replaces TokenSecret alone; ErrNotFound.
func (s *Store) UpdateTokenSecret(ctx context.Context, app store.App) error {
	tag, err := s.pool.Exec(ctx, `UPDATE apps SET token_secret = $2 WHERE name = $1`, app.Name, app.TokenSecret)
	if err := affected(tag, err); err != nil {
		return fmt.Errorf("update token secret of app %q: %w", app.Name, err)
	}
	return nil
}

// ListApps gives all apps by name.
func (s *Store) ListApps(ctx context.Context) ([]store.App, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+appColumns+` FROM apps ORDER BY name`)
	apps, err := collect(rows, err, scanApp)
	if err != nil {
		return nil, fmt.Errorf("list apps: %w", err)
	}
	return apps, nil
}

func scanApp(row pgx.Row) (store.App, error) {
	var app store.App
	err := row.Scan(&app.Name, &app.Origins, &app.VAPIDSubject, &app.PushHosts, &app.TokenSecret, &app.CreatedAt)
	return app, err
}
