package postgres_test

import (
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/storetest"
)

// A Commit writes deliveries, and looks at notifications after that, for its
// receipts and events: who drops a day must not wait for it with a table in hand.
func TestMaintain_DropsDaysWhileCommitsGoOn(t *testing.T) {
	s := migrated(t, storetest.Postgres(t).NewDatabase(t))
	samples := storetest.NewSamples()
	begun := store.Group{Accepted: samples.Notifications(storetest.User("ann"), 300)}
	require.NoError(t, s.Commit(t.Context(), begun))

	stop := make(chan struct{})
	var committing sync.WaitGroup
	defer committing.Wait()
	defer close(stop)
	for range 2 {
		var group store.Group
		for _, n := range begun.Accepted {
			phone := samples.Phone(n.User)
			group.Deliveries = append(group.Deliveries, samples.Delivery(n, phone))
			group.Receipts = append(group.Receipts, samples.Receipt(push.ReceiptShown, n, phone))
			group.Events = append(group.Events, samples.Event(push.EventDelivered, n, phone))
		}
		committing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for i := range group.Events {
					group.Events[i].ID = randomID()
				}
				if err := s.Commit(t.Context(), group); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for day := range 20 {
		then := storetest.Start.AddDate(1, 0, day)
		_, err := s.Maintain(t.Context(), then, storetest.Before(then), 1)
		if refused := new(pgconn.PgError); errors.As(err, &refused) && refused.Code == "55P03" {
			continue // a lock was not to be had in time, on a busy machine; a deadlock is noticed sooner
		}
		require.NoError(t, err)
		time.Sleep(time.Millisecond)
	}
}

func randomID() (id push.ID) {
	_, _ = rand.Read(id[6:])
	return id
}
