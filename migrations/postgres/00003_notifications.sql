-- +goose Up

-- The hot path: every notification inserts into notifications and pending, every
-- final delivery into deliveries, and the last one deletes the pending row.
-- Nothing is updated, and nothing here has a foreign key.

-- notifications and deliveries are cut into days by the clock in the id, a UUID
-- version 7, so that retention drops a table instead of deleting its rows.
-- Store.Maintain makes the days ahead of time. The default partition takes what
-- falls outside of them, so that an insert never fails for want of a day.

CREATE TABLE notifications (
    id           uuid PRIMARY KEY,
    app          text COLLATE "C" NOT NULL,
    usr          text COLLATE "C" NOT NULL,
    content      bytea       NOT NULL,  -- never jsonb: it comes back byte for byte
    urgency      smallint    NOT NULL,
    collapse_key text        NOT NULL,
    accepted_at  timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL
) PARTITION BY RANGE (id);

CREATE TABLE notifications_default PARTITION OF notifications DEFAULT;

-- Only Store.DeleteUser uses this index. It costs a tenth of the log and, measured
-- with half a million rows, up to a fifth of the rate of commits; without it,
-- forgetting one user would read all that is kept, which here may be a hundred
-- million rows. SQLite, where it costs far more, decides otherwise.

CREATE INDEX notifications_user ON notifications (app, usr);

-- pending is the queue. In quiet times it is nearly empty, after a long outage of
-- a push service it may hold millions of rows. Refilling walks it by id and keeps
-- the rows of some shards: the shard rides along in the primary key's index, so
-- that the walk need not visit the table for the others. One user's rows are
-- found by the second index.

CREATE TABLE pending (
    id     uuid,
    app    text COLLATE "C" NOT NULL,
    usr    text COLLATE "C" NOT NULL,
    shard  smallint NOT NULL,
    due_at timestamptz,                 -- NULL unless parked: see 00005
    PRIMARY KEY (id) INCLUDE (shard)
);

CREATE INDEX pending_user ON pending (app, usr, id);

CREATE TABLE deliveries (
    notification uuid,
    subscription bytea,                 -- the digest, 32 zero bytes for none
    kind         smallint    NOT NULL,
    host         text        NOT NULL,
    state        smallint    NOT NULL,
    attempts     integer     NOT NULL,
    status       integer     NOT NULL,
    reason       text        NOT NULL,
    done_at      timestamptz NOT NULL,
    PRIMARY KEY (notification, subscription)
) PARTITION BY RANGE (notification);

CREATE TABLE deliveries_default PARTITION OF deliveries DEFAULT;
