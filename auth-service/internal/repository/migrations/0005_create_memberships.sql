-- +goose Up
-- Copies of what tenant-service says, kept by version. A membership that is over, and a
-- tenant that is gone, keep their rows, so that a late event does not bring them back.
CREATE TABLE memberships (
    tenant_id  uuid        NOT NULL,
    member_id  uuid        NOT NULL,
    user_id    uuid        NOT NULL,
    role       text        NOT NULL,
    version    bigint      NOT NULL,
    removed_at timestamptz,
    CONSTRAINT memberships_pkey PRIMARY KEY (tenant_id, member_id)
);
-- A user lists his tenants.
CREATE INDEX memberships_of_user_idx ON memberships (user_id, tenant_id);
SELECT isolate_tenants('memberships');

CREATE TABLE tenants (
    tenant_id       uuid    NOT NULL CONSTRAINT tenants_pkey PRIMARY KEY,
    kind            text    NOT NULL,
    name            text    NOT NULL,
    slug            text    NOT NULL,
    status          text    NOT NULL,
    require_mfa     boolean NOT NULL,
    ip_ranges       text[]  NOT NULL,
    session_minutes int     NOT NULL,
    version         bigint  NOT NULL
);
SELECT isolate_tenants('tenants');

-- tenant_id is that of the user's account; the session or token may be for another one.
ALTER TABLE sessions ADD COLUMN in_tenant_id uuid, ADD COLUMN mfa_at timestamptz;
CREATE INDEX sessions_in_tenant_idx ON sessions (in_tenant_id, user_id) WHERE revoked_at IS NULL AND in_tenant_id IS NOT NULL;
ALTER TABLE personal_tokens ADD COLUMN in_tenant_id uuid;
CREATE INDEX personal_tokens_in_tenant_idx ON personal_tokens (coalesce(in_tenant_id, tenant_id), user_id, id DESC) WHERE revoked_at IS NULL;
