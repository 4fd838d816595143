package sqlite

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/belfryhq/belfry/migrations"
	"github.com/belfryhq/belfry/store"
)

// OpenReadOnly opens the file to be looked at, beside an active process or
// without one: whatever would change it fails. The error is fs.ErrNotExist if
// there is no file.
func OpenReadOnly(ctx context.Context, config Config) (*Store, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	path, err := filepath.Abs(config.Path)
	if err != nil {
		return nil, fmt.Errorf("sqlite config: Path: %w", err)
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open sqlite: %w", err)
	}
	options := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)", "query_only(ON)"}}
	s := &Store{path: path, lost: make(chan struct{})}
	if s.writer, err = openDB(path, options, 1); err != nil {
		return nil, err
	}
	if s.reader, err = openDB(path, options, 1); err != nil {
		return nil, errors.Join(err, s.writer.Close())
	}
	if err := s.Ping(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Examine looks at the file's condition.
func (s *Store) Examine(ctx context.Context) (store.Condition, error) {
	var c store.Condition
	var version string
	var migrated bool
	err := s.reader.QueryRowContext(ctx, `SELECT sqlite_version(), EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'goose_db_version')`).Scan(&version, &migrated)
	if err != nil {
		return c, fmt.Errorf("examine sqlite: %w", err)
	}
	c.Server, c.Newest = "SQLite "+version, migrations.Newest(migrations.SQLite())
	if migrated {
		err := s.reader.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&c.Schema)
		if err != nil {
			return c, fmt.Errorf("read the schema's version: %w", err)
		}
	}
	c.Active = activeProcess(s.path)
	return c, nil
}

// activeProcess tells who holds the lock. It asks for a shared one, for no
// longer than it takes to give it back: only a process that starts at that very
// moment would find the file in use.
func activeProcess(path string) string {
	file, err := os.Open(path + ".lock")
	if err != nil {
		return ""
	}
	defer file.Close()
	if !errors.Is(syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK) {
		return ""
	}
	return "a process" + holder(file)
}
