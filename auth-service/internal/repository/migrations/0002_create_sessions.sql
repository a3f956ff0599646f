-- +goose Up
CREATE TABLE sessions (
    id           uuid        NOT NULL CONSTRAINT sessions_pkey PRIMARY KEY,
    tenant_id    uuid        NOT NULL,
    user_id      uuid        NOT NULL,
    method       text        NOT NULL,
    user_agent   text        NOT NULL,
    ip           text        NOT NULL,
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    revoked_at   timestamptz,
    CONSTRAINT sessions_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX sessions_live_idx ON sessions (tenant_id, user_id, id DESC) WHERE revoked_at IS NULL;
CREATE INDEX sessions_expires_idx ON sessions (expires_at);

CREATE TABLE refresh_tokens (
    hash       bytea NOT NULL CONSTRAINT refresh_tokens_pkey PRIMARY KEY,
    session_id uuid  NOT NULL CONSTRAINT refresh_tokens_session_fkey REFERENCES sessions ON DELETE CASCADE,
    used_at    timestamptz,
    salt       bytea
);
CREATE INDEX refresh_tokens_session_idx ON refresh_tokens (session_id, used_at);

CREATE TABLE challenges (
    hash       bytea       NOT NULL CONSTRAINT challenges_pkey PRIMARY KEY,
    tenant_id  uuid        NOT NULL,
    user_id    uuid        NOT NULL,
    method     text        NOT NULL,
    failures   int         NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL,
    CONSTRAINT challenges_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX challenges_user_idx ON challenges (tenant_id, user_id);
CREATE INDEX challenges_expires_idx ON challenges (expires_at);

-- Announced on Redis by the announcer; it finds here what Redis has not heard,
-- or has forgotten.
CREATE TABLE revocations (
    kind         text        NOT NULL,
    id           text        NOT NULL,
    until        timestamptz NOT NULL,
    announced_at timestamptz,
    CONSTRAINT revocations_pkey PRIMARY KEY (kind, id)
);
CREATE INDEX revocations_pending_idx ON revocations (until) WHERE announced_at IS NULL;
CREATE INDEX revocations_until_idx ON revocations (until);
