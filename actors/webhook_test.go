package actors

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/stretchr/testify/require"
)

func TestWebhook_SendsEventsInTheirOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newWebhookRig(t)
		r.createApp(push.DefaultApp)
		r.happen(3)
		before := len(r.feed(push.DefaultApp))
		r.put("a")
		require.Equal(t, WebhookState{State: "idle"}, r.state("a"), "a new one begins with what happens now")
		r.happen(250)
		want := r.feed(push.DefaultApp)[before:]
		require.Len(t, want, 250)
		require.Equal(t, want, r.receiver.took(r.url("a")))
		for _, c := range r.receiver.made(r.url("a")) {
			require.LessOrEqual(t, len(c.events), parcelMax)
		}
		require.Equal(t, 1, r.receiver.most[r.url("a")])
		require.Equal(t, want[249], r.row("a").After)
		require.True(t, r.row("a").UpTo.IsZero())
	})
}

func TestWebhook_GathersWhatHappensWhileItIsBusy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newWebhookRig(t)
		r.createApp(push.DefaultApp)
		r.put("a")
		hold := make(chan struct{})
		r.receiver.script(r.url("a"), reply{hold: hold, result: CallResult{Taken: true}})
		r.happen(1)
		r.happen(250)
		require.Equal(t, "sending", r.state("a").State)
		close(hold)
		r.settle()
		var sizes []int
		for _, c := range r.receiver.made(r.url("a")) {
			sizes = append(sizes, len(c.events))
		}
		require.Equal(t, []int{1, 100, 100, 50}, sizes)
		require.Equal(t, r.feed(push.DefaultApp), r.receiver.took(r.url("a")))
	})
}

func TestWebhook_TriesAgainWithTheSameID(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newWebhookRig(t)
		r.createApp(push.DefaultApp)
		r.put("a")
		r.receiver.script(r.url("a"), refusing, refusing, refusing)
		r.happen(1)
		state := r.state("a")
		require.Equal(t, "retrying", state.State)
		require.Equal(t, "Internal Server Error", state.Reason)
		require.Equal(t, 1, state.Attempts)
		require.NotZero(t, state.NextAttempt)
		require.WithinDuration(t, time.Now(), state.BehindSince, time.Second)
		r.happen(5) // these wait behind it
		node := r.inspect("/webhooks").Children[0]
		require.Equal(t, "/webhooks/default:a", node.Path)
		require.Equal(t, "webhook", node.Kind)
		require.Equal(t, "retrying", node.State)
		require.Equal(t, "Internal Server Error", node.Reason)
		require.Equal(t, state.NextAttempt, node.NextAttempt)
		require.Zero(t, node.Queue)

		time.Sleep(time.Minute)
		calls := r.receiver.made(r.url("a"))
		require.Len(t, calls, 5)
		for i, c := range calls[:4] {
			require.Equal(t, calls[0].id, c.id)
			require.Equal(t, calls[0].events, c.events)
			if i > 0 {
				require.LessOrEqual(t, c.at.Sub(calls[i-1].at), callBase<<(i-1)+time.Millisecond)
			}
		}
		require.NotEqual(t, calls[0].id, calls[4].id)
		require.Len(t, calls[4].events, 5)
		require.Equal(t, WebhookState{State: "idle"}, r.state("a"))
		failed := eventsOf[WebhookFailed](r.rig)
		require.Len(t, failed, 3)
		require.Equal(t, 3, failed[2].Attempts)
	})
}

func TestWebhook_WaitsNoLongerThanAnHour(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newWebhookRig(t)
		r.createApp(push.DefaultApp)
		r.put("a")
		r.receiver.script(r.url("a"), slices.Repeat([]reply{refusing}, 14)...)
		r.happen(1)
		time.Sleep(6 * time.Hour)
		calls := r.receiver.made(r.url("a"))
		require.Len(t, calls, 15)
		longest := time.Duration(0)
		for i := range calls[1:] {
			longest = max(longest, calls[i+1].at.Sub(calls[i].at))
		}
		require.LessOrEqual(t, longest, callCap+time.Millisecond)
		require.Greater(t, longest, callCap/60)
		require.Equal(t, r.feed(push.DefaultApp), r.receiver.took(r.url("a")))
	})
}

