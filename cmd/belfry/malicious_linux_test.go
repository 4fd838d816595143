package main_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

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

// hold opens connections, and sends on each in turn one of these.
func (d *daemon) hold(n int, sends ...string) (closeAll func()) {
	d.t.Helper()
	_, address, _ := strings.Cut(d.url, "://")
	var open []net.Conn
	for i := range n {
		conn, err := net.Dial("tcp", address)
		require.NoError(d.t, err, "%d are open", i)
		open = append(open, conn)
		_, err = io.WriteString(conn, sends[i%len(sends)])
		require.NoError(d.t, err)
	}
	return func() {
		for _, conn := range open {
			conn.Close()
		}
	}
}

func TestMalicious_TenThousandConnectionsKeepNobodyOut(t *testing.T) {
	for what, c := range map[string]struct {
		sends []string
		more  int // MB, at most
	}{
		"that are idle, or have begun a request": {[]string{"", "GET / HTTP/1.1\r\nHost: x\r\nX-A: "}, 250},
		"that hold back the rest of a body": {[]string{
			"POST /v1/receipts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
			"POST /v1/notifications HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", // it has no key
		}, 350},
	} {
		t.Run(what, func(t *testing.T) {
			n := 10_000
			var files unix.Rlimit
			require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &files))
			if room := int(files.Cur) - 500; room < n {
				t.Logf("only %d connections: this process may have %d files open", room, files.Cur)
				n = room
			}
			d := startDaemon(t)
			before := d.residentMemory()
			closeAll := d.hold(n, c.sends...)
			defer closeAll()
			t.Logf("%d MB with %d connections, %d MB before", d.residentMemory(), n, before)
			for i := range 200 {
				require.Equal(t, http.StatusOK, d.status("/readyz"))
				if i%50 == 0 {
					d.send("nobody", fmt.Sprint(i))
				}
			}
			d.requireWell(before, c.more)
		})
	}
}
