package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
	"github.com/belfryhq/belfry/store"
)

func (r *rig) createApp(body map[string]any) api.CreatedApp {
	r.Helper()
	var made api.CreatedApp
	r.must(http.StatusCreated, request{method: "POST", path: "/v1/apps", body: body}, &made)
	return made
}

func (r *rig) app(name string) api.App {
	r.Helper()
	var app api.App
	r.must(http.StatusOK, request{path: "/v1/apps/" + name}, &app)
	return app
}

func TestApps_AreOfUseAtOnce(t *testing.T) {
	r := newRig(t)
	made := r.createApp(map[string]any{"name": "shop", "origins": []string{"https://shop.example.org"}, "push_hosts": []string{"Push.LAN:8443"}})
	require.True(t, strings.HasPrefix(made.Key, api.KeyPrefix))
	require.Equal(t, "mailto:operator@belfry.dev", made.VapidSubject, "that of the default app")
	require.Equal(t, []string{"push.lan:8443"}, made.PushHosts)
	require.Len(t, made.VapidKeys, 1)
	require.True(t, made.VapidKeys[0].Current)
	require.Empty(t, made.Credentials)
	require.Equal(t, []string{"shop"}, r.changed.list())

	var config api.BrowserConfig
	r.must(http.StatusOK, request{path: "/v1/config", key: made.Key}, &config)
	require.Equal(t, made.VapidKeys[0].PublicKey, config.VapidPublicKey)
	var token api.UserToken
	r.must(http.StatusCreated, request{method: "POST", path: "/v1/users/ann/tokens", key: made.Key}, &token)
	_, laptop := r.browser()
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/me/subscriptions", key: token.Token, origin: "https://shop.example.org", body: r.json(laptop)}, nil)
	require.Equal(t, "origin_not_allowed", r.do(request{method: "PUT", path: "/v1/me/subscriptions", key: token.Token, origin: pageOrigin, body: r.json(laptop)}).problem.Code)
	r.must(http.StatusAccepted, request{method: "POST", path: "/v1/notifications", key: made.Key, body: `{"user":"ann","title":"hello"}`}, nil)
	require.Zero(t, r.rows("ann"), "of the default app's ann nothing is known")

	var list api.AppList
	r.must(http.StatusOK, request{path: "/v1/apps"}, &list)
	require.Len(t, list.Apps, 3)
	require.Equal(t, []string{"default", "other", "shop"}, []string{list.Apps[0].Name, list.Apps[1].Name, list.Apps[2].Name})
	require.Equal(t, r.app("shop"), list.Apps[2])
	require.Equal(t, made.VapidKeys, list.Apps[2].VapidKeys)

	require.Equal(t, list.Apps[2], r.with(func(*api.Config) {}).app("shop"), "after a restart")
}

