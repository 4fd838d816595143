package postgres_test

import (
	"database/sql"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/postgres"
	"github.com/belfryhq/belfry/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestStore_KeepsThePromises(t *testing.T) { storetest.Exercise(t, storetest.OpenPostgres) }

// BenchmarkCommit runs on a server that syncs to the disk, as in production.
func BenchmarkCommit(b *testing.B) {
	cluster := storetest.NewCluster(b, storetest.ClusterConfig{Durable: true})
	storetest.BenchmarkCommit(b, func(t testing.TB) store.Store {
		return storetest.OpenURL(t, cluster.NewDatabase(t))
	})
}

func TestConfig_NamesTheFieldThatIsWrong(t *testing.T) {
	for want, config := range map[string]postgres.Config{
		"URL: required":        {},
		"URL: cannot parse":    {URL: "postgres://u:s3cret@host:port/db"},
		"MaxConns: at least 2": {URL: "postgres:///db", MaxConns: 1},
	} {
		_, err := postgres.Open(t.Context(), config)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "s3cret")
	}
}

func TestOpen_OfAServerThatIsNotThereFails(t *testing.T) {
	_, err := postgres.Open(t.Context(), postgres.Config{URL: "postgres://u:s3cret@/db?host=" + url.QueryEscape(t.TempDir())})
	require.ErrorContains(t, err, "ping postgres")
	require.NotContains(t, err.Error(), "s3cret")
}

func TestOpen_TellsTheServerWhoItIs(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	open(t, address)
	require.Equal(t, 1, queryInt(t, address, `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = 'belfry'`))
}

func TestOpen_WaitsForTheLogWhereTheServersDefaultIsNotTo(t *testing.T) {
	cluster := storetest.Postgres(t)
	address := cluster.NewDatabase(t)
	u, err := url.Parse(address)
	require.NoError(t, err)
	cluster.Exec(t, `ALTER DATABASE `+u.Path[1:]+` SET synchronous_commit = off`)
	var value string
	require.NoError(t, open(t, address).Pool().QueryRow(t.Context(), `SHOW synchronous_commit`).Scan(&value))
	require.Equal(t, "on", value)
}

func TestOpen_TakesTheSizeOfItsPool(t *testing.T) {
	s, err := postgres.Open(t.Context(), postgres.Config{URL: storetest.Postgres(t).NewDatabase(t), MaxConns: 3})
	require.NoError(t, err)
	defer s.Close()
	require.EqualValues(t, 3, s.Pool().Config().MaxConns)
}

func TestMaintain_MakesTodayAndTheNextDaysOnce(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	s := migrated(t, address)
	for range 2 {
		_, err := s.Maintain(t.Context(), storetest.Start, storetest.Before(storetest.Start), 10)
		require.NoError(t, err)
		require.Equal(t, []string{
			"deliveries_20260314", "deliveries_20260315", "deliveries_20260316", "deliveries_20260317", "deliveries_default",
			"events_20260314", "events_20260315", "events_20260316", "events_20260317", "events_default",
			"notifications_20260314", "notifications_20260315", "notifications_20260316", "notifications_20260317", "notifications_default",
			"receipts_20260314", "receipts_20260315", "receipts_20260316", "receipts_20260317", "receipts_default",
		}, partitions(t, address))
	}
}

func TestMaintain_SkipsADayThatTheDefaultPartitionHolds(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	s := migrated(t, address)
	n := storetest.NewSamples().Notification(storetest.User("ann"))
	require.NoError(t, s.Commit(t.Context(), store.Group{Accepted: []push.Notification{n}}))
	_, err := s.Maintain(t.Context(), storetest.Start, storetest.Before(storetest.Start), 10)
	require.NoError(t, err)
	require.NotContains(t, partitions(t, address), "notifications_20260314")
	require.Contains(t, partitions(t, address), "notifications_20260315")
	require.Contains(t, partitions(t, address), "deliveries_20260314")
}

