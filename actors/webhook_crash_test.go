package actors

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/stretchr/testify/require"
)

// Whatever happens in between, a receiver gets every event, in order; what comes
// twice has the ID that it had.
func TestWebhook_LosesNothingByARestart(t *testing.T) {
	for what, cut := range map[string]bool{"drain": false, "power cut": true} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newWebhookRig(t)
				r.createApp(push.DefaultApp)
				r.put("a")
				r.receiver.script(r.url("a"),
					reply{result: CallResult{Taken: true}},
					refusing, // in truth it was taken, and the answer got lost
				)
				r.happen(1)
				r.happen(2)
				r.happen(4) // these are not part of what was tried
				first := r.receiver.made(r.url("a"))
				require.Len(t, first, 2)
				r.restart(cut)
				r.settle()
				r.happen(3)
				time.Sleep(time.Minute)
				calls := r.receiver.made(r.url("a"))
				require.Equal(t, first[1].id, calls[2].id)
				require.Equal(t, first[1].events, calls[2].events)
				require.Equal(t, r.feed(push.DefaultApp), r.receiver.took(r.url("a")))
				ids := map[push.ID]string{}
				for _, c := range calls {
					content := fmt.Sprint(c.events)
					if before, ok := ids[c.id]; ok {
						require.Equal(t, before, content)
					}
					ids[c.id] = content
				}
			})
		})
	}
}

// A process that ends in the middle of a call, and before what came of it is
// durable.
func TestWebhook_TellsWhatItMayHaveSentByItsID(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newWebhookRig(t)
		r.createApp(push.DefaultApp)
		r.put("a")
		hold := make(chan struct{})
		r.receiver.script(r.url("a"), reply{hold: hold})
		r.happen(1)
		row := r.row("a")
		require.Equal(t, r.feed(push.DefaultApp)[0], row.UpTo, "noted before it is sent")
		require.Equal(t, "sending", r.state("a").State)
		r.happen(5)
		r.restart(true)
		r.settle()
		close(hold)
		calls := r.receiver.made(r.url("a"))
		require.Len(t, calls, 3)
		require.False(t, calls[0].result.Taken)
		require.Equal(t, calls[0].id, calls[1].id)
		require.Equal(t, calls[0].events, calls[1].events)
		require.Len(t, calls[2].events, 5)
	})
}

func TestWebhook_APanicInACallIsContained(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newWebhookRig(t)
		r.bugs = true
		r.createApp(push.DefaultApp)
		r.put("a")
		r.put("b")
		r.receiver.script(r.url("a"), reply{panics: true}, reply{panics: true})
		r.happen(3)
		require.Equal(t, "retrying", r.state("a").State)
		time.Sleep(10 * time.Second)
		want := r.feed(push.DefaultApp)
		require.Equal(t, want, r.receiver.took(r.url("a")))
		require.Equal(t, want, r.receiver.took(r.url("b")))
		calls := r.receiver.made(r.url("a"))
		require.Equal(t, calls[0].id, calls[1].id)
		require.Equal(t, calls[0].events, calls[2].events)
		failed := eventsOf[ActorFailed](r.rig)
		require.Len(t, failed, 2)
		require.Equal(t, "/webhooks/default:a", failed[0].Path)
		require.Contains(t, failed[0].Reason, "the caller has a bug")
		require.Contains(t, failed[0].Stack, "Call")
		nodes := r.inspect("/webhooks").Children
		require.Equal(t, []int{2, 0}, []int{nodes[0].Restarts, nodes[1].Restarts})
		require.Equal(t, 0, r.inspect("/").Children[4].Restarts)
	})
}

func TestWebhook_GoesOnAfterTheJournalFailed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var flaky *flakyStore
		r := newWebhookRig(t, func(c *Config) {
			flaky = &flakyStore{Store: c.Store}
			c.Store = flaky
		})
		r.createApp(push.DefaultApp)
		r.put("a")
		r.happen(2)
		r.failOnce(func(e Event) bool { _, ok := e.(StoreFailed); return ok })
		flaky.failing.Store(true)
		_, err := r.Notify([]Draft{{User: userNamed("ann"), Content: []byte(`{}`), TTL: time.Hour}})
		require.ErrorIs(t, err, ErrUnavailable)
		flaky.failing.Store(false)
		time.Sleep(10 * time.Second)
		r.happen(2)
		time.Sleep(10 * time.Second)
		require.Equal(t, r.feed(push.DefaultApp), r.receiver.took(r.url("a")))
	})
}

