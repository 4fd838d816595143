package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// Commit makes one group of changes durable, all or nothing.
//
// The statements travel together and the answer comes when all are done: one
// round trip. PostgreSQL makes a pipeline with one sync at its end one
// transaction, which commits before it answers the sync; so no BEGIN, no COMMIT.
//
// Several Commits may run at once. Each touches notifications, pending,
// deliveries and subscriptions in this order and sorted by key. The shared lock
// keeps DeleteUser, which goes across all of them, out of the way.
func (s *Store) Commit(ctx context.Context, group store.Group) error {
	var batch pgx.Batch
	batch.Queue(`SELECT pg_advisory_xact_lock_shared($1)`, commitKey)
	if len(group.Accepted) > 0 {
		queueAccepted(&batch, group.Accepted)
	}
	queueKeys(&batch, group.Keys)
	if len(group.Deliveries) > 0 {
		queueDeliveries(&batch, group.Deliveries)
	}
	if len(group.Gone) > 0 {
		queueGone(&batch, group.Gone)
	}
	if len(group.Finished) > 0 {
		queueFinished(&batch, group.Finished)
	}
	if err := s.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("commit %d notifications, %d deliveries, %d gone, %d finished: %w",
			len(group.Accepted), len(group.Deliveries), len(group.Gone), len(group.Finished), known(err))
	}
	return nil
}

func queueAccepted(batch *pgx.Batch, accepted []push.Notification) {
	n := len(accepted)
	var (
		ids      = make([][16]byte, n)
		apps     = make([]string, n)
		users    = make([]string, n)
		shards   = make([]int16, n)
		contents = make([][]byte, n)
		urgency  = make([]int16, n)
		collapse = make([]string, n)
		accepts  = make([]time.Time, n)
		expires  = make([]time.Time, n)
	)
	for i, a := range accepted {
		ids[i], apps[i], users[i], shards[i] = a.ID, a.User.App, a.User.ID, int16(a.User.Shard())
		contents[i], urgency[i], collapse[i] = a.Content, int16(a.Urgency), a.CollapseKey
		accepts[i], expires[i] = millis(a.AcceptedAt), millis(a.ExpiresAt)
	}
	batch.Queue(`INSERT INTO notifications (`+notificationColumns+`)
		SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::smallint[], $6::text[], $7::timestamptz[], $8::timestamptz[]) AS n (id)
		ORDER BY id`, ids, apps, users, contents, urgency, collapse, accepts, expires)
	batch.Queue(`INSERT INTO pending (id, app, usr, shard)
		SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::smallint[]) AS p (id)
		ORDER BY id`, ids, apps, users, shards)
}

func queueDeliveries(batch *pgx.Batch, deliveries []push.Delivery) {
	n := len(deliveries)
	var (
		notifications = make([][16]byte, n)
		subscriptions = make([][]byte, n)
		kinds         = make([]int16, n)
		hosts         = make([]string, n)
		states        = make([]int16, n)
		attempts      = make([]int32, n)
		statuses      = make([]int32, n)
		reasons       = make([]string, n)
		done          = make([]time.Time, n)
	)
	for i, d := range deliveries {
		notifications[i], subscriptions[i], kinds[i], hosts[i] = d.Notification, deliveries[i].Subscription[:], int16(d.Kind), d.Host
		states[i], attempts[i], statuses[i] = int16(d.State), int32(d.Attempts), int32(d.Status)
		reasons[i], done[i] = d.Reason, millis(d.DoneAt)
	}
	batch.Queue(`INSERT INTO deliveries (`+deliveryColumns+`)
		SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::smallint[], $4::text[], $5::smallint[], $6::integer[], $7::integer[], $8::text[], $9::timestamptz[]) AS d (notification, subscription)
		WHERE (SELECT true FROM pending p WHERE p.id = d.notification)
		ORDER BY notification, subscription
		ON CONFLICT DO NOTHING`, notifications, subscriptions, kinds, hosts, states, attempts, statuses, reasons, done)
}

func queueGone(batch *pgx.Batch, gone []store.UserSubscription) {
	n := len(gone)
	apps, users, digests := make([]string, n), make([]string, n), make([][]byte, n)
	for i, g := range gone {
		apps[i], users[i], digests[i] = g.User.App, g.User.ID, gone[i].Digest[:]
	}
	batch.Queue(`WITH gone AS (
			SELECT app, digest FROM subscriptions
			WHERE (app, digest, usr) IN (SELECT * FROM unnest($1::text[], $2::bytea[], $3::text[]))
			ORDER BY app, digest FOR UPDATE)
		DELETE FROM subscriptions s USING gone WHERE s.app = gone.app AND s.digest = gone.digest`, apps, digests, users)
}

// queueFinished takes no locks in order first, as queueGone does: one user's
// actor finishes a notification, so two Commits never want the same rows, and
// it would cost a sixth of the throughput.
func queueFinished(batch *pgx.Batch, finished []push.ID) {
	batch.Queue(`DELETE FROM pending WHERE id = ANY ($1::uuid[])`, uuids(finished))
}
