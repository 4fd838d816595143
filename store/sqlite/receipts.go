package sqlite

import "github.com/belfryhq/belfry/push"

const receiptColumns = `notification, subscription, type, at`

func scanReceipt(row row) (push.Receipt, error) {
	var r push.Receipt
	err := row.Scan(fixed(r.Notification[:]), fixed(r.Subscription[:]), &r.Type, intoTime(&r.At))
	return r, err
}
