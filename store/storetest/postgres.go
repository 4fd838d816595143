package storetest

import (
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Postgres gives the PostgreSQL server of this test binary: the one that
// BELFRY_TEST_DATABASE_URL names, or one that is started at the first call and
// ended by Main. Without either, the test is skipped.
func Postgres(t testing.TB) *Cluster {
	t.Helper()
	if !shared.expected {
		t.Fatal("TestMain must call storetest.Main, which ends the PostgreSQL server")
	}
	shared.once.Do(func() {
		if given := os.Getenv("BELFRY_TEST_DATABASE_URL"); given != "" {
			shared.cluster, shared.err = useCluster(given)
		} else {
			shared.cluster, shared.err = StartCluster(ClusterConfig{})
		}
	})
	return requireCluster(t, shared.cluster, shared.err)
}

// shared is the one server of this test binary.
var shared struct {
	expected bool // by Main
	once     sync.Once
	cluster  *Cluster
	err      error
}

// ClusterConfig says how a server of a test's own is to be.
type ClusterConfig struct {
	// Durable makes it sync to the disk as in production. Tests that cut the
	// power or measure want it; by default it is off, for speed.
	Durable bool

	// Settings are parameters of the server, each name=value.
	Settings []string
}

// NewCluster starts a PostgreSQL server of this test's own, that it may stop and
// start. It goes with the test. Without the server's programs on this machine,
// the test is skipped.
func NewCluster(t testing.TB, config ClusterConfig) *Cluster {
	t.Helper()
	cluster, err := StartCluster(config)
	cluster = requireCluster(t, cluster, err)
	t.Cleanup(func() { require.NoError(t, cluster.Remove()) })
	return cluster
}

func requireCluster(t testing.TB, cluster *Cluster, err error) *Cluster {
	t.Helper()
	if errors.Is(err, errNoServer) && os.Getenv("BELFRY_REQUIRE_POSTGRES") != "1" {
		t.Skip(err)
	}
	require.NoError(t, err)
	return cluster
}

// Cluster is a PostgreSQL server for tests. One that was started here listens
// on a Unix socket in a directory of its own, so it needs no port.
type Cluster struct {
	base  *url.URL // of its maintenance database
	admin *sql.DB  // connected there

	mu    sync.Mutex
	empty []string // databases that no test uses

	dir    string // empty when it was not started here
	bin    string
	config ClusterConfig
	as     *syscall.Credential
	server *server // nil while stopped
}

// useCluster uses a server that runs already, and whose user may create databases.
func useCluster(given string) (*Cluster, error) {
	base, err := url.Parse(given)
	if err != nil {
		return nil, errors.New("BELFRY_TEST_DATABASE_URL is not a URL")
	}
	c := &Cluster{base: base}
	c.admin, err = sql.Open("pgx", c.base.String()) // registered by store/postgres
	return c, err
}

// StartCluster starts a PostgreSQL server for what is not a test, as measurements:
// in a temporary directory, until Remove.
func StartCluster(config ClusterConfig) (c *Cluster, err error) {
	bin, err := findServer()
	if err != nil {
		return nil, err
	}
	c = &Cluster{bin: bin, config: config}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Remove())
		}
	}()
	if c.dir, err = os.MkdirTemp("", "belfry-postgres-"); err != nil {
		return c, err
	}
	if c.as, err = unprivileged(); err != nil {
		return c, err
	}
	if c.as != nil {
		if err := os.Chown(c.dir, int(c.as.Uid), int(c.as.Gid)); err != nil {
			return c, err
		}
	}
	initdb := exec.Command(filepath.Join(c.bin, "initdb"), "--pgdata", c.data(), "--username", "belfry",
		"--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	initdb.Dir = c.dir
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: c.as}
	if output, err := initdb.CombinedOutput(); err != nil {
		return c, fmt.Errorf("initdb: %w\n%s", err, output)
	}
	c.base = &url.URL{Scheme: "postgres", Path: "/postgres", RawQuery: url.Values{
		"host": {c.dir}, "user": {"belfry"}, "sslmode": {"disable"},
	}.Encode()}
	if c.admin, err = sql.Open("pgx", c.base.String()); err != nil { // registered by store/postgres
		return c, err
	}
	return c, c.start()
}

