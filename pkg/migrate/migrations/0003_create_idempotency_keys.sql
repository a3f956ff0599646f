-- +goose Up
-- The answers to requests that came with an Idempotency-Key.
CREATE TABLE idempotency_keys (
    -- The nil uuid stands for no tenant: a primary key holds no NULL.
    tenant_id    uuid        NOT NULL,
    principal    text        NOT NULL,
    op           text        NOT NULL,
    key          text        NOT NULL,
    fingerprint  bytea       NOT NULL,
    -- Who holds the key while the request runs; NULL once it is answered.
    holder       uuid,
    locked_until timestamptz,
    status       integer,
    headers      jsonb,
    body         bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (tenant_id, principal, op, key),
    CONSTRAINT idempotency_keys_state_check CHECK ((holder IS NULL) = (status IS NOT NULL))
);
CREATE INDEX idempotency_keys_created_idx ON idempotency_keys (created_at);
