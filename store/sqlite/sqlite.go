// Package sqlite keeps Belfry's data in one SQLite file, inside the process.
//
// It makes the promises of package store, and has the same files and the same
// order of functions as store/postgres, so that the two can be read side by side.
//
// One connection writes, so writers take turns in Go rather than collide in
// SQLite; four more only read, and see the last commit. The file is in WAL mode
// and every commit is synced to the disk before it returns (synchronous=FULL:
// NORMAL would lose the latest commits when the power fails).
//
// The file has companions: -wal and -shm are SQLite's and part of the data,
// .lock says which process is active; see ownership.go. Do not copy the file
// alone while a process is active.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/belfryhq/belfry/store"
)

// Config says which file to use.
type Config struct {
	// Path is the database file. It and its directory are made if need be,
	// for the eyes of this user alone. Required.
	Path string

	// ReadConns is how many reads may run at once. Default 4.
	ReadConns int
}

const defaultReadConns = 4

func (c Config) validate() error {
	switch {
	case c.Path == "":
		return errors.New("sqlite config: Path: required")
	case c.ReadConns < 0:
		return errors.New("sqlite config: ReadConns: not negative")
	}
	return nil
}

// Store is one SQLite file.
type Store struct {
	path   string
	writer *sql.DB // one connection
	reader *sql.DB
	lost   chan struct{} // never closed

	mu     sync.Mutex // guards the next two
	lock   *os.File   // nil until acquired
	commit *commitStatements
}

var _ store.Store = (*Store)(nil)

// Open opens the file, making it if need be. It neither migrates nor acquires it.
func Open(ctx context.Context, config Config) (*Store, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	path, err := filepath.Abs(config.Path)
	if err != nil {
		return nil, fmt.Errorf("sqlite config: Path: %w", err)
	}
	if err := createFile(path); err != nil {
		return nil, fmt.Errorf("open sqlite: %w", err)
	}
	s := &Store{path: path, lost: make(chan struct{})}
	if s.writer, err = openDB(path, writerOptions, 1); err != nil {
		return nil, err
	}
	readConns := defaultReadConns
	if config.ReadConns != 0 {
		readConns = config.ReadConns
	}
	if s.reader, err = openDB(path, readerOptions, readConns); err != nil {
		return nil, errors.Join(err, s.writer.Close())
	}
	if err := s.Ping(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Ping answers whether the file can be read and its write connection is free.
func (s *Store) Ping(ctx context.Context) error {
	for _, db := range []*sql.DB{s.writer, s.reader} { // the writer first: it makes a new file a database
		if _, err := db.ExecContext(ctx, `SELECT 1 FROM sqlite_schema`); err != nil {
			return fmt.Errorf("ping sqlite %s: %w", s.path, err)
		}
	}
	return nil
}

// Close closes the file and then gives ownership up. It waits for calls that
// are under way.
func (s *Store) Close() error {
	err := errors.Join(s.reader.Close(), s.writer.Close())
	s.release()
	if err != nil {
		return fmt.Errorf("close sqlite: %w", err)
	}
	return nil
}

// createFile sees to it that SQLite finds a file, which only this user may
// read. SQLite gives its companions the same mode.
func createFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
}

// What each connection is told when it opens, in this order.
var (
	writerOptions = url.Values{
		"_txlock": {"immediate"}, // a transaction that will write says so at once
		"_pragma": {
			"busy_timeout(5000)", // ms
			"journal_mode(WAL)",
			"synchronous(FULL)",
			"wal_autocheckpoint(4000)", // pages of 4 KiB: 16 MiB
			"cache_size(-32768)",       // KiB, negative for SQLite's sake: 32 MiB
			"foreign_keys(ON)",
			"secure_delete(FAST)", // what was replaced does not stay readable in its page
		},
	}
	readerOptions = url.Values{
		"mode": {"ro"},
		"_pragma": {
			"busy_timeout(5000)",
			"cache_size(-8192)", // 8 MiB for each reader
		},
	}
)

func openDB(path string, options url.Values, conns int) (*sql.DB, error) {
	name := url.URL{Scheme: "file", Path: path, RawQuery: options.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, fmt.Errorf("open sqlite: %w", err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// write runs change in a transaction on the write connection. Waiting for the
// connection ends with ctx; what is begun is carried through, since it is short
// and in this process: change is given no context to stop at.
func (s *Store) write(ctx context.Context, change func(*sql.Tx) error) error {
	conn, err := s.writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	tx, err := conn.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return err
	}
	if err := change(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
