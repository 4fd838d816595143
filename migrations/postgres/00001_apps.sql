-- +goose Up

CREATE TABLE apps (
    name          text COLLATE "C" PRIMARY KEY,
    origins       text[],               -- NULL when there are none
    vapid_subject text        NOT NULL,
    token_secret  bytea       NOT NULL,
    created_at    timestamptz NOT NULL
);

CREATE TABLE api_keys (
    id         text COLLATE "C" PRIMARY KEY,
    app        text COLLATE "C" NOT NULL REFERENCES apps (name),
    name       text        NOT NULL,
    hash       bytea       NOT NULL UNIQUE,
    scopes     text[],                  -- NULL when there are none
    created_at timestamptz NOT NULL
);

CREATE INDEX api_keys_app ON api_keys (app);

CREATE TABLE vapid_keys (
    app        text COLLATE "C" REFERENCES apps (name),
    public     bytea,
    private    bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (app, public)
);
