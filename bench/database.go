package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/postgres"
	"github.com/belfryhq/belfry/store/sqlite"
	"github.com/belfryhq/belfry/store/storetest"
)

// database says where a worker keeps its data: on PostgreSQL at a URL, or in a
// SQLite file.
type database struct {
	URL  string
	File string
}

// newFile is a SQLite file of its own.
func (b *bench) newFile() (database, error) {
	dir, err := b.folder("sqlite")
	return database{File: filepath.Join(dir, "belfry.db")}, err
}

// open gives Belfry's store, active and empty at first.
func (d database) open(ctx context.Context) (opened store.Store, err error) {
	if d.URL != "" {
		opened, err = postgres.Open(ctx, postgres.Config{URL: d.URL})
	} else {
		opened, err = sqlite.Open(ctx, sqlite.Config{Path: d.File})
	}
	if err != nil {
		return nil, err
	}
	if err = opened.Acquire(ctx); err == nil {
		_, err = opened.Migrate(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return opened, nil
}

// writers is how many groups the store takes at a time, as the program has it.
func (d database) writers() int {
	if d.URL != "" {
		return 2
	}
	return 1
}

// pool opens PostgreSQL for what is not Belfry's.
func (d database) pool(ctx context.Context, conns int32) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(d.URL)
	if err != nil {
		return nil, err
	}
	config.MaxConns = conns
	return pgxpool.NewWithConfig(ctx, config)
}

// file opens SQLite for what is not Belfry's, as durable as Belfry's.
func (d database) file() (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+d.File+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(4000)")
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// startPostgres starts a server that syncs to the disk as in production.
func (b *bench) startPostgres() (*storetest.Cluster, error) {
	b.say("  starting PostgreSQL …")
	server, err := storetest.StartCluster(storetest.ClusterConfig{
		Durable: true, Settings: []string{"shared_buffers=512MB", "max_wal_size=4GB", "max_connections=200"},
	})
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL: %w", err)
	}
	return server, nil
}

// seedSubscriptions gives each of n users a browser at a push service, past the
// store: one call each would take minutes. All have the same keys.
func seedSubscriptions(ctx context.Context, file, url string, n int, vapid []byte) error {
	db, err := database{File: file}.file()
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit there is nothing to do
	insert, err := tx.PrepareContext(ctx, `INSERT INTO subscriptions (app, digest, usr, kind, endpoint, p256dh, auth, vapid_key, created_at, seen_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return err
	}
	like := browsers(url, 1, vapid)[0]
	now := time.Now().UnixMilli()
	for i := range n {
		user := userNumber(i)
		endpoint := fmt.Sprintf("%s/wpush/v2/%s-%07d", url, strings.Repeat("abcdefgh", 8), i)
		digest := push.DigestOf(push.Endpoint(endpoint))
		if _, err := insert.ExecContext(ctx, user.App, digest[:], user.ID, uint8(push.WebPush), endpoint, like.P256dh, like.Auth, vapid, now, now); err != nil {
			return err
		}
	}
	return tx.Commit()
}
