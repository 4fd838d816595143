package storetest

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/postgres"
	"github.com/belfryhq/belfry/store/sqlite"
)

// OpenSQLite gives a store in a new file that goes with the test.
func OpenSQLite(t testing.TB) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "belfry.db")})
	require.NoError(t, err)
	return ready(t, s)
}

// OpenPostgres gives a store in a new database that goes with the test.
func OpenPostgres(t testing.TB) store.Store {
	t.Helper()
	return OpenURL(t, Postgres(t).NewDatabase(t))
}

// OpenURL gives a store in a PostgreSQL database, ready for use.
func OpenURL(t testing.TB, url string) store.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	require.NoError(t, err)
	return ready(t, s)
}

func ready(t testing.TB, s store.Store) store.Store {
	t.Helper()
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	_, err := s.Migrate(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Acquire(t.Context()))
	return s
}

// Main runs the tests, ends the PostgreSQL server they may have started, and
// fails if goroutines were left behind. It does not return.
func Main(m Runner, options ...goleak.Option) {
	shared.expected = true
	goleak.VerifyTestMain(testsAndServer{m}, options...)
}

// Runner is a *testing.M, or one with something around it.
type Runner interface{ Run() int }

type testsAndServer struct{ tests Runner }

func (t testsAndServer) Run() int {
	code := t.tests.Run()
	if cluster := shared.cluster; cluster != nil {
		if err := cluster.Remove(); err != nil {
			panic(err)
		}
	}
	return code
}
