-- +goose Up

ALTER TABLE notifications ADD COLUMN trace BLOB; -- NULL for none

ALTER TABLE api_keys ADD COLUMN rate INTEGER NOT NULL DEFAULT 0; -- a second; 0 for no limit of its own

-- What devices said. A receipt goes with its notification.

CREATE TABLE receipts (
    notification BLOB,
    subscription BLOB,
    type         INTEGER,
    at           INTEGER NOT NULL,
    PRIMARY KEY (notification, subscription, type)
) STRICT, WITHOUT ROWID;

-- The apps' feeds. Every final delivery adds a row, so there is one index beside
-- the table itself, and it has the rows of failed attempts alone: what was
-- delivered pays nothing for it.

CREATE TABLE events (
    app          TEXT,
    id           BLOB,
    type         INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    usr          TEXT,                  -- NULL when it concerns none, like the next two
    notification BLOB,
    subscription BLOB,
    detail       TEXT    NOT NULL,      -- JSON
    PRIMARY KEY (app, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX events_attempts ON events (notification) WHERE type IN (20, 21); -- retrying, refused

CREATE TABLE webhooks (
    app        TEXT    REFERENCES apps (name),
    name       TEXT,
    url        TEXT    NOT NULL,
    types      BLOB,                    -- a byte each; NULL for all
    private    INTEGER NOT NULL,
    secret     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    after      BLOB    NOT NULL,        -- an event's id, or 16 zero bytes
    up_to      BLOB    NOT NULL,        -- likewise
    ended      TEXT    NOT NULL,        -- empty while it is called
    PRIMARY KEY (app, name)
) STRICT, WITHOUT ROWID;

-- A row outlives its user: what was revoked must not come back.

CREATE TABLE token_revocations (
    app   TEXT,
    usr   TEXT,
    up_to INTEGER NOT NULL,
    PRIMARY KEY (app, usr)
) STRICT, WITHOUT ROWID;
