package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry/migrations"
	"github.com/belfryhq/belfry/store"
)

// OpenReadOnly opens the database to be looked at, beside an active process or
// without one: whatever would change it fails.
func OpenReadOnly(ctx context.Context, config Config) (*Store, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	poolConfig, err := config.pool()
	if err != nil {
		return nil, err
	}
	poolConfig.MaxConns = 2
	poolConfig.ConnConfig.RuntimeParams["application_name"] = "belfry doctor"
	poolConfig.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	pool, err := pgxpool.NewWithConfig(ctx, poolConfig)
	if err != nil {
		return nil, fmt.Errorf("open postgres: %w", err)
	}
	s := &Store{pool: pool, lost: make(chan struct{})}
	if err := s.Ping(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

// oldest is the oldest version of PostgreSQL that is supported, as
// server_version_num has it.
const oldest = 130000

// Examine looks at the database's condition.
func (s *Store) Examine(ctx context.Context) (store.Condition, error) {
	c := store.Condition{Newest: migrations.Newest(migrations.Postgres())}
	if err := s.examineServer(ctx, &c); err != nil {
		return c, fmt.Errorf("examine postgres: %w", err)
	}
	if err := s.examineSchema(ctx, &c); err != nil {
		return c, fmt.Errorf("read the schema's version: %w", err)
	}
	var err error
	if c.Active, err = s.activeProcess(ctx); err != nil {
		return c, fmt.Errorf("look for the active process: %w", err)
	}
	return c, nil
}

func (s *Store) examineServer(ctx context.Context, c *store.Condition) error {
	var version string
	var number int
	var replica, fsync, fullPages bool
	var clock time.Time
	asked := time.Now()
	err := s.pool.QueryRow(ctx, `SELECT clock_timestamp(), split_part(current_setting('server_version'), ' ', 1), current_setting('server_version_num')::int,
		pg_is_in_recovery(), current_setting('fsync')::bool, current_setting('full_page_writes')::bool`).
		Scan(&clock, &version, &number, &replica, &fsync, &fullPages)
	if err != nil {
		return err
	}
	c.Server = "PostgreSQL " + version
	c.Clock = skew(clock, asked, time.Now())
	if number < oldest {
		c.Wrong = append(c.Wrong, fmt.Sprintf("PostgreSQL %s is older than Belfry needs: use %d or newer.", version, oldest/10000))
	}
	if replica {
		c.Wrong = append(c.Wrong, "This server is a replica, on which nothing can be written: give the URL of the primary.")
	}
	if !fsync {
		c.Risky = append(c.Risky, "fsync is off: a crash of the server may destroy the whole database. Set fsync = on in postgresql.conf.")
	}
	if !fullPages {
		c.Risky = append(c.Risky, "full_page_writes is off: a crash of the server may destroy pages. Set full_page_writes = on in postgresql.conf.")
	}
	return nil
}

// skew is how far a clock that was read between two moments is ahead of ours;
// 0 if it is between them.
func skew(clock, asked, answered time.Time) time.Duration {
	switch {
	case clock.Before(asked):
		return clock.Sub(asked)
	case clock.After(answered):
		return clock.Sub(answered)
	default:
		return 0
	}
}

func (s *Store) examineSchema(ctx context.Context, c *store.Condition) error {
	var migrated, mayCreate bool
	err := s.pool.QueryRow(ctx, `SELECT to_regclass('goose_db_version') IS NOT NULL, coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)`).
		Scan(&migrated, &mayCreate)
	if err != nil {
		return err
	}
	if migrated {
		err := s.pool.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&c.Schema)
		if err != nil {
			return err
		}
	}
	if !mayCreate {
		// Partitions are made every day, so it is needed for good.
		c.Wrong = append(c.Wrong, "The database's user may not make tables: as the database's owner, say GRANT CREATE ON SCHEMA public TO this user.")
	}
	return nil
}

// activeProcess tells who holds the advisory lock of ownership.go.
func (s *Store) activeProcess(ctx context.Context) (active string, err error) {
	err = s.pool.QueryRow(ctx, `SELECT 'a process' || coalesce(' at ' || host(a.client_addr), '') || coalesce(', since ' || to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC', '')
		FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
			AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
			AND l.classid::bigint = $1 AND l.objid::bigint = $2`, ownershipKey>>32, ownershipKey&0xffffffff).Scan(&active)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return active, err
}
