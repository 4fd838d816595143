package main_test

import (
	"database/sql"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store/postgres"
	"github.com/belfryhq/belfry/store/storetest"
)

// hold makes the test the active process on a database: all others wait until
// it is closed.
func hold(t *testing.T, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, s.Acquire(t.Context()))
	return s
}

// keepPlain keeps an app and its VAPID key as was done before there was a master key.
func keepPlain(t *testing.T, s *postgres.Store) {
	t.Helper()
	_, err := s.Migrate(t.Context())
	require.NoError(t, err)
	samples := storetest.NewSamples()
	require.NoError(t, s.CreateApp(t.Context(), samples.App(push.DefaultApp)))
	require.NoError(t, s.CreateVAPIDKey(t.Context(), samples.VAPIDKey(push.DefaultApp)))
}

// startStandby starts a process on a database that another holds.
func startStandby(t *testing.T, url string, flags ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, output: &syncBuffer{}, flags: append([]string{
		"--listen", "127.0.0.1:0", "--database-url", url, "--admin-key", adminKey, "--log-level", "debug",
	}, flags...)}
	t.Cleanup(func() {
		d.kill()
		if t.Failed() {
			t.Logf("output of a standby:\n%s", d.output.String())
		}
	})
	require.NoError(t, d.launch())
	require.Equal(t, http.StatusServiceUnavailable, d.status("/readyz"))
	return d
}

// oneIsActive waits until one of two is the active process, and gives that one first.
func oneIsActive(t *testing.T, a, b *daemon) (active, standby *daemon) {
	t.Helper()
	eventually(t, "one is active", func() bool {
		if b.status("/readyz") == http.StatusOK {
			a, b = b, a
		}
		return a.status("/readyz") == http.StatusOK
	})
	return a, b
}

// Each makes or has a key of its own, and only one of them can be the key.
func TestMasterKey_OfAStandbyThatCannotReadTheSecretsEndsItAtOnce(t *testing.T) {
	const says = `the token secret of app "default" is encrypted with another master key`
	for _, c := range []struct {
		what      string
		older     bool // there are secrets, which are not encrypted
		one, two  []string
		fileIsKey bool
	}{
		{"a new database", false, nil, nil, true},
		{"a database from before there was a master key", true, nil, nil, true},
		{"a new database and keys that are given", false, []string{"--master-key", oneMasterKey}, []string{"--master-key", otherMasterKey}, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			url := storetest.Postgres(t).NewDatabase(t)
			holder := hold(t, url)
			if c.older {
				keepPlain(t, holder)
			}
			fileOf := map[*daemon]string{}
			start := func(flags []string) *daemon {
				data := t.TempDir()
				d := startStandby(t, url, append(flags, "--data-dir", data)...)
				fileOf[d] = filepath.Join(data, "master.key")
				return d
			}
			one, two := start(c.one), start(c.two)
			require.NoFileExists(t, fileOf[one], "none is made while another process may make one")
			require.NoFileExists(t, fileOf[two])
			require.NoError(t, holder.Close())

			active, standby := oneIsActive(t, one, two)
			var exit *exec.ExitError
			require.ErrorAs(t, standby.wait(), &exit)
			require.Equal(t, 1, exit.ExitCode())
			require.NoFileExists(t, fileOf[standby])
			require.NotContains(t, standby.output.String(), "Master key")
			if c.fileIsKey {
				require.Contains(t, standby.output.String(), "belfry: "+fileOf[standby]+" is missing: "+says)
				require.FileExists(t, fileOf[active])
			} else {
				require.Contains(t, standby.output.String(), "belfry: --master-key (BELFRY_MASTER_KEY): "+says)
			}
			require.Equal(t, http.StatusOK, active.status("/readyz"), "the other goes on")
			require.NoError(t, active.stop())
			require.Equal(t, c.fileIsKey, strings.Count(active.output.String(), "Master key") == 1, "shown once")
			require.Equal(t, c.older, strings.Contains(active.output.String(), `msg="encrypted the secrets in the database, which were not" secrets=2`))
		})
	}
}

func TestMasterKey_OfAStandbyThatIsTheSameLetsItTakeOver(t *testing.T) {
	for _, c := range []struct {
		what  string
		flags func(t *testing.T) []string
	}{
		{"given", func(t *testing.T) []string { return []string{"--master-key", oneMasterKey, "--data-dir", t.TempDir()} }},
		{"made in a directory that both have", func(t *testing.T) []string { return []string{"--data-dir", t.TempDir()} }},
	} {
		t.Run(c.what, func(t *testing.T) {
			url := storetest.Postgres(t).NewDatabase(t)
			holder, flags := hold(t, url), c.flags(t)
			one, two := startStandby(t, url, flags...), startStandby(t, url, flags...)
			require.NoError(t, holder.Close())

			active, standby := oneIsActive(t, one, two)
			public, err := active.run("keys", "vapid")
			require.NoError(t, err)
			eventually(t, "the standby has looked", func() bool {
				return strings.Contains(standby.output.String(), "the secrets in the database can be read with the master key")
			})
			active.kill()
			eventually(t, "the standby is active", func() bool { return standby.status("/readyz") == http.StatusOK })
			same, err := standby.run("keys", "vapid")
			require.NoError(t, err)
			require.Equal(t, public, same)
		})
	}
}

// A key that is made because the database did not answer would be a wrong one.
func TestMasterKey_IsNotMadeIfTheSecretsCannotBeRead(t *testing.T) {
	data := t.TempDir()
	d := startDaemon(t, "--data-dir", data, "--master-key", oneMasterKey)
	require.NoError(t, d.stop())
	db, err := sql.Open("sqlite", filepath.Join(data, "belfry.db"))
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `ALTER TABLE credentials RENAME TO away`)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `UPDATE apps SET token_secret = zeroblob(32); DELETE FROM vapid_keys`) // as if older
	require.NoError(t, err)
	require.NoError(t, db.Close())

	d.failsToStart("belfry: the secrets in the database cannot be read: list credentials", "--master-key", "")
	require.NoFileExists(t, filepath.Join(data, "master.key"))
}
