package storetest

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

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
	{"WithoutALimitOfItsOwnHasNone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		key := samples.APIKey("shop")
		key.Rate = 0
		require.NoError(t, s.CreateAPIKey(t.Context(), key))
		require.Equal(t, []store.APIKey{key}, listAPIKeys(t, s, "shop"))
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

var replaceAPIKeyFacts = []fact{
	{"TakesThePlaceOfTheOld", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		old, kept, next := createAPIKey(t, s, samples, "shop"), createAPIKey(t, s, samples, "shop"), samples.APIKey("shop")
		require.NoError(t, s.ReplaceAPIKey(t.Context(), old.ID, next))
		require.Equal(t, []store.APIKey{kept, next}, listAPIKeys(t, s, "shop"))
		_, err := s.FindAPIKey(t.Context(), old.Hash)
		require.ErrorIs(t, err, store.ErrNotFound)
	}},
	{"OfAnUnknownKeyAddsNone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		createApp(t, s, samples, "other")
		theirs := createAPIKey(t, s, samples, "other")
		for _, old := range []string{"0123456789ab", theirs.ID} {
			require.ErrorIs(t, s.ReplaceAPIKey(t.Context(), old, samples.APIKey("shop")), store.ErrNotFound)
		}
		require.Nil(t, listAPIKeys(t, s, "shop"))
		require.Equal(t, []store.APIKey{theirs}, listAPIKeys(t, s, "other"))
	}},
	{"WithATakenHashOrIDKeepsTheOld", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		old, kept := createAPIKey(t, s, samples, "shop"), createAPIKey(t, s, samples, "shop")
		sameHash, sameID := samples.APIKey("shop"), samples.APIKey("shop")
		sameHash.Hash, sameID.ID = kept.Hash, kept.ID
		require.ErrorIs(t, s.ReplaceAPIKey(t.Context(), old.ID, sameHash), store.ErrExists)
		require.ErrorIs(t, s.ReplaceAPIKey(t.Context(), old.ID, sameID), store.ErrExists)
		require.Equal(t, []store.APIKey{old, kept}, listAPIKeys(t, s, "shop"))
	}},
	{"ByManyAtOnceIsDoneOnce", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		createApp(t, s, samples, "shop")
		old := createAPIKey(t, s, samples, "shop")
		var replaced atomic.Int32
		var race errgroup.Group
		for range 8 {
			race.Go(func() error {
				err := s.ReplaceAPIKey(t.Context(), old.ID, samples.APIKey("shop"))
				switch {
				case err == nil:
					replaced.Add(1)
				case errors.Is(err, store.ErrNotFound):
					return nil
				}
				return err
			})
		}
		require.NoError(t, race.Wait())
		require.EqualValues(t, 1, replaced.Load())
		require.Len(t, listAPIKeys(t, s, "shop"), 1)
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

func listAPIKeys(t *testing.T, s store.Store, app string) []store.APIKey {
	t.Helper()
	keys, err := s.ListAPIKeys(t.Context(), app)
	require.NoError(t, err)
	return keys
}

func createAPIKey(t *testing.T, s store.Store, samples *Samples, app string) store.APIKey {
	t.Helper()
	key := samples.APIKey(app)
	require.NoError(t, s.CreateAPIKey(t.Context(), key))
	return key
}
