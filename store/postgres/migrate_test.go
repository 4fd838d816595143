package postgres_test

import (
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/migrations"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/storetest"
)

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
	makeDay(t, db)
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

	_, err := s.Migrate(t.Context())
	require.NoError(t, err)
	storetest.RequireUnparked(t, s, n, sub)
}

func TestMigrate_KeepsWhatWasThereBeforeProviders(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	db := connect(t, address)
	migrateTo(t, db, 5)
	s := open(t, address)
	makeDay(t, db)
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

	_, err := s.Migrate(t.Context())
	require.NoError(t, err)
	storetest.RequireBeforeProviders(t, s, app, n, delivery, sub)
}

func TestMigrate_KeepsWhatWasThereBeforeFeeds(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	db := connect(t, address)
	migrateTo(t, db, 6)
	s := open(t, address)
	makeDay(t, db)
	samples, ann := storetest.NewSamples(), storetest.User("ann")
	app, n, sub := samples.App("shop"), samples.Notification(ann), samples.Browser(ann)
	delivery, key := samples.Delivery(n, sub), samples.APIKey("shop")
	n.Native, key.Scopes, key.Rate = []byte(`{}`), nil, 0
	require.NoError(t, s.CreateApp(t.Context(), app))
	for statement, values := range map[string][]any{
		`INSERT INTO notifications VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL, $9)`: {n.ID.String(), n.User.App, n.User.ID, n.Content,
			uint8(n.Urgency), n.CollapseKey, n.AcceptedAt, n.ExpiresAt, n.Native},
		`INSERT INTO deliveries VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`: {n.ID.String(), sub.Digest[:], uint8(sub.Kind), delivery.Host,
			uint8(delivery.State), delivery.Attempts, delivery.Status, delivery.Reason, delivery.DoneAt, delivery.MessageID},
		`INSERT INTO api_keys VALUES ($1, $2, $3, $4, NULL, $5)`: {key.ID, key.App, key.Name, key.Hash[:], key.CreatedAt},
	} {
		_, err := db.ExecContext(t.Context(), statement, values...)
		require.NoError(t, err)
	}

	_, err := s.Migrate(t.Context())
	require.NoError(t, err)
	storetest.RequireBeforeFeeds(t, s, n, delivery, key)
	require.Equal(t, 1, queryInt(t, address, `SELECT count(*) FROM receipts_20260314`), "receipts have the days that there were")
	_, err = s.Maintain(t.Context(), storetest.Start, store.Before{}, 10)
	require.NoError(t, err)
	require.Equal(t, 2, maintain(t, s, storetest.Start.AddDate(0, 0, 1), 10), "the notification and its event")
	require.NotContains(t, partitions(t, address), "receipts_20260314")
}

func TestMigrate_RefusesASchemaNewerThanTheProgram(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	s := migrated(t, address)
	_, err := connect(t, address).ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9000, true)`)
	require.NoError(t, err)
	_, err = s.Migrate(t.Context())
	require.ErrorContains(t, err, "version 9000, newer than this program")
}

func migrateTo(t *testing.T, db *sql.DB, version int64) {
	t.Helper()
	older, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Postgres(), goose.WithDisableGlobalRegistry(true))
	require.NoError(t, err)
	_, err = older.UpTo(t.Context(), version)
	require.NoError(t, err)
}

func makeDay(t *testing.T, db *sql.DB) {
	t.Helper()
	first, last := midnight(storetest.Start), midnight(storetest.Start.AddDate(0, 0, 1))
	for _, table := range []string{"notifications", "deliveries"} {
		_, err := db.ExecContext(t.Context(), fmt.Sprintf(`CREATE TABLE %s_20260314 PARTITION OF %[1]s FOR VALUES FROM ('%s') TO ('%s')`, table, first, last))
		require.NoError(t, err)
	}
}

func midnight(t time.Time) push.ID {
	id := storetest.IDAt(t.Truncate(24 * time.Hour))
	clear(id[6:])
	return id
}
