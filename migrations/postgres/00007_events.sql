-- +goose Up

-- The tables are changed in the order in which Store.Commit touches them.
-- Neither a column that is NULL nor one with a constant default rewrites one.

ALTER TABLE notifications ADD COLUMN trace bytea; -- NULL for none

ALTER TABLE api_keys ADD COLUMN rate integer NOT NULL DEFAULT 0; -- a second; 0 for no limit of its own

-- What devices said. A receipt goes with its notification, and with its day: of
-- the days that there are, receipts get theirs too.

CREATE TABLE receipts (
    notification uuid,
    subscription bytea,
    type         smallint,
    at           timestamptz NOT NULL,
    PRIMARY KEY (notification, subscription, type)
) PARTITION BY RANGE (notification);

-- +goose StatementBegin
DO $$
DECLARE
    part record;
BEGIN
    FOR part IN SELECT replace(c.relname, 'deliveries', 'receipts') AS name, pg_get_expr(c.relpartbound, c.oid) AS bound
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'deliveries'::regclass
    LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF receipts %s', part.name, part.bound);
    END LOOP;
END
$$;
-- +goose StatementEnd

-- The apps' feeds, cut into days by the clock in the event's own id. Every final
-- delivery adds a row, so there is one index beside the primary key, and it has the
-- rows of failed attempts alone: what was delivered pays nothing for it.

CREATE TABLE events (
    app          text COLLATE "C",
    id           uuid,
    type         smallint    NOT NULL,
    at           timestamptz NOT NULL,
    usr          text COLLATE "C",      -- NULL when it concerns none, like the next two
    notification uuid,
    subscription bytea,
    detail       text        NOT NULL,  -- JSON
    PRIMARY KEY (app, id)
) PARTITION BY RANGE (id);

CREATE TABLE events_default PARTITION OF events DEFAULT;

CREATE INDEX events_attempts ON events (notification) WHERE type IN (20, 21); -- retrying, refused

CREATE TABLE webhooks (
    app        text COLLATE "C" REFERENCES apps (name),
    name       text COLLATE "C",
    url        text        NOT NULL,
    types      bytea,                   -- a byte each; NULL for all
    private    boolean     NOT NULL,
    secret     bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    after      uuid        NOT NULL,    -- an event's id, or all zero
    up_to      uuid        NOT NULL,    -- likewise
    ended      text        NOT NULL,    -- empty while it is called
    PRIMARY KEY (app, name)
);

-- A row outlives its user: what was revoked must not come back.

CREATE TABLE token_revocations (
    app   text COLLATE "C",
    usr   text COLLATE "C",
    up_to timestamptz NOT NULL,
    PRIMARY KEY (app, usr)
);
