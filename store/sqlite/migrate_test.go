package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/migrations"
	"github.com/belfryhq/belfry/store/storetest"
)

func TestMigrate_KeepsWhatWasThereBeforeParking(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "belfry.db"))
	writer, _ := s.DBs()
	migrateTo(t, writer, 4)
	samples := storetest.NewSamples()
	n, sub := samples.Notification(storetest.User("ann")), samples.Phone(storetest.User("ann"))
	sub.Project = ""
	for statement, values := range map[string][]any{
		`INSERT INTO notifications VALUES (?, ?, ?, ?, ?, ?, ?, ?)`: {n.ID[:], n.User.App, n.User.ID, n.Content,
			uint8(n.Urgency), n.CollapseKey, n.AcceptedAt.UnixMilli(), n.ExpiresAt.UnixMilli()},
		`INSERT INTO pending VALUES (?, ?, ?, ?, NULL)`: {n.ID[:], n.User.App, n.User.ID, uint16(n.User.Shard())},
		`INSERT INTO subscriptions VALUES (?, ?, ?, ?, ?, NULL, NULL, NULL, ?, ?, NULL)`: {sub.User.App, sub.Digest[:], sub.User.ID,
			uint8(sub.Kind), string(sub.Endpoint), sub.CreatedAt.UnixMilli(), sub.SeenAt.UnixMilli()},
	} {
		_, err := writer.ExecContext(t.Context(), statement, values...)
		require.NoError(t, err)
	}

	_, err := s.Migrate(t.Context())
	require.NoError(t, err)
	storetest.RequireUnparked(t, s, n, sub)
}

func TestMigrate_KeepsWhatWasThereBeforeProviders(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "belfry.db"))
	writer, _ := s.DBs()
	migrateTo(t, writer, 5)
	samples, ann := storetest.NewSamples(), storetest.User("ann")
	app, n, sub := samples.App("shop"), samples.Notification(ann), samples.Browser(ann)
	delivery := samples.Delivery(n, sub)
	app.Origins, app.PushHosts = nil, nil
	for statement, values := range map[string][]any{
		`INSERT INTO apps VALUES (?, NULL, ?, ?, ?)`: {app.Name, app.VAPIDSubject, app.TokenSecret, app.CreatedAt.UnixMilli()},
		`INSERT INTO notifications VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)`: {n.ID[:], n.User.App, n.User.ID, n.Content,
			uint8(n.Urgency), n.CollapseKey, n.AcceptedAt.UnixMilli(), n.ExpiresAt.UnixMilli()},
		`INSERT INTO deliveries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`: {n.ID[:], sub.Digest[:], uint8(sub.Kind), delivery.Host,
			uint8(delivery.State), delivery.Attempts, delivery.Status, delivery.Reason, delivery.DoneAt.UnixMilli()},
		`INSERT INTO subscriptions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL, NULL, NULL)`: {sub.User.App, sub.Digest[:], sub.User.ID,
			uint8(sub.Kind), string(sub.Endpoint), sub.P256dh, sub.Auth, sub.VAPIDKey, sub.CreatedAt.UnixMilli(), sub.SeenAt.UnixMilli(), sub.ExpiresAt.UnixMilli()},
	} {
		_, err := writer.ExecContext(t.Context(), statement, values...)
		require.NoError(t, err)
	}

	_, err := s.Migrate(t.Context())
	require.NoError(t, err)
	storetest.RequireBeforeProviders(t, s, app, n, delivery, sub)
}

func TestMigrate_KeepsWhatWasThereBeforeFeeds(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "belfry.db"))
	writer, _ := s.DBs()
	migrateTo(t, writer, 6)
	samples, ann := storetest.NewSamples(), storetest.User("ann")
	app, n, sub := samples.App("shop"), samples.Notification(ann), samples.Browser(ann)
	delivery, key := samples.Delivery(n, sub), samples.APIKey("shop")
	n.Native, key.Scopes, key.Rate = []byte(`{}`), nil, 0
	require.NoError(t, s.CreateApp(t.Context(), app))
	for statement, values := range map[string][]any{
		`INSERT INTO notifications VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)`: {n.ID[:], n.User.App, n.User.ID, n.Content,
			uint8(n.Urgency), n.CollapseKey, n.AcceptedAt.UnixMilli(), n.ExpiresAt.UnixMilli(), n.Native},
		`INSERT INTO deliveries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`: {n.ID[:], sub.Digest[:], uint8(sub.Kind), delivery.Host,
			uint8(delivery.State), delivery.Attempts, delivery.Status, delivery.Reason, delivery.DoneAt.UnixMilli(), delivery.MessageID},
		`INSERT INTO api_keys VALUES (?, ?, ?, ?, NULL, ?)`: {key.ID, key.App, key.Name, key.Hash[:], key.CreatedAt.UnixMilli()},
	} {
		_, err := writer.ExecContext(t.Context(), statement, values...)
		require.NoError(t, err)
	}

	_, err := s.Migrate(t.Context())
	require.NoError(t, err)
	storetest.RequireBeforeFeeds(t, s, n, delivery, key)
}

func migrateTo(t *testing.T, db *sql.DB, version int64) {
	t.Helper()
	older, err := goose.NewProvider(goose.DialectSQLite3, db, migrations.SQLite(), goose.WithDisableGlobalRegistry(true))
	require.NoError(t, err)
	_, err = older.UpTo(t.Context(), version)
	require.NoError(t, err)
}
