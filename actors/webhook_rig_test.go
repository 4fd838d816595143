package actors

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/stretchr/testify/require"
)

// receiver is a Caller that does as told: each URL's script is read from front to
// back, and when it is at its end everything is taken.
type receiver struct {
	mu      sync.Mutex
	scripts map[string][]reply
	calls   map[string][]call
	flying  map[string]int
	most    map[string]int // calls at the same time, at most
	all     int            // calls under way
	peak    int            // likewise, at most
}

// reply is one step of a script.
type reply struct {
	result CallResult
	hold   chan struct{} // answers when it is closed, or the call is cut off
	panics bool
}

// call is what a receiver got.
type call struct {
	at      time.Time
	webhook store.Webhook
	id      push.ID
	events  []push.Event
	result  CallResult
}

func newReceiver() *receiver {
	return &receiver{scripts: map[string][]reply{}, calls: map[string][]call{}, flying: map[string]int{}, most: map[string]int{}}
}

var (
	refusing = reply{result: CallResult{Status: 500, Reason: "Internal Server Error"}}
	gone     = reply{result: CallResult{Status: 410, Reason: "Gone", Ended: true}}
)

func (r *receiver) script(url string, replies ...reply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scripts[url] = replies
}

func (r *receiver) Call(ctx context.Context, webhook store.Webhook, id push.ID, events []push.Event) CallResult {
	r.mu.Lock()
	r.flying[webhook.URL]++
	r.most[webhook.URL] = max(r.most[webhook.URL], r.flying[webhook.URL])
	r.all++
	r.peak = max(r.peak, r.all)
	step := reply{result: CallResult{Taken: true, Status: 200}}
	if script := r.scripts[webhook.URL]; len(script) > 0 {
		step, r.scripts[webhook.URL] = script[0], script[1:]
	}
	at := time.Now()
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.flying[webhook.URL]--
		r.all--
	}()
	if step.hold != nil {
		select {
		case <-step.hold:
		case <-ctx.Done():
			step.result = CallResult{Reason: "cut off"}
		}
	}
	r.mu.Lock()
	r.calls[webhook.URL] = append(r.calls[webhook.URL], call{at, webhook, id, slices.Clone(events), step.result})
	r.mu.Unlock()
	if step.panics {
		panic("the caller has a bug")
	}
	return step.result
}

// made are the calls of a URL, in order.
func (r *receiver) made(url string) []call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls[url])
}

// took are the IDs of the events that a URL answered for, in order.
func (r *receiver) took(url string) (ids []push.ID) {
	for _, c := range r.made(url) {
		if c.result.Taken {
			for _, e := range c.events {
				ids = append(ids, e.ID)
			}
		}
	}
	return ids
}

// webhookRig is a rig whose webhooks are called.
type webhookRig struct {
	*rig
	receiver *receiver
}

func newWebhookRig(t *testing.T, change ...func(*Config)) *webhookRig {
	t.Helper()
	r := &webhookRig{receiver: newReceiver()}
	r.rig = newRig(t, r.withReceiver(change)...)
	return r
}

func (r *webhookRig) withReceiver(change []func(*Config)) []func(*Config) {
	return append([]func(*Config){func(c *Config) { c.Webhooks = r.receiver }}, change...)
}

// restart stops the process, gently or by a power cut, and starts it again.
func (r *webhookRig) restart(cut bool) {
	r.t.Helper()
	if cut {
		require.NoError(r.t, r.Abandon())
		r.System = nil
	} else {
		r.stop()
	}
	r.start(r.withReceiver(nil)...)
}

// put gives the app a webhook.
func (r *webhookRig) put(name string, change ...func(*store.Webhook)) store.Webhook {
	r.t.Helper()
	w := store.Webhook{
		App: push.DefaultApp, Name: name, URL: "https://hooks.example/" + name, Secret: make([]byte, 32),
		CreatedAt: time.Now().Truncate(time.Millisecond).UTC(), After: r.LatestEvent(),
	}
	for _, c := range change {
		c(&w)
	}
	_, err := r.store.PutWebhook(r.t.Context(), w)
	require.NoError(r.t, err)
	r.WebhooksChanged(w.App)
	r.settle()
	return w
}

func (r *webhookRig) url(name string) string { return "https://hooks.example/" + name }

// createApp adds what a webhook's row refers to.
func (r *webhookRig) createApp(name string) {
	r.t.Helper()
	require.NoError(r.t, r.store.CreateApp(r.t.Context(), store.App{Name: name, TokenSecret: make([]byte, 32), CreatedAt: time.Now()}))
}

// events are what the feed has, in order.
func (r *webhookRig) feed(app string, types ...push.EventType) (ids []push.ID) {
	r.t.Helper()
	var after push.ID
	for {
		events, next, err := r.Events(r.t.Context(), app, after, types, 1000)
		require.NoError(r.t, err)
		for _, e := range events {
			ids = append(ids, e.ID)
		}
		if next == after {
			return ids
		}
		after = next
	}
}

// happen makes n events of the default app: deliveries to users without subscriptions.
func (r *webhookRig) happen(n int) {
	r.t.Helper()
	for i := range n {
		r.notify(fmt.Sprint("nobody-", i))
	}
	r.settle()
}

func (r *webhookRig) state(name string) WebhookState {
	r.t.Helper()
	states, err := r.WebhookStates(push.DefaultApp)
	require.NoError(r.t, err)
	require.Contains(r.t, states, name)
	return states[name]
}

func (r *webhookRig) row(name string) store.Webhook {
	r.t.Helper()
	rows, err := r.store.ListWebhooks(r.t.Context(), push.DefaultApp)
	require.NoError(r.t, err)
	i := slices.IndexFunc(rows, func(w store.Webhook) bool { return w.Name == name })
	require.GreaterOrEqual(r.t, i, 0)
	return rows[i]
}
