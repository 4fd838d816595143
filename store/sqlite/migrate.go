package sqlite

import (
	"context"
	"fmt"

	"github.com/pressly/goose/v3"

	"github.com/belfryhq/belfry/migrations"
)

// Migrate brings the schema up to date, forward only. It fails with ErrInUse
// while another process is active.
func (s *Store) Migrate(ctx context.Context) (applied int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		lock, err := lockFile(s.path)
		if err != nil {
			return 0, fmt.Errorf("migrate sqlite: %w", err)
		}
		defer lock.Close()
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.writer, migrations.SQLite(),
		goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return 0, fmt.Errorf("migrate sqlite: %w", err)
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
		return 0, fmt.Errorf("migrate sqlite: %w", err)
	}
	return len(results), nil
}
