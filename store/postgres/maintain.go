package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

const (
	// daysAhead is how many days after today have their partitions made.
	daysAhead = 3

	// lockTimeout bounds how long making or dropping a partition waits for
	// queries under way, since new ones wait behind it.
	lockTimeout = 2 * time.Second
)

// Maintain makes the partitions of today and the next days, drops those of past
// days that are old and have no pending work, and removes what else is old row by
// row, at most limit. What a dropped day held counts as removed, beyond the limit.
//
// Events go by days alone: there are more of them than of all else, and removing
// their rows would cost as much as adding them. So they stay until their day is
// old, up to a day longer than they must.
func (s *Store) Maintain(ctx context.Context, now time.Time, before store.Before, limit int) (removed int, err error) {
	if err := s.makeDays(ctx, now); err != nil {
		return 0, fmt.Errorf("make partitions: %w", err)
	}
	if removed, err = s.dropDays(ctx, now, before); err != nil {
		return removed, fmt.Errorf("drop partitions: %w", err)
	}
	if err := s.deleteKeys(ctx, now.Add(-store.IdempotencyAge), limit); err != nil {
		return removed, fmt.Errorf("remove old idempotency keys: %w", err)
	}
	notifications, err := s.deleteOld(ctx, before.Notifications, limit)
	if err != nil {
		return removed, fmt.Errorf("remove old notifications: %w", err)
	}
	events, err := s.deleteOldEvents(ctx, before.Events, limit)
	if err != nil {
		return removed + notifications, fmt.Errorf("remove old events: %w", err)
	}
	return removed + notifications + events, nil
}

// partitioned are the tables that are cut into days, in the order in which all
// transactions touch them, and the columns by whose clock they are cut.
var partitioned = []struct{ table, key string }{
	{"notifications", "id"},
	{"deliveries", "notification"},
	{"receipts", "notification"},
	{"events", "id"},
}

