package migrations_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/migrations"
)

func TestMigrations_BothDatabasesHaveTheSameSteps(t *testing.T) {
	require.Equal(t, steps(t, migrations.Postgres()), steps(t, migrations.SQLite()))
}

func TestMigrations_GoForwardOnly(t *testing.T) {
	for _, files := range []fs.FS{migrations.Postgres(), migrations.SQLite()} {
		for _, name := range steps(t, files) {
			content, err := fs.ReadFile(files, name)
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(string(content), "-- +goose Up\n"), "%s starts with its direction", name)
			require.NotContains(t, string(content), "+goose Down", name)
		}
	}
}

func steps(t *testing.T, files fs.FS) []string {
	names, err := fs.Glob(files, "*.sql")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	return names
}
