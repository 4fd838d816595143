package postgres

import (
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry/push"
)

const receiptColumns = `notification, subscription, type, at`

func queueReceipts(batch *pgx.Batch, receipts []push.Receipt) {
	n := len(receipts)
	var (
		notifications = make([]push.ID, n)
		subscriptions = make([][]byte, n)
		types         = make([]int16, n)
		at            = make([]time.Time, n)
	)
	for i, r := range receipts {
		notifications[i], subscriptions[i], types[i], at[i] = r.Notification, receipts[i].Subscription[:], int16(r.Type), millis(r.At)
	}
	first, last := bounds(notifications)
	batch.Queue(`INSERT INTO receipts (`+receiptColumns+`)
		SELECT notification, subscription, type, at
		FROM unnest($1::uuid[], $2::bytea[], $3::smallint[], $4::timestamptz[])
			WITH ORDINALITY AS r (notification, subscription, type, at, place)
		WHERE (SELECT true FROM notifications n WHERE n.id = r.notification AND n.id BETWEEN $5 AND $6)
		ORDER BY notification, subscription, type, place
		ON CONFLICT DO NOTHING`, uuids(notifications), subscriptions, types, at, first, last)
}

// bounds gives the first and the last of the IDs that are not zero. A statement
// that looks for one notification after the other is told them, so that it opens
// the partitions of these days alone.
func bounds(ids []push.ID) (first, last [16]byte) {
	for _, id := range ids {
		if id.IsZero() {
			continue
		}
		if first == [16]byte{} || id.Compare(first) < 0 {
			first = id
		}
		if id.Compare(last) > 0 {
			last = id
		}
	}
	return first, last
}

func scanReceipt(row pgx.Row) (push.Receipt, error) {
	var r push.Receipt
	err := row.Scan((*[16]byte)(&r.Notification), fixed(r.Subscription[:]), &r.Type, &r.At)
	return r, err
}
