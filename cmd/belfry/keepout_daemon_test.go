package main_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// adminURL is where the daemon says that its admin listener is.
func (d *daemon) adminURL() string {
	d.t.Helper()
	var url string
	eventually(d.t, "it says where the admin listener is", func() bool {
		_, after, found := strings.Cut(d.output.String(), "  Admin       ")
		url, _, _ = strings.Cut(after, "\n")
		return found && strings.Contains(after, "\n")
	})
	return url
}

func TestServe_AdminListener(t *testing.T) {
	d := startDaemon(t, "--admin-listen", "127.0.0.1:0", "--demo")
	admin := *d
	admin.url = d.adminURL()
	require.NotEqual(t, d.url, admin.url)
	for _, path := range []string{"/metrics", "/v1/apps", "/v1/keys", "/debug/actors", "/debug/overview"} {
		status, answer := d.try("GET", path, nil)
		require.Equal(t, http.StatusNotFound, status, path)
		require.Contains(t, string(answer), "BELFRY_ADMIN_LISTEN", path)
		status, answer = admin.try("GET", path, nil)
		require.Equal(t, http.StatusOK, status, "%s: %s", path, answer)
	}
	for _, path := range []string{"/healthz", "/readyz", "/v1/config", "/belfry.js", "/demo"} {
		require.Equal(t, http.StatusOK, d.status(path), path)
		require.Equal(t, http.StatusOK, admin.status(path), path)
	}
	status, profile := admin.try("GET", "/debug/pprof/profile?seconds=1", nil)
	require.Equal(t, http.StatusOK, status)
	require.NotEmpty(t, profile)
	require.Equal(t, http.StatusUnauthorized, admin.status("/debug/pprof/heap"))
	status, _ = admin.try("GET", "/debug/pprof/cmdline", nil)
	require.Equal(t, http.StatusNotFound, status, "the admin key is on the command line")
	status, _ = d.try("GET", "/debug/pprof/heap", nil)
	require.Equal(t, http.StatusNotFound, status)

	_, err := d.run("keys", "list")
	require.ErrorContains(t, err, "BELFRY_ADMIN_LISTEN")
	_, err = d.run("keys", "list", "--server", admin.url)
	require.NoError(t, err)
	require.NoError(t, d.stop())
}

func TestServe_AdminListenerWaitsAndFailsWithTheOther(t *testing.T) {
	d := startDaemon(t)
	_, address, _ := strings.Cut(d.url, "://")
	other := &daemon{t: t}
	_, err := other.run("serve", "--listen", "127.0.0.1:0", "--admin-listen", address, "--data-dir", t.TempDir())
	require.ErrorContains(t, err, "--admin-listen (BELFRY_ADMIN_LISTEN)")
	require.ErrorContains(t, err, "address already in use")
}

// certificateFiles are a certificate for 127.0.0.1 and its key, and who trusts it.
func certificateFiles(t *testing.T) (cert, key string, client *http.Client) {
	t.Helper()
	// httptest has a certificate of its own, and tells its key.
	borrowed := httptest.NewTLSServer(http.NotFoundHandler())
	defer borrowed.Close()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pair := borrowed.TLS.Certificates[0]
	secret, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	pool := x509.NewCertPool()
	pool.AddCert(borrowed.Certificate())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return cert, key, &http.Client{Transport: transport}
}

func TestServe_SpeaksHTTPS(t *testing.T) {
	cert, key, client := certificateFiles(t)
	d := &daemon{t: t, output: &syncBuffer{}, flags: []string{
		"--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", t.TempDir(), "--admin-key", adminKey, "--tls-cert", cert, "--tls-key", key,
	}}
	t.Cleanup(d.kill)
	require.NoError(t, d.launch())
	require.True(t, strings.HasPrefix(d.url, "https://"), d.url)
	eventually(t, "Belfry is ready", func() bool {
		got, err := client.Get(d.url + "/readyz")
		if err != nil {
			return false
		}
		got.Body.Close()
		return got.StatusCode == http.StatusOK
	})
	got, err := client.Get(d.url + "/v1/config")
	require.NoError(t, err)
	defer got.Body.Close()
	require.Equal(t, http.StatusOK, got.StatusCode)
	require.Equal(t, "HTTP/2.0", got.Proto)
	require.Equal(t, "max-age=31536000", got.Header.Get("Strict-Transport-Security"))

	plain, err := http.Get(strings.Replace(d.url, "https", "http", 1) + "/v1/config")
	require.NoError(t, err)
	defer plain.Body.Close()
	require.Equal(t, http.StatusBadRequest, plain.StatusCode)
	body, err := io.ReadAll(plain.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), "HTTPS server")

	require.True(t, strings.HasPrefix(d.adminURL(), "http://"), "nobody listens in on a loopback address")
	require.NoError(t, d.stop())
}

