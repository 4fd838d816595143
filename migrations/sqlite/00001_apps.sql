-- +goose Up

CREATE TABLE apps (
    name          TEXT PRIMARY KEY,
    origins       TEXT,                 -- NULL when there are none
    vapid_subject TEXT    NOT NULL,
    token_secret  BLOB    NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    id         TEXT PRIMARY KEY,
    app        TEXT    NOT NULL REFERENCES apps (name),
    name       TEXT    NOT NULL,
    hash       BLOB    NOT NULL UNIQUE,
    scopes     TEXT,                    -- NULL when there are none
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX api_keys_app ON api_keys (app);

CREATE TABLE vapid_keys (
    app        TEXT    REFERENCES apps (name),
    public     BLOB,
    private    BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (app, public)
) STRICT, WITHOUT ROWID;
