package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/belfryhq/belfry/migrations"
)

// Migrate brings the schema up to date, forward only. Processes that start at
// once take turns. The active process takes over with it.
func (s *Store) Migrate(ctx context.Context) (applied int, err error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60)) // tries a minute, every second
	if err != nil {
		return 0, fmt.Errorf("migrate postgres: %w", err)
	}
	db := stdlib.OpenDBFromPool(s.pool)
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Postgres(),
		goose.WithDisableGlobalRegistry(true), goose.WithSessionLocker(locker))
	if err != nil {
		return 0, fmt.Errorf("migrate postgres: %w", err)
	}

	current, newest, err := provider.GetVersions(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the schema's version: %w", err)
	}
	if current > newest {
		return 0, fmt.Errorf("the schema has version %d, newer than this program, which knows %d: run the newer program", current, newest)
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return 0, fmt.Errorf("migrate postgres: %w", err)
	}
	if err := s.takeOver(ctx); err != nil {
		return 0, fmt.Errorf("take over from the process before: %w", err)
	}
	return len(results), nil
}
