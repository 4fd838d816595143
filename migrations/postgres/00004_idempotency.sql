-- +goose Up

-- What requests with an Idempotency-Key were answered. A key is looked up by its
-- primary key, and removed by its age.

CREATE TABLE idempotency_keys (
    app        text COLLATE "C",
    key        text COLLATE "C",
    request    bytea       NOT NULL,    -- SHA-256
    ids        bytea       NOT NULL,    -- 16 bytes each, in the order of the request
    created_at timestamptz NOT NULL,
    PRIMARY KEY (app, key)
);

CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
