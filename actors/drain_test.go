package actors

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDrain_FinishesWhatIsInFlightAndKeepsTheRest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.takes(3 * time.Second)
		ids := append(r.notify("ann"), r.notify("ann")...)
		r.settle()
		r.stop()
		require.Equal(t, ids[:1], r.service.got("laptop"), "the one in flight")
		require.Equal(t, []string{"delivered"}, r.states(ids[0]), "and it is durable")
		require.True(t, r.fate(ids[1]).Pending)
		r.service.takes(0)
		r.start()
		r.settle()
		require.Equal(t, ids, r.service.got("laptop"), "the next start goes on, and repeats nothing")
	})
}

func TestDrain_WithABacklogIsQuickAndClean(t *testing.T) {
	for round := range 5 {
		bubble(t, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Window = 64; c.Ranges = 2 })
			r.service.takes(100 * time.Millisecond)
			var users []string
			for i := range 150 {
				users = append(users, fmt.Sprint("user-", i))
				_, err := r.store.PutSubscription(t.Context(), subscriptionAt(users[i], users[i]))
				require.NoError(t, err)
			}
			r.notify(users...)
			time.Sleep(time.Duration(250+round) * time.Millisecond)
			began := time.Now()
			r.stop() // fails if anything did not come to rest
			require.Less(t, time.Since(began), time.Second)
		})
	}
}

func TestDrain_CutsOffWhatTakesTooLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", answer{hold: make(chan struct{})})
		id := r.notify("ann")[0]
		r.settle()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		require.NoError(t, r.Drain(ctx))
		r.System = nil
		require.True(t, r.fate(id).Pending)
		r.start()
		r.settle()
		require.Equal(t, []string{"delivered"}, r.states(id))
	})
}

func TestAbandon_SendsAndWritesNothingAnyMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", answer{hold: make(chan struct{})})
		id := r.notify("ann")[0]
		r.settle()
		began := time.Now()
		require.NoError(t, r.Abandon())
		require.Less(t, time.Since(began), time.Second)
		r.System = nil
		require.True(t, r.fate(id).Pending)
		require.Empty(t, r.fate(id).Deliveries)
		r.start()
		r.settle()
		require.Equal(t, []string{"delivered"}, r.states(id), "the next active process goes on")
	})
}

func TestNotify_IsRefusedWhileDraining(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		system := r.System
		r.stop()
		_, err := system.Notify([]Draft{{User: userNamed("ann"), Content: []byte(`{}`), TTL: time.Hour}})
		require.ErrorIs(t, err, ErrDraining)
	})
}
