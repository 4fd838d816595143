package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/api/webhook"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pushtest"
	"github.com/belfryhq/belfry/push/simulate"
	"github.com/belfryhq/belfry/push/webpush"
	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/storetest"
)

// patience is how long a test waits for what is about to happen. Only one that
// fails waits so long.
const patience = time.Minute

const (
	pageOrigin  = "https://app.example.org"
	otherOrigin = "https://other.example.org"
)

// rig is the API on a real tree, a real store and a real sender, with two apps:
// the default one, and another whose rows must be out of reach.
type rig struct {
	*testing.T
	url     string
	handler http.Handler // what answers there
	store   store.Store
	system  *actors.System
	service *simulate.WebPush
	keys    map[string]string // by scope, of the default app; "other" is the other app's admin key
	vapid   []byte            // the default app's current public key
	config  api.Config

	senders *senders
	changed *changes // what Config.Changed was called with
	drain   func()   // the system; it does at the end, if it was not called before
}

// changes are those of apps, in order.
type changes struct {
	mu  sync.Mutex
	all []api.Change
}

func (c *changes) add(change api.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, change)
}

// list gives the apps' names.
func (c *changes) list() (apps []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, change := range c.all {
		apps = append(apps, change.App)
	}
	return apps
}

// last gives the newest.
func (c *changes) last() api.Change {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[len(c.all)-1]
}

func newRig(t *testing.T, change ...func(*actors.Config)) *rig {
	t.Helper()
	r := &rig{T: t, store: storetest.OpenSQLite(t), service: pushtest.StartWebPush(t), keys: map[string]string{}}
	r.vapid = r.addApp(push.DefaultApp, pageOrigin)
	r.addApp("other", otherOrigin)
	for _, scope := range api.AllScopes {
		r.keys[scope] = r.addKey(push.DefaultApp, scope)
	}
	r.keys["other"] = r.addKey("other", "admin")

	r.senders, r.changed = newSenders(t, r), &changes{}
	webhooks, err := webhook.New(webhook.Config{Show: func(e push.Event) any { return api.ShownEvent(e) }})
	require.NoError(t, err)
	t.Cleanup(webhooks.Close)
	config := actors.Config{Store: r.store, Providers: r.senders.providers(), Webhooks: webhooks}
	for _, c := range change {
		c(&config)
	}
	r.system, err = actors.Start(t.Context(), config)
	require.NoError(t, err)
	r.drain = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, r.system.Drain(ctx))
	})
	t.Cleanup(r.drain)
	return r.with(func(c *api.Config) {
		c.Store, c.System, c.Checkers, c.Webhooks, c.Demo = r.store, r.system, r.senders.checkers(), webhooks, api.DemoPublic
		c.Changed = func(change api.Change) {
			r.changed.add(change)
			r.senders.changed(change)
			r.system.WebhooksChanged(change.App)
		}
	})
}

func (r *rig) addApp(name, origin string) (vapidPublic []byte) {
	r.Helper()
	require.NoError(r, r.store.CreateApp(r.Context(), store.App{
		Name: name, Origins: []string{origin}, VAPIDSubject: "mailto:operator@belfry.dev",
		TokenSecret: []byte("the token secret of the app " + name), CreatedAt: time.Now(),
	}))
	return r.addVAPIDKey(name, time.Now())
}

func (r *rig) addVAPIDKey(app string, at time.Time) (public []byte) {
	r.Helper()
	public, private, err := webpush.GenerateKey()
	require.NoError(r, err)
	require.NoError(r, r.store.CreateVAPIDKey(r.Context(), store.VAPIDKey{App: app, Public: public, Private: private, CreatedAt: at}))
	return public
}

func (r *rig) addKey(app string, scopes ...string) string {
	r.Helper()
	key, secret := api.NewAPIKey(app, "for tests", scopes, time.Now())
	require.NoError(r, r.store.CreateAPIKey(r.Context(), key))
	return secret
}

// request is one call: the zero values are a GET with the admin key and no body.
type request struct {
	method, path string
	key          string // "-" for none
	body         any    // a string goes as it is
	contentType  string
	origin       string
	once         string // Idempotency-Key
	host         string
	proxied      bool
}

// answer is what came back.
type answer struct {
	status  int
	header  http.Header
	body    []byte
	problem api.Problem
}

