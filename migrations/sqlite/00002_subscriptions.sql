-- +goose Up

-- There is no table of users: a user exists by having rows. There is no foreign
-- key to apps either: apps are never removed, so it could only cost.

CREATE TABLE subscriptions (
    app        TEXT,
    digest     BLOB,
    usr        TEXT    NOT NULL,
    kind       INTEGER NOT NULL,
    endpoint   TEXT    NOT NULL,
    p256dh     BLOB,                    -- NULL unless Web Push, like the next two
    auth       BLOB,
    vapid_key  BLOB,
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,
    expires_at INTEGER,                 -- NULL when the browser does not say
    PRIMARY KEY (app, digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX subscriptions_user ON subscriptions (app, usr);
