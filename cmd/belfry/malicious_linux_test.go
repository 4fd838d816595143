package main_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// residentMemory is how much memory the daemon has, in MB.
func (d *daemon) residentMemory() int {
	d.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.command.Process.Pid))
	require.NoError(d.t, err)
	found := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	require.NotNil(d.t, found)
	kilobytes, err := strconv.Atoi(string(found[1]))
	require.NoError(d.t, err)
	return kilobytes / 1024
}

// requireWell checks that the daemon has come through, with no more than so many
// MB on top of what it had before.
func (d *daemon) requireWell(before, more int) {
	d.t.Helper()
	after := d.residentMemory()
	d.t.Logf("%d MB before, %d MB after", before, after)
	if !raceEnabled { // the detector has memory of its own
		require.Less(d.t, after, before+more, "MB")
	}
	for _, trouble := range []string{"panic", "actor failed", "goroutine "} {
		require.NotContains(d.t, d.output.String(), trouble)
	}
	require.NoError(d.t, d.stop())
}

// idle opens connections that ask nothing, and half of which have begun a request.
func (d *daemon) idle(n int) (closeAll func()) {
	d.t.Helper()
	_, address, _ := strings.Cut(d.url, "://")
	var open []net.Conn
	for i := range n {
		conn, err := net.Dial("tcp", address)
		require.NoError(d.t, err, "%d are open", i)
		open = append(open, conn)
		if i%2 == 1 {
			_, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\nX-A: "))
			require.NoError(d.t, err)
		}
	}
	return func() {
		for _, conn := range open {
			conn.Close()
		}
	}
}

func TestMalicious_TenThousandIdleConnectionsKeepNobodyOut(t *testing.T) {
	n := 10_000
	var files unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &files))
	if room := int(files.Cur) - 500; room < n {
		t.Logf("only %d connections: this process may have %d files open", room, files.Cur)
		n = room
	}
	d := startDaemon(t)
	before := d.residentMemory()
	closeAll := d.idle(n)
	defer closeAll()
	t.Logf("%d MB with %d connections, %d MB before", d.residentMemory(), n, before)
	for i := range 200 {
		began := time.Now()
		require.Equal(t, http.StatusOK, d.status("/readyz"))
		require.Less(t, time.Since(began), 2*time.Second)
		if i%50 == 0 {
			d.send("nobody", fmt.Sprint(i))
		}
	}
	d.requireWell(before, 250)
}
