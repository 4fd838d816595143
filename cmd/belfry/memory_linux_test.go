//go:build !race

package main_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

const (
	memoryUsers   = 2000
	memoryRounds  = 500 // notifications for each: a million together
	memoryMax     = 300 // MB
	memorySampled = 20  // users whose order is looked at
)

// slowService is a push service that takes its time for every message.
type slowService struct {
	*httptest.Server
	browser  *simulate.Browser // all subscriptions have its keys
	mu       sync.Mutex
	taken    int
	received map[string][]push.ID // by path, of the users who are looked at
}

func newSlowService(t *testing.T) *slowService {
	s := &slowService{received: map[string][]push.ID{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	s.browser = simulate.NewBrowser(push.Endpoint(s.URL + "/user-0"))
	return s
}

// ServeHTTP takes a message after a while.
func (s *slowService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	select {
	case <-time.After(10 * time.Millisecond):
	case <-r.Context().Done():
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken++
	if i, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/user-")); i < memorySampled {
		if plain, err := s.browser.Decrypt(body); err == nil {
			var message struct{ ID push.ID }
			if json.Unmarshal(plain, &message) == nil {
				s.received[r.URL.Path] = append(s.received[r.URL.Path], message.ID)
			}
		}
	}
	w.WriteHeader(http.StatusCreated)
}

// A million notifications are pending, of which a tenth is accepted meanwhile,
// and a push service takes what it can. The race detector would need memory of
// its own.
func TestMemory_AMillionPendingFitInto300MB(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute")
	}
	service := newSlowService(t)
	data := t.TempDir()
	database := filepath.Join(data, "belfry.db")
	d := startDaemon(t, "--data-dir", data, "--allow-push-hosts", strings.TrimPrefix(service.URL, "http://"), "--log-level", "warn")
	sub := service.browser.Subscription(push.User{}, nil)
	users := make([]string, memoryUsers)
	for i := range users {
		users[i] = fmt.Sprintf("user-%d", i)
		d.call("PUT", "/v1/users/"+users[i]+"/subscriptions", map[string]any{
			"endpoint": service.URL + "/" + users[i],
			"keys":     map[string]string{"p256dh": push.EncodeBase64(sub.P256dh), "auth": push.EncodeBase64(sub.Auth)},
		}, nil)
	}
	require.NoError(t, d.stop())
	seed(t, database, users, memoryRounds*9/10)
	began := time.Now()
	d.start()
	start := time.Since(began)

	list := filepath.Join(data, "users.txt")
	require.NoError(t, os.WriteFile(list, []byte(strings.Repeat(strings.Join(users, "\n")+"\n", memoryRounds/10)), 0o600))
	began = time.Now()
	out, err := d.run("send", "--users-from", list, "--title", "one of very many", "--body", strings.Repeat("x", 150))
	require.NoError(t, err)
	require.Contains(t, out, "100,000")
	accepted := time.Since(began)
	before := service.count()
	eventually(t, "delivery goes on", func() bool { return service.count() > before+2000 })
	left, peak := pendingIn(t, database), d.peakMB()
	t.Logf("started with 900,000 pending in %.1f s; 100,000 accepted in %.1f s; %d delivered, %d left by then; at most %d MB",
		start.Seconds(), accepted.Seconds(), service.count(), left, peak)
	require.Greater(t, left, 800_000)
	require.Less(t, peak, memoryMax)
	service.requireOrder(t)
}

// seed makes so many notifications for each user pending, as a long outage of
// a push service would leave them.
func seed(t *testing.T, database string, users []string, rounds int) {
	t.Helper()
	db, err := sql.Open("sqlite", database)
	require.NoError(t, err)
	defer db.Close()
	run := func(query string, args ...any) {
		t.Helper()
		_, err := db.ExecContext(t.Context(), query, args...)
		require.NoError(t, err)
	}
	db.SetMaxOpenConns(1) // the temporary table is this connection's
	run(`PRAGMA synchronous = OFF`)
	run(`CREATE TEMP TABLE u (place INTEGER PRIMARY KEY, id TEXT, shard INTEGER)`)
	for i, user := range users {
		run(`INSERT INTO u VALUES (?, ?, ?)`, i, user, push.User{App: push.DefaultApp, ID: user}.Shard())
	}
	content, err := push.Content{Title: "one of very many", Body: strings.Repeat("x", 150)}.Encode()
	require.NoError(t, err)
	now := time.Now()
	run(`CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)
		SELECT unhex(printf('%012x7%03x8%015x', ? + i / 1000, i % 1000, i)) AS id, u.id AS usr, u.shard AS shard
		FROM n JOIN u ON u.place = i % ?`, rounds*len(users), now.Add(-time.Hour).UnixMilli(), len(users))
	run(`INSERT INTO notifications (id, app, usr, content, urgency, collapse_key, accepted_at, expires_at)
		SELECT id, 'default', usr, ?, 0, '', ?, ? FROM n ORDER BY id`,
		content, now.UnixMilli(), now.Add(24*time.Hour).UnixMilli())
	run(`INSERT INTO pending (id, app, usr, shard) SELECT id, 'default', usr, shard FROM n ORDER BY id`)
}

func (s *slowService) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

func (s *slowService) requireOrder(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Len(t, s.received, memorySampled)
	for path, ids := range s.received {
		for i := 1; i < len(ids); i++ {
			require.LessOrEqual(t, ids[i-1].Compare(ids[i]), 0, "%s: %s came after %s", path, ids[i], ids[i-1])
		}
	}
}

func pendingIn(t *testing.T, path string) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.QueryRow(`SELECT count(*) FROM pending`).Scan(&n))
	return n
}

var peakLine = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// peakMB is the largest resident set that the process has had.
func (d *daemon) peakMB() int {
	d.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.command.Process.Pid))
	require.NoError(d.t, err)
	kB, err := strconv.Atoi(peakLine.FindStringSubmatch(string(status))[1])
	require.NoError(d.t, err)
	return kB / 1024
}
