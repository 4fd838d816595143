package api

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/storetest"
)

// fill adds more events of one type to the feed than one look goes through, a minute
// ago, and one of another type before them.
func (s *Server) fill(t *testing.T, db store.Store) {
	t.Helper()
	group := store.Group{Events: make([]push.Event, 11_000)}
	for i := range group.Events {
		e := push.Event{ID: idBefore(time.Now().Add(-time.Minute)), Type: push.EventSubscriptionRemoved, At: time.Now().Add(-time.Minute), App: "shop", User: "ann"}
		binary.BigEndian.PutUint64(e.ID[8:], uint64(i))
		if i == 0 {
			e.Type = push.EventGone
		}
		group.Events[i] = e
	}
	require.NoError(t, db.Commit(t.Context(), group))
	s.happen(t)
}

func TestEvents_AreLookedForToTheEndOfTheFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := storetest.OpenSQLite(t)
		s := serverOn(t, db)
		s.fill(t, db)
		read := func(after string, limit int, late time.Duration) (types []push.EventType, next string, more bool) {
			q, err := s.feedQuery("shop", ListEventsParams{After: after, Limit: limit, Types: "delivery.gone,delivery.no_subscription"}, false)
			require.NoError(t, err)
			events, more, err := s.fillPage(t.Context(), &q, time.Now().Add(late))
			require.NoError(t, err)
			for _, e := range events {
				types = append(types, e.Type)
			}
			return types, q.after.String(), more
		}
		types, _, more := read("", 10, feedLook)
		require.Equal(t, []push.EventType{push.EventGone, push.EventNoSubscription}, types, "however many are between")
		require.False(t, more)

		types, next, more := read("", 1, feedLook)
		require.Equal(t, []push.EventType{push.EventGone}, types, "a page that is full is given at once")
		require.True(t, more)
		types, next, more = read(next, 10, 0)
		require.Empty(t, types, "nor is it looked for too long")
		require.True(t, more)
		types, _, more = read(next, 10, 0)
		require.Equal(t, []push.EventType{push.EventNoSubscription}, types)
		require.False(t, more)
	})
}