func TestWebhook_HeedsRetryAfterWithinBounds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newWebhookRig(t)
		r.createApp(push.DefaultApp)
		r.put("a")
		var replies []reply
		asked := []time.Duration{90 * time.Second, time.Millisecond, 5 * time.Hour}
		for _, wait := range asked {
			replies = append(replies, reply{result: CallResult{Status: 503, Reason: "later", RetryAfter: wait}})
		}
		r.receiver.script(r.url("a"), replies...)
		r.happen(1)
		time.Sleep(2 * time.Hour)
		calls := r.receiver.made(r.url("a"))
		require.Len(t, calls, 4)
		for i, want := range []time.Duration{90 * time.Second, time.Second, time.Hour} {
			require.Equal(t, want, calls[i+1].at.Sub(calls[i].at))
		}
	})
}

func TestWebhook_EndsWhenTheReceiverIsGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newWebhookRig(t)
		r.createApp(push.DefaultApp)
		first := r.put("a")
		r.receiver.script(r.url("a"), gone)
		r.happen(1)
		require.Equal(t, WebhookState{State: "ended", Reason: "Gone"}, r.state("a"))
		require.Equal(t, "Gone", r.row("a").Ended)
		r.happen(3)
		r.restart(false)
		r.settle()
		r.happen(1)
		time.Sleep(2 * time.Hour)
		require.Len(t, r.receiver.made(r.url("a")), 1)
		require.Equal(t, "ended", r.state("a").State)
		failed := eventsOf[WebhookFailed](r.rig)
		require.Len(t, failed, 1)
		require.Zero(t, failed[0].Next)

		time.Sleep(time.Second)
		r.put("a", func(w *store.Webhook) { w.Secret = first.Secret })
		require.Equal(t, r.feed(push.DefaultApp), r.receiver.took(r.url("a")), "given again, it goes on where it was")
	})
}

func TestWebhook_GetsItsTypesAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newWebhookRig(t)
		r.createApp(push.DefaultApp)
		r.put("a", func(w *store.Webhook) { w.Types = []push.EventType{push.EventDelivered, push.EventSubscriptionAdded} })
		r.happen(20)
		r.subscribe("ann", "laptop")
		r.notify("ann")
		r.happen(20)
		r.notify("ann")
		time.Sleep(time.Second)
		want := r.feed(push.DefaultApp, push.EventDelivered, push.EventSubscriptionAdded)
		require.Len(t, want, 3)
		require.Equal(t, want, r.receiver.took(r.url("a")))
		r.happen(1)
		time.Sleep(2 * skipNoted)
		r.happen(1)
		time.Sleep(time.Second)
		require.Equal(t, r.LatestEvent(), r.row("a").After, "it is noted what was passed over")
		require.Len(t, r.receiver.took(r.url("a")), 3)
	})
}

func TestWebhook_OneThatHangsHoldsUpNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newWebhookRig(t)
		r.createApp(push.DefaultApp)
		r.createApp("other")
		r.put("hangs")
		r.put("works")
		r.put("others", func(w *store.Webhook) { w.App = "other" })
		hold := make(chan struct{})
		defer close(hold)
		r.receiver.script(r.url("hangs"), reply{hold: hold})
		r.subscribe("ann", "laptop")
		var ids []push.ID
		for range 300 {
			ids = append(ids, r.notify("ann")...)
		}
		_, err := r.Notify([]Draft{{User: push.User{App: "other", ID: "bob"}, Content: []byte(`{}`), TTL: time.Hour}})
		require.NoError(t, err)
		r.settle()
		require.Equal(t, ids, r.service.got("laptop"))
		for _, id := range ids {
			require.False(t, r.fate(id).Pending)
		}
		require.Equal(t, r.feed(push.DefaultApp), r.receiver.took(r.url("works")))
		require.Equal(t, r.feed("other"), r.receiver.took(r.url("others")))
		require.Empty(t, r.receiver.made(r.url("hangs")))
		require.Equal(t, "sending", r.state("hangs").State)
		began := time.Now()
		r.stop()
		require.LessOrEqual(t, time.Since(began), haltTimeout+time.Second, "nor a drain, for long")
	})
}

