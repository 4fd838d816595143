package actors

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/stretchr/testify/require"
)

// slowQueries is a store whose queries for subscriptions take a second, and fail
// while away.
type slowQueries struct {
	store.Store
	mu      sync.Mutex
	queries [][]push.User
	away    bool
}

func (s *slowQueries) ListSubscriptions(_ context.Context, users []push.User) (map[push.User][]push.Subscription, error) {
	s.mu.Lock()
	s.queries = append(s.queries, users)
	away := s.away
	s.mu.Unlock()
	time.Sleep(time.Second)
	if away {
		return nil, errors.New("away")
	}
	found := map[push.User][]push.Subscription{}
	for _, user := range users {
		found[user] = []push.Subscription{{User: user}}
	}
	return found, nil
}

func newCacheReads(s store.Store) *cacheReads {
	system := &System{config: Config{Store: s}, ctx: context.Background()}
	system.caches.system = system
	return &system.caches
}

func usersFrom(first, n int) []push.User {
	users := make([]push.User, n)
	for i := range users {
		users[i] = userNamed(fmt.Sprint("user-", first+i))
	}
	return users
}

func TestCacheReads_AskForAllWhoWaitTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &slowQueries{}
		reads := newCacheReads(db)
		var asking sync.WaitGroup
		ask := func(first, n int) {
			asking.Go(func() {
				found, err := reads.list(t.Context(), usersFrom(first, n))
				require.NoError(t, err)
				for _, user := range usersFrom(first, n) {
					require.Len(t, found[user], 1)
				}
			})
		}
		ask(0, 1)
		synctest.Wait() // its query is under way
		for i := range 16 {
			ask(100+100*i, 100)
		}
		asking.Wait()
		reads.system.work.Wait()
		reads.system.workers.close()
		require.Len(t, db.queries, 3)
		require.Len(t, db.queries[0], 1)
		require.Len(t, db.queries[1], 1000, "as many as one query takes")
		require.Len(t, db.queries[2], 600)
	})
}

func TestCacheReads_TellEachThatTheStoreFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &slowQueries{away: true}
		reads := newCacheReads(db)
		_, err := reads.list(t.Context(), usersFrom(0, 1))
		require.ErrorContains(t, err, "away")
		db.away = false
		_, err = reads.list(t.Context(), usersFrom(0, 1))
		require.NoError(t, err)
		reads.system.work.Wait()
		reads.system.workers.close()
	})
}

func TestCacheReads_WaitNoLongerThanWhoAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &slowQueries{}
		reads := newCacheReads(db)
		go reads.list(t.Context(), usersFrom(9, 1)) //nolint:errcheck // it keeps the store busy
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := reads.list(ctx, usersFrom(0, 1))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		reads.system.work.Wait()
		require.Len(t, db.queries, 1, "nobody wants the other one any more")
		reads.system.workers.close()
	})
}

// askedDuringCommit accepts notifications, and gives the queries for subscriptions
// that were begun before they were committed.
func askedDuringCommit(t *testing.T, drafts []Draft) (asked [][]push.User) {
	bubble(t, func(t *testing.T) {
		held := make(chan struct{})
		var queries *slowQueries
		r := newRig(t, func(c *Config) {
			queries = &slowQueries{Store: c.Store}
			c.Store, c.Ranges = &heldCommits{Store: queries, hold: held}, 1
		})
		r.settle() // until the range has begun
		accepting := make(chan error, 1)
		go func() {
			_, err := r.Notify(drafts)
			accepting <- err
		}()
		r.settle()
		queries.mu.Lock()
		asked = queries.queries
		queries.mu.Unlock()
		require.Empty(t, accepting)
		close(held)
		require.NoError(t, <-accepting)
	})
	return asked
}

func draftsFor(users []push.User) []Draft {
	drafts := make([]Draft, len(users))
	for i, user := range users {
		drafts[i] = Draft{User: user, Content: []byte(`{"title":"hello"}`), TTL: time.Hour}
	}
	return drafts
}

func TestShards_ReadSubscriptionsWhileAFewNotificationsAreCommitted(t *testing.T) {
	few := usersFrom(0, announcedMax)
	drafts := draftsFor(few)
	drafts[0].SendAt = time.Now().Add(time.Hour) // in a bubble it is the year 2000
	require.Equal(t, [][]push.User{few[1:]}, askedDuringCommit(t, drafts), "those that are sent at once")
	require.Empty(t, askedDuringCommit(t, draftsFor(usersFrom(0, announcedMax+1))))
}

func TestShards_LetWhoWasMadeReadyGoWhenNothingIsCommitted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Store, c.Ranges = &heldCommits{Store: c.Store, hold: make(chan struct{})}, 1 })
		r.settle()
		accepting := make(chan error, 1)
		go func() {
			_, err := r.Notify(draftsFor(usersFrom(0, 1)))
			accepting <- err
		}()
		r.settle()
		require.Len(t, r.inspect("/registry/"+r.rangeName(0)).Children, 1)
		require.ErrorIs(t, <-accepting, ErrUnavailable)
		time.Sleep(time.Minute)
		require.Empty(t, r.inspect("/registry/"+r.rangeName(0)).Children)
	})
}
