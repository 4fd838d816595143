package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/migrations"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/postgres"
	"github.com/belfryhq/belfry/store/storetest"
)

func TestOpenReadOnly_ReadsBesideTheActiveProcessAndChangesNothing(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	active := storetest.OpenURL(t, address)
	require.NoError(t, active.CreateApp(t.Context(), store.App{Name: push.DefaultApp, TokenSecret: make([]byte, 32)}))

	looking := openReadOnly(t, address)
	apps, err := looking.ListApps(t.Context())
	require.NoError(t, err)
	require.Len(t, apps, 1)
	err = looking.CreateApp(t.Context(), store.App{Name: "another", TokenSecret: make([]byte, 32)})
	require.ErrorContains(t, err, "read-only transaction")
}

func TestExamine_TellsHowFarTheSchemaIsAndWhoIsActive(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	looking := openReadOnly(t, address)
	newest := migrations.Newest(migrations.Postgres())
	found := examine(t, looking)
	require.Regexp(t, `^PostgreSQL \d+`, found.Server)
	require.Zero(t, found.Schema)
	require.Equal(t, newest, found.Newest)
	require.Empty(t, found.Active)
	require.Empty(t, found.Wrong)
	require.Less(t, found.Clock.Abs(), time.Second, "it is the same clock")

	active := storetest.OpenURL(t, address)
	found = examine(t, looking)
	require.Equal(t, newest, found.Schema)
	require.Regexp(t, `^a process.*, since \d{4}-\d\d-\d\d \d\d:\d\d UTC$`, found.Active)
	require.NotNil(t, active)
}

// What a test server does for speed is what nobody wants in production.
func TestExamine_SaysWhatMayLoseWhatWasAccepted(t *testing.T) {
	fast, durable := storetest.NewCluster(t, storetest.ClusterConfig{}), storetest.NewCluster(t, storetest.ClusterConfig{Durable: true})
	require.Contains(t, strings.Join(examine(t, openReadOnly(t, fast.NewDatabase(t))).Risky, " "), "fsync is off")
	require.Empty(t, examine(t, openReadOnly(t, durable.NewDatabase(t))).Risky)
}

func TestExamine_SaysThatTheUserMayNotMakeTables(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	address += separator + "search_path=nowhere"
	require.Contains(t, strings.Join(examine(t, openReadOnly(t, address)).Wrong, " "), "GRANT CREATE ON SCHEMA public")
}

func openReadOnly(t *testing.T, address string) *postgres.Store {
	t.Helper()
	s, err := postgres.OpenReadOnly(t.Context(), postgres.Config{URL: address})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func examine(t *testing.T, s *postgres.Store) store.Condition {
	t.Helper()
	found, err := s.Examine(t.Context())
	require.NoError(t, err)
	return found
}
