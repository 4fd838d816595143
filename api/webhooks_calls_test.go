package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/api/webhook"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// hook is a real server that webhooks are sent to. It checks every signature.
type hook struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	secret   string
	answers  []http.HandlerFunc // the next ones; then everything is taken
	messages []hookMessage
}

// hookMessage is what a hook got.
type hookMessage struct {
	id     string
	taken  bool
	Type   string
	Data   struct{ Events []api.Event }
	signed error // what is wrong with its signature
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{t: t}
	h.Server = httptest.NewServer(http.HandlerFunc(h.receive))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it was cut off
	}
	h.mu.Lock()
	m := hookMessage{id: r.Header.Get("webhook-id"), taken: len(h.answers) == 0}
	if verifier, err := standardwebhooks.NewWebhook(h.secret); err != nil {
		m.signed = err
	} else {
		m.signed = verifier.Verify(body, r.Header)
	}
	json.Unmarshal(body, &m) //nolint:errcheck // the test looks at what it holds
	h.messages = append(h.messages, m)
	var answer http.HandlerFunc
	if !m.taken {
		answer, h.answers = h.answers[0], h.answers[1:]
	}
	h.mu.Unlock()
	if answer != nil {
		answer(w, r)
	}
}

func (h *hook) answer(answers ...http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers = answers
}

func (h *hook) signedWith(secret string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.secret = secret
}

func (h *hook) got() []hookMessage {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]hookMessage(nil), h.messages...)
}

