-- +goose Up
CREATE TABLE workspaces (
    tenant_id   uuid        NOT NULL,
    id          uuid        NOT NULL,
    name        text        NOT NULL,
    description text        NOT NULL DEFAULT '',
    position    bigint      NOT NULL, -- among the tenant's
    created_by  uuid        NOT NULL,
    archived_at timestamptz,
    trashed_at  timestamptz,
    version     bigint      NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    CONSTRAINT workspaces_pkey PRIMARY KEY (tenant_id, id)
);
CREATE INDEX workspaces_order_idx ON workspaces (tenant_id, position, id);
SELECT isolate_tenants('workspaces');

CREATE TABLE projects (
    tenant_id    uuid        NOT NULL,
    id           uuid        NOT NULL,
    workspace_id uuid        NOT NULL,
    name         text        NOT NULL,
    description  text        NOT NULL DEFAULT '',
    position     bigint      NOT NULL, -- in the workspace
    created_by   uuid        NOT NULL,
    archived_at  timestamptz,
    trashed_at   timestamptz,
    version      bigint      NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    CONSTRAINT projects_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT projects_workspace_fkey FOREIGN KEY (tenant_id, workspace_id) REFERENCES workspaces
);
CREATE INDEX projects_order_idx ON projects (tenant_id, workspace_id, position, id);
SELECT isolate_tenants('projects');

-- A base that was unlinked keeps its row, with what was said of it and its version.
CREATE TABLE bases (
    tenant_id     uuid        NOT NULL,
    id            text        NOT NULL, -- app…
    connection_id uuid        NOT NULL,
    workspace_id  uuid,
    project_id    uuid,
    name          text        NOT NULL,
    description   text        NOT NULL DEFAULT '',
    tags          text[]      NOT NULL DEFAULT '{}',
    owner_id      uuid        NOT NULL,
    linked_by     uuid        NOT NULL,
    position      bigint      NOT NULL, -- in the workspace
    archived_at   timestamptz,
    trashed_at    timestamptz,
    version       bigint      NOT NULL,
    created_at    timestamptz NOT NULL, -- when it was linked last
    updated_at    timestamptz NOT NULL,
    CONSTRAINT bases_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT bases_workspace_fkey FOREIGN KEY (tenant_id, workspace_id) REFERENCES workspaces (tenant_id, id),
    CONSTRAINT bases_project_fkey FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id)
);
CREATE INDEX bases_order_idx ON bases (tenant_id, workspace_id, position, id);
CREATE INDEX bases_project_idx ON bases (tenant_id, project_id) WHERE project_id IS NOT NULL;
SELECT isolate_tenants('bases');

CREATE TABLE field_notes (
    tenant_id  uuid        NOT NULL,
    base_id    text        NOT NULL,
    table_id   text        NOT NULL,
    field_id   text        NOT NULL,
    text       text        NOT NULL,
    updated_by uuid        NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT field_notes_pkey PRIMARY KEY (tenant_id, base_id, table_id, field_id),
    CONSTRAINT field_notes_base_fkey FOREIGN KEY (tenant_id, base_id) REFERENCES bases ON DELETE CASCADE
);
SELECT isolate_tenants('field_notes');

CREATE TABLE favourites (
    tenant_id uuid        NOT NULL,
    user_id   uuid        NOT NULL,
    kind      text        NOT NULL,
    object_id text        NOT NULL,
    marked_at timestamptz NOT NULL,
    CONSTRAINT favourites_pkey PRIMARY KEY (tenant_id, user_id, kind, object_id)
);
CREATE INDEX favourites_object_idx ON favourites (tenant_id, kind, object_id);
SELECT isolate_tenants('favourites');

-- Tenants that were deleted, so that nothing that comes late makes anything of theirs.
CREATE TABLE erased_tenants (
    tenant_id uuid        NOT NULL CONSTRAINT erased_tenants_pkey PRIMARY KEY,
    erased_at timestamptz NOT NULL
);
SELECT isolate_tenants('erased_tenants');
