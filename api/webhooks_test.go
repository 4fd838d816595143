package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/api/webhook"
)

func TestWebhooks_AreGivenShownAndRemoved(t *testing.T) {
	r := newRig(t)
	require.NotNil(t, r.app("other").Webhooks)
	require.Empty(t, r.app("other").Webhooks)
	path := "/v1/apps/other/webhooks/orders"
	ask := request{method: "PUT", path: path, key: r.keys["other"], body: map[string]any{
		"url": "https://hooks.example.com/belfry?key=s3cr3t", "types": []string{"delivery.gone", "delivery.delivered", "delivery.gone"},
	}}
	var made api.CreatedWebhook
	r.must(http.StatusCreated, ask, &made)
	require.Regexp(t, `^whsec_[A-Za-z0-9+/]{43}=$`, made.Secret)
	require.Equal(t, "https://hooks.example.com/…", made.Webhook.Url, "what may be a secret is not shown")
	require.Equal(t, []string{"delivery.delivered", "delivery.gone"}, made.Webhook.Types)
	require.Equal(t, "idle", made.Webhook.State)
	require.WithinDuration(t, time.Now(), made.Webhook.CreatedAt, time.Minute)
	require.Equal(t, made.Webhook, r.webhook("other", "orders"))
	require.Equal(t, r.app("other"), r.with(func(*api.Config) {}).app("other"), "after a restart")
	var list api.AppList
	r.must(http.StatusOK, request{path: "/v1/apps"}, &list)
	require.Empty(t, list.Apps[0].Webhooks)
	require.Equal(t, []api.Webhook{made.Webhook}, list.Apps[1].Webhooks)

	var replaced api.CreatedWebhook
	ask.body = map[string]any{"url": "https://hooks.example.com/other"}
	r.must(http.StatusOK, ask, &replaced)
	require.Empty(t, replaced.Secret, "it has the one that it had, which is not shown again")
	require.Empty(t, replaced.Webhook.Types)
	require.NotNil(t, replaced.Webhook.Types)
	rows, err := r.store.ListWebhooks(t.Context(), "other")
	require.NoError(t, err)
	require.Equal(t, made.Secret, webhook.FormatSecret(rows[0].Secret))

	own := webhook.FormatSecret([]byte(strings.Repeat("k", 24)))
	ask.body = map[string]any{"url": "https://hooks.example.com/other", "secret": own}
	r.must(http.StatusOK, ask, &replaced)
	require.Equal(t, own, replaced.Secret)

	r.must(http.StatusNoContent, request{method: "DELETE", path: path, key: r.keys["other"]}, nil)
	require.Empty(t, r.app("other").Webhooks)
	require.Equal(t, "name", r.do(request{method: "DELETE", path: path}).problem.Field)
	require.Equal(t, http.StatusNotFound, r.do(request{method: "POST", path: path + "/test"}).status)
	require.Equal(t, []string{"other", "other", "other", "other"}, r.changed.list())
}

func TestWebhooks_ShowNoPartOfAURLThatMayBeASecret(t *testing.T) {
	r := newRig(t)
	for url, want := range map[string]string{
		"https://hooks.chat.example/services/T0/B0/s3cr3t": "https://hooks.chat.example/…",
		"https://hooks.chat.example:8443/s3cr3t":           "https://hooks.chat.example:8443/…",
		"https://hooks.chat.example/?token=s3cr3t":         "https://hooks.chat.example/…",
		"https://hooks.chat.example?token=s3cr3t":          "https://hooks.chat.example/…",
		"https://hooks.chat.example/":                      "https://hooks.chat.example/",
		"https://hooks.chat.example":                       "https://hooks.chat.example",
	} {
		made := r.do(request{method: "PUT", path: "/v1/apps/other/webhooks/orders", body: map[string]any{"url": url}})
		require.Less(t, made.status, 300, "%s", made.body)
		require.Contains(t, string(made.body), `"url":"`+want+`"`)
		for _, shown := range [][]byte{made.body, r.do(request{path: "/v1/apps/other"}).body, r.do(request{path: "/v1/apps"}).body} {
			require.NotContains(t, string(shown), "s3cr3t")
		}
	}
}

