-- +goose Up

-- There is no table of users: a user exists by having rows. There is no foreign
-- key to apps either: apps are never removed, so it could only cost.

CREATE TABLE subscriptions (
    app        text COLLATE "C",
    digest     bytea,
    usr        text COLLATE "C" NOT NULL,
    kind       smallint    NOT NULL,
    endpoint   text        NOT NULL,
    p256dh     bytea,                   -- NULL unless Web Push, like the next two
    auth       bytea,
    vapid_key  bytea,
    created_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL,
    expires_at timestamptz,             -- NULL when the browser does not say
    PRIMARY KEY (app, digest)
);

CREATE INDEX subscriptions_user ON subscriptions (app, usr);