func TestMaintain_DropsAPastDayThatHasNoPendingWork(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	s := migrated(t, address)
	_, err := s.Maintain(t.Context(), storetest.Start, storetest.Before(storetest.Start), 10)
	require.NoError(t, err)

	samples := storetest.NewSamples()
	group := store.Group{Accepted: samples.Notifications(storetest.User("ann"), 5)}
	for _, n := range group.Accepted {
		group.Deliveries = append(group.Deliveries, samples.Delivery(n, samples.Phone(n.User)))
		group.Finished = append(group.Finished, n.ID)
	}
	group.Finished = group.Finished[1:]
	require.NoError(t, s.Commit(t.Context(), group))

	thatDay := storetest.Start
	require.Equal(t, 0, maintain(t, s, thatDay, 10), "a day that is not over loses what is old alone")
	require.Equal(t, 2, maintain(t, s, thatDay.AddDate(0, 0, 1), 2), "one is pending: row by row")
	require.Contains(t, partitions(t, address), "notifications_20260314")

	require.NoError(t, s.Commit(t.Context(), store.Group{Finished: []push.ID{group.Accepted[0].ID}}))
	require.Equal(t, 3, maintain(t, s, thatDay.AddDate(0, 0, 1), 2), "the rest at once, whatever the limit")
	require.NotContains(t, partitions(t, address), "notifications_20260314")
	require.NotContains(t, partitions(t, address), "deliveries_20260314")
	require.Contains(t, partitions(t, address), "notifications_20260315")
	_, err = s.GetNotification(t.Context(), push.DefaultApp, group.Accepted[0].ID)
	require.ErrorIs(t, err, store.ErrNotFound)
	require.NoError(t, s.Commit(t.Context(), store.Group{Accepted: group.Accepted}), "the default partition takes what comes late")
}

func TestMaintain_DropsADayOfEventsByItsOwnAge(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	s := migrated(t, address)
	_, err := s.Maintain(t.Context(), storetest.Start, store.Before{}, 10)
	require.NoError(t, err)
	samples := storetest.NewSamples()
	pending := samples.Notification(storetest.User("ann"))
	group := store.Group{Accepted: []push.Notification{pending}}
	for range 3 {
		group.Events = append(group.Events, samples.Event(push.EventRetrying, pending, samples.Phone(pending.User)))
	}
	require.NoError(t, s.Commit(t.Context(), group))

	tomorrow := storetest.Start.AddDate(0, 0, 1)
	maintain := func(now, before time.Time) int {
		t.Helper()
		removed, err := s.Maintain(t.Context(), now, store.Before{Notifications: before, Events: before}, 1)
		require.NoError(t, err)
		return removed
	}
	require.Equal(t, 0, maintain(storetest.Start, samples.Now()), "the day is not over")
	require.Equal(t, 0, maintain(storetest.Start, tomorrow.AddDate(1, 0, 0)), "whatever is called old")
	require.Contains(t, partitions(t, address), "events_20260314")
	require.Contains(t, partitions(t, address), "events_20260317")
	require.Equal(t, 3, maintain(tomorrow, tomorrow), "all at once, whatever the limit")
	require.NotContains(t, partitions(t, address), "events_20260314")
	require.Contains(t, partitions(t, address), "notifications_20260314", "its work is pending")
	events, err := s.ListEvents(t.Context(), push.DefaultApp, push.ID{}, storetest.MaxID, 10)
	require.NoError(t, err)
	require.Empty(t, events)
	require.NoError(t, s.Commit(t.Context(), store.Group{Events: group.Events}), "the default partition takes what comes late")
	require.Equal(t, 1, maintain(tomorrow, tomorrow), "row by row")
}

func TestMaintain_GivesWayToALongQuery(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	s := migrated(t, address)
	db := connect(t, address)
	long, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer long.Rollback()
	_, err = long.ExecContext(t.Context(), `SELECT 1 FROM notifications`)
	require.NoError(t, err)

	_, err = s.Maintain(t.Context(), storetest.Start, storetest.Before(storetest.Start), 10)
	require.ErrorContains(t, err, "lock timeout")
	require.NoError(t, long.Rollback())
	_, err = s.Maintain(t.Context(), storetest.Start, storetest.Before(storetest.Start), 10)
	require.NoError(t, err)
}

func open(t *testing.T, address string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Config{URL: address})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func migrated(t *testing.T, address string) *postgres.Store {
	t.Helper()
	s := open(t, address)
	_, err := s.Migrate(t.Context())
	require.NoError(t, err)
	return s
}

// migrateTo makes the schema that an older program had.
// makeDay makes the partitions that an older program had made of the samples' day.
// midnight is where the IDs of a day begin.
func maintain(t *testing.T, s store.Store, before time.Time, limit int) int {
	t.Helper()
	removed, err := s.Maintain(t.Context(), storetest.Start, storetest.Before(before), limit)
	require.NoError(t, err)
	return removed
}

// connect looks at a database from outside.
func connect(t *testing.T, address string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", address)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func queryInt(t *testing.T, address, query string) (n int) {
	t.Helper()
	require.NoError(t, connect(t, address).QueryRowContext(t.Context(), query).Scan(&n))
	return n
}

func partitions(t *testing.T, address string) (names []string) {
	t.Helper()
	rows, err := connect(t, address).QueryContext(t.Context(), `SELECT inhrelid::regclass::text FROM pg_inherits
		WHERE inhparent IN (SELECT oid FROM pg_class WHERE relkind = 'p') ORDER BY 1`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		names = append(names, name)
	}
	require.NoError(t, rows.Err())
	return names
}
