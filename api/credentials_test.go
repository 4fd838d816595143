package api_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/apns"
)

// with is a body with members changed, or taken out by nil.
func with(body map[string]any, members ...any) map[string]any {
	changed := make(map[string]any, len(body))
	for name, value := range body {
		changed[name] = value
	}
	for i := 0; i < len(members); i += 2 {
		changed[members[i].(string)] = members[i+1]
		if members[i+1] == nil {
			delete(changed, members[i].(string))
		}
	}
	return changed
}

// appleCertificate is one for a topic with its key, as .p12 in base64 and as PEM.
func appleCertificate(t *testing.T, topic, password string) (p12, text string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		Subject: pkix.Name{CommonName: "Apple Push Services: " + topic, ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: topic},
		}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	file, err := pkcs12.Modern.Encode(key, certificate, nil, password)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	text = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	return base64.StdEncoding.EncodeToString(file), text
}

func TestCredentials_AreShownWithoutTheirSecrets(t *testing.T) {
	r := newRig(t)
	put := func(status int, name string, body map[string]any) (shown api.Credential) {
		t.Helper()
		r.must(status, request{method: "PUT", path: "/v1/apps/other/credentials/" + name, body: body}, &shown)
		require.Equal(t, name, shown.Name)
		require.WithinDuration(t, time.Now(), shown.CreatedAt, time.Minute)
		return shown
	}
	apple, _ := appleKey("com.example.app", "com.example.tv")
	ios := put(http.StatusCreated, "ios", apple)
	require.Equal(t, "apns", ios.Kind)
	require.Equal(t, api.CredentialSettings{
		TeamId: apple["team_id"].(string), KeyId: apple["key_id"].(string), Topics: []string{"com.example.app", "com.example.tv"},
	}, ios.Settings)

	google := put(http.StatusCreated, "android", googleAccount("belfry-demo"))
	require.Equal(t, "fcm", google.Kind)
	require.Equal(t, api.CredentialSettings{
		Project: "belfry-demo", ClientEmail: "belfry@belfry-demo.iam.gserviceaccount.com", KeyId: "0123456789abcdef",
	}, google.Settings)

	p12, text := appleCertificate(t, "com.example.old", "sesame")
	broken := p12[:64] + "\n" + p12[64:] + "\n" // as base64 writes it
	old := put(http.StatusCreated, "old", map[string]any{"kind": "apns", "certificate": broken, "password": "sesame", "host": "https://127.0.0.1:4711"})
	require.Equal(t, []string{"com.example.old"}, old.Settings.Topics)
	require.WithinDuration(t, time.Now().Add(24*time.Hour), *old.Settings.ExpiresAt, time.Minute)
	require.Equal(t, "https://127.0.0.1:4711", old.Settings.Host)
	replaced := put(http.StatusOK, "old", map[string]any{"kind": "apns", "certificate": text})
	require.Empty(t, replaced.Settings.Host)

	app := r.app("other")
	require.Equal(t, []api.Credential{google, ios, replaced}, app.Credentials)
	restarted := r.with(func(*api.Config) {})
	require.Equal(t, app, restarted.app("other"))
	require.Equal(t, []string{"other", "other", "other", "other"}, r.changed.list())

	r.must(http.StatusNoContent, request{method: "DELETE", path: "/v1/apps/other/credentials/android"}, nil)
	require.Equal(t, []api.Credential{ios, replaced}, r.app("other").Credentials)
	require.Equal(t, "name", r.do(request{method: "DELETE", path: "/v1/apps/other/credentials/android"}).problem.Field)
	require.Len(t, r.changed.list(), 5)
}

