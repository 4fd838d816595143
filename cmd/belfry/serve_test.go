package main_test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pushtest"
	"github.com/belfryhq/belfry/push/simulate"
	"github.com/belfryhq/belfry/store/storetest"
)

// register makes a simulated browser at the endpoint a user's.
func (d *daemon) register(user string, browser *simulate.Browser) {
	d.t.Helper()
	var config struct {
		Key string `json:"vapid_public_key"`
	}
	d.call("GET", "/v1/config", nil, &config)
	key, err := push.DecodeBase64(config.Key)
	require.NoError(d.t, err)
	sub := browser.Subscription(push.User{App: push.DefaultApp, ID: user}, key)
	d.call("PUT", "/v1/users/"+user+"/subscriptions", map[string]any{
		"endpoint": string(sub.Endpoint),
		"keys":     map[string]string{"p256dh": push.EncodeBase64(sub.P256dh), "auth": push.EncodeBase64(sub.Auth)},
	}, nil)
}

// send accepts one notification and returns its ID.
func (d *daemon) send(user, title string) string {
	d.t.Helper()
	var accepted struct{ Notifications []struct{ ID string } }
	d.call("POST", "/v1/notifications", map[string]string{"user": user, "title": title}, &accepted)
	return accepted.Notifications[0].ID
}

// titles are what arrived and was accepted at an endpoint, decrypted, in order.
func titles(t *testing.T, endpoint *simulate.Endpoint, browser *simulate.Browser) []string {
	t.Helper()
	var list []string
	for _, receipt := range endpoint.Receipts() {
		if receipt.Status != http.StatusCreated {
			continue
		}
		plain, err := browser.Decrypt(receipt.Body)
		require.NoError(t, err)
		var message struct{ Notification struct{ Title string } }
		require.NoError(t, json.Unmarshal(plain, &message))
		list = append(list, message.Notification.Title)
	}
	return list
}

func (d *daemon) finished(ids ...string) {
	d.t.Helper()
	for _, id := range ids {
		eventually(d.t, id+" is finished", func() bool {
			var n struct{ State string }
			d.call("GET", "/v1/notifications/"+id, nil, &n)
			return n.State == "finished"
		})
	}
}

// overEachStore runs a test with SQLite and with PostgreSQL.
func overEachStore(t *testing.T, test func(t *testing.T, flags ...string)) {
	t.Run("SQLite", func(t *testing.T) { test(t) })
	t.Run("PostgreSQL", func(t *testing.T) {
		test(t, "--database-url", storetest.Postgres(t).NewDatabase(t))
	})
}

func TestServe_DeliversByRetryWhenThePushServiceWasAway(t *testing.T) {
	overEachStore(t, func(t *testing.T, flags ...string) {
		service := pushtest.StartWebPush(t)
		d := startDaemon(t, append(flags, allowing(service)...)...)
		endpoint := service.NewEndpoint()
		laptop := simulate.NewBrowser(push.Endpoint(endpoint.URL))
		d.register("ann", laptop)
		service.Stop()
		ids := []string{d.send("ann", "one"), d.send("ann", "two"), d.send("ann", "three")}
		eventually(t, "the first attempt fails", func() bool {
			var n struct{ Deliveries []struct{ State string } }
			d.call("GET", "/v1/notifications/"+ids[0], nil, &n)
			return len(n.Deliveries) == 1 && n.Deliveries[0].State == "waiting"
		})
		require.NoError(t, service.Start())
		d.finished(ids...)
		require.Equal(t, []string{"one", "two", "three"}, titles(t, endpoint, laptop), "in order, once")
	})
}

func TestServe_FinishesAfterAPowerCutWhatItAccepted(t *testing.T) {
	overEachStore(t, func(t *testing.T, flags ...string) {
		service := pushtest.StartWebPush(t)
		d := startDaemon(t, append(flags, allowing(service)...)...)
		endpoint := service.NewEndpoint()
		laptop := simulate.NewBrowser(push.Endpoint(endpoint.URL))
		d.register("ann", laptop)
		service.Stop()
		ids := []string{d.send("ann", "one"), d.send("ann", "two")}
		d.kill()
		require.NoError(t, service.Start())
		d.start()
		ids = append(ids, d.send("ann", "three"))
		d.finished(ids...)
		require.Equal(t, []string{"one", "two", "three"}, titles(t, endpoint, laptop))
	})
}