// URL is where a database of this server is.
func (c *Cluster) URL(database string) string {
	u := *c.base
	u.Path = "/" + database
	query := u.Query()
	if !query.Has("connect_timeout") {
		query.Set("connect_timeout", "60") // a busy machine is no reason to fail
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// NewDatabase gives the URL of a database that is empty and the test's own.
//
// When the test ends, the database is emptied and kept for the next one: to make
// and to drop one takes several times as long as most tests.
func (c *Cluster) NewDatabase(t testing.TB) string {
	t.Helper()
	name, err := c.takeDatabase()
	require.NoError(t, err)
	t.Cleanup(func() {
		if c.dir == "" || c.server != nil {
			require.NoError(t, c.giveBack(name))
		}
	})
	return c.URL(name)
}

// CreateDatabase gives the URL of a new database, for as long as the server runs.
func (c *Cluster) CreateDatabase() (string, error) {
	name, err := c.takeDatabase()
	return c.URL(name), err
}

// PID is the process ID of the server that was started here; its other processes
// are that one's children.
func (c *Cluster) PID() int { return c.server.process.Pid }

func (c *Cluster) takeDatabase() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := len(c.empty) - 1; last >= 0 {
		name := c.empty[last]
		c.empty = c.empty[:last]
		return name, nil
	}
	name := "belfry_test_" + strings.ToLower(rand.Text())
	_, err := c.admin.Exec(`CREATE DATABASE ` + name)
	return name, err
}

func (c *Cluster) giveBack(name string) error {
	db, err := sql.Open("pgx", c.URL(name))
	if err != nil {
		return err
	}
	defer db.Close()
	for _, statement := range []string{
		`SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
		`DROP SCHEMA public CASCADE`,
		`CREATE SCHEMA public`,
		`ALTER DATABASE ` + name + ` RESET ALL`,
	} {
		if _, err := db.Exec(statement); err != nil {
			return fmt.Errorf("empty %s: %w", name, err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.empty = append(c.empty, name)
	return nil
}

// dropDatabases leaves a server that was not started here as it was.
func (c *Cluster) dropDatabases() error {
	var failed error
	for _, name := range c.empty {
		_, err := c.admin.Exec(`DROP DATABASE ` + name + ` WITH (FORCE)`)
		failed = errors.Join(failed, err)
	}
	return failed
}

// Exec runs a statement as the server's administrator.
func (c *Cluster) Exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	_, err := c.admin.ExecContext(t.Context(), statement, args...)
	require.NoError(t, err)
}

// Stop ends the server at once, without the courtesy of a checkpoint or of
// waiting for clients: the same as pg_ctl stop --mode immediate. What was
// committed is recovered by Start.
func (c *Cluster) Stop(t testing.TB) {
	t.Helper()
	if c.dir == "" {
		t.Skip("needs a PostgreSQL server of its own: use storetest.NewCluster")
	}
	require.NoError(t, c.stop())
}

// Start starts a stopped server and returns when it takes connections. URLs
// stay what they were.
func (c *Cluster) Start(t testing.TB) {
	t.Helper()
	require.NoError(t, c.start())
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

func (c *Cluster) start() (err error) {
	durable := map[bool]string{true: "on", false: "off"}[c.config.Durable]
	args := []string{"-D", c.data()}
	for _, setting := range append([]string{
		"listen_addresses=", "unix_socket_directories=" + c.dir, "fsync=" + durable, "full_page_writes=" + durable,
		"shared_buffers=64MB", "lc_messages=C",
	}, c.config.Settings...) {
		args = append(args, "-c", setting)
	}
	c.server, err = startServer(c.as, filepath.Join(c.bin, "postgres"), args...)
	return err
}

func (c *Cluster) stop() error {
	if c.server == nil {
		return nil
	}
	err := c.server.stop()
	c.server = nil
	return err
}

// Remove ends the server and leaves nothing of it.
func (c *Cluster) Remove() error {
	var err error
	if c.dir == "" {
		err = c.dropDatabases()
	}
	if c.admin != nil {
		err = errors.Join(err, c.admin.Close())
	}
	if c.dir == "" {
		return err
	}
	return errors.Join(err, c.stop(), os.RemoveAll(c.dir))
}
