package postgres

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// known translates the errors that callers act upon. SQLSTATE 23503 is a
// foreign key violation: the app that a key is for does not exist.
func known(err error) error {
	var refusal *pgconn.PgError
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return store.ErrNotFound
	case !errors.As(err, &refusal):
		return err
	case refusal.Code == "23505": // unique violation
		return store.ErrExists
	case refusal.Code == "23503":
		return store.ErrNotFound
	case refusal.Code == "22012": // division by zero: see queueFence
		return errNotActive
	default:
		return err
	}
}

var errNotActive = errors.New("this is not the active process any more")

// affected makes a change that found no row ErrNotFound.
func affected(tag pgconn.CommandTag, err error) error {
	if err == nil && tag.RowsAffected() == 0 {
		return store.ErrNotFound
	}
	return err
}

// collect reads all rows; nil when there are none.
func collect[T any](rows pgx.Rows, err error, scan func(pgx.Row) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// orNull makes NULL of what is empty.
func orNull[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return s
}

// valueOrNull makes NULL of the zero value.
func valueOrNull[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// pointerOrNull makes NULL of the zero value, for the arrays of unnest.
func pointerOrNull[T comparable](v *T) *T {
	var zero T
	if *v == zero {
		return nil
	}
	return v
}

// millis cuts a time to the millisecond, downwards.
func millis(t time.Time) time.Time { return t.Truncate(time.Millisecond) }

func millisOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = millis(t)
	return &t
}

// nullable reads a time that may be NULL, which is the zero time.
func nullable(t *time.Time) pgtype.TimestamptzScanner { return nullableTime{t} }

type nullableTime struct{ into *time.Time }

func (n nullableTime) ScanTimestamptz(v pgtype.Timestamptz) error {
	*n.into = v.Time // zero when NULL
	return nil
}

// orZero reads a value that may be NULL, which is the zero value.
func orZero[T any](into *T) sql.Scanner {
	return scanner(func(v any) error {
		var read sql.Null[T]
		err := read.Scan(v)
		*into = read.V
		return err
	})
}

type scanner func(v any) error

func (s scanner) Scan(v any) error { return s(v) }

// fixed reads bytes of a length that is known: a digest, a hash.
func fixed(into []byte) pgtype.BytesScanner { return fixedBytes(into) }

type fixedBytes []byte

func (f fixedBytes) ScanBytes(v []byte) error {
	if len(v) != len(f) {
		return fmt.Errorf("%d bytes where %d should be", len(v), len(f))
	}
	copy(f, v)
	return nil
}

// uuids gives the ids in the form that the driver sends as uuid[]. It knows
// push.ID by its String method, and would send the text.
func uuids(ids []push.ID) [][16]byte {
	raw := make([][16]byte, len(ids))
	for i, id := range ids {
		raw[i] = id
	}
	return raw
}
