-- +goose Up
CREATE TABLE groups (
    tenant_id   uuid        NOT NULL,
    id          uuid        NOT NULL,
    name        text        NOT NULL,
    -- Lower-cased by the service: lower() would depend on the database's locale.
    name_key    text        NOT NULL,
    external_id text        NOT NULL DEFAULT '', -- what a directory calls it
    version     bigint      NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    CONSTRAINT groups_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT groups_name_key UNIQUE (tenant_id, name_key),
    CONSTRAINT groups_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
SELECT isolate_tenants('groups');

-- A membership that ends takes these rows along; the service deletes them before, to
-- announce it.
CREATE TABLE group_members (
    tenant_id uuid        NOT NULL,
    group_id  uuid        NOT NULL,
    member_id uuid        NOT NULL,
    added_at  timestamptz NOT NULL,
    CONSTRAINT group_members_pkey PRIMARY KEY (tenant_id, group_id, member_id),
    CONSTRAINT group_members_group_fkey FOREIGN KEY (tenant_id, group_id) REFERENCES groups ON DELETE CASCADE,
    CONSTRAINT group_members_member_fkey FOREIGN KEY (tenant_id, member_id) REFERENCES members ON DELETE CASCADE
);
CREATE INDEX group_members_of_member_idx ON group_members (tenant_id, member_id);
SELECT isolate_tenants('group_members');
