-- +goose Up
CREATE TABLE personal_tokens (
    id           uuid        NOT NULL CONSTRAINT personal_tokens_pkey PRIMARY KEY,
    tenant_id    uuid        NOT NULL,
    user_id      uuid        NOT NULL,
    name         text        NOT NULL,
    prefix       text        NOT NULL CONSTRAINT personal_tokens_prefix_key UNIQUE,
    hash         bytea       NOT NULL,
    scopes       text[]      NOT NULL,
    bases        text[]      NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    CONSTRAINT personal_tokens_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX personal_tokens_live_idx ON personal_tokens (tenant_id, user_id, id DESC) WHERE revoked_at IS NULL;

CREATE TABLE mails (
    id         uuid        NOT NULL CONSTRAINT mails_pkey PRIMARY KEY,
    tenant_id  uuid        NOT NULL,
    user_id    uuid        NOT NULL,
    kind       text        NOT NULL,
    recipient  text        NOT NULL,
    subject    text        NOT NULL,
    content    bytea       NOT NULL, -- sealed: text and token
    created_at timestamptz NOT NULL,
    sent_at    timestamptz,
    CONSTRAINT mails_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX mails_user_idx ON mails (tenant_id, user_id, kind, created_at);
CREATE INDEX mails_created_idx ON mails (created_at);

CREATE TABLE mail_tokens (
    hash       bytea       NOT NULL CONSTRAINT mail_tokens_pkey PRIMARY KEY,
    tenant_id  uuid        NOT NULL,
    user_id    uuid        NOT NULL,
    kind       text        NOT NULL,
    email      text        NOT NULL, -- what the token proves to read
    expires_at timestamptz NOT NULL,
    CONSTRAINT mail_tokens_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX mail_tokens_user_idx ON mail_tokens (tenant_id, user_id, kind);
CREATE INDEX mail_tokens_expires_idx ON mail_tokens (expires_at);