func TestApps_BadInput(t *testing.T) {
	r := newRig(t)
	const create, change = "POST /v1/apps", "PATCH /v1/apps/other"
	for _, c := range []struct {
		what, operation string
		body            any
		status          int
		code, field     string
	}{
		{"no name", create, `{}`, 400, "invalid_field", "name"},
		{"upper case", create, `{"name":"Shop"}`, 400, "invalid_field", "name"},
		{"a hyphen first", create, `{"name":"-shop"}`, 400, "invalid_field", "name"},
		{"a hyphen last", create, `{"name":"shop-"}`, 400, "invalid_field", "name"},
		{"a dot", create, `{"name":"my.shop"}`, 400, "invalid_field", "name"},
		{"a line end", create, `{"name":"shop\n"}`, 400, "invalid_field", "name"},
		{"too long", create, map[string]any{"name": strings.Repeat("a", 33)}, 400, "invalid_field", "name"},
		{"taken", create, `{"name":"other"}`, 409, "app_exists", "name"},
		{"the operator's", create, `{"name":"default"}`, 409, "app_exists", "name"},
		{"an origin with a path", create, `{"name":"shop","origins":["https://a.dev","https://a.dev/"]}`, 400, "invalid_field", "origins[1]"},
		{"an origin that is none", change, `{"origins":["a.dev"]}`, 400, "invalid_field", "origins[0]"},
		{"a subject that Apple refuses", create, `{"name":"shop","vapid_subject":"mailto:me@localhost"}`, 400, "invalid_field", "vapid_subject"},
		{"an empty subject", change, `{"vapid_subject":""}`, 400, "invalid_field", "vapid_subject"},
		{"a push host that is a URL", create, `{"name":"shop","push_hosts":["https://push.lan"]}`, 400, "invalid_field", "push_hosts[0]"},
		{"a push host that is a pattern", change, `{"push_hosts":["push.lan","*.lan"]}`, 400, "invalid_field", "push_hosts[1]"},
		{"an unknown field", change, `{"name":"else"}`, 400, "unknown_field", "name"},
		{"a wrong type", change, `{"origins":"https://a.dev"}`, 400, "invalid_field", "origins"},
		{"nothing", change, nil, 400, "invalid_json", ""},
		{"an unknown app", "PATCH /v1/apps/nobody", `{}`, 404, "no_such_app", "app"},
		{"an app that is no name", "GET /v1/apps/%00", nil, 404, "no_such_app", "app"},
		{"a key for an unknown app", "POST /v1/apps/nobody/vapid-keys", nil, 404, "no_such_app", "app"},
		{"keys of an unknown app", "GET /v1/keys?app=nobody", nil, 404, "no_such_app", "app"},
		{"a credential of an unknown app", "DELETE /v1/apps/nobody/credentials/ios", nil, 404, "no_such_app", "app"},
	} {
		t.Run(c.what, func(t *testing.T) {
			method, path, _ := strings.Cut(c.operation, " ")
			got := r.do(request{method: method, path: path, body: c.body})
			require.Equal(t, c.status, got.status, "%s", got.body)
			require.Equal(t, c.code, got.problem.Code)
			require.Equal(t, c.field, got.problem.Field)
		})
	}
	var list api.AppList
	r.must(http.StatusOK, request{path: "/v1/apps"}, &list)
	require.Len(t, list.Apps, 2)
	require.Empty(t, r.changed.list(), "nothing was changed")
	for _, name := range []string{"a", "0-9", strings.Repeat("a", 32)} {
		require.Equal(t, name, r.createApp(map[string]any{"name": name}).Name)
	}
}

func TestApps_WhatIsGivenReplacesAndTheRestStays(t *testing.T) {
	r := newRig(t)
	_, lan := r.browser()
	registration := r.json(lan)
	registration["endpoint"] = "http://push.lan:8080/x"
	ask := request{method: "PUT", path: "/v1/users/ann/subscriptions", body: registration}
	require.Equal(t, "endpoint", r.do(ask).problem.Field)

	before := r.app("default")
	var after api.App
	r.must(http.StatusOK, request{method: "PATCH", path: "/v1/apps/default", body: `{"push_hosts":["push.lan"]}`}, &after)
	require.Equal(t, []string{"push.lan"}, after.PushHosts)
	require.Equal(t, []string{pageOrigin}, after.Origins)
	require.Equal(t, before.VapidSubject, after.VapidSubject)
	require.Equal(t, before.VapidKeys, after.VapidKeys)
	require.Equal(t, http.StatusCreated, r.do(ask).status, "it takes effect at once")

	token := r.token("ann")
	fromPage := request{path: "/v1/config", key: token, origin: "https://new.example.org"}
	require.Equal(t, http.StatusForbidden, r.do(fromPage).status)
	r.must(http.StatusOK, request{method: "PATCH", path: "/v1/apps/default", body: `{"origins":["https://new.example.org"],"vapid_subject":"https://belfry.dev"}`}, &after)
	require.Equal(t, "https://belfry.dev", after.VapidSubject)
	require.Equal(t, []string{"push.lan"}, after.PushHosts)
	got := r.do(fromPage)
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "https://new.example.org", got.header.Get("Access-Control-Allow-Origin"))
	fromPage.origin = pageOrigin
	require.Equal(t, http.StatusForbidden, r.do(fromPage).status, "the old one is none any more")

	r.must(http.StatusOK, request{method: "PATCH", path: "/v1/apps/default", body: `{"origins":[],"push_hosts":[]}`}, &after)
	require.Empty(t, after.Origins)
	require.Empty(t, after.PushHosts)
	require.Equal(t, []string{"default", "default", "default"}, r.changed.list())
}