func TestWebhook_GivesUpWhatIsOlderThanItIsKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newWebhookRig(t, func(c *Config) { c.EventRetention = 3 * time.Hour })
		r.createApp(push.DefaultApp)
		r.put("a")
		r.receiver.script(r.url("a"), slices.Repeat([]reply{refusing}, 1000)...)
		r.happen(1) // by itself: it is the first that is tried
		r.happen(2)
		time.Sleep(150 * time.Minute)
		r.happen(2)
		kept := r.feed(push.DefaultApp)[3:]
		time.Sleep(91 * time.Minute) // the longest wait, and half an hour
		gaveUp := eventsOf[WebhookGaveUp](r.rig)
		require.NotEmpty(t, gaveUp)
		require.Equal(t, 1, gaveUp[0].Events, "what was tried; the others are likely to be removed from the feed by then")
		r.receiver.script(r.url("a"))
		time.Sleep(time.Hour)
		require.Equal(t, kept, r.receiver.took(r.url("a")))
	})
}

func TestWebhooks_AreReadAgainWhenTheStoreFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var flaky *flakyWebhooks
		r := newWebhookRig(t, func(c *Config) {
			flaky = &flakyWebhooks{Store: c.Store}
			c.Store = flaky
		})
		r.createApp(push.DefaultApp)
		flaky.failing.Store(true)
		r.put("a")
		r.happen(1)
		require.Empty(t, r.inspect("/webhooks").Children)
		flaky.failing.Store(false)
		time.Sleep(2 * resumeLimit)
		require.Equal(t, r.feed(push.DefaultApp), r.receiver.took(r.url("a")))
	})
}

// flakyWebhooks lists no webhooks as long as it is told so.
type flakyWebhooks struct {
	store.Store
	failing atomic.Bool
}

func (s *flakyWebhooks) ListWebhooks(ctx context.Context, app string) ([]store.Webhook, error) {
	if s.failing.Load() {
		return nil, errNoStore
	}
	return s.Store.ListWebhooks(ctx, app)
}

func TestWebhook_CostsNothingWhileNothingHappens(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var counted *countedReads
		r := newWebhookRig(t, func(c *Config) {
			counted = &countedReads{Store: c.Store}
			c.Store = counted
		})
		r.createApp(push.DefaultApp)
		r.createApp("other")
		r.put("a")
		r.put("b", func(w *store.Webhook) { w.Types = []push.EventType{push.EventShown} })
		r.happen(1)
		time.Sleep(time.Second)
		before := counted.reads.Load()
		time.Sleep(2 * time.Hour)
		_, err := r.Notify([]Draft{{User: push.User{App: "other", ID: "bob"}, Content: []byte(`{}`), TTL: time.Hour}})
		require.NoError(t, err)
		r.settle()
		require.Equal(t, before, counted.reads.Load())
		for range 100 {
			r.happen(1)
			time.Sleep(10 * time.Millisecond)
		}
		filtered := counted.reads.Load() - before
		require.Less(t, filtered, int64(100+100+10), "two reads for each event that is sent, and few for what passes by")
	})
}

// countedReads counts reads of feeds.
type countedReads struct {
	store.Store
	reads atomic.Int64
}

func (s *countedReads) ListEvents(ctx context.Context, app string, after, upTo push.ID, limit int) ([]push.Event, error) {
	s.reads.Add(1)
	return s.Store.ListEvents(ctx, app, after, upTo, limit)
}