func TestServe_DrainsOnSIGTERM(t *testing.T) {
	overEachStore(t, func(t *testing.T, flags ...string) {
		service := pushtest.StartWebPush(t)
		d := startDaemon(t, append(flags, allowing(service)...)...)
		release := make(chan struct{})
		endpoint := service.NewEndpoint(simulate.Status(http.StatusCreated).When(release))
		laptop := simulate.NewBrowser(push.Endpoint(endpoint.URL))
		d.register("ann", laptop)
		ids := []string{d.send("ann", "in flight"), d.send("ann", "behind it")}
		_, err := endpoint.Await(t.Context(), 1)
		require.NoError(t, err)
		require.NoError(t, d.command.Process.Signal(syscall.SIGTERM))
		eventually(t, "it says that it drains", func() bool { return d.status("/readyz") == http.StatusServiceUnavailable })
		status, _ := d.try("POST", "/v1/notifications", map[string]string{"user": "ann", "title": "too late"})
		require.Equal(t, http.StatusServiceUnavailable, status)
		close(release)
		require.NoError(t, d.wait(), "exit 0")
		require.Equal(t, []string{"in flight"}, titles(t, endpoint, laptop))
		d.start()
		d.finished(ids...)
		require.Equal(t, []string{"in flight", "behind it"}, titles(t, endpoint, laptop), "nothing twice, nothing lost")
	})
}

// The ten seconds that there are for it are TestDeployment_StopsBeforeDockerKills's.
// A slow machine may take longer here, though not as long as a send that hangs.
func TestServe_DrainsWhateverHangs(t *testing.T) {
	service := pushtest.StartWebPush(t)
	d := startDaemon(t, allowing(service)...)
	endpoint := service.NewEndpoint(simulate.Status(http.StatusCreated).When(make(chan struct{})))
	d.register("ann", simulate.NewBrowser(push.Endpoint(endpoint.URL)))
	id := d.send("ann", "hangs")
	_, err := endpoint.Await(t.Context(), 1)
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, d.stop(), "exit 0, for what was in flight is pending")
	require.Less(t, time.Since(began), 18*time.Second)
	d.start()
	d.finished(id)
}

func TestServe_ASecondProcessOnTheSameFileIsToldSo(t *testing.T) {
	d := startDaemon(t)
	second := &daemon{t: t, flags: append(d.flags[:len(d.flags):len(d.flags)], "--listen", "127.0.0.1:0"), output: d.output}
	require.NoError(t, second.launch())
	require.Error(t, second.wait())
	require.Contains(t, d.output.String(), "in use by another process (pid "+strconv.Itoa(d.command.Process.Pid)+")")
	require.Equal(t, http.StatusOK, d.status("/readyz"), "the first goes on")
}

func TestServe_AStandbyTakesOver(t *testing.T) {
	service := pushtest.StartWebPush(t)
	flags := append(allowing(service), "--database-url", storetest.Postgres(t).NewDatabase(t))
	active := startDaemon(t, flags...)
	endpoint := service.NewEndpoint()
	laptop := simulate.NewBrowser(push.Endpoint(endpoint.URL))
	active.register("ann", laptop)
	standby := &daemon{t: t, flags: append(active.flags[:len(active.flags):len(active.flags)], "--listen", "127.0.0.1:0"), output: active.output}
	require.NoError(t, standby.launch())
	t.Cleanup(standby.kill)
	require.Equal(t, http.StatusOK, standby.status("/healthz"))
	require.Equal(t, http.StatusServiceUnavailable, standby.status("/readyz"))
	service.Stop()
	id := active.send("ann", "one")
	active.kill()
	require.NoError(t, service.Start())
	eventually(t, "the standby is active", func() bool { return standby.status("/readyz") == http.StatusOK })
	standby.finished(id)
	require.Equal(t, []string{"one"}, titles(t, endpoint, laptop))
}

