package sqlite_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/migrations"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/sqlite"
)

func TestOpenReadOnly_MakesNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "belfry.db")
	_, err := sqlite.OpenReadOnly(t.Context(), sqlite.Config{Path: path})
	require.ErrorIs(t, err, fs.ErrNotExist)
	files, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Empty(t, files)
}

func TestOpenReadOnly_ReadsBesideTheActiveProcessAndChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "belfry.db")
	active := open(t, path)
	_, err := active.Migrate(t.Context())
	require.NoError(t, err)
	require.NoError(t, active.Acquire(t.Context()))
	require.NoError(t, active.CreateApp(t.Context(), store.App{Name: push.DefaultApp, TokenSecret: make([]byte, 32)}))

	looking := openReadOnly(t, path)
	apps, err := looking.ListApps(t.Context())
	require.NoError(t, err)
	require.Len(t, apps, 1)
	require.Error(t, looking.CreateApp(t.Context(), store.App{Name: "another", TokenSecret: make([]byte, 32)}))
	require.NoError(t, looking.Close())
	require.NoError(t, active.CreateApp(t.Context(), store.App{Name: "another", TokenSecret: make([]byte, 32)}), "the active one goes on")
}

func TestExamine_TellsHowFarTheSchemaIsAndWhoIsActive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "belfry.db")
	active := open(t, path)
	looking := openReadOnly(t, path)
	found := examine(t, looking)
	require.Regexp(t, `^SQLite 3\.\d+\.\d+$`, found.Server)
	newest := migrations.Newest(migrations.SQLite())
	require.Positive(t, newest)
	require.Equal(t, store.Condition{Server: found.Server, Newest: newest}, found)

	_, err := active.Migrate(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.Condition{Server: found.Server, Schema: newest, Newest: newest}, examine(t, looking))
	require.NoError(t, active.Acquire(t.Context()))
	require.Equal(t, fmt.Sprintf("a process (pid %d)", os.Getpid()), examine(t, looking).Active)
	require.NoError(t, active.Close())
	require.Empty(t, examine(t, looking).Active)
	require.NoError(t, open(t, path).Acquire(t.Context()), "looking keeps nobody out")
}

func openReadOnly(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.OpenReadOnly(t.Context(), sqlite.Config{Path: path})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func examine(t *testing.T, s *sqlite.Store) store.Condition {
	t.Helper()
	found, err := s.Examine(t.Context())
	require.NoError(t, err)
	return found
}
