package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pushtest"
	"github.com/belfryhq/belfry/push/simulate"
)

// begin starts another of the program's commands against the daemon.
func (d *daemon) begin(stdin io.Reader, args ...string) (command *exec.Cmd, stdout, stderr *syncBuffer) {
	d.t.Helper()
	path, err := binary()
	require.NoError(d.t, err)
	stdout, stderr = &syncBuffer{}, &syncBuffer{}
	command = exec.Command(path, args...)
	command.Env = append(os.Environ(), "BELFRY_SERVER="+d.url, "BELFRY_KEY="+adminKey)
	command.Stdin, command.Stdout, command.Stderr = stdin, stdout, stderr
	require.NoError(d.t, command.Start())
	d.t.Cleanup(func() { command.Process.Kill() })
	return command, stdout, stderr
}

// reached waits until a position file says that so many lines were sent.
func reached(t *testing.T, file string, line int64) {
	t.Helper()
	eventually(t, fmt.Sprintf("line %d is reached", line), func() bool {
		var position struct{ Input struct{ Line int64 } }
		raw, err := os.ReadFile(file)
		return err == nil && json.Unmarshal(raw, &position) == nil && position.Input.Line >= line
	})
}

func manyUsers(n int) string {
	var list strings.Builder
	for i := range n {
		fmt.Fprintf(&list, "user-%d\n", i+1)
	}
	return list.String()
}

func TestSendToMany_OutlivesARestartOfTheService(t *testing.T) {
	service := pushtest.StartWebPush(t)
	d := startDaemon(t, append(allowing(service), "--log-level", "warn")...)
	browsers, endpoints := map[string]*simulate.Browser{}, map[string]*simulate.Endpoint{}
	for _, user := range []string{"user-1", "user-3000", "user-6000"} {
		endpoints[user] = service.NewEndpoint()
		browsers[user] = simulate.NewBrowser(push.Endpoint(endpoints[user].URL))
		d.register(user, browsers[user])
	}
	dir := t.TempDir()
	list, position := filepath.Join(dir, "users.txt"), filepath.Join(dir, "position.json")
	require.NoError(t, os.WriteFile(list, []byte(manyUsers(6000)), 0o600))
	args := []string{"send", "--title", "The bells", "--users-from", list, "--position", position}
	command, stdout, stderr := d.begin(nil, args...)
	reached(t, position, 2000)
	require.NoError(t, d.stop())
	d.start()
	require.NoError(t, command.Wait(), stderr)
	require.Regexp(t, `Users read +6,000\nAccepted +6,000\nRefused +0\nInvalid lines +0\n`, stdout)
	require.NotContains(t, stderr.String(), "\r", "no progress bar outside a terminal")
	for user, browser := range browsers {
		d.finished(d.send(user, "after"))
		require.Equal(t, []string{"The bells", "after"}, titles(t, endpoints[user], browser), "once")
	}
	out, err := d.run(args...)
	require.NoError(t, err)
	require.Contains(t, out, "Already sent")
}

func TestSendToMany_CtrlCTellsHowToGoOn(t *testing.T) {
	d := startDaemon(t)
	dir := t.TempDir()
	position := filepath.Join(dir, "position.json")
	args := []string{"send", "--title", "The bells", "--users-from", "-", "--position", position}
	stdin, feed, err := os.Pipe()
	require.NoError(t, err)
	defer feed.Close()
	command, stdout, stderr := d.begin(stdin, args...)
	_, err = feed.WriteString(manyUsers(1500))
	require.NoError(t, err)
	reached(t, position, 1000)
	require.NoError(t, command.Process.Signal(os.Interrupt))
	require.Error(t, command.Wait())
	require.Equal(t, 130, command.ProcessState.ExitCode())
	require.Regexp(t, `^Users read +1,000\nAccepted +1,000\n`, stdout)
	require.Equal(t, "belfry: interrupted\nIt got as far as line 1,000. The same command goes on from there\n", stderr.String())

	command, stdout, stderr = d.begin(strings.NewReader(manyUsers(1500)), args...)
	require.NoError(t, command.Wait(), stderr)
	require.Regexp(t, `^Users read +1,500 \(1,000 of them before this run\)\nAccepted +1,500\n`, stdout)
}

func TestSendToMany_FlagsThatMakeNoSense(t *testing.T) {
	for says, args := range map[string][]string{
		"--user and --users-from can't be used together":    {"--user", "ann", "--users-from", "list"},
		"--wait and --users-from can't be used together":    {"--wait", "--users-from", "list"},
		"nobody to notify: give --user=ID or --users-from=": {},
		"--position is for --users-from alone":              {"--user", "ann", "--position", "p"},
		"--retry-for is negative":                           {"--users-from", "list", "--retry-for=-1s"},
		"--users-from: open no-such-file":                   {"--users-from", "no-such-file"},
	} {
		_, err := (&daemon{t: t}).run(append([]string{"send", "--title", "x"}, args...)...)
		require.ErrorContains(t, err, says)
	}
}
