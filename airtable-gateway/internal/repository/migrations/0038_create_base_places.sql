-- +goose Up

-- What workspace-service tells of bases, as far as it says whether one is in the trash:
-- itself, or what it is in.
CREATE TABLE base_places (
    tenant_id    uuid    NOT NULL,
    base_id      text    NOT NULL,
    workspace_id uuid,
    project_id   uuid,
    trashed      boolean NOT NULL,
    version      bigint  NOT NULL,
    CONSTRAINT base_places_pkey PRIMARY KEY (tenant_id, base_id)
);
SELECT isolate_tenants('base_places');

-- Workspaces and projects.
CREATE TABLE shelves (
    tenant_id uuid    NOT NULL,
    id        uuid    NOT NULL,
    trashed   boolean NOT NULL,
    version   bigint  NOT NULL,
    CONSTRAINT shelves_pkey PRIMARY KEY (tenant_id, id)
);
SELECT isolate_tenants('shelves');

-- The bases that answer nobody.
CREATE VIEW withheld_bases WITH (security_invoker = true) AS
    SELECT p.tenant_id, p.base_id FROM base_places p
    WHERE p.trashed OR EXISTS (
        SELECT FROM shelves s WHERE s.tenant_id = p.tenant_id AND s.id IN (p.workspace_id, p.project_id) AND s.trashed);

-- Tenants that were deleted, so that nothing that comes late makes anything of theirs.
CREATE TABLE erased_tenants (
    tenant_id uuid        NOT NULL CONSTRAINT erased_tenants_pkey PRIMARY KEY,
    erased_at timestamptz NOT NULL
);
SELECT isolate_tenants('erased_tenants');
