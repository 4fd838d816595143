package main_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pushtest"
	"github.com/belfryhq/belfry/push/simulate"
)

const nobody = 65532 // the user in the image

// shutIn are commands that run another one as nobody in particular, without any
// right and with a file system that is read-only but for one folder.
func shutIn(t *testing.T, folder string) []string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can give a process another user and a read-only file system")
	}
	const script = `set -e
mount --bind "$0" "$0"
for at in / /tmp /var /var/tmp /run /home /root /dev/shm /mnt; do mount -o remount,bind,ro "$at" 2>/dev/null || true; done
if touch "$0/../elsewhere" 2>/dev/null; then echo "the file system can be written to" >&2; exit 9; fi
exec setpriv --reuid 65532 --regid 65532 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all --ambient-caps=-all "$@"`
	command := []string{"unshare", "--mount", "--propagation", "private", "sh", "-c", script, folder}
	if out, err := exec.Command(command[0], append(command[1:], "true")...).CombinedOutput(); err != nil {
		t.Skipf("such a process cannot be had here: %s: %s", err, out)
	}
	return command
}

// copyFile copies a program to where others may run it.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	source, err := os.Open(from)
	require.NoError(t, err)
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(target, source)
	require.NoError(t, err)
	require.NoError(t, target.Close())
}

// As in the image, and under systemd: everything that it needs, it has.
func TestServe_NeedsNoRightsAndOneFolder(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	data := filepath.Join(dir, "data")
	require.NoError(t, os.Mkdir(data, 0o700))
	command := shutIn(t, data)
	require.NoError(t, os.Chown(data, nobody, nobody))
	path, err := binary()
	require.NoError(t, err)
	copyFile(t, path, filepath.Join(dir, "belfry"))

	service := pushtest.StartWebPush(t)
	d := &daemon{t: t, output: &syncBuffer{}, within: append(command, filepath.Join(dir, "belfry")), flags: append(allowing(service),
		"--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", data, "--admin-key", adminKey, "--vapid-subject", "mailto:operator@belfry.dev")}
	t.Cleanup(func() {
		d.kill()
		if t.Failed() {
			t.Logf("output of belfry serve:\n%s", d.output.String())
		}
	})
	d.start()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.command.Process.Pid))
	require.NoError(t, err)
	for _, line := range []string{"Uid:\t" + strconv.Itoa(nobody), "Gid:\t" + strconv.Itoa(nobody), "NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"} {
		require.Contains(t, string(status), line)
	}

	endpoint := service.NewEndpoint()
	laptop := simulate.NewBrowser(push.Endpoint(endpoint.URL))
	d.register("ann", laptop)
	d.finished(d.send("ann", "from a cage"))
	require.Equal(t, []string{"from a cage"}, titles(t, endpoint, laptop))
	require.Equal(t, http.StatusOK, d.status("/readyz"))
	require.NoError(t, d.stop())
	for _, complaint := range []string{"read-only file system", "permission denied", "operation not permitted"} {
		require.NotContains(t, strings.ToLower(d.output.String()), complaint)
	}
	d.start()
	d.finished(d.send("ann", "again"))
}