func TestServe_ChecksHowItIsReached(t *testing.T) {
	cert, key, _ := certificateFiles(t)
	for _, c := range []struct {
		args []string
		says string // empty: all is well
	}{
		{[]string{"--admin-listen", "9090"}, "--admin-listen (BELFRY_ADMIN_LISTEN)"},
		{[]string{"--key-rate=-1"}, "--key-rate (BELFRY_KEY_RATE)"},
		{[]string{"--key-rate", "100", "--admin-listen", "127.0.0.1:9090"}, ""},
		{[]string{"--tls-cert", cert, "--tls-key", key}, ""},
		{[]string{"--tls-cert", cert}, "go together"},
		{[]string{"--tls-cert", cert, "--tls-key", cert}, "are not a certificate and its key"},
		{[]string{"--tls-cert", cert, "--tls-key", key, "--acme-domains", "push.your.domain"}, "exclude each other"},
		{[]string{"--acme-domains", "push.your.domain,other.your.domain", "--acme-url", "https://ca.your.domain/directory"}, ""},
		{[]string{"--acme-domains", "localhost"}, "is not a domain name"},
	} {
		out, err := (&daemon{t: t}).run(append([]string{"serve", "--check", "--data-dir", t.TempDir()}, c.args...)...)
		if c.says == "" {
			require.NoError(t, err)
			require.Contains(t, out, "The configuration is fine")
			continue
		}
		require.ErrorContains(t, err, c.says)
	}
}

func TestServe_KeysWithoutARateHaveThatOfTheService(t *testing.T) {
	d := startDaemon(t, "--key-rate", "1")
	users := make([]string, 600)
	for i := range users {
		users[i] = fmt.Sprint("user ", i)
	}
	send := func(key string) int {
		status, _ := d.tryAs(key, "POST", "/v1/notifications", map[string]any{"users": users, "title": "x"})
		return status
	}
	fast, err := d.run("keys", "create", "--scope", "send", "--rate", "1000")
	require.NoError(t, err)
	slow, err := d.run("keys", "create", "--scope", "send")
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, send(strings.TrimSpace(slow)))
	require.Equal(t, http.StatusTooManyRequests, send(strings.TrimSpace(slow)))
	for range 3 {
		require.Equal(t, http.StatusAccepted, send(strings.TrimSpace(fast)))
	}
	list, err := d.run("keys", "list")
	require.NoError(t, err)
	require.Contains(t, list, "1000/s")
	require.Contains(t, list, "default")
}

func TestCommands_EndKeysAndTokensAtOnce(t *testing.T) {
	d := startDaemon(t)
	must := func(args ...string) string {
		t.Helper()
		out, err := d.run(args...)
		require.NoError(t, err)
		return strings.TrimSpace(out)
	}
	taken := func(key string) bool {
		status, _ := d.tryAs(key, "GET", "/v1/config", nil)
		return status == http.StatusOK
	}
	old := must("keys", "create", "--scope", "read", "the backend")
	var id string
	for line := range strings.Lines(must("keys", "list")) {
		if strings.Contains(line, "the backend") {
			id = strings.Fields(line)[0]
		}
	}
	fresh := must("keys", "rotate", id)
	require.False(t, taken(old))
	require.True(t, taken(fresh))
	require.Contains(t, must("keys", "list"), "the backend", "the name stays")
	_, err := d.run("keys", "rotate", id)
	require.ErrorContains(t, err, "There is nothing here")

	// The configured key would be back at the next start.
	for line := range strings.Lines(must("keys", "list")) {
		if strings.Contains(line, "BELFRY_ADMIN_KEY") {
			for _, act := range []string{"rotate", "revoke"} {
				_, err := d.run("keys", act, strings.Fields(line)[0])
				require.ErrorContains(t, err, "comes from BELFRY_ADMIN_KEY", act)
			}
		}
	}

	token := func(user string) string {
		var made struct{ Token string }
		d.call("POST", "/v1/users/"+user+"/tokens", nil, &made)
		return made.Token
	}
	anns, bobs := token("ann"), token("bob")
	require.Equal(t, "The tokens of ann have ended.", must("subscriptions", "revoke-tokens", "ann"))
	require.False(t, taken(anns))
	require.True(t, taken(bobs))
	require.Contains(t, must("app", "revoke-tokens", "default"), "The tokens of default have ended.")
	require.False(t, taken(bobs))
	fine := token("bob")
	require.True(t, taken(fine))

	// All of that is kept.
	require.NoError(t, d.stop())
	d.start()
	for what, ended := range map[string]string{"the key": old, "ann's token": anns, "bob's token": bobs} {
		require.False(t, taken(ended), what)
	}
	require.True(t, taken(fresh))
	require.True(t, taken(fine))
}
