package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/store"
)

var apiKeyFacts = []fact{
	{"IsFoundByItsHash", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		key := createAPIKey(t, s, samples, "shop")
		got, err := s.FindAPIKey(t.Context(), key.Hash)
		require.NoError(t, err)
		require.Equal(t, key, got)
	}},
	{"UnknownHashIsNotFound", func(t *testing.T, s store.Store) {
		_, err := s.FindAPIKey(t.Context(), [32]byte{1})
		require.ErrorIs(t, err, store.ErrNotFound)
	}},
	{"WithATakenHashOrIDIsRefused", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		key := createAPIKey(t, s, samples, "shop")

		sameHash := samples.APIKey("shop")
		sameHash.Hash = key.Hash
		require.ErrorIs(t, s.CreateAPIKey(t.Context(), sameHash), store.ErrExists)
		sameID := samples.APIKey("shop")
		sameID.ID = key.ID
		require.ErrorIs(t, s.CreateAPIKey(t.Context(), sameID), store.ErrExists)
	}},
	{"OfAnUnknownAppIsRefused", func(t *testing.T, s store.Store) {
		require.ErrorIs(t, s.CreateAPIKey(t.Context(), NewSamples().APIKey("shop")), store.ErrNotFound)
	}},
	{"WithoutScopesHasNil", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		key := samples.APIKey("shop")
		key.Name, key.Scopes = "", []string{}
		require.NoError(t, s.CreateAPIKey(t.Context(), key))
		got, err := s.FindAPIKey(t.Context(), key.Hash)
		require.NoError(t, err)
		require.Nil(t, got.Scopes)
	}},
	{"AreListedOldestFirstForTheirAppAlone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		createApp(t, s, samples, "other")
		older, newer := samples.APIKey("shop"), samples.APIKey("shop")
		for _, key := range []store.APIKey{newer, samples.APIKey("other"), older} {
			require.NoError(t, s.CreateAPIKey(t.Context(), key))
		}
		got, err := s.ListAPIKeys(t.Context(), "shop")
		require.NoError(t, err)
		require.Equal(t, []store.APIKey{older, newer}, got)
	}},
	{"DeletedIsNotFound", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		key := createAPIKey(t, s, samples, "shop")
		require.NoError(t, s.DeleteAPIKey(t.Context(), "shop", key.ID))
		_, err := s.FindAPIKey(t.Context(), key.Hash)
		require.ErrorIs(t, err, store.ErrNotFound)
		require.ErrorIs(t, s.DeleteAPIKey(t.Context(), "shop", key.ID), store.ErrNotFound)
	}},
	{"IsNotDeletedByAnotherApp", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		createApp(t, s, samples, "other")
		key := createAPIKey(t, s, samples, "shop")
		require.ErrorIs(t, s.DeleteAPIKey(t.Context(), "other", key.ID), store.ErrNotFound)
		_, err := s.FindAPIKey(t.Context(), key.Hash)
		require.NoError(t, err)
	}},
}

var vapidKeyFacts = []fact{
	{"NewestIsListedFirst", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		createApp(t, s, samples, "other")
		older, newer := samples.VAPIDKey("shop"), samples.VAPIDKey("shop")
		for _, key := range []store.VAPIDKey{newer, samples.VAPIDKey("other"), older} {
			require.NoError(t, s.CreateVAPIDKey(t.Context(), key))
		}
		got, err := s.ListVAPIDKeys(t.Context(), "shop")
		require.NoError(t, err)
		require.Equal(t, []store.VAPIDKey{newer, older}, got)
	}},
	{"IsRefusedTwiceByItsAppAlone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		createApp(t, s, samples, "other")
		key := samples.VAPIDKey("shop")
		require.NoError(t, s.CreateVAPIDKey(t.Context(), key))
		require.ErrorIs(t, s.CreateVAPIDKey(t.Context(), key), store.ErrExists)
		key.App = "other"
		require.NoError(t, s.CreateVAPIDKey(t.Context(), key))
	}},
	{"UpdateReplacesItsPrivateHalfAlone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		createApp(t, s, samples, "other")
		older, newer := samples.VAPIDKey("shop"), samples.VAPIDKey("shop")
		sameOfOther := older
		sameOfOther.App = "other"
		for _, key := range []store.VAPIDKey{older, newer, sameOfOther} {
			require.NoError(t, s.CreateVAPIDKey(t.Context(), key))
		}
		change := older
		change.Private, change.CreatedAt = randomBytes(32), samples.Now()
		require.NoError(t, s.UpdateVAPIDKey(t.Context(), change))

		older.Private = change.Private
		got, err := s.ListVAPIDKeys(t.Context(), "shop")
		require.NoError(t, err)
		require.Equal(t, []store.VAPIDKey{newer, older}, got)
		got, err = s.ListVAPIDKeys(t.Context(), "other")
		require.NoError(t, err)
		require.Equal(t, []store.VAPIDKey{sameOfOther}, got)

		require.ErrorIs(t, s.UpdateVAPIDKey(t.Context(), samples.VAPIDKey("shop")), store.ErrNotFound)
	}},
	{"OfAnUnknownAppIsRefused", func(t *testing.T, s store.Store) {
		require.ErrorIs(t, s.CreateVAPIDKey(t.Context(), NewSamples().VAPIDKey("shop")), store.ErrNotFound)
	}},
	{"ListOfNoneIsNil", func(t *testing.T, s store.Store) {
		got, err := s.ListVAPIDKeys(t.Context(), "shop")
		require.NoError(t, err)
		require.Nil(t, got)
	}},
}

func createAPIKey(t *testing.T, s store.Store, samples *Samples, app string) store.APIKey {
	t.Helper()
	key := samples.APIKey(app)
	require.NoError(t, s.CreateAPIKey(t.Context(), key))
	return key
}
