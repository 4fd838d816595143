package sqlite

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/belfryhq/belfry/store"
)

// known translates the errors that callers act upon. A foreign key fails when
// the app that a key is for does not exist.
func known(err error) error {
	var refusal *sqlite.Error
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return store.ErrNotFound
	case !errors.As(err, &refusal):
		return err
	case refusal.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, refusal.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE:
		return store.ErrExists
	case refusal.Code() == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return store.ErrNotFound
	default:
		return err
	}
}

// affected makes a change that found no row ErrNotFound.
func affected(result sql.Result, err error) error {
	if n, err := count(result, err); err != nil || n > 0 {
		return err
	}
	return store.ErrNotFound
}

// count is how many rows a statement changed.
func count(result sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// row is one row of an answer.
type row interface{ Scan(into ...any) error }

// collect reads all rows; nil when there are none.
func collect[T any](rows *sql.Rows, err error, scan func(row) (T, error)) ([]T, error) {
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
func orNull(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// valueOrNull makes NULL of the zero value.
func valueOrNull[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// list writes a list of texts as JSON; NULL when it is empty.
func list(texts []string) any {
	if len(texts) == 0 {
		return nil
	}
	encoded, err := json.Marshal(texts)
	if err != nil {
		panic(err) // strings always encode
	}
	return string(encoded)
}

// intoList reads what list wrote.
func intoList(into *[]string) sql.Scanner {
	return scanner(func(v any) error {
		if v == nil {
			*into = nil
			return nil
		}
		text, ok := v.(string)
		if !ok {
			return fmt.Errorf("%T where a list should be", v)
		}
		return json.Unmarshal([]byte(text), into)
	})
}

// millis writes a time: milliseconds since 1970, cut downwards.
func millis(t time.Time) int64 { return t.UnixMilli() }

func millisOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return millis(t)
}

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// intoTime reads a time that may be NULL, which is the zero time.
func intoTime(into *time.Time) sql.Scanner {
	return scanner(func(v any) error {
		switch ms := v.(type) {
		case nil:
			*into = time.Time{}
		case int64:
			*into = fromMillis(ms)
		default:
			return fmt.Errorf("%T where a time should be", v)
		}
		return nil
	})
}

// fixed reads bytes of a length that is known: an id, a digest, a hash.
func fixed(into []byte) sql.Scanner {
	return scanner(func(v any) error {
		b, ok := v.([]byte)
		if !ok || len(b) != len(into) {
			return fmt.Errorf("%T of %d bytes where %d should be", v, len(b), len(into))
		}
		copy(into, b)
		return nil
	})
}

// nullable leaves what is NULL as it is.
func nullable(into sql.Scanner) sql.Scanner {
	return scanner(func(v any) error {
		if v == nil {
			return nil
		}
		return into.Scan(v)
	})
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