// took are the IDs of the notifications that it was told of and took, in order.
func (h *hook) took() (ids []string) {
	for _, m := range h.got() {
		if m.taken {
			for _, e := range m.Data.Events {
				ids = append(ids, e.Notification)
			}
		}
	}
	return ids
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// later is what an overloaded receiver answers: come again in a second.
func later() http.HandlerFunc { return status(http.StatusServiceUnavailable, "Retry-After", "1") }

// putHook has an app's events sent to a hook, and tells it the secret.
func (r *rig) putHook(app, name string, h *hook, more map[string]any) api.CreatedWebhook {
	r.Helper()
	body := map[string]any{"url": h.URL + "/hook?key=s3cr3t", "private": true}
	for key, value := range more {
		body[key] = value
	}
	got := r.do(request{method: "PUT", path: "/v1/apps/" + app + "/webhooks/" + name, body: body})
	require.Contains(r, []int{http.StatusOK, http.StatusCreated}, got.status, "%s", got.body)
	var made api.CreatedWebhook
	require.NoError(r, json.Unmarshal(got.body, &made))
	if made.Secret != "" {
		h.signedWith(made.Secret)
	}
	return made
}

func (r *rig) webhook(app, name string) api.Webhook {
	r.Helper()
	for _, w := range r.app(app).Webhooks {
		if w.Name == name {
			return w
		}
	}
	r.Fatalf("the app %s has no webhook %s", app, name)
	return api.Webhook{}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	require.Eventually(t, is, patience, 5*time.Millisecond, what)
}

func TestWebhooks_TellWhatHappens(t *testing.T) {
	r := newRig(t)
	h := newHook(t)
	r.putHook("default", "all", h, nil)
	_, laptop := r.browser()
	sub := r.subscribe("ann", laptop)
	id := r.send("ann")
	eventually(t, "the delivery is told of", func() bool { return len(h.took()) == 2 })
	var events []api.Event
	for _, m := range h.got() {
		require.NoError(t, m.signed)
		require.Equal(t, "events", m.Type)
		events = append(events, m.Data.Events...)
	}
	require.Equal(t, "subscription.added", events[0].Type)
	require.Equal(t, "delivery.delivered", events[1].Type)
	require.Equal(t, id, events[1].Notification)
	require.Equal(t, sub.Id, events[1].Subscription)
	var page api.EventPage
	r.must(http.StatusOK, request{path: "/v1/events"}, &page)
	require.Equal(t, page.Events, events, "as GET /v1/events shows them")
}

func TestWebhooks_ThatFailAreTriedAgain(t *testing.T) {
	r := newRig(t)
	h := newHook(t)
	elsewhere := newHook(t)
	r.putHook("default", "all", h, map[string]any{"types": []string{"delivery.no_subscription"}})
	h.answer(later(), status(http.StatusTooManyRequests, "Retry-After", "1"))
	first := r.send("nobody")
	var shown api.Webhook
	eventually(t, "it waits", func() bool { shown = r.webhook("default", "all"); return shown.State == "retrying" })
	require.Contains(t, shown.Reason, "it answered ")
	require.NotContains(t, shown.Reason, h.URL)
	require.NotNil(t, shown.NextAttemptAt)
	require.NotNil(t, shown.BehindSince)
	second := r.send("nobody")
	eventually(t, "both are taken", func() bool { return len(h.took()) == 2 })
	require.Equal(t, []string{first, second}, h.took())
	got := h.got()
	require.Equal(t, got[0].id, got[1].id)
	require.Equal(t, got[0].id, got[2].id)
	eventually(t, "it is idle once it has heard", func() bool { return r.webhook("default", "all").State == "idle" })

	h.answer(status(http.StatusFound, "Location", elsewhere.URL))
	r.send("nobody")
	eventually(t, "the redirect is a failure", func() bool { return strings.Contains(r.webhook("default", "all").Reason, "redirects are not followed") })
	require.Empty(t, elsewhere.got())
}

func TestWebhooks_EndWhenTheReceiverIsGone(t *testing.T) {
	r := newRig(t)
	h := newHook(t)
	r.putHook("default", "all", h, nil)
	h.answer(status(http.StatusGone))
	r.send("nobody")
	eventually(t, "it has ended", func() bool { return r.webhook("default", "all").State == "ended" })
	require.Equal(t, "it answered 410 Gone", r.webhook("default", "all").Reason)
	last := r.send("nobody")
	r.finished(last)
	require.Len(t, h.got(), 1)
	var test api.WebhookTest
	r.must(http.StatusOK, request{method: "POST", path: "/v1/apps/default/webhooks/all/test"}, &test)
	require.True(t, test.Taken)
	require.Equal(t, "ended", r.webhook("default", "all").State, "a test changes nothing")
	r.putHook("default", "all", h, nil)
	eventually(t, "given again, it goes on where it was", func() bool { return len(h.took()) == 2 })
	require.Equal(t, last, h.took()[1])
}

func TestWebhooks_AreTested(t *testing.T) {
	r := newRig(t)
	h := newHook(t)
	h.Config.SetKeepAlivesEnabled(false) // every call dials: what a closed connection says depends on who is quicker
	r.putHook("default", "all", h, nil)
	test := func() (result api.WebhookTest) {
		r.must(http.StatusOK, request{method: "POST", path: "/v1/apps/default/webhooks/all/test"}, &result)
		require.GreaterOrEqual(t, result.TookMs, 0)
		result.TookMs = 0
		return result
	}
	require.Equal(t, api.WebhookTest{Taken: true, Status: 200}, test())
	got := h.got()[0]
	require.NoError(t, got.signed)
	require.Equal(t, "test", got.Type)
	require.NotNil(t, got.Data.Events)
	require.Empty(t, got.Data.Events)
	h.answer(status(500))
	require.Equal(t, api.WebhookTest{Status: 500, Reason: "it answered 500 Internal Server Error"}, test())
	h.Close()
	require.Equal(t, api.WebhookTest{Reason: "the receiver refuses connections"}, test())
}

func TestWebhooks_SignWithANewSecretAtOnce(t *testing.T) {
	r := newRig(t)
	h := newHook(t)
	before := r.putHook("default", "all", h, nil)
	h.answer(status(http.StatusServiceUnavailable, "Retry-After", "600")) // what is tried before, is so with the old secret
	r.send("nobody")
	eventually(t, "it is tried", func() bool { return len(h.got()) > 0 })
	h.answer()
	own := webhook.FormatSecret([]byte(strings.Repeat("n", 32)))
	require.NotEqual(t, before.Secret, own)
	h.signedWith(own)
	r.putHook("default", "all", h, map[string]any{"secret": own})
	eventually(t, "it is taken", func() bool { return len(h.took()) == 1 })
	got := h.got()
	last := got[len(got)-1]
	require.NoError(t, last.signed)
	require.Equal(t, got[0].id, last.id, "it is the same message")
}

func TestWebhooks_OfOneAppAreNoneOfAnothers(t *testing.T) {
	r := newRig(t)
	ours, theirs := newHook(t), newHook(t)
	hold := make(chan struct{})
	r.Cleanup(func() { close(hold) })
	ours.answer(func(http.ResponseWriter, *http.Request) { <-hold })
	r.putHook("default", "all", ours, nil)
	r.putHook("other", "all", theirs, nil)
	r.send("nobody")
	var sent api.AcceptedNotifications
	r.must(http.StatusAccepted, request{method: "POST", path: "/v1/notifications", key: r.keys["other"], body: map[string]any{"user": "nobody", "title": "hello"}}, &sent)
	eventually(t, "the other app's is told", func() bool { return len(theirs.took()) == 1 })
	require.Equal(t, sent.Notifications[0].Id, theirs.took()[0])
	eventually(t, "ours hangs", func() bool { return r.webhook("default", "all").State == "sending" })
	require.Empty(t, ours.took())
}

// A receiver that never answers, and 500 notifications that all arrive.
func TestWebhooks_ThatHangHoldUpNoDelivery(t *testing.T) {
	r := newRig(t)
	stuck := newHook(t)
	hold := make(chan struct{})
	var hanging atomic.Int32
	stuck.answer(func(http.ResponseWriter, *http.Request) { hanging.Add(1); <-hold })
	r.Cleanup(func() { close(hold) })
	for i := range 5 {
		r.putHook("default", fmt.Sprint("stuck-", i), stuck, nil)
	}
	endpoint, laptop := r.browser()
	r.subscribe("ann", laptop)
	eventually(t, "it hangs", func() bool { return hanging.Load() > 0 })
	const n = 500
	var drafts []actors.Draft
	for range n {
		drafts = append(drafts, actors.Draft{User: push.User{App: push.DefaultApp, ID: "ann"}, Content: []byte(`{"title":"hello"}`), TTL: time.Hour})
	}
	ids, err := r.system.Notify(drafts)
	require.NoError(t, err)
	eventually(t, "all are delivered", func() bool { return len(endpoint.Receipts()) == n })
	r.finished(ids[n-1].String())
}

// Whatever happens in between, every event arrives, in order; and what comes
// twice comes under the ID that it had.
func TestWebhooks_LoseNothingByARestart(t *testing.T) {
	r := newRig(t)
	h := newHook(t)
	r.putHook("default", "all", h, nil)
	var want []string
	more := func(n int) {
		for range n {
			want = append(want, r.send("nobody"))
		}
	}
	more(3)
	eventually(t, "they are taken", func() bool { return len(h.took()) == 3 })
	cut := make(chan struct{})
	h.answer(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done(); close(cut) })
	more(1)
	eventually(t, "it is being told of", func() bool { return len(h.got()) > 0 && !h.got()[len(h.got())-1].taken })
	more(4)
	tried := h.got()[len(h.got())-1]

	r.drain()
	<-cut
	system, err := actors.Start(t.Context(), actors.Config{Store: r.store, Providers: r.senders.providers(), Webhooks: r.config.Webhooks})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, system.Drain(t.Context())) })
	restarted := r.with(func(c *api.Config) { c.System = system })
	want = append(want, restarted.send("nobody"))
	eventually(t, "all are taken", func() bool { return len(h.took()) >= len(want) })
	require.Equal(t, want, h.took(), "in order, and once")
	seen := map[string]int{}
	for _, m := range h.got() {
		require.NoError(t, m.signed)
		seen[m.id]++
		if m.id == tried.id {
			require.Equal(t, tried.Data.Events, m.Data.Events, "the same events")
		}
	}
	require.Equal(t, 2, seen[tried.id], "what was tried before is tried again under its ID")
}

