-- +goose Up

-- Webhooks of the local base store.
CREATE TABLE webhooks (
    tenant_id       uuid        NOT NULL,
    id              text        NOT NULL,
    base_id         text        NOT NULL,
    url             text        NOT NULL DEFAULT '', -- that is pinged; '': none
    specification   jsonb       NOT NULL,
    secret          bytea       NOT NULL, -- sealed
    created_at      timestamptz NOT NULL,
    created_by      uuid,
    expires_at      timestamptz NOT NULL,
    broken          boolean     NOT NULL DEFAULT false,
    last_payload    bigint      NOT NULL DEFAULT 0,
    pings_enabled   boolean     NOT NULL DEFAULT true,
    -- There is something to tell: from then on. The time is the pinger's, which is
    -- not the clock of the data; -infinity is at once.
    ping_due_at     timestamptz,
    ping_held_until timestamptz, -- by the pinger that is at it
    ping_failures   int         NOT NULL DEFAULT 0, -- since the last success
    ping_result     jsonb,
    pinged_at       timestamptz, -- with success
    CONSTRAINT webhooks_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT webhooks_base_fkey FOREIGN KEY (tenant_id, base_id) REFERENCES bases (tenant_id, id)
) WITH (fillfactor = 50);
CREATE INDEX webhooks_of_base ON webhooks (tenant_id, base_id);
CREATE INDEX webhooks_to_ping ON webhooks (tenant_id, ping_due_at) WHERE ping_due_at IS NOT NULL;

-- How many transactions wrote to a base while it had webhooks. The row is also the
-- lock that makes payloads of the base follow each other in the order in which
-- their transactions commit.
CREATE TABLE webhook_feeds (
    tenant_id        uuid   NOT NULL,
    base_id          text   NOT NULL,
    last_transaction bigint NOT NULL DEFAULT 0,
    CONSTRAINT webhook_feeds_pkey PRIMARY KEY (tenant_id, base_id)
) WITH (fillfactor = 50);

-- What each webhook is told, in the order of number, which has no gaps but those
-- that age leaves at its beginning.
CREATE TABLE webhook_payloads (
    tenant_id          uuid        NOT NULL,
    webhook_id         text        NOT NULL,
    number             bigint      NOT NULL,
    transaction_number bigint      NOT NULL,
    created_at         timestamptz NOT NULL,
    body               text        NOT NULL, -- JSON, but for time and number
    CONSTRAINT webhook_payloads_pkey PRIMARY KEY (tenant_id, webhook_id, number),
    CONSTRAINT webhook_payloads_webhook_fkey FOREIGN KEY (tenant_id, webhook_id)
        REFERENCES webhooks (tenant_id, id) ON DELETE CASCADE
);
