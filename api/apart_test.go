package api_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push"
)

// operation is one of openapi.yaml.
type operation struct {
	method, path string
	operator     bool
	needs        string // the scope; empty if no API key is for it
}

func operations(t *testing.T) (all []operation) {
	t.Helper()
	raw, err := os.ReadFile("openapi.yaml")
	require.NoError(t, err)
	var spec struct {
		Paths map[string]map[string]struct {
			Operator bool `yaml:"x-operator"`
			Security []map[string][]string
		}
	}
	require.NoError(t, yaml.Unmarshal(raw, &spec))
	for path, methods := range spec.Paths {
		for method, o := range methods {
			op := operation{method: strings.ToUpper(method), path: path, operator: o.Operator}
			if len(o.Security) == 1 && len(o.Security[0]["apiKey"]) == 1 {
				op.needs = o.Security[0]["apiKey"][0]
			}
			all = append(all, op)
		}
	}
	require.NotEmpty(t, all)
	return all
}

// bodies are requests that would be accepted.
var bodies = map[string]any{
	"POST /v1/notifications":                `{"user":"ann","title":"x"}`,
	"POST /v1/notifications/batch":          `{"notifications":[{"user":"ann","title":"x"}]}`,
	"PUT /v1/users/{user}/subscriptions":    device(deviceToken),
	"PUT /v1/me/subscriptions":              device(deviceToken),
	"POST /v1/apps":                         `{"name":"new"}`,
	"PATCH /v1/apps/{app}":                  `{"origins":["https://evil.dev"]}`,
	"PUT /v1/apps/{app}/credentials/{name}": googleAccount("belfry-evil"),
	"PUT /v1/apps/{app}/webhooks/{name}":    `{"url":"https://evil.dev/events"}`,
	"POST /v1/keys":                         `{"scopes":["admin"]}`,
	"POST /v1/receipts":                     `{"token":"x.y","event":"shown"}`,
}

// Every operation, called with what another app has for what is the default
// app's, shows nothing of it and changes nothing there.
func TestApps_AreApartInEveryOperation(t *testing.T) {
	v := newVictim(t)
	var theirs api.UserToken
	v.must(http.StatusCreated, request{method: "POST", path: "/v1/users/ann/tokens", key: v.keys["other"]}, &theirs)
	attacks := v.attacks(theirs.Token)
	all := operations(t)
	require.Len(t, attacks, len(all), "an attack is of no operation")
	before := v.snapshot()
	for _, op := range all {
		name := op.method + " " + op.path
		require.NotEmpty(t, attacks[name], "say in this test how another app would call %s", name)
		for _, a := range attacks[name] {
			q := request{method: op.method, path: a.path, key: a.key, body: a.body}
			if q.path == "" {
				q.path = op.path
			}
			if q.key == "" {
				q.key = v.keys["other"]
			}
			if q.body == nil {
				q.body = bodies[name]
			}
			if name == "DELETE /v1/users/{user}/tokens" || name == "DELETE /v1/users/{user}" {
				continue // after the attacks that need the token
			}
			v.attackedBy(q, a)
		}
	}
	for _, name := range []string{"DELETE /v1/users/{user}", "DELETE /v1/users/{user}/tokens"} {
		for _, a := range attacks[name] {
			v.attackedBy(request{method: "DELETE", path: a.path, key: v.keys["other"]}, a)
		}
	}
	require.False(t, v.enters(theirs.Token), "it was the other app's ann whose tokens ended")
	require.Equal(t, before, v.snapshot())
	require.Equal(t, 2, v.rows("ann"))
}

func (v *victim) attackedBy(q request, a attack) {
	v.Helper()
	got := v.do(q)
	require.Equal(v, a.want, got.status, "%s %s: %s", q.method, q.path, got.body)
	if a.code != "" {
		require.Equal(v, a.code, got.problem.Code, q.path)
	}
	for _, secret := range v.secrets {
		require.NotContains(v, string(got.body), secret, "%s %s", q.method, q.path)
	}
}

func TestApps_TheirOwnAdminsReadAndChangeThem(t *testing.T) {
	r := newRig(t)
	other := r.keys["other"]
	var app api.App
	r.must(http.StatusOK, request{path: "/v1/apps/other", key: other}, &app)
	require.Equal(t, "other", app.Name)
	r.must(http.StatusOK, request{method: "PATCH", path: "/v1/apps/other", key: other, body: `{"origins":[],"vapid_subject":"https://b.dev"}`}, &app)
	require.Equal(t, "https://b.dev", app.VapidSubject)
	r.must(http.StatusCreated, request{method: "POST", path: "/v1/apps/other/vapid-keys", key: other}, nil)
	apple, _ := appleKey("com.example.app")
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/apps/other/credentials/ios", key: other, body: apple}, nil)
	r.must(http.StatusNoContent, request{method: "DELETE", path: "/v1/apps/other/credentials/ios", key: other}, nil)
	var keys api.KeyList
	r.must(http.StatusOK, request{path: "/v1/keys?app=other", key: other}, &keys)
	require.Len(t, keys.Keys, 1)

	for _, hosts := range []string{`["push.lan"]`, `[]`} {
		got := r.do(request{method: "PATCH", path: "/v1/apps/other", key: other, body: `{"push_hosts":` + hosts + `}`})
		require.Equal(t, http.StatusForbidden, got.status)
		require.Equal(t, "operator_only", got.problem.Code)
		require.Equal(t, "push_hosts", got.problem.Field)
	}
	unknown := r.do(request{path: "/v1/apps/nobody", key: other})
	known := r.do(request{path: "/v1/apps/default", key: other})
	require.Equal(t, string(known.body), string(unknown.body), "nor do they learn which apps there are")
}