func TestCredentials_BadInput(t *testing.T) {
	r := newRig(t)
	apple, _ := appleKey("com.example.app")
	google := googleAccount("belfry-demo")
	account := google["service_account"].(map[string]any)
	p12, text := appleCertificate(t, "com.example.old", "sesame")
	certificate := map[string]any{"kind": "apns", "certificate": text}
	path := "/v1/apps/default/credentials/"
	for _, c := range []struct {
		what, name  string
		body        any
		status      int
		code, field string
	}{
		{"a bad name", "iOS", apple, 400, "invalid_field", "name"},
		{"a name with a space", "my%20key", apple, 400, "invalid_field", "name"},
		{"no kind", "x", with(apple, "kind", nil), 400, "invalid_field", "kind"},
		{"a kind without credentials", "x", with(apple, "kind", "webpush"), 400, "invalid_field", "kind"},
		{"an unknown kind", "x", with(apple, "kind", "hms"), 400, "invalid_field", "kind"},
		{"an unknown member", "x", with(apple, "keyid", "x"), 400, "unknown_field", "keyid"},
		{"neither key nor certificate", "x", with(apple, "key", nil), 400, "invalid_field", "key"},
		{"no PEM", "x", with(apple, "key", "hello"), 400, "invalid_field", "key"},
		{"another sort of key", "x", with(apple, "key", rsaKey()), 400, "invalid_field", "key"},
		{"no key id", "x", with(apple, "key_id", nil), 400, "invalid_field", "key_id"},
		{"no team id", "x", with(apple, "team_id", nil), 400, "invalid_field", "team_id"},
		{"no topics", "x", with(apple, "topics", nil), 400, "invalid_field", "topics"},
		{"a topic that is none", "x", with(apple, "topics", []string{"com example"}), 400, "invalid_field", "topics"},
		{"a host that is no URL", "x", with(apple, "host", "127.0.0.1"), 400, "invalid_field", "host"},
		{"a sandbox host alone", "x", with(apple, "sandbox_host", "https://127.0.0.1"), 400, "invalid_field", "sandbox_host"},
		{"a service account for APNs", "x", with(apple, "service_account", account), 400, "invalid_field", "service_account"},
		{"a password for a key", "x", with(apple, "password", "x"), 400, "invalid_field", "password"},
		{"a key and a certificate", "x", with(certificate, "key", "x"), 400, "invalid_field", "key"},
		{"a key id for a certificate", "x", with(certificate, "key_id", "x"), 400, "invalid_field", "key_id"},
		{"a certificate that is nothing", "x", with(certificate, "certificate", "***"), 400, "invalid_field", "certificate"},
		{"a certificate that is no file", "x", with(certificate, "certificate", "AAAA"), 400, "invalid_field", "certificate"},
		{"the wrong password", "x", with(certificate, "certificate", p12, "password", "sesame seed"), 400, "invalid_field", "password"},
		{"topics that the certificate is not for", "x", with(certificate, "topics", []string{"com.example.app"}), 400, "invalid_field", "topics"},
		{"no service account", "x", with(google, "service_account", nil), 400, "invalid_field", "service_account"},
		{"a service account as text", "x", with(google, "service_account", "{}"), 400, "invalid_field", "service_account"},
		{"a service account of another type", "x", with(google, "service_account", with(account, "type", "authorized_user")), 400, "invalid_field", "service_account"},
		{"a service account without a key", "x", with(google, "service_account", with(account, "private_key", nil)), 400, "invalid_field", "service_account"},
		{"topics for FCM", "x", with(google, "topics", []string{"a"}), 400, "invalid_field", "topics"},
		{"a sandbox for FCM", "x", with(google, "sandbox_host", "https://127.0.0.1"), 400, "invalid_field", "sandbox_host"},
		{"a host that is no URL for FCM", "x", with(google, "host", "ftp://127.0.0.1"), 400, "invalid_field", "host"},
	} {
		t.Run(c.what, func(t *testing.T) {
			got := r.do(request{method: "PUT", path: path + c.name, body: c.body})
			require.Equal(t, c.status, got.status, "%s", got.body)
			require.Equal(t, c.code, got.problem.Code)
			require.Equal(t, c.field, got.problem.Field)
			for _, secret := range secretsOf(t, c.body) {
				require.NotContains(t, string(got.body), secret)
			}
		})
	}
	require.Empty(t, r.app("default").Credentials)
	require.Empty(t, r.changed.list())
}

// secretsOf are the parts of a body that no answer may have.
func secretsOf(t *testing.T, body any) (secrets []string) {
	t.Helper()
	encoded, err := json.Marshal(body)
	require.NoError(t, err)
	var given struct {
		Key, Certificate, Password string
		ServiceAccount             json.RawMessage `json:"service_account"`
	}
	require.NoError(t, json.Unmarshal(encoded, &given))
	var account struct {
		PrivateKey string `json:"private_key"`
	}
	json.Unmarshal(given.ServiceAccount, &account) //nolint:errcheck // some are wrong on purpose
	for _, text := range []string{given.Key, given.Certificate, account.PrivateKey} {
		for _, line := range strings.Split(text, "\n") {
			if len(line) > 40 {
				secrets = append(secrets, line)
			}
		}
	}
	if len(given.Password) > 2 {
		secrets = append(secrets, given.Password)
	}
	return secrets
}

