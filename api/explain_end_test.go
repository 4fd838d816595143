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

// record puts an event into the feed that happens at this moment, and a number of
// deliveries that were final just before.
func record(t *testing.T, db store.Store, e push.Event, deliveries int) {
	t.Helper()
	group := store.Group{Events: make([]push.Event, deliveries, deliveries+1)}
	e.App, e.At, e.ID = "shop", time.Now(), idBefore(time.Now())
	binary.BigEndian.PutUint64(e.ID[8:], uint64(deliveries))
	for i := range group.Events {
		group.Events[i] = push.Event{ID: e.ID, App: e.App, Type: push.EventDelivered, At: e.At, User: "bob"}
		binary.BigEndian.PutUint64(group.Events[i].ID[8:], uint64(i))
	}
	group.Events = append(group.Events, e)
	require.NoError(t, db.Commit(t.Context(), group))
}

func TestExplain_FindsWhatEndedASubscriptionAmongManyEvents(t *testing.T) {
	phone := push.DigestOf("phone")
	removed := push.Event{Type: push.EventSubscriptionRemoved, User: "ann", Subscription: phone}
	moved := push.Event{Type: push.EventSubscriptionMoved, User: "bob", Subscription: phone, EventDetail: push.EventDetail{From: "ann"}}
	others := push.Event{Type: push.EventSubscriptionRemoved, User: "bob", Subscription: phone}
	synctest.Test(t, func(t *testing.T) {
		db := storetest.OpenSQLite(t)
		s := serverOn(t, db)
		for name, test := range map[string]struct {
			end         push.Event
			busy, other int           // deliveries in the moment of the end, and between it and the delivery
			before      time.Duration // how long the delivery was final after the end
			want        bool
		}{
			"in the same moment":                  {end: removed, want: true},
			"moved to another user":               {end: moved, want: true},
			"among more than one look goes over":  {end: removed, busy: 25_000, want: true},
			"seconds before":                      {end: removed, busy: 5_000, other: 5_000, before: 8 * time.Second, want: true},
			"after a moment":                      {end: removed, before: -5 * time.Second, want: true},
			"long ago":                            {end: removed, before: time.Minute},
			"of another user":                     {end: others},
			"among more than is worth looking at": {end: removed, busy: 90_000},
		} {
			time.Sleep(time.Hour)
			done := time.Now().Add(test.before)
			record(t, db, test.end, test.busy)
			time.Sleep(max(test.before, time.Millisecond))
			record(t, db, push.Event{Type: push.EventDelivered, User: "bob"}, test.other)
			time.Sleep(time.Minute)
			s.happen(t) // the feed goes on
			known := facts{user: push.User{App: "shop", ID: "ann"}, ends: map[push.Digest]push.Event{}}
			looks := endLooks
			require.NoError(t, s.gatherEnd(t.Context(), &known, push.Delivery{Subscription: phone, DoneAt: done}, &looks), name)
			require.Equal(t, test.want, len(known.ends) == 1, name)
			if test.want {
				require.Equal(t, test.end.Type, known.ends[phone].Type, name)
			}
		}
	})
}
