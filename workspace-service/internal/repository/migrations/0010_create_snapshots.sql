-- +goose Up

-- Snapshots of bases, which airtable-gateway keeps, by the ids that it knows.
CREATE TABLE snapshots (
    tenant_id  uuid        NOT NULL,
    id         uuid        NOT NULL,
    base_id    text        NOT NULL,
    label      text        NOT NULL DEFAULT '',
    status     text        NOT NULL,
    error_code text        NOT NULL DEFAULT '',
    error_text text        NOT NULL DEFAULT '',
    scheduled  boolean     NOT NULL,
    comments   boolean     NOT NULL,
    taken_by   uuid        NOT NULL,
    created_at timestamptz NOT NULL,
    taken_at   timestamptz,
    records    bigint      NOT NULL DEFAULT 0,
    size       bigint      NOT NULL DEFAULT 0,
    CONSTRAINT snapshots_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT snapshots_status_check CHECK (status IN ('taking', 'ready', 'failed'))
);
CREATE INDEX snapshots_base_idx ON snapshots (tenant_id, base_id, id);
SELECT isolate_tenants('snapshots');

-- Restores of snapshots, and copies of bases.
CREATE TABLE restores (
    tenant_id     uuid        NOT NULL,
    id            uuid        NOT NULL,
    kind          text        NOT NULL,
    snapshot_id   uuid, -- NULL of a copy
    source_id     text        NOT NULL, -- the base that the snapshot is of, or that is copied
    name          text        NOT NULL DEFAULT '',
    workspace_id  uuid,
    project_id    uuid,
    table_id      text        NOT NULL DEFAULT '',
    record_id     text        NOT NULL DEFAULT '',
    skip_records  boolean     NOT NULL,
    comments      boolean     NOT NULL,
    requested_by  uuid        NOT NULL,
    status        text        NOT NULL,
    error_code    text        NOT NULL DEFAULT '',
    error_text    text        NOT NULL DEFAULT '',
    base_id       text        NOT NULL DEFAULT '', -- that was made or restored into
    records       bigint      NOT NULL DEFAULT 0,
    dropped_links bigint      NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL,
    finished_at   timestamptz,
    CONSTRAINT restores_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT restores_status_check CHECK (status IN ('running', 'done', 'failed'))
);
SELECT isolate_tenants('restores');

CREATE TABLE snapshot_schedules (
    tenant_id uuid        NOT NULL,
    base_id   text        NOT NULL,
    every     text        NOT NULL,
    minute    int         NOT NULL,
    hour      int         NOT NULL,
    weekday   int         NOT NULL,
    time_zone text        NOT NULL,
    keep      int         NOT NULL,
    next_at   timestamptz NOT NULL,
    set_by    uuid        NOT NULL,
    CONSTRAINT snapshot_schedules_pkey PRIMARY KEY (tenant_id, base_id),
    CONSTRAINT snapshot_schedules_every_check CHECK (every IN ('hourly', 'daily', 'weekly'))
);
CREATE INDEX snapshot_schedules_due_idx ON snapshot_schedules (tenant_id, next_at);
SELECT isolate_tenants('snapshot_schedules');
