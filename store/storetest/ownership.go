package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/store"
)

var ownershipFacts = []fact{
	{"AcquiringAgainChangesNothing", func(t *testing.T, s store.Store) {
		require.NoError(t, s.Acquire(t.Context()))
	}},
	{"MigratingAgainAppliesNothing", func(t *testing.T, s store.Store) {
		applied, err := s.Migrate(t.Context())
		require.NoError(t, err)
		require.Zero(t, applied)
	}},
	{"AnswersPings", func(t *testing.T, s store.Store) {
		require.NoError(t, s.Ping(t.Context()))
	}},
	{"IsNotLostByItself", func(t *testing.T, s store.Store) {
		select {
		case <-s.Lost():
			t.Fatal("lost")
		default:
		}
	}},
	{"IsNotLostByClosing", func(t *testing.T, s store.Store) {
		require.NoError(t, s.Close())
		select {
		case <-s.Lost():
			t.Fatal("lost")
		default:
		}
	}},
	{"EndsOnceByClosingTwice", func(t *testing.T, s store.Store) {
		require.NoError(t, s.Close())
		require.NoError(t, s.Close())
		require.Error(t, s.Ping(t.Context()))
	}},
}
