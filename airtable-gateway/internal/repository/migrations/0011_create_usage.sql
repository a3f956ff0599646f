-- +goose Up

-- Calls that were made to Airtable. Connections may be gone: what they spent stays.
-- A call on nobody's behalf (the list of an account's bases) has the zero user.
CREATE TABLE usage_minutes (
    tenant_id     uuid        NOT NULL,
    minute        timestamptz NOT NULL,
    connection_id uuid        NOT NULL,
    base_id       text        NOT NULL, -- '' for calls that are for no base
    user_id       uuid        NOT NULL,
    cause         text        NOT NULL,
    calls         bigint      NOT NULL,
    announced     bigint      NOT NULL DEFAULT 0, -- of calls, in events
    CONSTRAINT usage_minutes_pkey PRIMARY KEY (tenant_id, minute, connection_id, base_id, user_id, cause),
    CONSTRAINT usage_minutes_cause_check CHECK (cause IN ('read', 'write', 'retry'))
);
-- The announcer goes through all tenants.
CREATE INDEX usage_minutes_unannounced ON usage_minutes (minute) WHERE calls > announced;
CREATE INDEX usage_minutes_old ON usage_minutes (minute);

CREATE TABLE usage_days (
    tenant_id     uuid   NOT NULL,
    day           date   NOT NULL, -- UTC, as Airtable's months are
    connection_id uuid   NOT NULL,
    base_id       text   NOT NULL,
    user_id       uuid   NOT NULL,
    cause         text   NOT NULL,
    calls         bigint NOT NULL,
    CONSTRAINT usage_days_pkey PRIMARY KEY (tenant_id, day, connection_id, base_id, user_id, cause),
    CONSTRAINT usage_days_cause_check CHECK (cause IN ('read', 'write', 'retry'))
);

-- What a connection's Airtable plan allows in a calendar month.
CREATE TABLE connection_quotas (
    tenant_id     uuid   NOT NULL,
    connection_id uuid   NOT NULL,
    monthly_calls bigint NOT NULL,
    CONSTRAINT connection_quotas_pkey PRIMARY KEY (tenant_id, connection_id),
    CONSTRAINT connection_quotas_calls_check CHECK (monthly_calls > 0),
    CONSTRAINT connection_quotas_connection_fkey FOREIGN KEY (tenant_id, connection_id)
        REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);
