-- +goose Up

-- Templates that a tenant's members publish from bases. What a template holds is a snapshot
-- at airtable-gateway that is in no list of snapshots: content_id is the edition that is
-- used, next_id the one that is being published.
CREATE TABLE templates (
    tenant_id    uuid        NOT NULL,
    id           uuid        NOT NULL,
    base_id      text        NOT NULL,
    name         text        NOT NULL,
    description  text        NOT NULL DEFAULT '',
    category     text        NOT NULL DEFAULT '',
    tags         text[]      NOT NULL DEFAULT '{}',
    icon         text        NOT NULL DEFAULT '',
    skip_records boolean     NOT NULL,
    edition      bigint      NOT NULL DEFAULT 0,
    content_id   uuid,
    next_id      uuid,
    error_code   text        NOT NULL DEFAULT '',
    error_text   text        NOT NULL DEFAULT '',
    records      bigint      NOT NULL DEFAULT 0,
    tables       jsonb       NOT NULL DEFAULT '[]',
    published_at timestamptz,
    created_by   uuid        NOT NULL,
    version      bigint      NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    CONSTRAINT templates_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT templates_edition_check CHECK ((edition = 0) = (content_id IS NULL))
);
SELECT isolate_tenants('templates');

-- The template that a base is made of: an id, or the name of one that comes with the product.
ALTER TABLE restores ADD COLUMN template_id text NOT NULL DEFAULT '';
CREATE INDEX restores_running_idx ON restores (tenant_id, snapshot_id) WHERE status = 'running';