func TestWebhooks_OfManyAppsAreCalledABoundedNumberAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newWebhookRig(t)
		hold := make(chan struct{})
		const apps, each = 2*webhookApps + 1, 2
		var drafts []Draft
		for i := range apps {
			app := fmt.Sprint("app-", i)
			r.createApp(app)
			for j := range each {
				url := r.url(fmt.Sprint(app, "-", j))
				r.receiver.script(url, reply{hold: hold, result: CallResult{Taken: true}})
				_, err := r.store.PutWebhook(t.Context(), store.Webhook{App: app, Name: fmt.Sprint("hook-", j), URL: url, Secret: make([]byte, 32), CreatedAt: time.Now()})
				require.NoError(t, err)
			}
			drafts = append(drafts, Draft{User: push.User{App: app, ID: "nobody"}, Content: []byte(`{}`), TTL: time.Hour})
		}
		r.restart(false) // and all are read anew
		_, err := r.Notify(drafts)
		require.NoError(t, err)
		r.settle()
		require.Equal(t, apps*each, r.inspect("/webhooks").Node.Children)
		close(hold)
		r.settle()
		for i := range apps {
			for j := range each {
				require.Len(t, r.receiver.took(r.url(fmt.Sprint("app-", i, "-", j))), 1)
			}
		}
		require.Equal(t, callsMax, r.receiver.peak)
	})
}

// Deliveries need the store, too.
func TestWebhooks_ReadABoundedNumberAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var slow *slowReads
		r := newWebhookRig(t, func(c *Config) {
			slow = &slowReads{Store: c.Store}
			c.Store = slow
		})
		r.createApp(push.DefaultApp)
		for i := range 20 {
			r.put(fmt.Sprint("w-", i))
		}
		r.happen(1)
		time.Sleep(time.Second)
		for i := range 20 {
			require.Len(t, r.receiver.took(r.url(fmt.Sprint("w-", i))), 1)
		}
		require.EqualValues(t, readsMax, slow.most.Load())
	})
}

// slowReads takes a while to list events, and knows for how many at once.
type slowReads struct {
	store.Store
	now, most atomic.Int64
}

func (s *slowReads) ListEvents(ctx context.Context, app string, after, upTo push.ID, limit int) ([]push.Event, error) {
	s.most.Store(max(s.most.Load(), s.now.Add(1)))
	defer s.now.Add(-1)
	time.Sleep(time.Millisecond)
	return s.Store.ListEvents(ctx, app, after, upTo, limit)
}

func TestWebhooks_WithoutACallerAreNotCalled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.WebhooksChanged(push.DefaultApp)
		states, err := r.WebhookStates(push.DefaultApp)
		require.NoError(t, err)
		require.Empty(t, states)
		require.Empty(t, r.inspect("/webhooks").Children)
	})
}

func TestParcelID_IsOfWhatIsInIt(t *testing.T) {
	upTo := push.ID{15: 1}
	base := store.Webhook{App: "a", Name: "n", Types: []push.EventType{1, 2}}
	id := parcelID(base, upTo)
	same := base
	same.URL, same.Secret, same.CreatedAt, same.After = "https://elsewhere.example", []byte("x"), time.Now(), push.ID{1}
	require.Equal(t, id, parcelID(same, upTo))
	require.Equal(t, byte(8), id[6]>>4)
	for what, other := range map[string]store.Webhook{
		"app": {App: "b", Name: "n", Types: base.Types}, "name": {App: "a", Name: "m", Types: base.Types},
		"boundary": {App: "an", Name: "", Types: base.Types}, "types": {App: "a", Name: "n"}, "more types": {App: "a", Name: "n", Types: []push.EventType{1, 2, 3}},
	} {
		require.NotEqual(t, id, parcelID(other, upTo), what)
	}
	require.NotEqual(t, id, parcelID(base, push.ID{15: 2}))
}