func TestServe_SurvivesARestartOfPostgreSQL(t *testing.T) {
	cluster := storetest.NewCluster(t, storetest.ClusterConfig{Durable: true})
	service := pushtest.StartWebPush(t)
	d := startDaemon(t, append(allowing(service), "--database-url", cluster.NewDatabase(t))...)
	endpoint := service.NewEndpoint()
	laptop := simulate.NewBrowser(push.Endpoint(endpoint.URL))
	d.register("ann", laptop)
	service.Stop()
	ids := []string{d.send("ann", "one"), d.send("ann", "two")}
	cluster.Stop(t)
	eventually(t, "work is refused", func() bool {
		if status, answer := d.try("POST", "/v1/notifications", map[string]string{"user": "ann", "title": "not accepted"}); status != http.StatusServiceUnavailable {
			t.Errorf("%d %s", status, answer)
		}
		return d.status("/readyz") == http.StatusServiceUnavailable
	})
	require.Equal(t, http.StatusOK, d.status("/healthz"))
	require.NoError(t, service.Start())
	cluster.Start(t)
	eventually(t, "it is active again by itself", func() bool { return d.status("/readyz") == http.StatusOK })
	ids = append(ids, d.send("ann", "three"))
	d.finished(ids...)
	require.Equal(t, []string{"one", "two", "three"}, titles(t, endpoint, laptop))
	require.NoError(t, d.stop())
}

func TestServe_ShowsActorsComeAndGo(t *testing.T) {
	service := pushtest.StartWebPush(t)
	d := startDaemon(t, append(allowing(service), "--idle-after", "1s")...)
	endpoint := service.NewEndpoint(simulate.Status(http.StatusTooManyRequests).With("Retry-After", "10"))
	d.register("ann", simulate.NewBrowser(push.Endpoint(endpoint.URL)))
	id := d.send("ann", "one")
	tree := func() string {
		out, err := d.run("tree", "--depth", "5")
		require.NoError(t, err)
		return out
	}
	var waiting string // the tree as it is then
	eventually(t, "the subscription waits", func() bool {
		waiting = tree()
		return strings.Contains(waiting, "subscription, waiting to retry, 1 queued, last retry, next at ")
	})
	require.Contains(t, waiting, "default:ann  user, delivering, 1 child, 1 in flight")
	require.Contains(t, tree(), "default:webpush:"+strings.TrimPrefix(service.Origin(), "http://"))
	d.finished(id)
	eventually(t, "the subscription's actor has left", func() bool { return !strings.Contains(tree(), "webpush-") })
	eventually(t, "the user's actor has left", func() bool { return !strings.Contains(tree(), "default:ann") })
}

func TestServe_FirstRunMakesWhatItNeedsAndSaysSoOnce(t *testing.T) {
	data := filepath.Join(t.TempDir(), "new", "data")
	d := &daemon{t: t, flags: []string{"--listen", "127.0.0.1:0", "--data-dir", data}, output: &syncBuffer{}}
	t.Cleanup(d.kill)
	d.start()
	eventually(t, "the greeting", func() bool { return strings.Contains(d.output.String(), "BELFRY_VAPID_SUBJECT") })
	greeting := d.output.String()
	require.Contains(t, greeting, "Demo        "+d.url+"/demo\n")
	require.Contains(t, greeting, "Debug page  "+d.url+"/debug/\n")
	_, after, _ := strings.Cut(greeting, "Admin key   ")
	key, _, _ := strings.Cut(after, "\n")
	require.Regexp(t, `^belfry_[A-Za-z0-9_-]{43}$`, key)
	require.Equal(t, http.StatusOK, d.status("/demo"))

	files, err := os.ReadDir(data)
	require.NoError(t, err)
	for _, file := range files {
		info, err := file.Info()
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, "%s is for this user alone", file.Name())
	}
	require.NoError(t, d.stop())
	d.start()
	require.NoError(t, d.stop())
	require.Equal(t, 1, strings.Count(d.output.String(), "Admin key"), "shown once")
}

func TestServe_GivenAdminKeyReplacesTheOneGivenBefore(t *testing.T) {
	d := startDaemon(t)
	require.NoError(t, d.stop())
	d.start("--admin-key", "another-key-for-the-tests")
	status, _ := d.try("GET", "/v1/keys", nil)
	require.Equal(t, http.StatusUnauthorized, status, "the old one")
	require.NoError(t, d.stop())
	d.start("--admin-key", adminKey)
	status, _ = d.try("GET", "/v1/keys", nil)
	require.Equal(t, http.StatusOK, status)
}

