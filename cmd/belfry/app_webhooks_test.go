package main_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
)

// hook is a server that webhooks are sent to.
type hook struct {
	*httptest.Server
	mu       sync.Mutex
	status   int
	received []hookRequest
}

type hookRequest struct {
	header http.Header
	body   []byte
}

func (r hookRequest) id() string { return r.header.Get("webhook-id") }

func newHook(t *testing.T) *hook {
	h := &hook{status: http.StatusNoContent}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.received = append(h.received, hookRequest{r.Header, body})
		w.WriteHeader(h.status)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) answers(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

func (h *hook) got() []hookRequest {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]hookRequest(nil), h.received...)
}

func TestCommands_Webhooks(t *testing.T) {
	d := startDaemon(t)
	h := newHook(t)
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
	require.Regexp(t, `(?m)^Webhooks +none$`, must("app", "show", "default"))
	fails("field url", "app", "webhook", "default", "orders", "--url", h.URL)
	fails("There is no event type", "app", "webhook", "default", "orders", "--url", "https://hooks.example.com", "--types", "delivery.lost")
	fails("--secret-file: open", "app", "webhook", "default", "orders", "--url", h.URL, "--private", "--secret-file", "nothing-here")
	fails("The app has no webhook of this name", "app", "webhook-test", "default", "orders")

	secret := strings.TrimSpace(must("app", "webhook", "default", "orders", "--url", h.URL+"/hook?key=s3cr3t", "--private", "--types", "delivery.no_subscription,delivery.gone"))
	require.Regexp(t, `^whsec_\S{43}=$`, secret, "alone, to be piped")
	require.Regexp(t, `(?m)^Webhooks +orders: `+h.URL+`/… for delivery\.gone, delivery\.no_subscription, private, idle, made \S+ \S+$`, must("app", "show", "default"))
	require.Regexp(t, `^Taken: it answered 204 after .*\.\n$`, must("app", "webhook-test", "default", "orders"))
	must("send", "-u", "nobody", "-t", "hello")
	eventually(t, "the event arrives", func() bool { return len(h.got()) == 2 })
	verifier, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	for _, request := range h.got() {
		require.NoError(t, verifier.Verify(request.body, request.header))
	}
	require.Contains(t, string(h.got()[1].body), `"delivery.no_subscription"`)

	file := write(t, "secret", []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=\n"))
	require.Empty(t, must("app", "webhook", "default", "orders", "--url", h.URL, "--private", "--secret-file", file), "it is known already")
	require.Empty(t, must("app", "webhook", "default", "orders", "--url", h.URL, "--private"), "nor is the one that it keeps shown again")
	h.answers(http.StatusGone)
	fails("it answered 410 Gone", "app", "webhook-test", "default", "orders")
	must("send", "-u", "nobody", "-t", "hello")
	eventually(t, "it ends", func() bool {
		return strings.Contains(must("app", "show", "default"), ", private, ended: it answered 410 Gone, made ")
	})

	require.Equal(t, "Removed.\n", must("app", "remove-webhook", "default", "orders"))
	fails("The app has no webhook of this name", "app", "remove-webhook", "default", "orders")
	require.NotContains(t, d.output.String(), "s3cr3t")
	require.NotContains(t, d.output.String(), secret)
}

// What was told before the process was killed is not told again, nothing is left
// out, and what may have been told comes under the same ID.
func TestWebhooks_LoseNothingByAPowerCut(t *testing.T) {
	d := startDaemon(t)
	h := newHook(t)
	_, err := d.run("app", "webhook", "default", "all", "--url", h.URL, "--private")
	require.NoError(t, err)
	send := func(title string) {
		t.Helper()
		_, err := d.run("send", "-u", "nobody", "-t", title)
		require.NoError(t, err)
	}
	send("first")
	eventually(t, "the first is told", func() bool { return len(h.got()) == 1 })
	h.answers(http.StatusInternalServerError)
	send("second")
	eventually(t, "the second is tried", func() bool { return len(h.got()) >= 2 })
	send("third")
	d.kill()
	tried := h.got()[1]
	h.answers(http.StatusOK)
	before := len(h.got())
	d.start()
	// What was under way when it was killed may be among these twice.
	var after []hookRequest
	eventually(t, "both are told", func() bool {
		after = slices.CompactFunc(h.got()[before:], func(a, b hookRequest) bool { return a.id() == b.id() })
		return len(after) >= 2
	})
	require.Equal(t, tried.id(), after[0].id())
	require.Equal(t, tried.body, after[0].body, "byte for byte")
	require.Equal(t, 1, strings.Count(string(after[1].body), `"delivery.no_subscription"`))
}
