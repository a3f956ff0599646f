-- +goose Up
-- A link that was revoked has no row.
CREATE TABLE share_links (
    tenant_id      uuid        NOT NULL,
    id             uuid        NOT NULL,
    kind           text        NOT NULL, -- workspace, base
    object_id      text        NOT NULL,
    role           text        NOT NULL,
    secret_hash    bytea       NOT NULL,
    secret         bytea       NOT NULL, -- sealed
    password_hash  bytea,
    expires_at     timestamptz,
    created_by     uuid        NOT NULL,
    maker_role     text        NOT NULL, -- in the tenant, as his token told it
    failures       int         NOT NULL DEFAULT 0, -- wrong passwords since the last right one
    blocked_until  timestamptz,
    opened         bigint      NOT NULL DEFAULT 0,
    last_opened_at timestamptz,
    version        bigint      NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    CONSTRAINT share_links_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT share_links_secret_key UNIQUE (tenant_id, secret_hash)
);
CREATE INDEX share_links_object_idx ON share_links (tenant_id, kind, object_id, id);
CREATE INDEX share_links_maker_idx ON share_links (tenant_id, created_by);
SELECT isolate_tenants('share_links');
