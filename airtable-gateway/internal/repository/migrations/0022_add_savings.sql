-- +goose Up
ALTER TABLE usage_minutes
    DROP CONSTRAINT usage_minutes_cause_check,
    ADD CONSTRAINT usage_minutes_cause_check CHECK (cause IN ('read', 'write', 'retry', 'refresh'));
ALTER TABLE usage_days
    DROP CONSTRAINT usage_days_cause_check,
    ADD CONSTRAINT usage_days_cause_check CHECK (cause IN ('read', 'write', 'retry', 'refresh'));

-- Calls that did not have to be made.
CREATE TABLE saved_minutes (
    tenant_id     uuid        NOT NULL,
    minute        timestamptz NOT NULL,
    connection_id uuid        NOT NULL,
    base_id       text        NOT NULL, -- '' for calls that would have been for no base
    user_id       uuid        NOT NULL,
    saver         text        NOT NULL,
    calls         bigint      NOT NULL,
    announced     bigint      NOT NULL DEFAULT 0, -- of calls, in events
    CONSTRAINT saved_minutes_pkey PRIMARY KEY (tenant_id, minute, connection_id, base_id, user_id, saver),
    CONSTRAINT saved_minutes_saver_check CHECK (saver IN ('cache', 'coalescing'))
);
-- The announcer goes through all tenants.
CREATE INDEX saved_minutes_unannounced ON saved_minutes (minute) WHERE calls > announced;
CREATE INDEX saved_minutes_old ON saved_minutes (minute);

CREATE TABLE saved_days (
    tenant_id     uuid   NOT NULL,
    day           date   NOT NULL, -- UTC
    connection_id uuid   NOT NULL,
    base_id       text   NOT NULL,
    user_id       uuid   NOT NULL,
    saver         text   NOT NULL,
    calls         bigint NOT NULL,
    CONSTRAINT saved_days_pkey PRIMARY KEY (tenant_id, day, connection_id, base_id, user_id, saver),
    CONSTRAINT saved_days_saver_check CHECK (saver IN ('cache', 'coalescing'))
);