func TestCredentials_NoTwoServeTheSame(t *testing.T) {
	r := newRig(t)
	put := func(name string, body map[string]any) answer {
		return r.do(request{method: "PUT", path: "/v1/apps/default/credentials/" + name, body: body})
	}
	apple, _ := appleKey("com.example.app", "com.example.tv")
	require.Equal(t, http.StatusCreated, put("ios", apple).status)
	require.Equal(t, http.StatusCreated, put("android", googleAccount("belfry-demo")).status)

	for topic, other := range map[string]string{"com.example.tv": "ios", "com.example.app.voip": "ios"} {
		body, _ := appleKey("com.example.watch", topic)
		got := put("second", body)
		require.Equal(t, http.StatusConflict, got.status, topic)
		require.Equal(t, "credential_conflict", got.problem.Code)
		require.Equal(t, "topics", got.problem.Field)
		require.Contains(t, got.problem.Detail, "The credential "+other+" serves the topic "+topic)
	}
	got := put("second", googleAccount("belfry-demo"))
	require.Equal(t, http.StatusConflict, got.status)
	require.Equal(t, "credential_conflict", got.problem.Code)
	require.Equal(t, "service_account", got.problem.Field)
	require.Contains(t, got.problem.Detail, "The credential android ")

	require.Equal(t, http.StatusOK, put("ios", apple).status, "itself it may replace")
	require.Equal(t, http.StatusOK, put("android", googleAccount("belfry-demo")).status)
	require.Equal(t, http.StatusCreated, put("second", googleAccount("belfry-two")).status)
	require.Equal(t, http.StatusConflict, put("second", apple).status, "of another kind now")
	require.Equal(t, http.StatusCreated, r.do(request{method: "PUT", path: "/v1/apps/other/credentials/ios", body: apple}).status, "another app's is its own matter")

	voip, _ := appleKey("com.example.desk.voip")
	require.Equal(t, http.StatusCreated, put("voip", voip).status)
	desk, _ := appleKey("com.example.desk")
	require.Contains(t, put("desk", desk).problem.Detail, "The credential voip serves the topic com.example.desk.voip")
}

func TestCredentials_LeadElsewhereForTheOperatorAlone(t *testing.T) {
	r := newRig(t)
	apple, _ := appleKey("com.example.app")
	google := googleAccount("belfry-demo")
	foreign := with(google, "service_account", with(google["service_account"].(map[string]any), "token_uri", "https://127.0.0.1:4711/token"))
	for _, c := range []struct {
		field string
		body  map[string]any
	}{
		{"host", with(apple, "host", "https://127.0.0.1:4711")},
		{"host", with(google, "host", "https://127.0.0.1:4711")},
		{"service_account", foreign},
	} {
		ask := request{method: "PUT", path: "/v1/apps/other/credentials/x", body: c.body, key: r.keys["other"]}
		got := r.do(ask)
		require.Equal(t, http.StatusForbidden, got.status)
		require.Equal(t, "operator_only", got.problem.Code)
		require.Equal(t, c.field, got.problem.Field)
		require.Empty(t, r.app("other").Credentials)

		ask.key = r.keys["admin"]
		r.must(http.StatusCreated, ask, nil)
		r.must(http.StatusNoContent, request{method: "DELETE", path: ask.path, key: r.keys["other"]}, nil)
	}
	for _, body := range []map[string]any{apple, google} {
		r.must(http.StatusCreated, request{method: "PUT", path: "/v1/apps/other/credentials/" + body["kind"].(string), body: body, key: r.keys["other"]}, nil)
	}
}

func TestCredentials_HaveBounds(t *testing.T) {
	r := newRig(t)
	topics := func(n int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprintf("com.example.app%d", i))
		}
		return all
	}
	put := func(name string, topics ...string) answer {
		body, _ := appleKey(topics...)
		return r.do(request{method: "PUT", path: "/v1/apps/other/credentials/" + name, key: r.keys["other"], body: body})
	}
	got := put("ios", topics(101)...)
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Equal(t, "topics", got.problem.Field)
	require.Contains(t, got.problem.Detail, "at most 100")
	require.Equal(t, http.StatusCreated, put("ios", topics(100)...).status)

	for i := range 19 {
		require.Equal(t, http.StatusCreated, put(fmt.Sprint("more-", i), fmt.Sprint("org.example.app", i)).status)
	}
	got = put("one-more", "org.example.more")
	require.Equal(t, http.StatusConflict, got.status)
	require.Equal(t, "too_many_credentials", got.problem.Code)
	require.Contains(t, got.problem.Detail, "20")
	require.Equal(t, http.StatusOK, put("ios", "org.example.more").status, "in another one's place it fits")
}

