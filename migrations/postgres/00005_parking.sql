-- +goose Up

-- The tables are changed in the order in which Store.Commit touches them.

ALTER TABLE notifications ADD COLUMN send_at timestamptz; -- NULL for at once

-- A pending row with due_at is parked: it waits in the store and nowhere else.
-- Refilling walks the primary key's index and passes parked rows over: due_at
-- rides along beside the shard.

ALTER TABLE pending DROP CONSTRAINT pending_pkey, ADD PRIMARY KEY (id) INCLUDE (shard, due_at);

-- What is due is found by its time. The index holds parked rows alone, so that
-- what is sent at once costs no entry, and every column that is asked for, so
-- that the table need not be visited.

CREATE INDEX pending_due ON pending (due_at, id) INCLUDE (shard, app, usr) WHERE due_at IS NOT NULL;

-- How a subscription rests: all NULL when it does not.

ALTER TABLE subscriptions
    ADD COLUMN rest_until        timestamptz,
    ADD COLUMN rest_notification uuid,
    ADD COLUMN rest_attempts     integer,
    ADD COLUMN rest_status       integer,
    ADD COLUMN rest_reason       text;

-- The epochs of the active processes. A process that lost the lock and has not
-- noticed yet finds that its own is over, and cannot commit.

CREATE SEQUENCE ownership_epoch;
