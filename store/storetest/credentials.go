package storetest

import (
	"bytes"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

var credentialFacts = []fact{
	{"IsListedAsItWasPut", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		odd := samples.Credential("shop", "b")
		odd.Settings = []byte(`{ "team_id" : "spaces  and\tescapes \u00e9 é", "team_id":"twice" }`)
		odd.Secret = append([]byte{0, 0xff, 0xfe, '\\', '\''}, bytes.Repeat([]byte("long "), 20_000)...)
		first := samples.Credential("shop", "a")
		for _, c := range []store.Credential{odd, first} {
			require.True(t, putCredential(t, s, c))
		}
		require.Equal(t, []store.Credential{first, odd}, listCredentials(t, s, "shop"))
	}},
	{"IsReplacedByTheNextOfItsNameAlone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		createApp(t, s, samples, "other")
		first, kept, elsewhere := samples.Credential("shop", "a"), samples.Credential("shop", "b"), samples.Credential("other", "a")
		for _, c := range []store.Credential{first, kept, elsewhere} {
			require.True(t, putCredential(t, s, c))
		}
		next := samples.Credential("shop", "a")
		next.Kind = push.FCM
		require.False(t, putCredential(t, s, next))
		require.Equal(t, []store.Credential{next, kept}, listCredentials(t, s, "shop"))
		require.Equal(t, []store.Credential{elsewhere}, listCredentials(t, s, "other"))
	}},
	{"OfAnUnknownAppIsRefused", func(t *testing.T, s store.Store) {
		_, err := s.PutCredential(t.Context(), NewSamples().Credential("shop", "a"))
		require.ErrorIs(t, err, store.ErrNotFound)
		require.Nil(t, listCredentials(t, s, "shop"))
	}},
	{"WithoutSettingsHasNil", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		for _, none := range [][]byte{nil, {}} {
			c := samples.Credential("shop", "a")
			c.Settings = none
			putCredential(t, s, c)
			c.Settings = nil
			require.Equal(t, []store.Credential{c}, listCredentials(t, s, "shop"))
		}
	}},
	{"AreListedByTheBytesOfTheirNames", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		want := []store.Credential{
			samples.Credential("shop", "a-z"), samples.Credential("shop", "a0"), samples.Credential("shop", "aa"), samples.Credential("shop", "b"),
		}
		for _, i := range []int{2, 0, 3, 1} {
			putCredential(t, s, want[i])
		}
		require.Equal(t, want, listCredentials(t, s, "shop"))
	}},
	{"HasItsTimeToTheMillisecondInUTC", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		c := samples.Credential("shop", "a")
		c.CreatedAt = time.Date(2026, 7, 1, 12, 0, 0, 123_999_999, time.FixedZone("elsewhere", 5*3600))
		putCredential(t, s, c)
		require.Equal(t, time.Date(2026, 7, 1, 7, 0, 0, 123_000_000, time.UTC), listCredentials(t, s, "shop")[0].CreatedAt)
	}},
	{"DeletedIsGone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		gone, kept := samples.Credential("shop", "a"), samples.Credential("shop", "b")
		putCredential(t, s, gone)
		putCredential(t, s, kept)
		require.NoError(t, s.DeleteCredential(t.Context(), "shop", "a"))
		require.Equal(t, []store.Credential{kept}, listCredentials(t, s, "shop"))
		require.ErrorIs(t, s.DeleteCredential(t.Context(), "shop", "a"), store.ErrNotFound)
		require.True(t, putCredential(t, s, gone), "it is new once more")
	}},
	{"IsNotDeletedByAnotherApp", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		createApp(t, s, samples, "other")
		putCredential(t, s, samples.Credential("shop", "a"))
		require.ErrorIs(t, s.DeleteCredential(t.Context(), "other", "a"), store.ErrNotFound)
		require.Len(t, listCredentials(t, s, "shop"), 1)
	}},
	{"PutByManyAtOnceIsCreatedOnce", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		var created atomic.Int32
		var race errgroup.Group
		for range 8 {
			race.Go(func() error {
				isNew, err := s.PutCredential(t.Context(), samples.Credential("shop", "a"))
				if isNew {
					created.Add(1)
				}
				return err
			})
		}
		require.NoError(t, race.Wait())
		require.EqualValues(t, 1, created.Load())
		require.Len(t, listCredentials(t, s, "shop"), 1)
	}},
}

// RequireBeforeProviders checks that what is older than APNs and FCM is there
// as it was, with nothing of them; the subscription is its user's only one. And
// that it can have something of them from now on.
func RequireBeforeProviders(t *testing.T, s store.Store, app store.App, n push.Notification, delivery push.Delivery, sub push.Subscription) {
	t.Helper()
	got, err := s.GetApp(t.Context(), app.Name)
	require.NoError(t, err)
	require.Equal(t, app, got)
	require.Equal(t, store.Record{Notification: n, Deliveries: []push.Delivery{delivery}}, getNotification(t, s, n))
	require.Equal(t, []push.Subscription{sub}, listSubscriptions(t, s, sub.User))

	commit(t, s, mismatched(sub))
	sub.KeyMismatch = true
	require.Equal(t, []push.Subscription{sub}, listSubscriptions(t, s, sub.User))
	require.True(t, putCredential(t, s, NewSamples().Credential(app.Name, "a")))
}

func putCredential(t *testing.T, s store.Store, c store.Credential) (created bool) {
	t.Helper()
	created, err := s.PutCredential(t.Context(), c)
	require.NoError(t, err)
	return created
}

func listCredentials(t *testing.T, s store.Store, app string) []store.Credential {
	t.Helper()
	got, err := s.ListCredentials(t.Context(), app)
	require.NoError(t, err)
	return got
}
