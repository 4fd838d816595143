package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/sqlite"
	"github.com/belfryhq/belfry/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestStore_KeepsThePromises(t *testing.T) { storetest.Exercise(t, storetest.OpenSQLite) }

func BenchmarkCommit(b *testing.B) { storetest.BenchmarkCommit(b, storetest.OpenSQLite) }

func TestConfig_NamesTheFieldThatIsWrong(t *testing.T) {
	for want, config := range map[string]sqlite.Config{
		"Path":      {},
		"ReadConns": {Path: "x", ReadConns: -1},
	} {
		_, err := sqlite.Open(t.Context(), config)
		require.ErrorContains(t, err, want+":")
	}
}

func TestOpen_MakesAFileForThisUserAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "var", "belfry")
	s := open(t, filepath.Join(dir, "belfry.db"))
	require.NoError(t, s.Acquire(t.Context()))
	requireMode(t, 0o700, dir)
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		requireMode(t, 0o600, filepath.Join(dir, "belfry.db"+suffix))
	}
}

func TestOpen_TakesAnyFileName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "50% of #1? ünïcödé&mode=memory.db")
	s := open(t, path)
	_, err := s.Migrate(t.Context())
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.NotZero(t, info.Size())
}

func TestOpen_OfSomethingElseSaysWhich(t *testing.T) {
	dir := t.TempDir()
	_, err := sqlite.Open(t.Context(), sqlite.Config{Path: dir})
	require.ErrorContains(t, err, dir)

	notes := filepath.Join(dir, "notes.txt")
	require.NoError(t, os.WriteFile(notes, []byte("this file is not a database, and long enough to tell"), 0o600))
	_, err = sqlite.Open(t.Context(), sqlite.Config{Path: notes})
	require.ErrorContains(t, err, notes)

	_, err = sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(notes, "belfry.db")})
	require.ErrorContains(t, err, notes)
}

func TestOpen_HasThePragmasInForceOnEveryConnection(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "belfry.db"))
	writer, reader := s.DBs()
	const full, fast, off = 2, 2, 0
	require.Equal(t, 1, writer.Stats().MaxOpenConnections)
	requirePragmas(t, writer, map[string]any{
		"journal_mode": "wal", "synchronous": int64(full), "busy_timeout": int64(5000),
		"wal_autocheckpoint": int64(4000), "cache_size": int64(-32768), "foreign_keys": int64(1), "query_only": int64(off),
		"secure_delete": int64(fast),
	})

	require.Equal(t, 4, reader.Stats().MaxOpenConnections)
	for range 4 { // holding each makes the pool open the next
		conn, err := reader.Conn(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, conn.Close()) })
		requirePragmas(t, conn, map[string]any{"journal_mode": "wal", "busy_timeout": int64(5000), "cache_size": int64(-8192)})
		_, err = conn.ExecContext(t.Context(), `CREATE TABLE t (a)`)
		require.ErrorContains(t, err, "readonly")
	}
}

func TestOpen_SharesNothingWithAnotherFile(t *testing.T) {
	one, two := storetest.OpenSQLite(t), storetest.OpenSQLite(t)
	samples := storetest.NewSamples()
	require.NoError(t, one.CreateApp(t.Context(), samples.App("shop")))
	apps, err := two.ListApps(t.Context())
	require.NoError(t, err)
	require.Empty(t, apps)
}

func TestStore_KeepsWhatItHasWhenOpenedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "belfry.db")
	n := storetest.NewSamples().Notification(storetest.User("ann"))
	first := open(t, path)
	_, err := first.Migrate(t.Context())
	require.NoError(t, err)
	require.NoError(t, first.Commit(t.Context(), store.Group{Accepted: []push.Notification{n}}))
	require.NoError(t, first.Close())

	record, err := open(t, path).GetNotification(t.Context(), push.DefaultApp, n.ID)
	require.NoError(t, err)
	require.Equal(t, n, record.Notification)
}

// There is no index by user, so it looks at the newest of all users.
func TestListSubscriptions_ReadsThoseOfTheUsersAlone(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "belfry.db"))
	_, err := s.Migrate(t.Context())
	require.NoError(t, err)
	plan, err := s.Plan(t.Context())
	require.NoError(t, err)
	require.Contains(t, plan, "SEARCH subscriptions USING INDEX subscriptions_user (app=? AND usr=?)")
}

func TestListRecent_SaysHowFarBackItLooked(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "belfry.db"))
	_, err := s.Migrate(t.Context())
	require.NoError(t, err)
	samples, ann, bob := storetest.NewSamples(), storetest.User("ann"), storetest.User("bob")
	older, newer := samples.Notification(ann), samples.Notification(ann)
	others := samples.Notifications(bob, 2)
	require.NoError(t, s.Commit(t.Context(), store.Group{Accepted: append(others, older, newer)}))

	const window = 4
	recent := func(limit int) store.Recent {
		t.Helper()
		recent, err := s.ListRecentOf(t.Context(), window, ann, limit)
		require.NoError(t, err)
		return recent
	}
	require.Equal(t, store.Recent{IDs: []push.ID{newer.ID, older.ID}}, recent(10), "the window has all that there are")
	require.NoError(t, s.Commit(t.Context(), store.Group{Accepted: samples.Notifications(bob, 1)}))
	require.Equal(t, store.Recent{IDs: []push.ID{newer.ID}, Since: newer.AcceptedAt}, recent(10), "one of them is out of reach")
	require.Equal(t, store.Recent{IDs: []push.ID{newer.ID}}, recent(1), "no more was asked for")
	require.NoError(t, s.Commit(t.Context(), store.Group{Accepted: samples.Notifications(bob, 9)}))
	require.Nil(t, recent(10).IDs)
	require.NotZero(t, recent(10).Since)
}

func TestCommit_BeforeMigrateFailsAndAfterSucceeds(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "belfry.db"))
	group := store.Group{Accepted: storetest.NewSamples().Notifications(storetest.User("ann"), 1)}
	require.ErrorContains(t, s.Commit(t.Context(), group), "no such table")
	_, err := s.Migrate(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Commit(t.Context(), group))
}

func TestCommit_WaitingForItsTurnEndsWithItsContext(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "belfry.db"))
	_, err := s.Migrate(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Commit(t.Context(), store.Group{})) // prepares
	writer, _ := s.DBs()
	busy, err := writer.Conn(t.Context())
	require.NoError(t, err)
	defer busy.Close()

	soon, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Commit(soon, store.Group{}), context.DeadlineExceeded)
}

func open(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// migrateTo makes the schema that an older program had.
func requireMode(t *testing.T, want os.FileMode, path string) {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, want, info.Mode().Perm(), path)
}

func requirePragmas(t *testing.T, db interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}, want map[string]any) {
	t.Helper()
	for name, value := range want {
		var got any
		require.NoError(t, db.QueryRowContext(t.Context(), fmt.Sprintf(`PRAGMA %s`, name)).Scan(&got))
		require.Equal(t, value, got, name)
	}
}
