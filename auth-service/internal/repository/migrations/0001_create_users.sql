-- +goose Up
CREATE TABLE users (
    id                uuid        NOT NULL CONSTRAINT users_pkey PRIMARY KEY,
    tenant_id         uuid        NOT NULL,
    email             text        NOT NULL,
    -- Lower-cased by the service: lower() would depend on the database's locale.
    email_key         text        NOT NULL CONSTRAINT users_email_key UNIQUE,
    name              text        NOT NULL,
    password_hash     text        NOT NULL DEFAULT '',
    verified_at       timestamptz,
    totp_secret       bytea,
    totp_confirmed_at timestamptz,
    totp_step         bigint      NOT NULL DEFAULT 0,
    recovery          bytea[]     NOT NULL DEFAULT '{}',
    version           bigint      NOT NULL DEFAULT 1,
    created_at        timestamptz NOT NULL,
    CONSTRAINT users_tenant_key UNIQUE (tenant_id, id)
);

CREATE TABLE identities (
    provider   text        NOT NULL,
    subject    text        NOT NULL,
    tenant_id  uuid        NOT NULL,
    user_id    uuid        NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT identities_pkey PRIMARY KEY (provider, subject),
    CONSTRAINT identities_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX identities_user_idx ON identities (tenant_id, user_id);

-- Where a user has signed in from: these networks are let in while others guess.
CREATE TABLE networks (
    tenant_id uuid        NOT NULL,
    user_id   uuid        NOT NULL,
    network   text        NOT NULL,
    seen_at   timestamptz NOT NULL,
    CONSTRAINT networks_pkey PRIMARY KEY (tenant_id, user_id, network),
    CONSTRAINT networks_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
