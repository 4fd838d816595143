package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

const (
	fewCallers  = 64
	manyCallers = 1024
	groupMax    = 512  // of what is committed together, as the journal has it
	rawBatch    = 1000 // rows of one bare INSERT
)

// acceptSettings say what is written how.
type acceptSettings struct {
	database
	Callers int
	Mode    string // of rows: rowEach or rowsRaw
}

func runAccept(ctx context.Context, b *bench) error {
	server, err := b.startPostgres()
	if err != nil {
		return err
	}
	defer server.Remove() //nolint:errcheck // it is a temporary directory
	start := func(name, job string, callers int, on func() (database, error), mode string) func() (contender, error) {
		return func() (contender, error) {
			where, err := on()
			if err != nil {
				return nil, err
			}
			return startWorker(ctx, name, job, acceptSettings{database: where, Callers: callers, Mode: mode})
		}
	}
	inPostgres := func() (database, error) {
		url, err := server.CreateDatabase()
		return database{URL: url}, err
	}
	inFile := func() (database, error) { return b.newFile() }
	starts := []func() (contender, error){
		start("bare unnest, 2 connections", "accept-rows", 2, inPostgres, rowsRaw),
		start("the same into Belfry's tables", "accept-rows", 2, inPostgres, rowsOwn),
		start("PostgreSQL, a row each, 1,024", "accept-rows", manyCallers, inPostgres, rowEach),
		start("SQLite, a row each, 64", "accept-rows", fewCallers, inFile, rowEach),
	}
	for _, callers := range []int{fewCallers, manyCallers} {
		of := ", " + humanize.Comma(int64(callers))
		starts = append(starts,
			start("Belfry on PostgreSQL"+of, "accept-belfry", callers, inPostgres, ""),
			start("Belfry on SQLite"+of, "accept-belfry", callers, inFile, ""),
			start("file, append and sync"+of, "accept-file", callers, inFile, ""))
	}
	return with(func(all ...contender) error { return b.alternate(ctx, all...) }, starts...)
}

// accepting is Belfry's tree, that accepts and delivers nothing.
type accepting struct {
	store   store.Store
	system  *actors.System
	callers int
}

