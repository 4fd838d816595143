package main_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// The terminal's page goes on when Belfry is started anew, and ends when it is told to.
func TestTreeWatch_SurvivesARestartAndEndsAtOnce(t *testing.T) {
	d := startDaemon(t)
	path, err := binary()
	require.NoError(t, err)
	out := &syncBuffer{}
	command := exec.Command(path, "tree", "--watch", "--every", "20ms")
	command.Env = append(os.Environ(), "BELFRY_SERVER="+d.url, "BELFRY_KEY="+adminKey)
	command.Stdout, command.Stderr = out, out
	require.NoError(t, command.Start())
	t.Cleanup(func() { command.Process.Kill() })
	// last is the picture that is complete.
	last := func() string {
		pictures := strings.Split(out.String(), "\n\n"+d.url)
		return pictures[max(len(pictures)-2, 0)]
	}
	eventually(t, "it shows the tree", func() bool {
		return strings.Contains(last(), "Everything flows.\naccepted 0/s") && strings.Contains(last(), "├─ registry  supervisor, running, 16 children\n")
	})
	require.NoError(t, d.stop())
	eventually(t, "it says that nobody answers", func() bool {
		return strings.Contains(last(), "no answer from "+d.url) && strings.Contains(last(), "Trying again. What is below is ")
	})
	d.start()
	eventually(t, "it goes on", func() bool { return !strings.Contains(last(), "no answer") })
	require.NoError(t, command.Process.Signal(syscall.SIGINT))
	require.NoError(t, command.Wait())
	require.NotContains(t, out.String(), "\x1b")
}