func TestKeys_OfAnyAppAreTheOperators(t *testing.T) {
	r := newRig(t)
	var made api.CreatedKey
	r.must(http.StatusCreated, request{method: "POST", path: "/v1/keys?app=other", body: `{"name":"backend","scopes":["read"]}`}, &made)
	require.Equal(t, http.StatusNotFound, r.do(request{path: "/v1/notifications/01a201f2-e60e-7a78-8738-29c6f0f58a65", key: made.Key}).status)
	var config api.BrowserConfig
	r.must(http.StatusOK, request{path: "/v1/config", key: made.Key}, &config)
	require.Equal(t, r.app("other").VapidKeys[0].PublicKey, config.VapidPublicKey)

	var keys api.KeyList
	r.must(http.StatusOK, request{path: "/v1/keys?app=other"}, &keys)
	require.Len(t, keys.Keys, 2)
	require.Equal(t, made.Id, keys.Keys[1].Id)
	require.Equal(t, http.StatusNotFound, r.do(request{method: "DELETE", path: "/v1/keys/" + made.Id}).status, "it is not the default app's")
	r.must(http.StatusNoContent, request{method: "DELETE", path: "/v1/keys/" + made.Id + "?app=other"}, nil)
	require.Equal(t, http.StatusUnauthorized, r.do(request{path: "/v1/config", key: made.Key}).status)
}

// What shows all apps together is the operator's alone.
func TestOperator_SeesWhatIsOfAllApps(t *testing.T) {
	r, _ := withMetrics(t)
	seen := 0
	for _, op := range operations(t) {
		if !op.operator {
			continue
		}
		seen++
		path := strings.Replace(op.path, "{path}", "registry", 1)
		if path == "/debug/search" {
			path += "?q=ann"
		}
		got := r.do(request{method: op.method, path: path, key: r.keys["other"], body: bodies[op.method+" "+op.path]})
		require.Equal(t, http.StatusForbidden, got.status, path)
		require.Equal(t, "operator_only", got.problem.Code)
		require.Contains(t, got.problem.Detail, "app default")
		own := r.do(request{method: op.method, path: path, key: r.keys[op.needs], body: bodies[op.method+" "+op.path]})
		require.Less(t, own.status, 300, "%s: %s", path, own.body)
	}
	require.Equal(t, 7, seen)
}

// Nothing that is answered has a secret in it.
func TestAnswers_HaveNoSecrets(t *testing.T) {
	r := newRig(t)
	apple, _ := appleKey("com.example.app")
	google := googleAccount("belfry-demo")
	p12, text := appleCertificate(t, "com.example.old", "sesame-street")
	secrets := []string{deviceToken, registrationToken}
	for _, body := range []map[string]any{apple, google, {"certificate": text}, {"certificate": p12, "password": "sesame-street"}} {
		secrets = append(secrets, secretsOf(t, body)...)
	}
	for _, app := range []string{"default", "other"} {
		found, err := r.store.GetApp(t.Context(), app)
		require.NoError(t, err)
		keys, err := r.store.ListVAPIDKeys(t.Context(), app)
		require.NoError(t, err)
		secrets = append(secrets, string(found.TokenSecret), push.EncodeBase64(found.TokenSecret), push.EncodeBase64(keys[0].Private))
	}
	_, laptop := r.browser()
	web := r.json(laptop)
	secrets = append(secrets, web["endpoint"].(string), web["keys"].(map[string]any)["auth"].(string))

	var answers []answer
	do := func(method, path string, body any) {
		answers = append(answers, r.do(request{method: method, path: path, body: body}))
		require.Less(t, answers[len(answers)-1].status, 300, "%s %s: %s", method, path, answers[len(answers)-1].body)
	}
	do("PUT", "/v1/apps/default/credentials/ios", apple)
	do("PUT", "/v1/apps/default/credentials/android", google)
	do("PUT", "/v1/apps/default/credentials/old", map[string]any{"kind": "apns", "certificate": p12, "password": "sesame-street"})
	do("PUT", "/v1/apps/default/credentials/old", map[string]any{"kind": "apns", "certificate": text})
	do("PUT", "/v1/users/ann/subscriptions", web)
	do("PUT", "/v1/users/ann/subscriptions", device(deviceToken, "topic", "com.example.app"))
	do("PUT", "/v1/users/ann/subscriptions", map[string]any{"kind": "fcm", "token": registrationToken})
	do("PATCH", "/v1/apps/default", `{"origins":[]}`)
	do("POST", "/v1/apps/default/vapid-keys", nil)
	for _, path := range []string{"/v1/apps", "/v1/apps/default", "/v1/users/ann/subscriptions", "/v1/keys", "/v1/config", "/debug/actors"} {
		do("GET", path, nil)
	}
	for _, got := range answers {
		for _, secret := range secrets {
			require.NotContains(t, string(got.body), secret)
		}
	}
}
