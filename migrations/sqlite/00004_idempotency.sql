-- +goose Up

-- What requests with an Idempotency-Key were answered. A key is looked up by its
-- primary key, and removed by its age.

CREATE TABLE idempotency_keys (
    app        TEXT,
    key        TEXT,
    request    BLOB    NOT NULL,        -- SHA-256
    ids        BLOB    NOT NULL,        -- 16 bytes each, in the order of the request
    created_at INTEGER NOT NULL,
    PRIMARY KEY (app, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