func TestWebhooks_OfARowThatIsUnfitAreNotCalled(t *testing.T) {
	r := newRig(t)
	h := newHook(t)
	_, err := r.store.PutWebhook(t.Context(), store.Webhook{
		App: push.DefaultApp, Name: "old", URL: strings.Replace(h.URL, "http", "https", 1), Secret: make([]byte, 32), CreatedAt: time.Now().Truncate(time.Millisecond),
	})
	require.NoError(t, err)
	r.system.WebhooksChanged(push.DefaultApp)
	r.send("nobody")
	r = r.with(func(*api.Config) {})
	eventually(t, "it says why", func() bool { return strings.Contains(r.webhook("default", "old").Reason, "not on the public internet") })
	require.Empty(t, h.got())
}

// Each test may take as long as its receiver likes, and a connection.
func TestWebhookTests_OfAnAppAreMadeOneAtATime(t *testing.T) {
	r := newRig(t)
	hook := newHook(t)
	r.putHook("other", "orders", hook, nil)
	var at, most atomic.Int32
	slow := func(w http.ResponseWriter, _ *http.Request) {
		most.Store(max(most.Load(), at.Add(1)))
		time.Sleep(50 * time.Millisecond)
		at.Add(-1)
		w.WriteHeader(http.StatusNoContent)
	}
	hook.answer(slow, slow, slow, slow)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			r.must(http.StatusOK, request{method: "POST", path: "/v1/apps/other/webhooks/orders/test", key: r.keys["other"]}, nil)
		})
	}
	all.Wait()
	require.Len(t, hook.got(), 4)
	require.EqualValues(t, 1, most.Load())
}