// A row that was damaged, or that another version wrote.
func TestCredentials_ThatCannotBeUsedStopNothing(t *testing.T) {
	r := newRig(t)
	path := "/v1/apps/other/credentials/"
	apple, _ := appleKey("com.example.app")
	r.must(http.StatusCreated, request{method: "PUT", path: path + "ios", body: apple}, nil)
	r.must(http.StatusCreated, request{method: "PUT", path: path + "android", body: googleAccount("belfry-demo")}, nil)
	r.must(http.StatusCreated, request{method: "PUT", path: path + "web", body: googleAccount("belfry-web")}, nil)
	rows, err := r.store.ListCredentials(t.Context(), "other")
	require.NoError(t, err)
	for _, row := range rows {
		switch row.Name {
		case "ios":
			row.Settings = []byte(`{"team_id":"` + apple["team_id"].(string) + `","topics":"one"}`)
		case "android":
			row.Secret = []byte(`{}`)
		case "web":
			row.Kind = push.WebPush
		}
		_, err = r.store.PutCredential(t.Context(), row)
		require.NoError(t, err)
	}

	var log bytes.Buffer
	r = r.with(func(c *api.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	shown := r.app("other").Credentials
	require.Len(t, shown, 3)
	for _, c := range shown {
		require.True(t, c.Unusable, c.Name)
	}
	require.Equal(t, "belfry-demo", shown[0].Settings.Project)
	require.Equal(t, apple["team_id"], shown[1].Settings.TeamId)
	for _, body := range []map[string]any{device(deviceToken), {"kind": "fcm", "token": registrationToken}} {
		got := r.do(request{method: "PUT", path: "/v1/users/ann/subscriptions", key: r.keys["other"], body: body})
		require.Equal(t, "no_credential", got.problem.Code)
	}

	// What is about the others says nothing more of it.
	r.must(http.StatusOK, request{method: "PATCH", path: "/v1/apps/other", body: `{"origins":[]}`}, nil)
	require.Equal(t, 3, strings.Count(log.String(), "\n"), log.String())
	for _, secret := range append(secretsOf(t, apple), secretsOf(t, googleAccount("belfry-demo"))...) {
		require.NotContains(t, log.String(), secret)
	}

	var put api.Credential
	r.must(http.StatusOK, request{method: "PUT", path: path + "ios", body: apple}, &put)
	require.False(t, put.Unusable)
	r.must(http.StatusCreated, request{method: "PUT", path: path + "second", body: googleAccount("belfry-demo")}, nil)
	for _, name := range []string{"android", "web"} {
		r.must(http.StatusNoContent, request{method: "DELETE", path: path + name}, nil)
	}
	for _, c := range r.app("other").Credentials {
		require.False(t, c.Unusable, c.Name)
	}
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/users/ann/subscriptions", key: r.keys["other"], body: device(deviceToken)}, nil)
}

func TestCredentials_ThatAreReplacedAreHandedOver(t *testing.T) {
	r := newRig(t)
	apple, _ := appleKey("com.example.app")
	ask := request{method: "PUT", path: "/v1/apps/default/credentials/ios", body: apple}
	r.must(http.StatusCreated, ask, nil)
	first, err := r.config.Directory.APNs(t.Context(), "default", "com.example.app")
	require.NoError(t, err)
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/apps/default/credentials/android", body: googleAccount("belfry-demo")}, nil)
	google, err := r.config.Directory.FCM(t.Context(), "default", "belfry-demo")
	require.NoError(t, err)
	r.must(http.StatusOK, ask, nil) // the same again
	require.Equal(t, api.Change{App: "default"}, r.changed.last())

	ask.body, _ = appleKey("com.example.app")
	r.must(http.StatusOK, ask, nil)
	require.Equal(t, api.Change{App: "default", APNs: []*apns.Credential{first}}, r.changed.last())
	require.Same(t, first, r.changed.last().APNs[0])
	r.must(http.StatusNoContent, request{method: "DELETE", path: "/v1/apps/default/credentials/android"}, nil)
	require.Len(t, r.changed.last().FCM, 1)
	require.Same(t, google, r.changed.last().FCM[0])
}