func TestApps_ANewVAPIDKeyIsForNewSubscriptions(t *testing.T) {
	r := newRig(t)
	key := func(endpoint *simulate.Endpoint) string {
		receipts := endpoint.Receipts()
		_, key, _ := strings.Cut(receipts[len(receipts)-1].Header.Get("Authorization"), "k=")
		return key
	}
	oldEndpoint, oldBrowser := r.browser()
	oldEndpoint.BindTo(r.vapid)
	r.subscribe("ann", oldBrowser)

	var made api.VAPIDKey
	r.must(http.StatusCreated, request{method: "POST", path: "/v1/apps/default/vapid-keys"}, &made)
	require.True(t, made.Current)
	old := push.EncodeBase64(r.vapid)
	require.NotEqual(t, old, made.PublicKey)
	var config api.BrowserConfig
	r.must(http.StatusOK, request{path: "/v1/config", key: r.token("ann")}, &config)
	require.Equal(t, made.PublicKey, config.VapidPublicKey)
	keys := r.app("default").VapidKeys
	require.Len(t, keys, 2)
	require.Equal(t, made, keys[0])
	require.Equal(t, old, keys[1].PublicKey)
	require.False(t, keys[1].Current)

	newEndpoint, newBrowser := r.browser()
	public, err := push.DecodeBase64(made.PublicKey)
	require.NoError(t, err)
	newEndpoint.BindTo(public)
	r.subscribe("bob", newBrowser)
	require.Equal(t, "delivered", r.finished(r.send("ann")).Deliveries[0].State)
	require.Equal(t, old, key(oldEndpoint))
	require.Equal(t, "delivered", r.finished(r.send("bob")).Deliveries[0].State)
	require.Equal(t, made.PublicKey, key(newEndpoint))

	// Registered again without saying which, it keeps its own.
	r.must(http.StatusOK, request{method: "PUT", path: "/v1/users/ann/subscriptions", body: r.json(oldBrowser)}, nil)
	require.Equal(t, "delivered", r.finished(r.send("ann")).Deliveries[0].State)
	require.Equal(t, old, key(oldEndpoint))

	for range 5 {
		var newest api.VAPIDKey
		r.must(http.StatusCreated, request{method: "POST", path: "/v1/apps/default/vapid-keys"}, &newest)
		r.must(http.StatusOK, request{path: "/v1/config"}, &config)
		require.Equal(t, newest.PublicKey, config.VapidPublicKey, "however fast they follow each other")
	}
}

func TestApps_TheNewestVAPIDKeyIsCurrentWhateverTheClock(t *testing.T) {
	r := newRig(t)
	public := r.addVAPIDKey("other", time.Now().Add(time.Hour))
	r = r.with(func(*api.Config) {})
	require.Equal(t, push.EncodeBase64(public), r.app("other").VapidKeys[0].PublicKey)
	var made api.VAPIDKey
	r.must(http.StatusCreated, request{method: "POST", path: "/v1/apps/other/vapid-keys"}, &made)
	require.Equal(t, made, r.app("other").VapidKeys[0])
}

// failingStore fails at what it is told to, before or after it did it.
type failingStore struct {
	api.Store

	mu            sync.Mutex
	before, after string // the method
	blind         bool   // nothing can be read of apps
}

var errAway = errors.New("the database is away")

// fail makes it fail from now on.
func (s *failingStore) fail(before, after string, blind bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.after, s.blind = before, after, blind
}

func (s *failingStore) do(method string, do func() error) error {
	s.mu.Lock()
	before, after := s.before == method, s.after == method
	s.mu.Unlock()
	if before {
		return errAway
	}
	if err := do(); err != nil {
		return err
	}
	if after {
		return errAway
	}
	return nil
}

func (s *failingStore) GetApp(ctx context.Context, name string) (store.App, error) {
	s.mu.Lock()
	blind := s.blind
	s.mu.Unlock()
	if blind {
		return store.App{}, errAway
	}
	return s.Store.GetApp(ctx, name)
}