func (r *rig) do(q request) answer {
	r.Helper()
	var body io.Reader
	switch b := q.body.(type) {
	case nil:
	case string:
		body = strings.NewReader(b)
	default:
		encoded, err := json.Marshal(b)
		require.NoError(r, err)
		body = bytes.NewReader(encoded)
	}
	if q.method == "" {
		q.method = http.MethodGet
	}
	sent, err := http.NewRequestWithContext(r.Context(), q.method, r.url+q.path, body)
	require.NoError(r, err)
	switch q.key {
	case "":
		sent.Header.Set("Authorization", "Bearer "+r.keys["admin"])
	case "-":
	default:
		sent.Header.Set("Authorization", "Bearer "+q.key)
	}
	if q.body != nil {
		sent.Header.Set("Content-Type", "application/json")
	}
	if q.contentType != "" {
		sent.Header.Set("Content-Type", q.contentType)
	}
	if q.host != "" {
		sent.Host = q.host
	}
	if q.proxied {
		sent.Header.Set("X-Forwarded-For", "192.0.2.1")
	}
	if q.once != "" {
		sent.Header.Set("Idempotency-Key", q.once)
	}
	if q.origin != "" {
		sent.Header.Set("Origin", q.origin)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	got, err := client.Do(sent)
	require.NoError(r, err)
	defer got.Body.Close()
	a := answer{status: got.StatusCode, header: got.Header}
	a.body, err = io.ReadAll(got.Body)
	require.NoError(r, err)
	if a.status >= 400 && a.status != http.StatusServiceUnavailable {
		require.Equal(r, "application/problem+json", got.Header.Get("Content-Type"), "%s %s: %s", q.method, q.path, a.body)
		require.NoError(r, json.Unmarshal(a.body, &a.problem))
		require.Equal(r, a.status, a.problem.Status)
		require.NotEmpty(r, a.problem.Code)
		require.True(r, strings.HasSuffix(a.problem.Detail, "."), "a sentence: %q", a.problem.Detail)
	}
	return a
}

// must does what has to succeed with this status.
func (r *rig) must(status int, q request, into any) {
	r.Helper()
	a := r.do(q)
	require.Equal(r, status, a.status, "%s %s: %s", q.method, q.path, a.body)
	if into != nil {
		require.NoError(r, json.Unmarshal(a.body, into))
	}
}

// browser is a simulated browser at the push service.
func (r *rig) browser(answers ...simulate.Answer) (*simulate.Endpoint, *simulate.Browser) {
	r.Helper()
	endpoint := r.service.NewEndpoint(answers...)
	return endpoint, simulate.NewBrowser(push.Endpoint(endpoint.URL))
}

// json is what the browser's PushSubscription.toJSON() gives.
func (r *rig) json(browser *simulate.Browser) map[string]any {
	sub := browser.Subscription(push.User{App: push.DefaultApp, ID: "x"}, r.vapid)
	return map[string]any{
		"endpoint": string(sub.Endpoint), "expirationTime": nil,
		"keys": map[string]any{"p256dh": push.EncodeBase64(sub.P256dh), "auth": push.EncodeBase64(sub.Auth)},
	}
}

func (r *rig) subscribe(user string, browser *simulate.Browser) api.Subscription {
	r.Helper()
	var made api.Subscription
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/users/" + url.PathEscape(user) + "/subscriptions", body: r.json(browser)}, &made)
	return made
}

func (r *rig) token(user string) string {
	r.Helper()
	var made api.UserToken
	r.must(http.StatusCreated, request{method: "POST", path: "/v1/users/" + url.PathEscape(user) + "/tokens"}, &made)
	return made.Token
}

func (r *rig) send(user string) string {
	r.Helper()
	var accepted api.AcceptedNotifications
	r.must(http.StatusAccepted, request{method: "POST", path: "/v1/notifications", body: map[string]any{"user": user, "title": "hello"}}, &accepted)
	require.Len(r, accepted.Notifications, 1)
	require.Equal(r, user, accepted.Notifications[0].User)
	return accepted.Notifications[0].Id
}

// finished waits until every delivery of a notification is final.
func (r *rig) finished(id string) api.Notification {
	r.Helper()
	var n api.Notification
	require.Eventually(r, func() bool {
		r.must(http.StatusOK, request{path: "/v1/notifications/" + id}, &n)
		return n.State == "finished"
	}, patience, 5*time.Millisecond)
	return n
}

// rows counts what is stored for a user, of any app.
func (r *rig) rows(user string) int {
	r.Helper()
	n := 0
	for _, app := range []string{push.DefaultApp, "other"} {
		found, err := r.store.ListSubscriptions(r.Context(), []push.User{{App: app, ID: user}})
		require.NoError(r, err)
		for _, list := range found {
			n += len(list)
		}
	}
	return n
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

func newFront(t *testing.T, handler http.Handler) string {
	front := httptest.NewServer(handler)
	t.Cleanup(front.Close)
	return front.URL
}

// with serves the same rig by another configuration, as after a restart.
func (r *rig) with(change func(*api.Config)) *rig {
	r.Helper()
	other := *r
	change(&other.config)
	var err error
	other.config.Directory, err = api.LoadDirectory(r.Context(), other.config.Store, other.config.Log)
	require.NoError(r, err)
	other.senders.apps.Store(other.config.Directory)
	server, err := api.New(other.config)
	require.NoError(r, err)
	r.Cleanup(server.Close)
	other.handler = server.Handler()
	other.url = newFront(r.T, other.handler)
	return &other
}
