package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store/storetest"
)

const (
	oneMasterKey   = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	otherMasterKey = "8PHy8_T19vf4-fr7_P3-_-Dh4uPk5ebn6Onq6-zt7u8"
)

// failsToStart starts the daemon, which must end with exit code 1 and say why.
func (d *daemon) failsToStart(says string, more ...string) {
	d.t.Helper()
	before := len(d.output.String())
	err := d.launch(more...)
	if err == nil { // it was told its address, so it need not say it
		d.t.Cleanup(d.kill)
		err = d.wait()
	}
	var exit *exec.ExitError
	require.ErrorAs(d.t, err, &exit)
	require.Equal(d.t, 1, exit.ExitCode())
	require.Contains(d.t, d.output.String()[before:], says)
}

func TestMasterKey_IsMadeOnTheFirstRunAndUsedAgain(t *testing.T) {
	overEachStore(t, func(t *testing.T, flags ...string) {
		data := filepath.Join(t.TempDir(), "new", "data")
		file := filepath.Join(data, "master.key")
		d := startDaemon(t, append(flags, "--data-dir", data)...)
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		made, err := os.ReadFile(file)
		require.NoError(t, err)
		greeting := "\n  Master key  " + file + "  Secrets in the database are encrypted with it: keep a copy.\n"
		eventually(t, "the greeting", func() bool { return strings.Contains(d.output.String(), greeting) })
		require.NotContains(t, d.output.String(), strings.TrimSpace(string(made)))
		public, err := d.run("keys", "vapid")
		require.NoError(t, err)

		require.NoError(t, d.stop())
		d.start()
		again, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, made, again)
		samePublic, err := d.run("keys", "vapid")
		require.NoError(t, err)
		require.Equal(t, public, samePublic)
		require.NoError(t, d.stop())
		require.Equal(t, 1, strings.Count(d.output.String(), "Master key"), "shown once")
	})
}

func TestMasterKey_KeepsTheVAPIDKeyOutOfTheDatabase(t *testing.T) {
	const private, public = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw", "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8" // RFC 8291 §5
	data := t.TempDir()
	d := startDaemon(t, "--data-dir", data, "--vapid-private-key", private)
	require.NoError(t, d.stop())
	content, err := os.ReadFile(filepath.Join(data, "belfry.db"))
	require.NoError(t, err)
	contains := func(key string) bool {
		raw, err := push.DecodeBase64(key)
		require.NoError(t, err)
		return strings.Contains(string(content), string(raw)) || strings.Contains(string(content), key)
	}
	require.True(t, contains(public), "this test can tell")
	require.False(t, contains(private))
}

func TestMasterKey_GivenIsUsedAndMakesNoFile(t *testing.T) {
	data := t.TempDir()
	t.Setenv("BELFRY_MASTER_KEY", oneMasterKey)
	d := startDaemon(t, "--data-dir", data)
	require.NoError(t, d.stop())
	require.NoFileExists(t, filepath.Join(data, "master.key"))
	require.NotContains(t, d.output.String(), "Master key")

	t.Setenv("BELFRY_MASTER_KEY", "") // as docker-compose.yml does: none is given
	require.NoError(t, os.WriteFile(filepath.Join(data, "master.key"), []byte(oneMasterKey+"\n"), 0o600))
	d.start()
}

func TestMasterKey_ThatIsAnotherIsRefused(t *testing.T) {
	overEachStore(t, func(t *testing.T, flags ...string) {
		flags = append(flags, "--data-dir", t.TempDir())
		d := startDaemon(t, append(flags, "--master-key", oneMasterKey)...)
		require.NoError(t, d.stop())
		const says = `belfry: --master-key (BELFRY_MASTER_KEY): the token secret of app "default" is encrypted with another master key: ` +
			"give the one that this database was first used with; all processes on a database need the same\n"
		d.failsToStart(says, "--master-key", otherMasterKey)
		_, err := d.run(append([]string{"serve", "--check", "--master-key", otherMasterKey}, flags...)...)
		require.ErrorContains(t, err, says)
		d.start("--master-key", oneMasterKey)
	})
}

func TestMasterKey_ThatIsMissingIsNotMadeAnew(t *testing.T) {
	data := t.TempDir()
	file := filepath.Join(data, "master.key")
	d := startDaemon(t, "--data-dir", data)
	require.NoError(t, d.stop())
	require.NoError(t, os.Rename(file, file+".copy"))
	d.failsToStart("belfry: " + file + ` is missing: the token secret of app "default" is encrypted with another master key`)
	require.NoFileExists(t, file)
	require.NoError(t, os.Rename(file+".copy", file))
	d.start()
}

// A standby must not find out when it is needed.
func TestMasterKey_IsAskedOfAStandbyAtItsStart(t *testing.T) {
	active := startDaemon(t, "--database-url", storetest.Postgres(t).NewDatabase(t))
	data := t.TempDir()
	standby := &daemon{t: t, output: active.output, flags: append(active.flags[:len(active.flags):len(active.flags)],
		"--listen", "127.0.0.1:0", "--data-dir", data)}
	standby.failsToStart(filepath.Join(data, "master.key") + " is missing: ")
	standby.failsToStart("all processes on a database need the same", "--master-key", otherMasterKey)
}

func TestMasterKey_IsCheckedWithoutBeingMade(t *testing.T) {
	data := t.TempDir()
	file := filepath.Join(data, "master.key")
	d := &daemon{t: t}
	check := func(more ...string) error {
		_, err := d.run(append([]string{"serve", "--check", "--data-dir", data}, more...)...)
		return err
	}
	require.NoError(t, check())
	require.NoFileExists(t, file)
	require.NoError(t, check("--master-key", oneMasterKey))
	require.ErrorContains(t, check("--master-key", "short"),
		"--master-key (BELFRY_MASTER_KEY): it is not a key: 64 hexadecimal digits, or 32 bytes in base64; make one, for example with: openssl rand -hex 32")

	require.NoError(t, os.WriteFile(file, []byte(oneMasterKey), 0o644))
	require.ErrorContains(t, check(), file+" is open to other users (mode 0644): shut them out with chmod 600 "+file)
	require.NoError(t, os.Chmod(file, 0o600))
	require.NoError(t, check())
}