func (s *failingStore) CreateApp(ctx context.Context, app store.App) error {
	return s.do("CreateApp", func() error { return s.Store.CreateApp(ctx, app) })
}

func (s *failingStore) UpdateApp(ctx context.Context, app store.App) error {
	return s.do("UpdateApp", func() error { return s.Store.UpdateApp(ctx, app) })
}

func (s *failingStore) CreateVAPIDKey(ctx context.Context, key store.VAPIDKey) error {
	return s.do("CreateVAPIDKey", func() error { return s.Store.CreateVAPIDKey(ctx, key) })
}

func (s *failingStore) CreateAPIKey(ctx context.Context, key store.APIKey) error {
	return s.do("CreateAPIKey", func() error { return s.Store.CreateAPIKey(ctx, key) })
}

func (s *failingStore) DeleteCredential(ctx context.Context, app, name string) error {
	return s.do("DeleteCredential", func() error { return s.Store.DeleteCredential(ctx, app, name) })
}

// failing serves the rig with a store that can be made to fail.
func (r *rig) failing() (*rig, *failingStore) {
	r.Helper()
	failing := &failingStore{Store: r.store}
	return r.with(func(config *api.Config) { config.Store = failing }), failing
}

func TestApps_AreMadeToTheEndByASecondRequest(t *testing.T) {
	for _, c := range []struct {
		what, before, after string
		status              int // of the second request
	}{
		{"nothing was made", "CreateApp", "", http.StatusCreated},
		{"it was made and that was not said", "", "CreateApp", http.StatusCreated},
		{"it has no VAPID key", "CreateVAPIDKey", "", http.StatusCreated},
		{"it has one and that was not said", "", "CreateVAPIDKey", http.StatusConflict},
		{"it has no API key", "CreateAPIKey", "", http.StatusConflict},
	} {
		t.Run(c.what, func(t *testing.T) {
			r, failing := newRig(t).failing()
			failing.fail(c.before, c.after, false)
			ask := request{method: "POST", path: "/v1/apps", body: `{"name":"shop","vapid_subject":"https://a.dev"}`}
			require.Equal(t, http.StatusServiceUnavailable, r.do(ask).status)
			r.with(func(*api.Config) {}).must(http.StatusOK, request{path: "/v1/apps"}, nil) // it could be restarted

			failing.fail("", "", false)
			ask.body = `{"name":"shop","vapid_subject":"https://b.dev"}`
			got := r.do(ask)
			require.Equal(t, c.status, got.status, "%s", got.body)
			subject := "https://b.dev"
			if c.status == http.StatusConflict {
				require.Contains(t, got.problem.Detail, "POST /v1/keys?app=shop")
				r.must(http.StatusCreated, request{method: "POST", path: "/v1/keys?app=shop", body: `{"scopes":["admin"]}`}, nil)
				subject = "https://a.dev"
			}
			require.Equal(t, subject, r.app("shop").VapidSubject)
			require.Len(t, r.app("shop").VapidKeys, 1)
		})
	}
}

func TestApps_AChangeTakesEffectEvenIfTheAnswerWasLost(t *testing.T) {
	r, failing := newRig(t).failing()
	failing.fail("", "UpdateApp", false)
	require.Equal(t, http.StatusServiceUnavailable, r.do(request{method: "PATCH", path: "/v1/apps/default", body: `{"origins":["https://new.example.org"]}`}).status)
	fromPage := request{path: "/v1/config", key: r.token("ann"), origin: "https://new.example.org"}
	require.Equal(t, http.StatusOK, r.do(fromPage).status)
	require.Equal(t, []string{"default"}, r.changed.list(), "the wiring looks again, too")
}

