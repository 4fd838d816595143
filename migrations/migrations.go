// Package migrations holds Belfry's database schema as numbered SQL steps, one
// folder for each kind of database. Both folders have the same files, and a
// test sees to it; the drivers in store run them with goose.
//
// Steps go forward only. A released step is never changed: what is wrong with
// it is mended by the next one.
//
//	00001_apps            apps, api_keys, vapid_keys
//	00002_subscriptions   subscriptions
//	00003_notifications   notifications, pending, deliveries
//	00004_idempotency     idempotency_keys
//	00005_parking         work that waits long, subscriptions that rest
//	00006_providers       credentials, and what only phones' apps have
//	00007_events          receipts, events, webhooks, token_revocations
//
// An app's name is its key everywhere. It never changes, and a number beside
// it would buy a join in every query.
//
//	              PostgreSQL      SQLite (STRICT)
//	id            uuid            BLOB, 16 bytes
//	digest, key   bytea           BLOB
//	time          timestamptz     INTEGER, milliseconds since 1970
//	list of text  text[]          TEXT, a JSON array
//
// The drivers keep times to the millisecond in both. A list or a key that is
// empty is NULL. Text that is a key has the collation of its bytes, so that
// both databases sort alike.
package migrations

import (
	"embed"
	"io/fs"
)

//go:embed postgres/*.sql
var postgres embed.FS

//go:embed sqlite/*.sql
var sqlite embed.FS

// Postgres gives the steps for PostgreSQL 13 and newer.
func Postgres() fs.FS { return sub(postgres, "postgres") }

// SQLite gives the steps for SQLite 3.37 and newer.
func SQLite() fs.FS { return sub(sqlite, "sqlite") }

func sub(files embed.FS, folder string) fs.FS {
	steps, err := fs.Sub(files, folder)
	if err != nil {
		panic(err) // only an invalid folder name, and both are above
	}
	return steps
}
