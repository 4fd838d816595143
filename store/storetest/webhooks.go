package storetest

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

var webhookFacts = []fact{
	{"IsListedAsItWasPut", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		odd := samples.Webhook("shop", "b")
		odd.URL = `https://[2001:db8::1]:8443/a%20path?q='"\\&ü=é#x`
		odd.Secret = append([]byte{0, 0xff, '\\', '\''}, odd.Secret[4:]...)
		odd.Types, odd.Private, odd.Ended, odd.UpTo = push.EventTypes(), true, "it answered 410", IDAt(samples.Now())
		first := samples.Webhook("shop", "a")
		first.After = push.ID{}
		for _, w := range []store.Webhook{odd, first} {
			require.True(t, putWebhook(t, s, w))
		}
		require.Equal(t, []store.Webhook{first, odd}, listWebhooks(t, s, "shop"))
	}},
	{"IsReplacedByTheNextOfItsNameButForHowFarItIs", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		createApp(t, s, samples, "other")
		first, kept, elsewhere := samples.Webhook("shop", "a"), samples.Webhook("shop", "b"), samples.Webhook("other", "a")
		for _, w := range []store.Webhook{first, kept, elsewhere} {
			require.True(t, putWebhook(t, s, w))
		}
		progress := progressOf(first, samples)
		progress.Ended = "it answered 410"
		commit(t, s, store.Group{Webhooks: []store.WebhookProgress{progress}})

		next := samples.Webhook("shop", "a")
		next.Types, next.Private = nil, true
		require.False(t, putWebhook(t, s, next))
		next.After, next.UpTo = progress.After, progress.UpTo
		require.Equal(t, []store.Webhook{next, kept}, listWebhooks(t, s, "shop"), "and it is called once more")
		require.Equal(t, []store.Webhook{elsewhere}, listWebhooks(t, s, "other"))
	}},
	{"OfAllTypesHasNil", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		w := samples.Webhook("shop", "a")
		w.Types = []push.EventType{}
		putWebhook(t, s, w)
		require.Nil(t, listWebhooks(t, s, "shop")[0].Types)
	}},
	{"OfAnUnknownAppIsRefused", func(t *testing.T, s store.Store) {
		_, err := s.PutWebhook(t.Context(), NewSamples().Webhook("shop", "a"))
		require.ErrorIs(t, err, store.ErrNotFound)
		require.Nil(t, listWebhooks(t, s, "shop"))
	}},
	{"AreListedByTheBytesOfTheirNames", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		want := []store.Webhook{samples.Webhook("shop", "a-z"), samples.Webhook("shop", "a0"), samples.Webhook("shop", "aa")}
		for _, i := range []int{1, 2, 0} {
			putWebhook(t, s, want[i])
		}
		require.Equal(t, want, listWebhooks(t, s, "shop"))
	}},
	{"HasItsTimeToTheMillisecondInUTC", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		w := samples.Webhook("shop", "a")
		w.CreatedAt = time.Date(2026, 7, 1, 12, 0, 0, 123_999_999, time.FixedZone("elsewhere", 5*3600))
		putWebhook(t, s, w)
		require.Equal(t, time.Date(2026, 7, 1, 7, 0, 0, 123_000_000, time.UTC), listWebhooks(t, s, "shop")[0].CreatedAt)

		progress := progressOf(w, samples)
		commit(t, s, store.Group{Webhooks: []store.WebhookProgress{progress}})
		require.Equal(t, progress.After, listWebhooks(t, s, "shop")[0].After, "and is found by it")
	}},
	{"ProgressesAsItIsTold", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		createApp(t, s, samples, "other")
		a, b, elsewhere := samples.Webhook("shop", "a"), samples.Webhook("shop", "b"), samples.Webhook("other", "a")
		for _, w := range []store.Webhook{a, b, elsewhere} {
			putWebhook(t, s, w)
		}
		before, last, ofB := progressOf(a, samples), progressOf(a, samples), progressOf(b, samples)
		before.Ended = "not the last word"
		ofB.Ended, last.UpTo = "it answered 410", push.ID{}
		commit(t, s, store.Group{Webhooks: []store.WebhookProgress{before, ofB, last}})
		a.After, a.UpTo, b.After, b.UpTo, b.Ended = last.After, last.UpTo, ofB.After, ofB.UpTo, ofB.Ended
		require.Equal(t, []store.Webhook{a, b}, listWebhooks(t, s, "shop"), "of several for one the last counts")
		require.Equal(t, []store.Webhook{elsewhere}, listWebhooks(t, s, "other"))
	}},
	{"ThatIsGoneOrWasMadeAnewDoesNotProgress", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		gone, old, kept := samples.Webhook("shop", "a"), samples.Webhook("shop", "b"), samples.Webhook("shop", "c")
		for _, w := range []store.Webhook{gone, old, kept} {
			putWebhook(t, s, w)
		}
		require.NoError(t, s.DeleteWebhook(t.Context(), "shop", "a"))
		anew := samples.Webhook("shop", "b")
		putWebhook(t, s, anew)
		anew.After = old.After
		progress := progressOf(kept, samples)
		commit(t, s, store.Group{Webhooks: []store.WebhookProgress{
			progressOf(gone, samples), progressOf(old, samples), progress, progressOf(samples.Webhook("nowhere", "a"), samples),
		}})
		kept.After, kept.UpTo = progress.After, progress.UpTo
		require.Equal(t, []store.Webhook{anew, kept}, listWebhooks(t, s, "shop"))
	}},
	{"DeletedIsGone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		createApp(t, s, samples, "other")
		gone, kept := samples.Webhook("shop", "a"), samples.Webhook("shop", "b")
		putWebhook(t, s, gone)
		putWebhook(t, s, kept)
		require.ErrorIs(t, s.DeleteWebhook(t.Context(), "other", "a"), store.ErrNotFound)
		require.NoError(t, s.DeleteWebhook(t.Context(), "shop", "a"))
		require.Equal(t, []store.Webhook{kept}, listWebhooks(t, s, "shop"))
		require.ErrorIs(t, s.DeleteWebhook(t.Context(), "shop", "a"), store.ErrNotFound)

		gone.After = IDAt(samples.Now())
		require.True(t, putWebhook(t, s, gone), "it is new once more")
		require.Equal(t, []store.Webhook{gone, kept}, listWebhooks(t, s, "shop"))
	}},
	{"PutByManyAtOnceIsCreatedOnce", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		var created atomic.Int32
		var race errgroup.Group
		for range 8 {
			race.Go(func() error {
				isNew, err := s.PutWebhook(t.Context(), samples.Webhook("shop", "a"))
				if isNew {
					created.Add(1)
				}
				return err
			})
		}
		require.NoError(t, race.Wait())
		require.EqualValues(t, 1, created.Load())
		require.Len(t, listWebhooks(t, s, "shop"), 1)
	}},
	{"ManyProgressWithoutBlockingEachOther", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		var progress []store.WebhookProgress
		for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			w := samples.Webhook("shop", name)
			putWebhook(t, s, w)
			progress = append(progress, progressOf(w, samples))
		}
		var both errgroup.Group
		for _, some := range [][]store.WebhookProgress{progress, reversed(progress)} {
			both.Go(func() error {
				for range 20 {
					if err := s.Commit(t.Context(), store.Group{Webhooks: some}); err != nil {
						return err
					}
				}
				return nil
			})
		}
		require.NoError(t, both.Wait())
		for i, w := range listWebhooks(t, s, "shop") {
			require.Equal(t, progress[i].After, w.After)
		}
	}},
}

// progressOf says that a webhook has got as far as now, and sends what comes next.
func progressOf(w store.Webhook, samples *Samples) store.WebhookProgress {
	return store.WebhookProgress{App: w.App, Name: w.Name, CreatedAt: w.CreatedAt, After: IDAt(samples.Now()), UpTo: IDAt(samples.Now())}
}

func putWebhook(t *testing.T, s store.Store, w store.Webhook) (created bool) {
	t.Helper()
	created, err := s.PutWebhook(t.Context(), w)
	require.NoError(t, err)
	return created
}

func listWebhooks(t *testing.T, s store.Store, app string) []store.Webhook {
	t.Helper()
	got, err := s.ListWebhooks(t.Context(), app)
	require.NoError(t, err)
	return got
}
