-- +goose Up
ALTER TABLE connections ADD COLUMN watch_changes boolean NOT NULL DEFAULT true;

-- The webhooks by which bases of Airtable accounts tell of changes. They go with their
-- connection.
CREATE TABLE watches (
    tenant_id     uuid        NOT NULL,
    connection_id uuid        NOT NULL,
    base_id       text        NOT NULL,
    id            uuid        NOT NULL, -- in the address that is pinged
    webhook_id    text        NOT NULL DEFAULT '', -- Airtable's; '' while there is none
    secret        bytea, -- sealed; the key of the pings' MAC
    cursor        bigint      NOT NULL DEFAULT 1, -- the next payload
    expires_at    timestamptz,
    refused       text        NOT NULL DEFAULT '', -- what Airtable said when it refused the webhook
    used_at       timestamptz NOT NULL, -- when the base was read last, to the hour
    check_at      timestamptz NOT NULL, -- when to look after the webhook next
    pinged        bigint      NOT NULL DEFAULT 0,
    handled       bigint      NOT NULL DEFAULT 0, -- of pinged
    pinged_at     timestamptz,
    asked_at      timestamptz, -- when the job that handles pings was asked for last
    CONSTRAINT watches_pkey PRIMARY KEY (tenant_id, connection_id, base_id),
    CONSTRAINT watches_id_key UNIQUE (tenant_id, id),
    CONSTRAINT watches_connection_fkey FOREIGN KEY (tenant_id, connection_id)
        REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);
-- Whoever looks after them goes through all tenants.
CREATE INDEX watches_due ON watches (check_at);