func openAccept(ctx context.Context, s acceptSettings) (*accepting, error) {
	db, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	system, err := actors.Start(ctx, actors.Config{
		Store: unread{db}, Writers: s.writers(),
		Providers: map[push.Kind]push.Provider{push.WebPush: noService{}},
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &accepting{store: db, system: system, callers: s.Callers}, nil
}

// unread is a store that does not get around to say which subscriptions there
// are. So what is accepted stays pending, and accepting is all that is measured.
type unread struct{ store.Store }

func (u unread) ListSubscriptions(ctx context.Context, _ []push.User) (map[push.User][]push.Subscription, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (a *accepting) ready() map[string]string { return nil }

func (a *accepting) round(ctx context.Context, d time.Duration) (sample, error) {
	return closedLoop(ctx, a.callers, 0, d, func(_ context.Context, call int64) error {
		_, err := a.system.Notify(draftFor(userNumber(int(call % sendUsers))))
		return err
	})
}

func (a *accepting) close() error {
	return errors.Join(a.system.Abandon(), a.store.Close())
}

func draftFor(users ...push.User) []actors.Draft {
	drafts := make([]actors.Draft, len(users))
	for i, user := range users {
		drafts[i] = actors.Draft{User: user, Content: commonContent, TTL: time.Hour}
	}
	return drafts
}

var commonContent = content()

// row is as much as Belfry keeps of a notification, for what is not Belfry's.
type row struct {
	id      push.ID
	app     string
	user    string
	content []byte
	at      time.Time
}

func rowNumber(call int64) row {
	r := row{app: push.DefaultApp, user: userNumber(int(call % sendUsers)).ID, content: commonContent, at: time.Now()}
	millis := uint64(r.at.UnixMilli())
	for i := range 6 { // as a UUID version 7 begins
		r.id[i] = byte(millis >> (8 * (5 - i)))
	}
	for i := range 8 {
		r.id[15-i] = byte(call >> (8 * i))
	}
	return r
}

// bareFile appends records to a file and syncs it, with the journal's way of
// gathering: whoever comes while it syncs is written together.
type bareFile struct {
	file    *os.File
	callers int
	calls   int64
	waiting chan record
	done    chan struct{}
}

type record struct {
	text []byte
	done chan error
}

func openFile(_ context.Context, s acceptSettings) (*bareFile, error) {
	file, err := os.Create(filepath.Join(filepath.Dir(s.File), "journal"))
	if err != nil {
		return nil, err
	}
	f := &bareFile{file: file, callers: s.Callers, waiting: make(chan record, s.Callers), done: make(chan struct{})}
	go f.write()
	return f, nil
}

func (f *bareFile) write() {
	defer close(f.done)
	var text []byte
	var group []record
	for first := range f.waiting {
		group, text = append(group[:0], first), append(text[:0], first.text...)
		for len(group) < groupMax && len(f.waiting) > 0 {
			next := <-f.waiting
			group, text = append(group, next), append(text, next.text...)
		}
		_, err := f.file.Write(text)
		if err == nil {
			err = f.file.Sync()
		}
		for _, r := range group {
			r.done <- err
		}
	}
}

func (f *bareFile) ready() map[string]string { return nil }

func (f *bareFile) round(ctx context.Context, d time.Duration) (sample, error) {
	found, err := closedLoop(ctx, f.callers, f.calls, d, func(_ context.Context, call int64) error {
		r := rowNumber(call)
		text := fmt.Appendf(nil, "%x %s %s %d %s\n", r.id, r.app, r.user, r.at.UnixMilli(), r.content)
		done := make(chan error, 1)
		f.waiting <- record{text, done}
		return <-done
	})
	f.calls += int64(found.Ops)
	return found, err
}

func (f *bareFile) close() error {
	close(f.waiting)
	<-f.done
	return f.file.Close()
}

// How rows are written.
const (
	rowEach = "a row in each transaction"
	rowsRaw = "as many in each INSERT as is quick"
	rowsOwn = "likewise, into Belfry's own tables: what the database can do of what is asked of it"
)

// rows inserts rows into a plain table: no pending work, no partitions, nothing
// but a primary key.
type rows struct {
	settings acceptSettings
	insert   func(ctx context.Context, call int64) error
	each     int64 // rows of one insert
	calls    int64
	shut     func() error
}

func openRows(ctx context.Context, s acceptSettings) (*rows, error) {
	r := &rows{settings: s, each: 1}
	if s.URL == "" {
		return r, r.openFile(ctx)
	}
	return r, r.openPostgres(ctx)
}

func (r *rows) openFile(ctx context.Context) error {
	db, err := r.settings.file()
	if err != nil {
		return err
	}
	r.shut = db.Close
	if _, err := db.ExecContext(ctx, `CREATE TABLE kept (id BLOB PRIMARY KEY, app TEXT, usr TEXT, content BLOB, at INTEGER) STRICT, WITHOUT ROWID`); err != nil {
		return err
	}
	insert, err := db.PrepareContext(ctx, `INSERT INTO kept VALUES (?, ?, ?, ?, ?)`)
	r.insert = func(ctx context.Context, call int64) error {
		row := rowNumber(call)
		_, err := insert.ExecContext(ctx, row.id[:], row.app, row.user, row.content, row.at.UnixMilli())
		return err
	}
	return err
}

func (r *rows) openPostgres(ctx context.Context) error {
	conns := int32(16)
	if r.settings.Mode != rowEach {
		conns, r.each = int32(r.settings.Callers), rawBatch
	}
	pool, err := r.settings.pool(ctx, conns)
	if err != nil {
		return err
	}
	r.shut = func() error { pool.Close(); return nil }
	r.insert = func(ctx context.Context, call int64) error {
		if r.each == 1 {
			row := rowNumber(call)
			_, err := pool.Exec(ctx, `INSERT INTO kept VALUES ($1, $2, $3, $4, $5)`, row.id, row.app, row.user, row.content, row.at)
			return err
		}
		ids, apps, users := make([][16]byte, r.each), make([]string, r.each), make([]string, r.each)
		contents, at := make([][]byte, r.each), make([]time.Time, r.each)
		for i := range r.each {
			row := rowNumber(call*r.each + i)
			ids[i], apps[i], users[i], contents[i], at[i] = row.id, row.app, row.user, row.content, row.at
		}
		if r.settings.Mode == rowsOwn {
			_, err := pool.Exec(ctx, `WITH n AS (SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::timestamptz[]) AS n (id, app, usr, content, at)),
				p AS (INSERT INTO pending (id, app, usr, shard) SELECT id, app, usr, 0 FROM n)
				INSERT INTO notifications (id, app, usr, content, urgency, collapse_key, accepted_at, expires_at) SELECT id, app, usr, content, 0, '', at, at FROM n`,
				ids, apps, users, contents, at)
			return err
		}
		_, err := pool.Exec(ctx, `INSERT INTO kept SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::timestamptz[])`, ids, apps, users, contents, at)
		return err
	}
	if r.settings.Mode == rowsOwn {
		db, err := r.settings.open(ctx) // makes the tables
		if err != nil {
			return err
		}
		return db.Close()
	}
	_, err = pool.Exec(ctx, `CREATE TABLE kept (id uuid PRIMARY KEY, app text, usr text, content bytea, at timestamptz)`)
	return err
}

func (r *rows) ready() map[string]string { return nil }

func (r *rows) round(ctx context.Context, d time.Duration) (sample, error) {
	found, err := closedLoop(ctx, r.settings.Callers, r.calls, d, r.insert)
	r.calls += int64(found.Ops)
	found.Ops *= int(r.each)
	return found, err
}

func (r *rows) close() error { return r.shut() }
