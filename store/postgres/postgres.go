// Package postgres keeps Belfry's data in PostgreSQL, version 13 or newer.
//
// It makes the promises of package store, and has the same files and the same
// order of functions as store/sqlite, so that the two can be read side by side.
//
// Queries go through a pool of connections. One more connection, outside the
// pool, holds the advisory lock that makes this process the active one; see
// ownership.go. Rows that two transactions may want at once are always taken
// in the order of their keys, so that no deadlock can form.
//
// Errors say what was being done and what the server answered; they never hold
// an endpoint or a key.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry/store"
)

// Config says which database to use.
type Config struct {
	// URL is where the database is, "postgres://user:password@host:5432/name",
	// with libpq's parameters and environment. Required.
	URL string

	// MaxConns is the most connections the pool opens, at least 2. Default 8.
	MaxConns int
}

const defaultMaxConns = 8

func (c Config) validate() error {
	switch {
	case c.URL == "":
		return errors.New("postgres config: URL: required")
	case c.MaxConns != 0 && c.MaxConns < 2:
		return errors.New("postgres config: MaxConns: at least 2")
	}
	return nil
}

// Store is one PostgreSQL database.
type Store struct {
	pool *pgxpool.Pool
	lost chan struct{}

	mu    sync.Mutex // guards owner
	owner *owner     // nil until acquired
}

var _ store.Store = (*Store)(nil)

// Open prepares to use the database and checks that it can be reached. It
// neither migrates nor acquires it.
func Open(ctx context.Context, config Config) (*Store, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	poolConfig, err := config.pool()
	if err != nil {
		return nil, err
	}
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

// Ping answers whether the database can be reached now. A connection that
// fails may be left over from before the server was restarted: only a new one
// can tell, and none of the old ones is used again.
func (s *Store) Ping(ctx context.Context) error {
	err := s.pool.Ping(ctx)
	if err != nil && ctx.Err() == nil {
		s.pool.Reset()
		err = s.pool.Ping(ctx)
	}
	if err != nil {
		return fmt.Errorf("ping postgres: %w", err)
	}
	return nil
}

// Close gives ownership up and closes all connections. It waits for calls that
// are under way; a waiting Acquire must be ended through its context first.
func (s *Store) Close() error {
	s.release()
	s.pool.Close()
	return nil
}

// A connection whose other end is gone is noticed within deadAfter, by us and,
// so that a standby can take over from a host that vanished, by the server.
const deadAfter = 5 * time.Second

func (c Config) pool() (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(c.URL)
	if err != nil {
		return nil, fmt.Errorf("postgres config: URL: %w", err)
	}
	config.MaxConns = defaultMaxConns
	if c.MaxConns != 0 {
		config.MaxConns = int32(c.MaxConns)
	}
	config.AfterConnect = prepareConn

	conn := config.ConnConfig
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = deadAfter
	}
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 2 * time.Second, Interval: time.Second, Count: 3,
	}}
	conn.DialFunc = dialer.DialContext
	for name, value := range map[string]string{
		"application_name":        "belfry",
		"tcp_keepalives_idle":     "2", // seconds, like the next
		"tcp_keepalives_interval": "1",
		"tcp_keepalives_count":    "3",
		"tcp_user_timeout":        "5000", // ms
	} {
		if _, given := conn.RuntimeParams[name]; !given {
			conn.RuntimeParams[name] = value
		}
	}
	return config, nil
}

// prepareConn makes a new connection keep two promises of package store: what
// returned is durable, even where the server's default is not to wait for its
// log; and times come back in UTC.
func prepareConn(ctx context.Context, conn *pgx.Conn) error {
	conn.TypeMap().RegisterType(&pgtype.Type{
		Name:  "timestamptz",
		OID:   pgtype.TimestamptzOID,
		Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
	})
	_, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false)
		WHERE current_setting('synchronous_commit') = 'off'`)
	return err
}