func TestWebhooks_BadInput(t *testing.T) {
	r := newRig(t)
	const fine = "https://hooks.example.com/1"
	for _, c := range []struct {
		what, name  string
		body        any
		status      int
		code, field string
	}{
		{"a bad name", "Orders", map[string]any{"url": fine}, 400, "invalid_field", "name"},
		{"no URL", "x", map[string]any{}, 400, "invalid_field", "url"},
		{"an unknown member", "x", map[string]any{"url": fine, "uri": fine}, 400, "unknown_field", "uri"},
		{"an unknown type", "x", map[string]any{"url": fine, "types": []string{"delivery.gone", "delivery.lost"}}, 400, "invalid_field", "types[1]"},
		{"an empty type", "x", map[string]any{"url": fine, "types": []string{""}}, 400, "invalid_field", "types[0]"},
		{"too many types", "x", map[string]any{"url": fine, "types": strings.Split(strings.Repeat("delivery.gone ", 51), " ")[:51]}, 400, "invalid_field", "types"},
		{"a short secret", "x", map[string]any{"url": fine, "secret": webhook.FormatSecret(make([]byte, 23))}, 400, "invalid_field", "secret"},
		{"a secret that is none", "x", map[string]any{"url": fine, "secret": "hunter2-hunter2-hunter2"}, 400, "invalid_field", "secret"},
		{"nothing", "x", nil, 400, "invalid_json", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			got := r.do(request{method: "PUT", path: "/v1/apps/other/webhooks/" + c.name, key: r.keys["other"], body: c.body})
			require.Equal(t, c.status, got.status, "%s", got.body)
			require.Equal(t, c.code, got.problem.Code)
			require.Equal(t, c.field, got.problem.Field)
			require.NotContains(t, string(got.body), "hunter2")
		})
	}
	require.Empty(t, r.app("other").Webhooks)
	require.Empty(t, r.changed.list())
	require.Equal(t, "operator_only", r.do(request{method: "PUT", path: "/v1/apps/default/webhooks/x", key: r.keys["other"], body: map[string]any{"url": fine}}).problem.Code)
	require.Equal(t, http.StatusForbidden, r.do(request{method: "PUT", path: "/v1/apps/default/webhooks/x", key: r.keys["read"], body: map[string]any{"url": fine}}).status)
	require.Equal(t, "no_such_app", r.do(request{method: "PUT", path: "/v1/apps/nobody/webhooks/x", body: map[string]any{"url": fine}}).problem.Code)
}

// What a stranger gives leads to no address of the operator's network.
func TestWebhooks_LeadToTheOperatorsNetworkForTheOperatorAlone(t *testing.T) {
	r := newRig(t)
	const path = "/v1/apps/other/webhooks/x"
	for _, url := range []string{
		"http://hooks.example.com/", "https://localhost/", "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/", "https://127.0.0.1./",
		"https://10.0.0.1/", "https://172.16.0.1/", "https://192.168.0.1/", "https://169.254.169.254/latest/meta-data/", "https://100.64.0.1/", "https://168.63.129.16/", "https://0.0.0.0/",
		"https://[::1]/", "https://[::]/", "https://[fd00:ec2::254]/", "https://[fe80::1]/", "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::a9fe:a9fe]/", "https://[2002:7f00:1::]/", "https://[2001::1]/",
		"https://metadata.google.internal/", "https://db/", "https://printer.local/", "https://hooks.example.com:22/", "https://user@hooks.example.com/", "https://hooks.example.com@127.0.0.1/",
		"https://hooks.example.com\\@127.0.0.1/", "https://hooks.example.com/#x", "https://１２７.0.0.1/", "https://%31%32%37.0.0.1/", "ftp://hooks.example.com/", "file:///etc/passwd",
	} {
		got := r.do(request{method: "PUT", path: path, key: r.keys["other"], body: map[string]any{"url": url}})
		require.Equal(t, http.StatusBadRequest, got.status, url)
		require.Equal(t, "url", got.problem.Field, url)
	}
	inside := map[string]any{"url": "http://127.0.0.1:9000/hook", "private": true}
	got := r.do(request{method: "PUT", path: path, key: r.keys["other"], body: inside})
	require.Equal(t, http.StatusForbidden, got.status)
	require.Equal(t, "operator_only", got.problem.Code)
	require.Equal(t, "private", got.problem.Field)
	require.Empty(t, r.app("other").Webhooks)
	r.must(http.StatusCreated, request{method: "PUT", path: path, body: inside}, nil)
	require.True(t, r.webhook("other", "x").Private)
	// The app may not turn it elsewhere inside.
	got = r.do(request{method: "PUT", path: path, key: r.keys["other"], body: map[string]any{"url": "http://127.0.0.1:9001/hook"}})
	require.Equal(t, "url", got.problem.Field)
}

func TestWebhooks_HaveBounds(t *testing.T) {
	r := newRig(t)
	put := func(name string) answer {
		return r.do(request{method: "PUT", path: "/v1/apps/other/webhooks/" + name, key: r.keys["other"], body: map[string]any{"url": "https://hooks.example.com/" + name}})
	}
	for i := range 5 {
		require.Equal(t, http.StatusCreated, put(fmt.Sprint("hook-", i)).status)
	}
	got := put("one-more")
	require.Equal(t, http.StatusConflict, got.status)
	require.Equal(t, "too_many_webhooks", got.problem.Code)
	require.Equal(t, http.StatusOK, put("hook-0").status, "in another one's place it fits")
	require.Len(t, r.app("other").Webhooks, 5)
}

func TestWebhooks_AreRefusedWhereThereAreNoEvents(t *testing.T) {
	r := newRig(t).with(func(c *api.Config) { c.EventRetention = -1 })
	got := r.do(request{method: "PUT", path: "/v1/apps/other/webhooks/x", body: map[string]any{"url": "https://hooks.example.com/"}})
	require.Equal(t, http.StatusConflict, got.status)
	require.Equal(t, "events_off", got.problem.Code)
}
