-- +goose Up

-- The engine's tuples are in the schema openfga, which has migrations of its own. They
-- are derived from the tables here: version is raised by each change, and applied follows
-- when the tuples of all stale keys have been derived again.
CREATE TABLE tenants (
    tenant_id  uuid        NOT NULL,
    version    bigint      NOT NULL DEFAULT 0,
    applied    bigint      NOT NULL DEFAULT 0,
    deleted_at timestamptz,
    CONSTRAINT tenants_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT tenants_applied_check CHECK (applied <= version)
);
CREATE INDEX tenants_behind ON tenants (tenant_id) WHERE applied < version;
SELECT isolate_tenants('tenants');

-- Subject '' stands for the object's place; object '' for the whole tenant.
CREATE TABLE stale (
    tenant_id uuid NOT NULL,
    object    text NOT NULL,
    subject   text NOT NULL,
    CONSTRAINT stale_pkey PRIMARY KEY (tenant_id, object, subject)
);
SELECT isolate_tenants('stale');

CREATE TABLE roles (
    tenant_id   uuid        NOT NULL,
    id          uuid        NOT NULL,
    name        text        NOT NULL,
    description text        NOT NULL,
    actions     text[]      NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    CONSTRAINT roles_pkey PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX roles_name_key ON roles (tenant_id, lower(name));
SELECT isolate_tenants('roles');

CREATE TABLE grants (
    tenant_id  uuid        NOT NULL,
    id         uuid        NOT NULL,
    subject    text        NOT NULL,
    object     text        NOT NULL,
    role       text        NOT NULL,
    deny       boolean     NOT NULL,
    expires_at timestamptz,
    ip_ranges  text[]      NOT NULL,
    granted_by text        NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT grants_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT grants_key UNIQUE (tenant_id, object, subject, role, deny)
);
CREATE INDEX grants_of_subject ON grants (tenant_id, subject);
CREATE INDEX grants_of_role ON grants (tenant_id, role);
CREATE INDEX grants_ending ON grants (tenant_id, expires_at) WHERE expires_at IS NOT NULL;
SELECT isolate_tenants('grants');

-- Copies of what tenant-service says. Removed members and deleted groups stay, so that an
-- older event that comes late is known to be older.
CREATE TABLE members (
    tenant_id    uuid    NOT NULL,
    member_id    text    NOT NULL,
    user_id      text    NOT NULL,
    role         text    NOT NULL,
    custom_roles text[]  NOT NULL,
    version      bigint  NOT NULL,
    removed      boolean NOT NULL,
    CONSTRAINT members_pkey PRIMARY KEY (tenant_id, member_id)
);
CREATE INDEX members_of_user ON members (tenant_id, user_id);
SELECT isolate_tenants('members');

CREATE TABLE groups (
    tenant_id uuid    NOT NULL,
    group_id  text    NOT NULL,
    version   bigint  NOT NULL,
    deleted   boolean NOT NULL,
    CONSTRAINT groups_pkey PRIMARY KEY (tenant_id, group_id)
);
SELECT isolate_tenants('groups');

-- version is that of the last event that names the user: events tell differences.
CREATE TABLE group_members (
    tenant_id uuid    NOT NULL,
    group_id  text    NOT NULL,
    user_id   text    NOT NULL,
    version   bigint  NOT NULL,
    present   boolean NOT NULL,
    CONSTRAINT group_members_pkey PRIMARY KEY (tenant_id, group_id, user_id)
);
CREATE INDEX group_members_of_user ON group_members (tenant_id, user_id) WHERE present;
SELECT isolate_tenants('group_members');

-- Where objects lie. What is gone stays for the same reason.
CREATE TABLE places (
    tenant_id uuid    NOT NULL,
    object    text    NOT NULL,
    parent    text    NOT NULL,
    version   bigint  NOT NULL,
    gone      boolean NOT NULL,
    CONSTRAINT places_pkey PRIMARY KEY (tenant_id, object)
);
CREATE INDEX places_of_parent ON places (tenant_id, parent);
SELECT isolate_tenants('places');

CREATE TABLE policies (
    tenant_id  uuid        NOT NULL,
    id         uuid        NOT NULL,
    name       text        NOT NULL,
    subjects   text[]      NOT NULL,
    base_id    text        NOT NULL,
    table_id   text        NOT NULL,
    hidden     text[]      NOT NULL,
    read_only  text[]      NOT NULL,
    row_rule   text        NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT policies_pkey PRIMARY KEY (tenant_id, id)
);
CREATE INDEX policies_of_base ON policies (tenant_id, base_id);
SELECT isolate_tenants('policies');

CREATE TABLE changes (
    tenant_id uuid        NOT NULL,
    version   bigint      NOT NULL,
    at        timestamptz NOT NULL,
    object    text        NOT NULL,
    change    jsonb       NOT NULL,
    CONSTRAINT changes_pkey PRIMARY KEY (tenant_id, version)
);
CREATE INDEX changes_of_object ON changes (tenant_id, object, version);
SELECT isolate_tenants('changes');