func TestWebhook_NothingIsSentThatIsNotNoted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var held *heldNotes
		r := newWebhookRig(t, func(c *Config) {
			held = &heldNotes{Store: c.Store}
			c.Store = held
		})
		r.createApp(push.DefaultApp)
		r.put("a")
		held.failing.Store(true)
		r.happen(1)
		time.Sleep(10 * time.Second)
		require.Empty(t, r.receiver.made(r.url("a")))
		held.failing.Store(false)
		time.Sleep(10 * time.Second)
		require.Equal(t, r.feed(push.DefaultApp), r.receiver.took(r.url("a")))
	})
}

// heldNotes takes no progress of webhooks as long as it is told so.
type heldNotes struct {
	store.Store
	failing atomic.Bool
}

func (s *heldNotes) Commit(ctx context.Context, group store.Group) error {
	if len(group.Webhooks) > 0 && s.failing.Load() {
		return errNoStore
	}
	return s.Store.Commit(ctx, group)
}

func TestWebhook_ThatIsReplacedGoesOnWhereItWas(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newWebhookRig(t)
		r.createApp(push.DefaultApp)
		r.put("a")
		hold := make(chan struct{})
		defer close(hold)
		r.receiver.script(r.url("a"), reply{result: CallResult{Taken: true}}, reply{hold: hold})
		r.happen(1)
		r.happen(1)
		time.Sleep(time.Second)
		r.happen(3)
		secret := []byte(strings.Repeat("s", 32))
		r.put("a", func(w *store.Webhook) { w.URL, w.Secret = r.url("new"), secret })
		require.Equal(t, r.feed(push.DefaultApp)[1:], r.receiver.took(r.url("new")))
		cut, sent := r.receiver.made(r.url("a"))[1], r.receiver.made(r.url("new"))
		require.Equal(t, "cut off", cut.result.Reason)
		require.Equal(t, cut.id, sent[0].id, "the same events have the same ID")
		require.Equal(t, cut.events, sent[0].events)
		require.Equal(t, secret, sent[0].webhook.Secret)
		require.Empty(t, eventsOf[WebhookFailed](r.rig))
	})
}

func TestWebhook_OfOtherTypesHasOtherIDs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newWebhookRig(t)
		r.createApp(push.DefaultApp)
		r.put("a", func(w *store.Webhook) { w.Types = []push.EventType{push.EventNoSubscription} })
		r.receiver.script(r.url("a"), slices.Repeat([]reply{refusing}, 9)...)
		r.subscribe("ann", "laptop")
		r.happen(1)
		time.Sleep(time.Second)
		r.receiver.script(r.url("a"))
		r.put("a")
		calls := r.receiver.made(r.url("a"))
		last := calls[len(calls)-1]
		require.Len(t, calls[0].events, 1)
		require.Len(t, last.events, 2, "the registration is among them now")
		require.NotEqual(t, calls[0].id, last.id)
	})
}

func TestWebhook_ThatIsRemovedIsCalledNoMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newWebhookRig(t)
		r.createApp(push.DefaultApp)
		r.put("a")
		r.put("b")
		r.receiver.script(r.url("a"), refusing)
		r.happen(1)
		require.NoError(t, r.store.DeleteWebhook(t.Context(), push.DefaultApp, "a"))
		r.WebhooksChanged(push.DefaultApp)
		r.settle()
		states, err := r.WebhookStates(push.DefaultApp)
		require.NoError(t, err)
		require.Equal(t, map[string]WebhookState{"b": {State: "idle"}}, states)
		r.happen(2)
		time.Sleep(time.Hour)
		require.Len(t, r.receiver.made(r.url("a")), 1)
		require.Len(t, r.receiver.took(r.url("b")), 3)

		r.put("a")
		r.happen(1)
		require.Len(t, r.receiver.took(r.url("a")), 1, "a new one of the name begins anew")
	})
}

// Deliveries go on, however often what sends events fails.
func TestWebhooks_ThatKeepFailingStopNothingElse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newWebhookRig(t)
		r.bugs = true
		r.createApp(push.DefaultApp)
		r.put("a")
		r.subscribe("ann", "laptop")
		for range 3 * failuresMax {
			r.send(r.webhooks, (*newEvents)(nil)) // a bug, and it starts anew
			time.Sleep(restartCap)
		}
		require.NoError(t, r.Err())
		ids := r.notify("ann")
		time.Sleep(time.Minute)
		require.Equal(t, ids, r.service.got("laptop"))
		require.Equal(t, r.feed(push.DefaultApp), r.receiver.took(r.url("a")))
	})
}