func TestServe_TheDemoCanBeTurnedOff(t *testing.T) {
	d := startDaemon(t, "--no-demo")
	require.Equal(t, http.StatusNotFound, d.status("/demo"))
	require.NoError(t, d.stop())
	t.Setenv("BELFRY_DEMO", "false")
	d.flags = slices.DeleteFunc(d.flags, func(flag string) bool { return flag == "--no-demo" })
	d.start()
	require.Equal(t, http.StatusNotFound, d.status("/demo"))
}

func TestServe_GoesOnWithAGivenVAPIDKey(t *testing.T) {
	const private, public = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw", "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8" // RFC 8291 §5
	d := startDaemon(t, "--vapid-private-key", private)
	out, err := d.run("keys", "vapid")
	require.NoError(t, err)
	require.Equal(t, public, strings.TrimSpace(out))
}

func TestServe_GoesOnWithTheVAPIDKeyThatReplacedTheGivenOne(t *testing.T) {
	const private = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw" // RFC 8291 §5
	const warning = "a newer VAPID key than that of BELFRY_VAPID_PRIVATE_KEY is current: the variable can be unset"
	d := startDaemon(t, "--vapid-private-key", private)
	require.NoError(t, d.stop())
	d.start()
	var fresh struct {
		PublicKey string `json:"public_key"`
	}
	d.call(http.MethodPost, "/v1/apps/default/vapid-keys", nil, &fresh)
	require.NoError(t, d.stop())
	require.NotContains(t, d.output.String(), warning, "it was the current one when it started")

	d.start()
	out, err := d.run("keys", "vapid")
	require.NoError(t, err)
	require.Equal(t, fresh.PublicKey, strings.TrimSpace(out))
	require.NoError(t, d.stop())
	require.Equal(t, 1, strings.Count(d.output.String(), warning))
}

