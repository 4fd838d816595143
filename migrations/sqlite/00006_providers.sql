-- +goose Up

ALTER TABLE notifications ADD COLUMN native BLOB; -- NULL for none; it comes back byte for byte

ALTER TABLE deliveries ADD COLUMN message_id TEXT NOT NULL DEFAULT '';

ALTER TABLE subscriptions ADD COLUMN topic        TEXT;    -- NULL unless APNs, like the next
ALTER TABLE subscriptions ADD COLUMN environment  INTEGER;
ALTER TABLE subscriptions ADD COLUMN project      TEXT;    -- NULL unless FCM
ALTER TABLE subscriptions ADD COLUMN key_mismatch INTEGER NOT NULL DEFAULT 0;

ALTER TABLE subscriptions ADD COLUMN registered_at INTEGER; -- NULL for created_at

ALTER TABLE apps ADD COLUMN push_hosts TEXT; -- NULL when there are none

CREATE TABLE credentials (
    app        TEXT    REFERENCES apps (name),
    name       TEXT,
    kind       INTEGER NOT NULL,
    settings   BLOB,                    -- NULL when there are none; they come back byte for byte
    secret     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (app, name)
) STRICT, WITHOUT ROWID;
