package storetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

var receiptFacts = []fact{
	{"IsReadWithItsNotificationByTheTimeItCame", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		n, other := samples.Notification(ann), samples.Notification(ann)
		browser, phone := samples.Browser(ann), samples.Phone(ann)
		shown, elsewhere := samples.Receipt(push.ReceiptShown, n, browser), samples.Receipt(push.ReceiptShown, n, phone)
		clicked, closed := samples.Receipt(push.ReceiptClicked, n, browser), samples.Receipt(push.ReceiptClosed, n, phone)
		commit(t, s, accepted(n, other))
		commit(t, s, store.Group{Receipts: []push.Receipt{closed, clicked, elsewhere, shown}})
		require.Equal(t, []push.Receipt{shown, elsewhere, clicked, closed}, getNotification(t, s, n).Receipts)
		require.Nil(t, getNotification(t, s, other).Receipts)
	}},
	{"IsWrittenWithItsNotificationInOneGroup", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		n, sub := samples.Notification(ann), samples.Browser(ann)
		receipt := samples.Receipt(push.ReceiptShown, n, sub)
		commit(t, s, store.Group{Accepted: []push.Notification{n}, Finished: []push.ID{n.ID}, Receipts: []push.Receipt{receipt}})
		require.Equal(t, []push.Receipt{receipt}, getNotification(t, s, n).Receipts)
	}},
	{"CountsTheFirstTimeAlone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		n, sub := samples.Notification(ann), samples.Browser(ann)
		commit(t, s, accepted(n))
		first, second := samples.Receipt(push.ReceiptShown, n, sub), samples.Receipt(push.ReceiptShown, n, sub)
		third := samples.Receipt(push.ReceiptClicked, n, sub)
		commit(t, s, store.Group{Receipts: []push.Receipt{first, second}})
		commit(t, s, store.Group{Receipts: []push.Receipt{second, third, second}})
		require.Equal(t, []push.Receipt{first, third}, getNotification(t, s, n).Receipts)
	}},
	{"OfANotificationThatIsNotKeptIsPassedOver", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		kept, gone, sub := samples.Notification(ann), samples.Notification(ann), samples.Browser(ann)
		early, late := gone, samples.Notification(ann)
		early.ID = IDAt(Start.AddDate(0, 0, -40))
		commit(t, s, accepted(kept))
		wanted := samples.Receipt(push.ReceiptShown, kept, sub)
		commit(t, s, store.Group{Receipts: []push.Receipt{
			samples.Receipt(push.ReceiptShown, gone, sub), samples.Receipt(push.ReceiptShown, early, sub),
			wanted, samples.Receipt(push.ReceiptShown, late, sub),
		}})
		require.Equal(t, []push.Receipt{wanted}, getNotification(t, s, kept).Receipts, "the others of its group are written")
		requireNoTrace(t, s, []push.Notification{gone, early, late})
	}},
	{"HasItsTimeToTheMillisecondInUTC", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		n := samples.Notification(ann)
		receipt := samples.Receipt(push.ReceiptShown, n, samples.Browser(ann))
		receipt.At = time.Date(2026, 7, 1, 12, 0, 0, 123_999_999, time.FixedZone("elsewhere", 5*3600))
		commit(t, s, store.Group{Accepted: []push.Notification{n}, Receipts: []push.Receipt{receipt}})
		require.Equal(t, time.Date(2026, 7, 1, 7, 0, 0, 123_000_000, time.UTC), getNotification(t, s, n).Receipts[0].At)
	}},
	{"ManyOfTheSameDoNotBlockEachOther", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		n := samples.Notification(ann)
		commit(t, s, accepted(n))
		var receipts []push.Receipt
		for range 30 {
			receipts = append(receipts, samples.Receipt(push.ReceiptShown, n, samples.Phone(ann)))
		}
		var all errgroup.Group
		for _, some := range [][]push.Receipt{receipts, reversed(receipts), receipts[10:], reversed(receipts[:20])} {
			all.Go(func() error { return s.Commit(t.Context(), store.Group{Receipts: some}) })
		}
		require.NoError(t, all.Wait())
		require.Equal(t, receipts, getNotification(t, s, n).Receipts)
	}},
}
