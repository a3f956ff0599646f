-- +goose Up
CREATE TABLE tenants (
    tenant_id       uuid        NOT NULL CONSTRAINT tenants_pkey PRIMARY KEY,
    kind            text        NOT NULL,
    name            text        NOT NULL,
    slug            text        NOT NULL CONSTRAINT tenants_slug_key UNIQUE,
    logo_url        text        NOT NULL DEFAULT '',
    locale          text        NOT NULL,
    time_zone       text        NOT NULL,
    owner_id        uuid        NOT NULL,
    require_mfa     boolean     NOT NULL DEFAULT false,
    email_domains   text[]      NOT NULL DEFAULT '{}',
    ip_ranges       text[]      NOT NULL DEFAULT '{}',
    session_minutes int         NOT NULL DEFAULT 0,
    suspended_at    timestamptz,
    delete_at       timestamptz, -- the end of a deletion's grace period
    version         bigint      NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
SELECT isolate_tenants('tenants');

CREATE TABLE members (
    tenant_id    uuid        NOT NULL,
    id           uuid        NOT NULL,
    user_id      uuid        NOT NULL,
    kind         text        NOT NULL,
    role         text        NOT NULL,
    custom_roles text[]      NOT NULL DEFAULT '{}',
    name         text        NOT NULL DEFAULT '',
    version      bigint      NOT NULL,
    joined_at    timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    CONSTRAINT members_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT members_user_key UNIQUE (tenant_id, user_id),
    CONSTRAINT members_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
-- A user lists his tenants.
CREATE INDEX members_of_user_idx ON members (user_id, tenant_id);
SELECT isolate_tenants('members');

-- What auth-service has said of users, by their personal tenants. One who was erased
-- keeps a row without an address, so that a late event does not bring him back.
CREATE TABLE accounts (
    tenant_id  uuid        NOT NULL,
    user_id    uuid        NOT NULL CONSTRAINT accounts_pkey PRIMARY KEY,
    email      text        NOT NULL DEFAULT '', -- in lower case
    verified   boolean     NOT NULL DEFAULT false,
    deleted_at timestamptz
);
SELECT isolate_tenants('accounts');
