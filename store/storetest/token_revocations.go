package storetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

var tokenRevocationFacts = []fact{
	{"OfAUserWithoutOneIsTheZeroTime", func(t *testing.T, s store.Store) {
		require.Zero(t, tokensRevoked(t, s, ann))
	}},
	{"IsForOneUserOfOneApp", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		elsewhere := push.User{App: "other", ID: ann.ID}
		mine, theirs := samples.Now(), samples.Now()
		revokeTokens(t, s, ann, mine)
		revokeTokens(t, s, elsewhere, theirs)
		require.Equal(t, mine, tokensRevoked(t, s, ann))
		require.Equal(t, theirs, tokensRevoked(t, s, elsewhere))
		require.Zero(t, tokensRevoked(t, s, bob))
	}},
	{"NeverGoesBack", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		earlier, later, latest := samples.Now(), samples.Now(), samples.Now()
		revokeTokens(t, s, ann, later)
		revokeTokens(t, s, ann, earlier)
		require.Equal(t, later, tokensRevoked(t, s, ann))
		revokeTokens(t, s, ann, latest)
		require.Equal(t, latest, tokensRevoked(t, s, ann))
	}},
	{"OfManyAtOnceIsTheLatest", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		var all errgroup.Group
		for range 20 {
			upTo := samples.Now()
			all.Go(func() error { return s.RevokeTokens(t.Context(), ann, upTo) })
		}
		require.NoError(t, all.Wait())
		require.Equal(t, samples.Now().Add(-time.Millisecond), tokensRevoked(t, s, ann))
	}},
	{"OutlivesItsUser", func(t *testing.T, s store.Store) {
		upTo := NewSamples().Now()
		revokeTokens(t, s, ann, upTo)
		_, err := s.DeleteUser(t.Context(), ann)
		require.NoError(t, err)
		require.Equal(t, upTo, tokensRevoked(t, s, ann))
	}},
	{"IsToTheMillisecondInUTC", func(t *testing.T, s store.Store) {
		revokeTokens(t, s, ann, time.Date(2026, 7, 1, 12, 0, 0, 123_999_999, time.FixedZone("elsewhere", 5*3600)))
		require.Equal(t, time.Date(2026, 7, 1, 7, 0, 0, 123_000_000, time.UTC), tokensRevoked(t, s, ann))
	}},
	{"KeepsOddUsersApart", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		for _, id := range oddUsers {
			require.Zero(t, tokensRevoked(t, s, User(id)))
			upTo := samples.Now()
			revokeTokens(t, s, User(id), upTo)
			require.Equal(t, upTo, tokensRevoked(t, s, User(id)))
		}
	}},
}

func revokeTokens(t *testing.T, s store.Store, user push.User, upTo time.Time) {
	t.Helper()
	require.NoError(t, s.RevokeTokens(t.Context(), user, upTo))
}

func tokensRevoked(t *testing.T, s store.Store, user push.User) time.Time {
	t.Helper()
	upTo, err := s.TokensRevoked(t.Context(), user)
	require.NoError(t, err)
	return upTo
}
