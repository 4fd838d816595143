package postgres_test

import (
	"database/sql"
	"net/url"
	"testing"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/migrations"
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
		_, err := s.Maintain(t.Context(), storetest.Start, storetest.Start, 10)
		require.NoError(t, err)
		require.Equal(t, []string{
			"deliveries_20260314", "deliveries_20260315", "deliveries_20260316", "deliveries_20260317", "deliveries_default",
			"notifications_20260314", "notifications_20260315", "notifications_20260316", "notifications_20260317", "notifications_default",
		}, partitions(t, address))
	}
}

func TestMaintain_SkipsADayThatTheDefaultPartitionHolds(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	s := migrated(t, address)
	n := storetest.NewSamples().Notification(storetest.User("ann"))
	require.NoError(t, s.Commit(t.Context(), store.Group{Accepted: []push.Notification{n}}))
	_, err := s.Maintain(t.Context(), storetest.Start, storetest.Start, 10)
	require.NoError(t, err)
	require.NotContains(t, partitions(t, address), "notifications_20260314")
	require.Contains(t, partitions(t, address), "notifications_20260315")
	require.Contains(t, partitions(t, address), "deliveries_20260314")
}

func TestMaintain_DropsAPastDayThatHasNoPendingWork(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	s := migrated(t, address)
	_, err := s.Maintain(t.Context(), storetest.Start, storetest.Start, 10)
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

func TestMaintain_GivesWayToALongQuery(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	s := migrated(t, address)
	db := connect(t, address)
	long, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer long.Rollback()
	_, err = long.ExecContext(t.Context(), `SELECT 1 FROM notifications`)
	require.NoError(t, err)

	_, err = s.Maintain(t.Context(), storetest.Start, storetest.Start, 10)
	require.ErrorContains(t, err, "lock timeout")
	require.NoError(t, long.Rollback())
	_, err = s.Maintain(t.Context(), storetest.Start, storetest.Start, 10)
	require.NoError(t, err)
}

func TestMigrate_ByManyAtOnceIsDoneByOne(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	applied := make(chan int, 3)
	for range cap(applied) {
		s := open(t, address)
		go func() {
			n, err := s.Migrate(t.Context())
			if err != nil {
				n = -1
			}
			applied <- n
		}()
	}
	var counts []int
	for range cap(applied) {
		counts = append(counts, <-applied)
	}
	steps := queryInt(t, address, `SELECT max(version_id) FROM goose_db_version`)
	require.ElementsMatch(t, []int{steps, 0, 0}, counts)
}

func TestMigrate_KeepsWhatWasThereBeforeParking(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	db := connect(t, address)
	migrateTo(t, db, 4)
	s := open(t, address)
	_, err := s.Maintain(t.Context(), storetest.Start, storetest.Start, 10)
	require.NoError(t, err)
	require.Contains(t, partitions(t, address), "notifications_20260314")
	samples := storetest.NewSamples()
	n, sub := samples.Notification(storetest.User("ann")), samples.Phone(storetest.User("ann"))
	sub.Project = ""
	for statement, values := range map[string][]any{
		`INSERT INTO notifications VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`: {n.ID.String(), n.User.App, n.User.ID, n.Content,
			uint8(n.Urgency), n.CollapseKey, n.AcceptedAt, n.ExpiresAt},
		`INSERT INTO pending VALUES ($1, $2, $3, $4, NULL)`: {n.ID.String(), n.User.App, n.User.ID, uint16(n.User.Shard())},
		`INSERT INTO subscriptions VALUES ($1, $2, $3, $4, $5, NULL, NULL, NULL, $6, $7, NULL)`: {sub.User.App, sub.Digest[:], sub.User.ID,
			uint8(sub.Kind), string(sub.Endpoint), sub.CreatedAt, sub.SeenAt},
	} {
		_, err := db.ExecContext(t.Context(), statement, values...)
		require.NoError(t, err)
	}

	_, err = s.Migrate(t.Context())
	require.NoError(t, err)
	storetest.RequireUnparked(t, s, n, sub)
}

func TestMigrate_KeepsWhatWasThereBeforeProviders(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	db := connect(t, address)
	migrateTo(t, db, 5)
	s := open(t, address)
	_, err := s.Maintain(t.Context(), storetest.Start, storetest.Start, 10)
	require.NoError(t, err)
	require.Contains(t, partitions(t, address), "deliveries_20260314")
	samples, ann := storetest.NewSamples(), storetest.User("ann")
	app, n, sub := samples.App("shop"), samples.Notification(ann), samples.Browser(ann)
	delivery := samples.Delivery(n, sub)
	app.Origins, app.PushHosts = nil, nil
	for statement, values := range map[string][]any{
		`INSERT INTO apps VALUES ($1, NULL, $2, $3, $4)`: {app.Name, app.VAPIDSubject, app.TokenSecret, app.CreatedAt},
		`INSERT INTO notifications VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL)`: {n.ID.String(), n.User.App, n.User.ID, n.Content,
			uint8(n.Urgency), n.CollapseKey, n.AcceptedAt, n.ExpiresAt},
		`INSERT INTO deliveries VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`: {n.ID.String(), sub.Digest[:], uint8(sub.Kind), delivery.Host,
			uint8(delivery.State), delivery.Attempts, delivery.Status, delivery.Reason, delivery.DoneAt},
		`INSERT INTO subscriptions VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, NULL, NULL, NULL, NULL, NULL)`: {sub.User.App, sub.Digest[:], sub.User.ID,
			uint8(sub.Kind), string(sub.Endpoint), sub.P256dh, sub.Auth, sub.VAPIDKey, sub.CreatedAt, sub.SeenAt, sub.ExpiresAt},
	} {
		_, err := db.ExecContext(t.Context(), statement, values...)
		require.NoError(t, err)
	}

	_, err = s.Migrate(t.Context())
	require.NoError(t, err)
	storetest.RequireBeforeProviders(t, s, app, n, delivery, sub)
}

func TestMigrate_RefusesASchemaNewerThanTheProgram(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	s := migrated(t, address)
	_, err := connect(t, address).ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9000, true)`)
	require.NoError(t, err)
	_, err = s.Migrate(t.Context())
	require.ErrorContains(t, err, "version 9000, newer than this program")
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
func migrateTo(t *testing.T, db *sql.DB, version int64) {
	t.Helper()
	older, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Postgres(), goose.WithDisableGlobalRegistry(true))
	require.NoError(t, err)
	_, err = older.UpTo(t.Context(), version)
	require.NoError(t, err)
}

func maintain(t *testing.T, s store.Store, before time.Time, limit int) int {
	t.Helper()
	removed, err := s.Maintain(t.Context(), storetest.Start, before, limit)
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
		WHERE inhparent IN ('notifications'::regclass, 'deliveries'::regclass) ORDER BY 1`)
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