func TestServe_Check(t *testing.T) {
	for _, c := range []struct {
		what string
		args []string
		says string // empty: all is well
	}{
		{"defaults", nil, ""},
		{"PostgreSQL", []string{"--database-url", storetest.Postgres(t).NewDatabase(t)}, ""},
		{"a bad address", []string{"--listen", "8080"}, "--listen (BELFRY_LISTEN)"},
		{"an odd admin key", []string{"--admin-key", "aaaaaaaa.bbbbbbbbbb.cccccccccc"}, "it has characters other than letters"},
		{"a short admin key", []string{"--admin-key", "secret"}, "--admin-key (BELFRY_ADMIN_KEY): it has 6 characters"},
		{"an origin with a path", []string{"--allowed-origins", "https://app.example.org/"}, "is not a web origin"},
		{"a bad subject", []string{"--vapid-subject", "me@localhost"}, "--vapid-subject (BELFRY_VAPID_SUBJECT)"},
		{"a bad VAPID key", []string{"--vapid-private-key", "short"}, "--vapid-private-key (BELFRY_VAPID_PRIVATE_KEY)"},
		{"another database", []string{"--database-url", "mysql://x"}, "does not begin with postgres://"},
		{"a database that is not there", []string{"--database-url", "postgres://nobody@127.0.0.1:9/x"}, "ping postgres"},
		{"bad push hosts", []string{"--allow-push-hosts", "http://127.0.0.1"}, "--allow-push-hosts (BELFRY_ALLOW_PUSH_HOSTS)"},
	} {
		t.Run(c.what, func(t *testing.T) {
			d := &daemon{t: t}
			out, err := d.run(append([]string{"serve", "--check", "--data-dir", t.TempDir()}, c.args...)...)
			if c.says == "" {
				require.NoError(t, err)
				require.Contains(t, out, "The configuration is fine")
				return
			}
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestServe_TakesItsFlagsFromTheEnvironment(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	t.Setenv("BELFRY_LISTEN", listener.Addr().String())
	t.Setenv("BELFRY_DATA_DIR", t.TempDir())
	_, err = (&daemon{t: t}).run("serve")
	require.ErrorContains(t, err, "--listen (BELFRY_LISTEN)")
	require.ErrorContains(t, err, "address already in use")
}

func TestCommands(t *testing.T) {
	service := pushtest.StartWebPush(t)
	d := startDaemon(t, allowing(service)...)
	endpoint := service.NewEndpoint()
	d.register("ann", simulate.NewBrowser(push.Endpoint(endpoint.URL)))
	must := func(args ...string) string {
		t.Helper()
		out, err := d.run(args...)
		require.NoError(t, err)
		return out
	}
	fails := func(says string, args ...string) {
		t.Helper()
		_, err := d.run(args...)
		require.ErrorContains(t, err, says)
	}

	sent := must("send", "--user", "ann", "--title", "hello", "--wait")
	require.Regexp(t, `(?m)^[0-9a-f-]{36}  ann\n  delivered at webpush 127\.0\.0\.1:\d+ \([0-9a-f]{16}\), HTTP 201$`, sent)
	require.Contains(t, must("send", "-u", "nobody", "-t", "hello", "-w"), "  no subscription\n")
	require.Len(t, strings.Split(strings.TrimSpace(must("send", "-u", "ann", "-u", "bob, the builder", "-t", "hello", "--data", `{"a":1}`)), "\n"), 2)
	fails("title is missing or empty", "send", "-u", "ann", "-t", " ")
	fails("--data is not valid JSON", "send", "-u", "ann", "-t", "x", "--data", "hello")
	fails("missing flags: --title", "send", "-u", "ann")

	later := strings.Fields(must("send", "-u", "bob", "-t", "later", "--send-at", time.Now().Add(time.Hour).Format(time.RFC3339)))[0]
	require.Equal(t, later+"  1 cancelled, 0 sent before, 0 being sent\n", must("cancel", later))
	fails("send_at", "send", "-u", "bob", "-t", "x", "--send-at", "tomorrow")
	fails("There is nothing here", "cancel", "00000000-0000-7000-8000-000000000000")

	once := []string{"send", "-u", "nobody", "-t", "once", "--idempotency-key", "k-1"}
	require.Equal(t, must(once...), must(once...))
	fails("Use a new key for a new request", "send", "-u", "nobody", "-t", "twice", "--idempotency-key", "k-1")

	list := must("subscriptions", "list", "ann")
	require.Contains(t, list, "webpush")
	id := push.DigestOf(push.Endpoint(endpoint.URL)).String()
	require.Contains(t, list, id)
	fails("is not a subscription id", "subscriptions", "delete", "ann", "x")
	require.Equal(t, "Removed.\n", must("subscriptions", "delete", "ann", id))
	fails("The user has no such subscription", "subscriptions", "delete", "ann", id)
	require.Equal(t, "ann has no subscriptions.\n", must("subscriptions", "list", "ann"))
	require.Contains(t, must("subscriptions", "forget", "ann"), "Removed 0 subscriptions and 2 notifications of ann.")

	key := strings.TrimSpace(must("keys", "create", "--scope", "send", "--scope", "read", "the backend"))
	require.Contains(t, must("send", "--key", key, "-u", "bob", "-t", "hello"), "bob")
	fails("it lacks the scope admin", "tree", "--key", key)
	keys := must("keys", "list")
	require.Contains(t, keys, "the backend")
	fails("must be one of", "keys", "create", "--scope", "write")
	for _, line := range strings.Split(keys, "\n") {
		if strings.Contains(line, "the backend") {
			require.Equal(t, "Revoked.\n", must("keys", "revoke", strings.Fields(line)[0]))
		}
	}
	fails("Give a valid API key", "send", "--key", key, "-u", "bob", "-t", "hello")

	tree := must("tree")
	require.Contains(t, tree, "/  supervisor, running, 5 children")
	require.Contains(t, tree, "├─ registry  supervisor, running, 16 children")
	require.Contains(t, must("tree", "--all", "/registry"), "15  shards, running")
	fails("There is no actor at this path", "tree", "/nowhere")
	fails("no answer from http://127.0.0.1:9", "tree", "--server", "http://127.0.0.1:9")
	require.Equal(t, "alive\n", must("health"))
	require.Equal(t, "ready\n", must("health", "--ready"))
	require.Contains(t, must("version"), "belfry ")
	require.Contains(t, must("--help"), "serve")
	fails("belfry --help lists the commands", "dance")
}

func TestMigrate(t *testing.T) {
	for _, store := range [][]string{{"--data-dir", t.TempDir()}, {"--database-url", storetest.Postgres(t).NewDatabase(t)}} {
		d := &daemon{t: t}
		out, err := d.run(append([]string{"migrate"}, store...)...)
		require.NoError(t, err)
		require.Contains(t, out, "the schema is up to date")
		out, err = d.run(append([]string{"migrate"}, store...)...)
		require.NoError(t, err)
		require.Equal(t, "The schema is up to date.\n", out)
	}
}
