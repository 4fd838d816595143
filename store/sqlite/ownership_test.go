package sqlite_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/sqlite"
)

func TestAcquire_OfAFileInUseSaysWhichAndByWhom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "belfry.db")
	first, second := open(t, path), open(t, path)
	require.NoError(t, first.Acquire(t.Context()))

	err := second.Acquire(t.Context())
	require.ErrorIs(t, err, store.ErrInUse)
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, fmt.Sprintf("(pid %d)", os.Getpid()))

	_, err = second.Migrate(t.Context())
	require.ErrorIs(t, err, store.ErrInUse)

	require.NoError(t, first.Close())
	require.NoError(t, second.Acquire(t.Context()))
}

func TestAcquire_WithoutAReadableHolderStillRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "belfry.db")
	first, second := open(t, path), open(t, path)
	require.NoError(t, first.Acquire(t.Context()))
	require.NoError(t, os.Truncate(path+".lock", 0))
	err := second.Acquire(t.Context())
	require.ErrorIs(t, err, store.ErrInUse)
	require.NotContains(t, err.Error(), "pid")
}

func TestAcquire_OutlivesNeitherTheProcessNorItsKilling(t *testing.T) {
	path := filepath.Join(t.TempDir(), "belfry.db")
	other := exec.Command(os.Args[0], "-test.run=^TestAnotherProcess$")
	other.Env = append(os.Environ(), "BELFRY_TEST_ACQUIRE="+path)
	output, err := other.StdoutPipe()
	require.NoError(t, err)
	input, err := other.StdinPipe() // it waits for more, which never comes
	require.NoError(t, err)
	defer input.Close()
	require.NoError(t, other.Start())
	line, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "acquired\n", line)

	s := open(t, path)
	err = s.Acquire(t.Context())
	require.ErrorIs(t, err, store.ErrInUse)
	require.ErrorContains(t, err, fmt.Sprintf("(pid %d)", other.Process.Pid))

	require.NoError(t, other.Process.Kill())
	require.Error(t, other.Wait())
	require.NoError(t, s.Acquire(t.Context()))
}

// TestAnotherProcess is the other process of the test above.
func TestAnotherProcess(t *testing.T) {
	path := os.Getenv("BELFRY_TEST_ACQUIRE")
	if path == "" {
		t.Skip("runs as another process")
	}
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	require.NoError(t, err)
	require.NoError(t, s.Acquire(t.Context()))
	fmt.Println("acquired")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func TestMigrate_TwiceAppliesNothing(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "belfry.db"))
	applied, err := s.Migrate(t.Context())
	require.NoError(t, err)
	require.Positive(t, applied)
	applied, err = s.Migrate(t.Context())
	require.NoError(t, err)
	require.Zero(t, applied)
	require.NoError(t, s.Acquire(t.Context()), "migrating gives the lock back")
	_, err = s.Migrate(t.Context())
	require.NoError(t, err, "its owner may migrate")
}

func TestMigrate_RefusesASchemaNewerThanTheProgram(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "belfry.db"))
	_, err := s.Migrate(t.Context())
	require.NoError(t, err)
	writer, _ := s.DBs()
	_, err = writer.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9000, true)`)
	require.NoError(t, err)
	_, err = s.Migrate(t.Context())
	require.ErrorContains(t, err, "version 9000, newer than this program")
}
