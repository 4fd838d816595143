package main_test

import (
	"database/sql"
	"encoding/json"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pushtest"
	"github.com/belfryhq/belfry/push/simulate"
)

// outage is a daemon whose database can be made unable to write.
type outage struct {
	*daemon
	file     string // the database
	endpoint *simulate.Endpoint
	laptop   *simulate.Browser
	began    chan struct{} // closed once it is
}

// startOutage starts a daemon. The first attempt of what it sends fails, and the
// second one has no answer before the outage has begun.
func startOutage(t *testing.T) *outage {
	t.Helper()
	dir := t.TempDir()
	service := pushtest.StartWebPush(t)
	o := &outage{daemon: startDaemon(t, append(allowing(service), "--data-dir", dir)...), file: filepath.Join(dir, "belfry.db"), began: make(chan struct{})}
	o.endpoint = service.NewEndpoint(
		simulate.Status(http.StatusServiceUnavailable).With("Retry-After", "1"),
		simulate.Status(http.StatusCreated).When(o.began))
	o.laptop = simulate.NewBrowser(push.Endpoint(o.endpoint.URL))
	o.register("ann", o.laptop)
	return o
}

// requireRefused checks that new work is refused as it should be.
func (o *outage) requireRefused(titles ...string) {
	o.t.Helper()
	for _, title := range titles {
		status, answer := o.try("POST", "/v1/notifications", map[string]string{"user": "ann", "title": title})
		require.Equal(o.t, http.StatusServiceUnavailable, status, "%s", answer)
		var problem struct{ Code string }
		require.NoError(o.t, json.Unmarshal(answer, &problem))
		require.Equal(o.t, "unavailable", problem.Code)
	}
}

// takeSecondAttempt has the second attempt taken, now that the outage has begun.
func (o *outage) takeSecondAttempt() {
	o.t.Helper()
	close(o.began)
	eventually(o.t, "the second attempt is taken", func() bool {
		receipts := o.endpoint.Receipts()
		return len(receipts) > 1 && receipts[1].Status == http.StatusCreated
	})
}

// requireAllWell checks that what was accepted, and nothing else, has arrived.
func (o *outage) requireAllWell(accepted ...string) {
	o.t.Helper()
	o.finished(append(accepted, o.send("ann", "after"))...)
	require.Equal(o.t, []string{"before", "after"}, titles(o.t, o.endpoint, o.laptop))
	require.NotContains(o.t, o.output.String(), "actor failed")
	require.NoError(o.t, o.stop())
}

func TestOutage_TheDiskIsFull(t *testing.T) {
	o := startOutage(t)
	before := o.send("ann", "before")
	o.limitFiles(4096) // bytes: whatever is written now goes beyond
	o.requireRefused("one", "two")
	o.takeSecondAttempt() // which cannot be recorded
	o.requireRefused("three")
	var n struct{ State string }
	o.call("GET", "/v1/notifications/"+before, nil, &n)
	require.Equal(t, "pending", n.State)
	o.limitFiles(unix.RLIM_INFINITY)
	o.requireAllWell(before)
}

// limitFiles limits how large the daemon's files may get: a write beyond that
// fails as it does on a full disk.
func (d *daemon) limitFiles(bytes uint64) {
	d.t.Helper()
	limit := unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}
	require.NoError(d.t, unix.Prlimit(d.command.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil))
}

func TestOutage_AnotherProgramHoldsTheDatabase(t *testing.T) {
	o := startOutage(t)
	before := o.send("ann", "before")
	db, err := sql.Open("sqlite", o.file+"?_txlock=immediate&_pragma=busy_timeout(5000)")
	require.NoError(t, err)
	defer db.Close()
	held, err := db.BeginTx(t.Context(), nil) // as a copy or a look with other tools might
	require.NoError(t, err)
	o.requireRefused("one")
	o.takeSecondAttempt()
	require.NoError(t, held.Rollback())
	o.requireAllWell(before)
}
