-- +goose Up
CREATE TABLE scim_tokens (
    tenant_id    uuid        NOT NULL,
    id           uuid        NOT NULL,
    name         text        NOT NULL,
    token_hash   bytea       NOT NULL,
    created_by   uuid        NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    last_used_at timestamptz,
    version      bigint      NOT NULL,
    CONSTRAINT scim_tokens_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT scim_tokens_hash_key UNIQUE (tenant_id, token_hash),
    CONSTRAINT scim_tokens_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
SELECT isolate_tenants('scim_tokens');

-- What a directory says of members. Those of whom none has said anything have no row.
CREATE TABLE scim_users (
    tenant_id   uuid        NOT NULL,
    member_id   uuid        NOT NULL,
    user_name   text        NOT NULL,
    -- Lower-cased by the service, as is the address.
    name_key    text        NOT NULL,
    email_key   text        NOT NULL,
    external_id text        NOT NULL DEFAULT '',
    attributes  jsonb       NOT NULL, -- the rest of the resource
    version     bigint      NOT NULL,
    updated_at  timestamptz NOT NULL,
    CONSTRAINT scim_users_pkey PRIMARY KEY (tenant_id, member_id),
    CONSTRAINT scim_users_name_key UNIQUE (tenant_id, name_key),
    CONSTRAINT scim_users_member_fkey FOREIGN KEY (tenant_id, member_id) REFERENCES members ON DELETE CASCADE
);
CREATE INDEX scim_users_external_idx ON scim_users (tenant_id, external_id) WHERE external_id <> '';
SELECT isolate_tenants('scim_users');
