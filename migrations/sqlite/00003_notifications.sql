-- +goose Up

-- The hot path: every notification inserts into notifications and pending, every
-- final delivery into deliveries, and the last one deletes the pending row.
-- Nothing is updated, and nothing here has a foreign key.

CREATE TABLE notifications (
    id           BLOB PRIMARY KEY,
    app          TEXT    NOT NULL,
    usr          TEXT    NOT NULL,
    content      BLOB    NOT NULL,
    urgency      INTEGER NOT NULL,
    collapse_key TEXT    NOT NULL,
    accepted_at  INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- There is no index by user. Only Store.DeleteUser would use it, while every
-- insert would dirty a page of its own all over it: with 800,000 rows it cut the
-- rate of commits to 12,000 a second from 33,000. DeleteUser reads the table
-- instead, a second for a million rows, while commits go on.

-- pending is the queue. In quiet times it is nearly empty, after a long outage of
-- a push service it may hold millions of rows. Refilling walks it by id and keeps
-- the rows of some shards: the table is its own index and its rows are short. One
-- user's rows are found by the index.

CREATE TABLE pending (
    id     BLOB PRIMARY KEY,
    app    TEXT    NOT NULL,
    usr    TEXT    NOT NULL,
    shard  INTEGER NOT NULL,
    due_at INTEGER                      -- NULL unless parked: see 00005
) STRICT, WITHOUT ROWID;

CREATE INDEX pending_user ON pending (app, usr, id);

CREATE TABLE deliveries (
    notification BLOB,
    subscription BLOB,                  -- the digest, 32 zero bytes for none
    kind         INTEGER NOT NULL,
    host         TEXT    NOT NULL,
    state        INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    status       INTEGER NOT NULL,
    reason       TEXT    NOT NULL,
    done_at      INTEGER NOT NULL,
    PRIMARY KEY (notification, subscription)
) STRICT, WITHOUT ROWID;
