package api

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/storetest"
)

// slowStore counts how many look for a key at a time, and lets them wait.
type slowStore struct {
	store.Store
	gate     chan struct{}
	at, most atomic.Int32
	found    atomic.Int32
}

func (s *slowStore) FindAPIKey(ctx context.Context, hash [32]byte) (store.APIKey, error) {
	s.most.Store(max(s.most.Load(), s.at.Add(1))) // the test has them come one after the other
	defer s.at.Add(-1)
	s.found.Add(1)
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return store.APIKey{}, ctx.Err()
		}
	}
	return s.Store.FindAPIKey(ctx, hash)
}

// withKeys runs a test in fake time, over a store with the app shop.
func withKeys(t *testing.T, do func(t *testing.T, db *slowStore, ring *keyring)) {
	synctest.Test(t, func(t *testing.T) {
		db := &slowStore{Store: storetest.OpenSQLite(t)}
		require.NoError(t, db.CreateApp(t.Context(), NewTenant("shop", time.Now())))
		do(t, db, newKeyring(0))
	})
}

func newKey(t *testing.T, db store.Store) store.APIKey {
	t.Helper()
	key, _ := NewAPIKey("shop", "for tests", []string{"read"}, time.Now())
	require.NoError(t, db.CreateAPIKey(t.Context(), key))
	return key
}

func (r *keyring) revokeIn(t *testing.T, db store.Store, key store.APIKey) {
	t.Helper()
	require.NoError(t, r.revoke(t.Context(), key.App, key.ID, func(ctx context.Context) error {
		return db.DeleteAPIKey(ctx, key.App, key.ID)
	}))
}

func TestKeyring_AsksTheStoreOnce(t *testing.T) {
	withKeys(t, func(t *testing.T, db *slowStore, ring *keyring) {
		key := newKey(t, db)
		for range 3 {
			_, err := ring.find(t.Context(), db, key.Hash)
			require.NoError(t, err)
		}
		require.EqualValues(t, 1, db.found.Load())
		_, err := ring.find(t.Context(), db, [32]byte{1})
		require.ErrorIs(t, err, store.ErrNotFound)
	})
}

func TestKeyring_AKeyThatEndsWhileItIsLookedUpIsNotTaken(t *testing.T) {
	withKeys(t, func(t *testing.T, db *slowStore, ring *keyring) {
		key := newKey(t, db)
		late := &lateStore{Store: db, read: make(chan struct{}), gate: make(chan struct{})}
		result := make(chan error)
		go func() {
			_, err := ring.find(t.Context(), late, key.Hash)
			result <- err
		}()
		<-late.read // the row, as it was before
		ring.revokeIn(t, db, key)
		close(late.gate)
		require.ErrorIs(t, <-result, store.ErrNotFound)
	})
}

// lateStore gives what it has read only later, the first time.
type lateStore struct {
	store.Store
	read, gate chan struct{}
	done       bool
}

func (s *lateStore) FindAPIKey(ctx context.Context, hash [32]byte) (store.APIKey, error) {
	key, err := s.Store.FindAPIKey(ctx, hash)
	if !s.done {
		s.done = true
		close(s.read)
		<-s.gate
	}
	return key, err
}

func TestKeyring_LongAnswersEndWithTheirKey(t *testing.T) {
	withKeys(t, func(t *testing.T, db *slowStore, ring *keyring) {
		first, second := newKey(t, db), newKey(t, db)
		begin := func(row store.APIKey) (context.Context, context.CancelFunc) {
			key, err := ring.find(t.Context(), db, row.Hash)
			require.NoError(t, err)
			return untilRevoked(context.WithValue(t.Context(), callerKey{}, caller{app: key.App, key: key}))
		}
		ended, endOne := begin(first)
		defer endOne()
		other, endOther := begin(second)
		ring.revokeIn(t, db, first)
		<-ended.Done()
		require.Equal(t, errUnauthorized, context.Cause(ended))
		require.NoError(t, other.Err(), "another key's go on")
		endOther()
		endOther()
		require.Error(t, other.Err())

		without, end := untilRevoked(t.Context())
		defer end()
		require.NoError(t, without.Err())
	})
}

func TestKeyring_InventedKeysHaveLittleOfTheStore(t *testing.T) {
	withKeys(t, func(t *testing.T, db *slowStore, ring *keyring) {
		db.gate = make(chan struct{})
		results := make(chan error, 100)
		for i := range 100 {
			go func() {
				_, err := ring.find(t.Context(), db, [32]byte{byte(i)})
				results <- err
			}()
			synctest.Wait()
		}
		require.EqualValues(t, lookupsMax, db.most.Load())
		began := time.Now()
		for range 100 {
			require.ErrorIs(t, <-results, context.DeadlineExceeded)
		}
		require.Equal(t, lookupTimeout, time.Since(began), "and wait no longer than one that is looked up")
	})
}

func TestKeyring_ForgetsWhatIsNotUsed(t *testing.T) {
	withKeys(t, func(t *testing.T, db *slowStore, ring *keyring) {
		held, used := newKey(t, db), newKey(t, db)
		key, err := ring.find(t.Context(), db, held.Hash)
		require.NoError(t, err)
		answer, end := untilRevoked(context.WithValue(t.Context(), callerKey{}, caller{key: key}))
		defer end()
		rows := make([]store.APIKey, keysKept)
		for i := range rows {
			rows[i] = store.APIKey{ID: fmt.Sprint(i), Hash: [32]byte{1, byte(i), byte(i >> 8)}}
			_, changes := ring.remembered(rows[i].Hash)
			require.NotNil(t, ring.remember(rows[i], changes))
		}
		_, err = ring.find(t.Context(), db, used.Hash)
		require.NoError(t, err)
		require.Len(t, ring.known, keysKept+2)

		time.Sleep(keyIdle + time.Second)
		_, err = ring.find(t.Context(), db, used.Hash)
		require.NoError(t, err)
		for i := range keysKept {
			require.NotNil(t, ring.remember(store.APIKey{Hash: [32]byte{2, byte(i), byte(i >> 8)}}, 0))
		}
		require.Less(t, len(ring.known), keysKept+100)
		require.Contains(t, ring.known, used.Hash)
		ring.revokeIn(t, db, held)
		synctest.Wait()
		require.Error(t, answer.Err(), "an answer that goes on is not forgotten")
	})
}
