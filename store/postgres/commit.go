package postgres

import (
	"context"
	"fmt"
	"slices"
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
// deliveries and subscriptions in this order and sorted by key, then the pending
// rows that it parks or removes, and last receipts, events and webhooks. The
// shared lock keeps DeleteUser, which goes across all of them, out of the way, and
// a new owner until this is done.
func (s *Store) Commit(ctx context.Context, group store.Group) error {
	var batch pgx.Batch
	batch.Queue(`SELECT pg_advisory_xact_lock_shared($1)`, commitKey)
	s.queueFence(&batch)
	if len(group.Accepted) > 0 {
		queueAccepted(&batch, group.Accepted)
	}
	queueKeys(&batch, group.Keys)
	if len(group.Deliveries) > 0 {
		queueDeliveries(&batch, group.Deliveries)
	}
	if len(group.Gone)+len(group.Rests)+len(group.Seen)+len(group.Mismatched) > 0 {
		queueSubscriptions(&batch, group)
	}
	if len(group.Parked) > 0 {
		queueParked(&batch, group.Parked)
	}
	if len(group.Finished) > 0 {
		queueFinished(&batch, group.Finished)
	}
	if len(group.Receipts) > 0 {
		queueReceipts(&batch, group.Receipts)
	}
	if len(group.Events) > 0 {
		queueEvents(&batch, group.Events)
	}
	if len(group.Webhooks) > 0 {
		queueProgress(&batch, group.Webhooks)
	}
	if err := s.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("commit %d notifications, %d deliveries, %d gone, %d rests, %d seen, %d mismatched, %d parked, %d finished, %d receipts, %d events, %d webhooks: %w",
			len(group.Accepted), len(group.Deliveries), len(group.Gone), len(group.Rests), len(group.Seen),
			len(group.Mismatched), len(group.Parked), len(group.Finished), len(group.Receipts), len(group.Events), len(group.Webhooks), known(err))
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
		natives  = make([][]byte, n)
		urgency  = make([]int16, n)
		collapse = make([]string, n)
		accepts  = make([]time.Time, n)
		sends    = make([]*time.Time, n)
		expires  = make([]time.Time, n)
		traces   = make([][]byte, n)
	)
	for i, a := range accepted {
		ids[i], apps[i], users[i], shards[i] = a.ID, a.User.App, a.User.ID, int16(a.User.Shard())
		contents[i], natives[i], urgency[i], collapse[i] = a.Content, orNull(a.Native), int16(a.Urgency), a.CollapseKey
		accepts[i], sends[i], expires[i] = millis(a.AcceptedAt), millisOrNull(a.SendAt), millis(a.ExpiresAt)
		traces[i] = orNull(a.Trace)
	}
	batch.Queue(`INSERT INTO notifications (`+notificationColumns+`)
		SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::smallint[], $7::text[], $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::bytea[]) AS n (id)
		ORDER BY id`, ids, apps, users, contents, natives, urgency, collapse, accepts, sends, expires, traces)
	batch.Queue(`INSERT INTO pending (id, app, usr, shard, due_at)
		SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::timestamptz[]) AS p (id)
		ORDER BY id`, ids, apps, users, shards, sends)
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
		messages      = make([]string, n)
		done          = make([]time.Time, n)
	)
	for i, d := range deliveries {
		notifications[i], subscriptions[i], kinds[i], hosts[i] = d.Notification, deliveries[i].Subscription[:], int16(d.Kind), d.Host
		states[i], attempts[i], statuses[i] = int16(d.State), int32(d.Attempts), int32(d.Status)
		reasons[i], messages[i], done[i] = d.Reason, d.MessageID, millis(d.DoneAt)
	}
	batch.Queue(`INSERT INTO deliveries (`+deliveryColumns+`)
		SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::smallint[], $4::text[], $5::smallint[], $6::integer[], $7::integer[], $8::text[], $9::text[], $10::timestamptz[]) AS d (notification, subscription)
		WHERE (SELECT true FROM pending p WHERE p.id = d.notification)
		ORDER BY notification, subscription
		ON CONFLICT DO NOTHING`, notifications, subscriptions, kinds, hosts, states, attempts, statuses, reasons, messages, done)
}

// queueSubscriptions locks all that it will change first, in the order of their
// keys: four changes one after the other would each begin anew.
func queueSubscriptions(batch *pgx.Batch, group store.Group) {
	changed := slices.Clone(group.Mismatched)
	for _, g := range group.Gone {
		changed = append(changed, g.UserSubscription)
	}
	for _, r := range group.Rests {
		changed = append(changed, r.UserSubscription)
	}
	for _, s := range group.Seen {
		changed = append(changed, s.UserSubscription)
	}
	apps, digests, _ := subscriptionKeys(changed)
	batch.Queue(`SELECT FROM subscriptions
		WHERE (app, digest) IN (SELECT * FROM unnest($1::text[], $2::bytea[]))
		ORDER BY app, digest FOR UPDATE`, apps, digests)
	if len(group.Gone) > 0 {
		queueGone(batch, group.Gone)
	}
	if len(group.Rests) > 0 {
		queueRests(batch, group.Rests)
	}
	if len(group.Seen) > 0 {
		queueSeen(batch, group.Seen)
	}
	if len(group.Mismatched) > 0 {
		queueMismatched(batch, group.Mismatched)
	}
}