func TestApps_AChangeThatCannotBeReadIsReadAgain(t *testing.T) {
	r, failing := newRig(t).failing()
	body, _ := appleKey("com.example.app")
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/apps/default/credentials/ios", body: body}, nil)
	phone := request{method: "PUT", path: "/v1/users/ann/subscriptions", body: device(deviceToken)}
	r.must(http.StatusCreated, phone, nil)

	failing.fail("", "DeleteCredential", true)
	require.Equal(t, http.StatusServiceUnavailable, r.do(request{method: "DELETE", path: "/v1/apps/default/credentials/ios"}).status)
	require.Len(t, r.app("default").Credentials, 1, "what was known goes on being used")
	require.Equal(t, http.StatusServiceUnavailable, r.do(request{method: "PATCH", path: "/v1/apps/default", body: `{"origins":[]}`}).status)
	require.Equal(t, []string{"default"}, r.changed.list())
	failing.fail("", "", false)
	require.Eventually(t, func() bool { return r.do(phone).problem.Code == "no_credential" }, patience, 5*time.Millisecond)
	require.Empty(t, r.app("default").Credentials)
	eventually(t, "the wiring looks again, too", func() bool { return slices.Equal(r.changed.list(), []string{"default", "default"}) })
	require.Len(t, r.changed.last().APNs, 1)
}

func TestApps_OneThatMayHaveBeenMadeIsNotSaidToBeNone(t *testing.T) {
	r, failing := newRig(t).failing()
	failing.fail("", "", true)
	require.Equal(t, http.StatusServiceUnavailable, r.do(request{method: "POST", path: "/v1/apps", body: `{"name":"shop"}`}).status)
	require.Equal(t, http.StatusServiceUnavailable, r.do(request{path: "/v1/apps/shop"}).status)
	require.Equal(t, "no_such_app", r.do(request{path: "/v1/apps/none"}).problem.Code)
	failing.fail("", "", false)
	require.Equal(t, "app_exists", r.do(request{method: "POST", path: "/v1/apps", body: `{"name":"shop"}`}).problem.Code)
	require.Len(t, r.app("shop").VapidKeys, 1)
}

func TestApps_AChangedSubjectIsUsedAtOnce(t *testing.T) {
	r := newRig(t)
	endpoint, laptop := r.browser()
	r.subscribe("ann", laptop)
	subject := func() string {
		r.finished(r.send("ann"))
		receipts := endpoint.Receipts()
		token, _, _ := strings.Cut(strings.TrimPrefix(receipts[len(receipts)-1].Header.Get("Authorization"), "vapid t="), ",")
		payload, err := push.DecodeBase64(strings.Split(token, ".")[1])
		require.NoError(t, err)
		var claims struct{ Sub string }
		require.NoError(t, json.Unmarshal(payload, &claims))
		return claims.Sub
	}
	require.Equal(t, "mailto:operator@belfry.dev", subject())
	r.must(http.StatusOK, request{method: "PATCH", path: "/v1/apps/default", body: `{"vapid_subject":"mailto:new@belfry.dev"}`}, nil)
	require.Equal(t, "mailto:new@belfry.dev", subject())
}

func TestApps_HaveBounds(t *testing.T) {
	r := newRig(t)
	list := func(n int, format string) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprintf(format, i))
		}
		return all
	}
	for _, c := range []struct {
		field  string
		max    int
		format string
	}{
		{"origins", 100, "https://a%d.example.org"},
		{"push_hosts", 50, "a%d.lan"},
	} {
		for _, ask := range []request{
			{method: "PATCH", path: "/v1/apps/other", body: map[string]any{c.field: list(c.max+1, c.format)}},
			{method: "POST", path: "/v1/apps", body: map[string]any{"name": "shop", c.field: list(c.max+1, c.format)}},
		} {
			got := r.do(ask)
			require.Equal(t, http.StatusBadRequest, got.status, c.field)
			require.Equal(t, c.field, got.problem.Field)
			require.Contains(t, got.problem.Detail, fmt.Sprintf("at most %d", c.max))
		}
		r.must(http.StatusOK, request{method: "PATCH", path: "/v1/apps/other", body: map[string]any{c.field: list(c.max, c.format)}}, nil)
	}

	ask := request{method: "POST", path: "/v1/apps/other/vapid-keys"}
	for range 49 {
		r.must(http.StatusCreated, ask, nil)
	}
	got := r.do(ask)
	require.Equal(t, http.StatusConflict, got.status)
	require.Equal(t, "too_many_vapid_keys", got.problem.Code)
	require.Contains(t, got.problem.Detail, "50")
	require.Len(t, r.app("other").VapidKeys, 50)
}