func (s *Store) makeDays(ctx context.Context, now time.Time) error {
	existing, err := s.listPartitions(ctx)
	if err != nil {
		return err
	}
	for ahead := range daysAhead + 1 {
		d := dayOf(now).add(ahead)
		for _, p := range partitioned {
			if slices.Contains(existing, d.partition(p.table)) {
				continue
			}
			if err := s.makePartition(ctx, p.table, p.key, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// makePartition skips a day of which the default partition holds rows already:
// PostgreSQL refuses it, and they are removed row by row when they are old.
func (s *Store) makePartition(ctx context.Context, table, key string, d day) error {
	var taken bool
	err := s.pool.QueryRow(ctx, fmt.Sprintf(`SELECT EXISTS (SELECT FROM %s_default WHERE %s >= $1 AND %[2]s < $2)`, table, key),
		[16]byte(d.first()), [16]byte(d.add(1).first())).Scan(&taken)
	if err != nil || taken {
		return err
	}
	err = s.changePartitions(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s PARTITION OF %s FOR VALUES FROM ('%s') TO ('%s')`,
			d.partition(table), table, d.first(), d.add(1).first()))
		return err
	})
	var refusal *pgconn.PgError
	if errors.As(err, &refusal) && refusal.Code == "23514" { // check violation: a row came in between
		return nil
	}
	return err
}

func (s *Store) dropDays(ctx context.Context, now time.Time, before store.Before) (removed int, err error) {
	existing, err := s.listPartitions(ctx)
	if err != nil {
		return 0, err
	}
	for _, d := range daysBefore(dayOf(before.Notifications), existing, "notifications", "deliveries", "receipts") {
		dropped, err := s.dropDay(ctx, d, existing)
		if err != nil {
			return removed, err
		}
		removed += dropped
	}
	lastDay := min(dayOf(before.Events), dayOf(now)) // who keeps no events calls those to come old
	for _, d := range daysBefore(lastDay, existing, "events") {
		dropped, err := s.dropEvents(ctx, d, existing)
		if err != nil {
			return removed, err
		}
		removed += dropped
	}
	return removed, nil
}

// dropDay drops a day's partitions, unless work of that day is pending. It
// counts the rows first, without a lock: no notification is added to a past day.
//
// It waits for Commits under way and holds later ones back until it is done, as
// DeleteUser does. A Commit writes deliveries and looks at notifications
// thereafter, for its events: with one of the two locked, each could wait for the
// other.
func (s *Store) dropDay(ctx context.Context, d day, existing []string) (removed int, err error) {
	if pending, err := hasPending(ctx, s.pool, d); err != nil || pending {
		return 0, err
	}
	if removed, err = s.countDay(ctx, d.partition("notifications"), existing); err != nil {
		return 0, err
	}
	var pending bool
	err = s.changePartitions(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, commitKey); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `LOCK TABLE ONLY notifications, ONLY deliveries IN ACCESS EXCLUSIVE MODE`); err != nil {
			return err
		}
		if pending, err = hasPending(ctx, tx, d); err != nil || pending {
			return err
		}
		_, err := tx.Exec(ctx, fmt.Sprintf(`DROP TABLE IF EXISTS %s, %s`, d.partition("notifications"), d.partition("deliveries")))
		return err
	})
	if err != nil || pending {
		return 0, err
	}
	return removed, s.dropPartition(ctx, d.partition("receipts"))
}

// dropEvents drops a day of events, whether or not the work that they tell of is done.
func (s *Store) dropEvents(ctx context.Context, d day, existing []string) (removed int, err error) {
	if removed, err = s.countDay(ctx, d.partition("events"), existing); err != nil {
		return 0, err
	}
	return removed, s.dropPartition(ctx, d.partition("events"))
}

// dropPartition is for the tables whose rows a Commit writes with a look at
// notifications: dropped with those, in one transaction, each could wait for the
// other.
func (s *Store) dropPartition(ctx context.Context, partition string) error {
	return s.changePartitions(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `DROP TABLE IF EXISTS `+partition)
		return err
	})
}

func (s *Store) countDay(ctx context.Context, partition string, existing []string) (n int, err error) {
	if slices.Contains(existing, partition) {
		err = s.pool.QueryRow(ctx, `SELECT count(*) FROM `+partition).Scan(&n)
	}
	return n, err
}

func hasPending(ctx context.Context, q querier, d day) (pending bool, err error) {
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pending WHERE id >= $1 AND id < $2)`,
		[16]byte(d.first()), [16]byte(d.add(1).first())).Scan(&pending)
	return pending, err
}

func (s *Store) changePartitions(ctx context.Context, change func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf(`SET LOCAL lock_timeout = %d`, lockTimeout.Milliseconds())); err != nil {
			return err
		}
		return change(tx)
	})
}

func (s *Store) listPartitions(ctx context.Context) ([]string, error) {
	var tables []string
	for _, p := range partitioned {
		tables = append(tables, p.table)
	}
	rows, err := s.pool.Query(ctx, `SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = ANY ($1::text[]::regclass[]) ORDER BY c.relname`, tables)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func (s *Store) deleteOld(ctx context.Context, before time.Time, limit int) (removed int, err error) {
	tag, err := s.pool.Exec(ctx, `WITH old AS MATERIALIZED (
			SELECT id FROM notifications n
			WHERE id < $1 AND NOT EXISTS (SELECT FROM pending p WHERE p.id = n.id)
			ORDER BY id LIMIT $2),
		done AS (DELETE FROM deliveries WHERE notification < $1 AND notification IN (SELECT id FROM old)),
		said AS (DELETE FROM receipts WHERE notification < $1 AND notification IN (SELECT id FROM old))
		DELETE FROM notifications WHERE id < $1 AND id IN (SELECT id FROM old)`, [16]byte(firstID(before)), limit)
	return int(tag.RowsAffected()), err
}

// day counts days of UTC since 1970.
type day int64

const dayLength = 24 * time.Hour

func dayOf(t time.Time) day { return day(t.UnixMilli() / dayLength.Milliseconds()) }

func (d day) add(days int) day { return d + day(days) }

func (d day) start() time.Time { return time.UnixMilli(int64(d) * dayLength.Milliseconds()).UTC() }

// first is the smallest ID of the day.
func (d day) first() push.ID { return firstID(d.start()) }

const dayLayout = "20060102"

func (d day) partition(table string) string { return table + "_" + d.start().Format(dayLayout) }

// daysBefore gives the earlier days of which there are partitions of these tables,
// the oldest first.
func daysBefore(later day, partitions []string, tables ...string) []day {
	var days []day
	for _, name := range partitions {
		table, suffix, _ := strings.Cut(name, "_")
		start, err := time.Parse(dayLayout, suffix) // the default partition has no date
		if err == nil && slices.Contains(tables, table) && dayOf(start) < later {
			days = append(days, dayOf(start))
		}
	}
	slices.Sort(days)
	return slices.Compact(days)
}

// firstID is the smallest ID of the millisecond of t, or of 1970 if t is earlier.
func firstID(t time.Time) (id push.ID) {
	millis := max(t.UnixMilli(), 0)
	for i := range 6 {
		id[i] = byte(millis >> (40 - 8*i))
	}
	return id
}