func queueGone(batch *pgx.Batch, gone []store.SubscriptionGone) {
	n := len(gone)
	keys, registered := make([]store.UserSubscription, n), make([]time.Time, n)
	for i, g := range gone {
		keys[i], registered[i] = g.UserSubscription, millis(g.RegisteredAt)
	}
	apps, digests, users := subscriptionKeys(keys)
	batch.Queue(`DELETE FROM subscriptions s
		USING unnest($1::text[], $2::bytea[], $3::text[], $4::timestamptz[]) AS g (app, digest, usr, registered_at)
		WHERE s.app = g.app AND s.digest = g.digest AND s.usr = g.usr AND coalesce(s.registered_at, s.created_at) <= g.registered_at`,
		apps, digests, users, registered)
}

// queueRests keeps, by DISTINCT ON, the last of several for one subscription: an
// UPDATE would take any of them.
func queueRests(batch *pgx.Batch, rests []store.SubscriptionRest) {
	n := len(rests)
	var (
		keys          = make([]store.UserSubscription, n)
		until         = make([]*time.Time, n)
		notifications = make([]*[16]byte, n)
		attempts      = make([]*int32, n)
		statuses      = make([]*int32, n)
		reasons       = make([]*string, n)
	)
	for i, r := range rests {
		keys[i] = r.UserSubscription
		c := restOrNull(r.Rest)
		until[i], notifications[i], attempts[i], statuses[i], reasons[i] = c.until, c.notification, c.attempts, c.status, c.reason
	}
	apps, digests, users := subscriptionKeys(keys)
	batch.Queue(`UPDATE subscriptions s
		SET (`+restColumns+`) = (r.until, r.notification, r.attempts, r.status, r.reason)
		FROM (SELECT DISTINCT ON (app, digest, usr) *
			FROM unnest($1::text[], $2::bytea[], $3::text[], $4::timestamptz[], $5::uuid[], $6::integer[], $7::integer[], $8::text[])
				WITH ORDINALITY AS r (app, digest, usr, until, notification, attempts, status, reason, place)
			ORDER BY app, digest, usr, place DESC) AS r
		WHERE s.app = r.app AND s.digest = r.digest AND s.usr = r.usr`,
		apps, digests, users, until, notifications, attempts, statuses, reasons)
}

func queueSeen(batch *pgx.Batch, seen []store.SubscriptionSeen) {
	n := len(seen)
	keys, at := make([]store.UserSubscription, n), make([]time.Time, n)
	for i, s := range seen {
		keys[i], at[i] = s.UserSubscription, millis(s.At)
	}
	apps, digests, users := subscriptionKeys(keys)
	batch.Queue(`UPDATE subscriptions s SET seen_at = r.at
		FROM (SELECT DISTINCT ON (app, digest, usr) *
			FROM unnest($1::text[], $2::bytea[], $3::text[], $4::timestamptz[]) WITH ORDINALITY AS r (app, digest, usr, at, place)
			ORDER BY app, digest, usr, place DESC) AS r
		WHERE s.app = r.app AND s.digest = r.digest AND s.usr = r.usr`, apps, digests, users, at)
}

func queueMismatched(batch *pgx.Batch, mismatched []store.UserSubscription) {
	apps, digests, users := subscriptionKeys(mismatched)
	batch.Queue(`UPDATE subscriptions SET key_mismatch = true
		WHERE (app, digest, usr) IN (SELECT * FROM unnest($1::text[], $2::bytea[], $3::text[]))`, apps, digests, users)
}

func subscriptionKeys(subs []store.UserSubscription) (apps []string, digests [][]byte, users []string) {
	n := len(subs)
	apps, digests, users = make([]string, n), make([][]byte, n), make([]string, n)
	for i, s := range subs {
		apps[i], digests[i], users[i] = s.User.App, subs[i].Digest[:], s.User.ID
	}
	return apps, digests, users
}

func queueParked(batch *pgx.Batch, parked []store.Parking) {
	n := len(parked)
	ids, until := make([][16]byte, n), make([]time.Time, n)
	for i, p := range parked {
		ids[i], until[i] = p.Notification, millis(p.Until)
	}
	batch.Queue(`WITH parked AS (
			SELECT p.id, r.until FROM pending p JOIN (
				SELECT DISTINCT ON (id) * FROM unnest($1::uuid[], $2::timestamptz[]) WITH ORDINALITY AS r (id, until, place)
				ORDER BY id, place DESC) AS r ON r.id = p.id
			ORDER BY p.id FOR UPDATE OF p)
		UPDATE pending p SET due_at = parked.until FROM parked WHERE p.id = parked.id`, ids, until)
}

// queueFinished takes no locks in order first, as queueParked does: one user's
// actor finishes a notification, so two Commits never want the same rows, and
// it would cost a sixth of the throughput.
func queueFinished(batch *pgx.Batch, finished []push.ID) {
	batch.Queue(`DELETE FROM pending WHERE id = ANY ($1::uuid[])`, uuids(finished))
}
