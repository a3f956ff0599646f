-- +goose Up
CREATE TABLE invitations (
    tenant_id   uuid        NOT NULL,
    id          uuid        NOT NULL,
    email       text        NOT NULL, -- in lower case
    role        text        NOT NULL,
    token_hash  bytea       NOT NULL CONSTRAINT invitations_token_key UNIQUE,
    invited_by  uuid        NOT NULL,
    expires_at  timestamptz NOT NULL,
    version     bigint      NOT NULL,
    created_at  timestamptz NOT NULL,
    CONSTRAINT invitations_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT invitations_email_key UNIQUE (tenant_id, email),
    CONSTRAINT invitations_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
SELECT isolate_tenants('invitations');

-- Until they are sent; the dev inbox keeps them.
CREATE TABLE mails (
    tenant_id  uuid        NOT NULL,
    id         uuid        NOT NULL,
    content    bytea       NOT NULL, -- sealed
    created_at timestamptz NOT NULL,
    sent_at    timestamptz,
    CONSTRAINT mails_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT mails_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
SELECT isolate_tenants('mails');
