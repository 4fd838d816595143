package actors

import (
	"sync"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/stretchr/testify/require"
)

func shown(id push.ID, sub push.Subscription) push.Receipt {
	return push.Receipt{Notification: id, Subscription: sub.Digest, Type: push.ReceiptShown, At: time.Now()}
}

// receiptEvents are the events that receipts made.
func (r *rig) receiptEvents() []push.Event {
	return r.feed(push.EventShown, push.EventClicked, push.EventClosed)
}

func TestReceive_IsDurableAndToldOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.subscribe("ann", "laptop")
		id := r.notify("ann")[0]
		r.settle()
		receipt := shown(id, sub)
		clicked := receipt
		clicked.Type = push.ReceiptClicked
		for range 2 {
			require.NoError(t, r.Receive(t.Context(), sub.User, receipt))
			require.Contains(t, r.fate(id).Receipts, push.Receipt{
				Notification: id, Subscription: sub.Digest, Type: push.ReceiptShown, At: receipt.At.Truncate(time.Millisecond).UTC(),
			})
			require.NoError(t, r.Receive(t.Context(), sub.User, clicked))
			require.Len(t, r.fate(id).Receipts, 2)
			r.stop()
			r.start()
		}
		events := r.receiptEvents()
		require.Equal(t, []string{"delivery.shown", "delivery.clicked"}, told(events))
		require.Equal(t, push.Event{
			ID: events[0].ID, App: push.DefaultApp, Type: push.EventShown, At: receipt.At.Truncate(time.Millisecond).UTC(),
			User: "ann", Notification: id, Subscription: sub.Digest,
			EventDetail: push.EventDetail{Kind: push.WebPush, Host: "push.example"},
		}, events[0])
	})
}

func TestReceive_AlsoWhenItIsSaidTwiceAtTheSameTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.subscribe("ann", "laptop")
		ids := append(r.notify("ann"), r.notify("ann")...)
		r.settle()
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				if err := r.Receive(t.Context(), sub.User, shown(ids[i%2], sub)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		require.Len(t, r.receiptEvents(), 2)
		require.Len(t, r.fate(ids[0]).Receipts, 1)
	})
}

func TestReceive_DropsWhatIsNotKeptAndWhatIsNotTheUsers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.subscribe("ann", "laptop")
		id := r.notify("ann")[0]
		r.settle()
		require.NoError(t, r.Receive(t.Context(), sub.User, shown(push.ID{1}, sub)))
		require.NoError(t, r.Receive(t.Context(), userNamed("bob"), shown(id, sub)))
		require.NoError(t, r.Receive(t.Context(), push.User{App: "other", ID: "ann"}, shown(id, sub)))
		require.Empty(t, r.receiptEvents())
		require.Empty(t, r.fate(id).Receipts)
	})
}

func TestReceive_PromisesNothingThatTheStoreDoesNotTake(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, flaky := newFlakyRig(t)
		sub := r.subscribe("ann", "laptop")
		id := r.notify("ann")[0]
		r.settle()
		flaky.failing.Store(true)
		require.ErrorIs(t, r.Receive(t.Context(), sub.User, shown(id, sub)), ErrUnavailable)
		require.ErrorIs(t, r.Receive(t.Context(), sub.User, shown(id, sub)), ErrUnavailable, "the first still waits")
		flaky.failing.Store(false)
		require.NoError(t, r.Receive(t.Context(), sub.User, shown(id, sub)))
		require.Len(t, r.fate(id).Receipts, 1)
		require.Len(t, r.receiptEvents(), 1)
	})
}

func TestReceive_PromisesNothingThatACrashTookWithIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, flaky := newFlakyRig(t)
		sub := r.subscribe("ann", "laptop")
		id := r.notify("ann")[0]
		r.settle()
		r.failOnce(func(e Event) bool { _, ok := e.(StoreFailed); return ok })
		flaky.failing.Store(true)
		answer := make(chan error)
		go func() { answer <- r.Receive(t.Context(), sub.User, shown(id, sub)) }()
		r.settle()
		flaky.failing.Store(false)
		require.ErrorIs(t, <-answer, ErrUnavailable)
		require.Empty(t, r.fate(id).Receipts)
		require.NoError(t, r.Receive(t.Context(), sub.User, shown(id, sub)), "and may be said again")
		require.Len(t, r.receiptEvents(), 1)
	})
}

func TestReceiptMemory_ForgetsWhatIsDurableAndOld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m receiptMemory
		require.True(t, m.enter(push.Receipt{Notification: push.ID{1}}, 1, 0))
		time.Sleep(2 * receiptAge)
		require.True(t, m.enter(push.Receipt{Notification: push.ID{2}}, 2, 0))
		require.False(t, m.enter(push.Receipt{Notification: push.ID{1}}, 3, 0), "it is not durable")
		require.True(t, m.enter(push.Receipt{Notification: push.ID{3}}, 3, 1))
		require.Len(t, m.known, 2)
		require.Len(t, m.recent, 2)
	})
}

// A device may be quicker than the record of the delivery.
func TestReceive_BeforeTheDeliveryIsRecorded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.subscribe("ann", "laptop")
		hold := make(chan struct{})
		r.service.script("laptop", answer{hold: hold})
		id := r.notify("ann")[0]
		r.settle()
		require.NoError(t, r.Receive(t.Context(), sub.User, shown(id, sub)))
		close(hold)
		r.settle()
		require.Equal(t, []string{"subscription.added", "delivery.shown", "delivery.delivered"}, told(r.feed()))
		require.Empty(t, r.feed()[1].Host)
	})
}

func TestReceive_OfWhatIsForgottenLeavesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.subscribe("ann", "laptop")
		id := r.notify("ann")[0]
		r.settle()
		require.NoError(t, r.Receive(t.Context(), sub.User, shown(id, sub)))
		_, err := r.Forget(t.Context(), sub.User)
		require.NoError(t, err)
		require.NoError(t, r.Receive(t.Context(), sub.User, shown(id, sub)))
		require.Empty(t, r.feed())
		_, err = r.store.GetNotification(t.Context(), push.DefaultApp, id)
		require.ErrorIs(t, err, store.ErrNotFound)
	})
}

func TestReceive_RefusesAtOnceWhileVeryMuchWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, flaky := newFlakyRig(t)
		sub := r.subscribe("ann", "laptop")
		id := r.notify("ann")[0]
		r.settle()
		flaky.failing.Store(true)
		for range maxWaiting + groupMax {
			r.send(r.journal, &record{user: sub.User, change: mismatched{}})
		}
		r.settle()
		began := time.Now()
		err := r.Receive(t.Context(), sub.User, shown(id, sub))
		require.ErrorIs(t, err, ErrUnavailable)
		require.ErrorIs(t, err, ErrOverloaded)
		require.Equal(t, began, time.Now())
		flaky.failing.Store(false)
		time.Sleep(2 * resumeLimit)
		require.NoError(t, r.Receive(t.Context(), sub.User, shown(id, sub)), "it was not taken for known")
		require.Len(t, r.fate(id).Receipts, 1)
	})
}
