-- +goose Up

ALTER TABLE notifications ADD COLUMN send_at INTEGER; -- NULL for at once

-- A pending row with due_at is parked: it waits in the store and nowhere else.
-- What is due is found by its time. The index holds parked rows alone, so that
-- what is sent at once costs no entry, and every column that is asked for, so
-- that the table need not be visited.

CREATE INDEX pending_due ON pending (due_at, id, shard, app, usr) WHERE due_at IS NOT NULL;

-- How a subscription rests: all NULL when it does not.

ALTER TABLE subscriptions ADD COLUMN rest_until        INTEGER;
ALTER TABLE subscriptions ADD COLUMN rest_notification BLOB;
ALTER TABLE subscriptions ADD COLUMN rest_attempts     INTEGER;
ALTER TABLE subscriptions ADD COLUMN rest_status       INTEGER;
ALTER TABLE subscriptions ADD COLUMN rest_reason       TEXT;
