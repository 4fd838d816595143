package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/store"
)

var appFacts = []fact{
	{"IsFoundByName", func(t *testing.T, s store.Store) {
		app := createApp(t, s, NewSamples(), "shop")
		got, err := s.GetApp(t.Context(), "shop")
		require.NoError(t, err)
		require.Equal(t, app, got)
	}},
	{"UnknownIsNotFound", func(t *testing.T, s store.Store) {
		_, err := s.GetApp(t.Context(), "shop")
		require.ErrorIs(t, err, store.ErrNotFound)
	}},
	{"WithATakenNameIsRefused", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		first := createApp(t, s, samples, "shop")
		require.ErrorIs(t, s.CreateApp(t.Context(), samples.App("shop")), store.ErrExists)
		got, err := s.GetApp(t.Context(), "shop")
		require.NoError(t, err)
		require.Equal(t, first, got)
	}},
	{"WithoutOriginsOrPushHostsHasNil", func(t *testing.T, s store.Store) {
		app := NewSamples().App("shop")
		app.Origins, app.PushHosts = []string{}, []string{}
		require.NoError(t, s.CreateApp(t.Context(), app))
		got, err := s.GetApp(t.Context(), "shop")
		require.NoError(t, err)
		require.Nil(t, got.Origins)
		require.Nil(t, got.PushHosts)

		require.NoError(t, s.UpdateApp(t.Context(), NewSamples().App("shop")))
		require.NoError(t, s.UpdateApp(t.Context(), app))
		got, err = s.GetApp(t.Context(), "shop")
		require.NoError(t, err)
		require.Nil(t, got.Origins, "nor after an update")
		require.Nil(t, got.PushHosts)
	}},
	{"UpdateReplacesOriginsSubjectAndPushHostsAlone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		want := createApp(t, s, samples, "shop")
		other := createApp(t, s, samples, "other")

		change := samples.App("shop") // with another secret and another time
		change.Origins = []string{"https://a.example", `https://b.example/"quoted", {braced}`}
		change.VAPIDSubject = "https://example.com/contact"
		change.PushHosts = []string{"push.intranet.example:8443", "[2001:db8::1]:443", "up.intranet.example"}
		require.NoError(t, s.UpdateApp(t.Context(), change))

		want.Origins, want.VAPIDSubject, want.PushHosts = change.Origins, change.VAPIDSubject, change.PushHosts
		all, err := s.ListApps(t.Context())
		require.NoError(t, err)
		require.Equal(t, []store.App{other, want}, all)
	}},
	{"UpdateOfUnknownIsNotFound", func(t *testing.T, s store.Store) {
		require.ErrorIs(t, s.UpdateApp(t.Context(), NewSamples().App("shop")), store.ErrNotFound)
	}},
	{"UpdateTokenSecretReplacesItAlone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		want := createApp(t, s, samples, "shop")
		other := createApp(t, s, samples, "other")

		change := samples.App("shop") // with another time
		change.Origins, change.VAPIDSubject, change.PushHosts = nil, "https://example.com/contact", nil
		require.NoError(t, s.UpdateTokenSecret(t.Context(), change))
		want.TokenSecret = change.TokenSecret
		all, err := s.ListApps(t.Context())
		require.NoError(t, err)
		require.Equal(t, []store.App{other, want}, all)

		require.ErrorIs(t, s.UpdateTokenSecret(t.Context(), samples.App("unknown")), store.ErrNotFound)
	}},
	{"AreListedByTheBytesOfTheirNames", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		want := []store.App{samples.App("a-z"), samples.App("a0"), samples.App("aa"), samples.App("b")}
		for _, i := range []int{2, 0, 3, 1} {
			require.NoError(t, s.CreateApp(t.Context(), want[i]))
		}
		got, err := s.ListApps(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, got)
	}},
	{"ListOfNoneIsNil", func(t *testing.T, s store.Store) {
		got, err := s.ListApps(t.Context())
		require.NoError(t, err)
		require.Nil(t, got)
	}},
}

func createApp(t *testing.T, s store.Store, samples *Samples, name string) store.App {
	t.Helper()
	app := samples.App(name)
	require.NoError(t, s.CreateApp(t.Context(), app))
	return app
}
