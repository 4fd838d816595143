package actors

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/stretchr/testify/require"
)

// staleReads does something between a read of a notification and its answer, once.
type staleReads struct {
	store.Store
	then atomic.Pointer[func()]
}

func (s *staleReads) GetNotification(ctx context.Context, app string, id push.ID) (store.Record, error) {
	found, err := s.Store.GetNotification(ctx, app, id)
	doOnce(&s.then)
	return found, err
}

// What was read of a notification may be old when it is cancelled by that.
func TestCancel_ThatCrossesTheEndOfADeliveryEndsNothingTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		stale := &staleReads{}
		r := newRig(t, func(c *Config) { stale.Store, c.Store = c.Store, stale })
		r.subscribe("ann", "laptop")
		r.subscribe("ann", "phone")
		hold := make(chan struct{})
		r.service.script("laptop", answer{hold: hold})
		r.service.script("phone", retryAfter(30*time.Minute))
		id := r.notify("ann")[0]
		r.settle()
		meanwhile := func() {
			close(hold)
			time.Sleep(10 * time.Second) // it is delivered, and what is left of it waits in the store alone
		}
		stale.then.Store(&meanwhile)
		require.NoError(t, r.Cancel(t.Context(), push.DefaultApp, id))
		require.Equal(t, []string{"cancelled", "delivered"}, r.states(id))
		require.False(t, r.fate(id).Pending)
		require.Empty(t, r.feedComplaints(id))
		time.Sleep(time.Hour)
		require.Empty(t, r.service.got("phone"))
	})
}

func TestCancel_ByTwoAtTheSameTimeEndsItOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(30*time.Minute))
		first, behind := r.notify("ann")[0], r.notify("ann")[0]
		time.Sleep(10 * time.Minute) // they wait in the store alone
		errs := make(chan error)
		for range 3 {
			for _, id := range []push.ID{first, behind} {
				go func() { errs <- r.Cancel(t.Context(), push.DefaultApp, id) }()
			}
		}
		for range 6 {
			require.NoError(t, <-errs)
		}
		require.Equal(t, []string{"cancelled"}, r.states(first))
		require.Equal(t, []string{"cancelled"}, r.states(behind))
		require.Empty(t, r.feedComplaints(first, behind))
	})
}
