-- +goose Up

-- The tables are changed in the order in which Store.Commit touches them.
-- Neither a column that is NULL nor one with a constant default rewrites one.

ALTER TABLE notifications ADD COLUMN native bytea; -- NULL for none; never jsonb: it comes back byte for byte

ALTER TABLE deliveries ADD COLUMN message_id text NOT NULL DEFAULT '';

ALTER TABLE subscriptions
    ADD COLUMN topic        text,       -- NULL unless APNs, like the next
    ADD COLUMN environment  smallint,
    ADD COLUMN project      text,       -- NULL unless FCM
    ADD COLUMN key_mismatch boolean NOT NULL DEFAULT false,
    ADD COLUMN registered_at timestamptz; -- NULL for created_at

ALTER TABLE apps ADD COLUMN push_hosts text[]; -- NULL when there are none

CREATE TABLE credentials (
    app        text COLLATE "C" REFERENCES apps (name),
    name       text COLLATE "C",
    kind       smallint    NOT NULL,
    settings   bytea,                   -- NULL when there are none; they come back byte for byte
    secret     bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (app, name)
);
