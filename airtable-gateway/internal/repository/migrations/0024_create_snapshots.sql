-- +goose Up

-- Snapshots of local bases. What one holds is in the store of files, by its sum.
CREATE TABLE snapshots (
    tenant_id    uuid        NOT NULL,
    id           uuid        NOT NULL,
    base_id      text        NOT NULL DEFAULT '', -- '' of one that came from elsewhere
    base_name    text        NOT NULL DEFAULT '',
    status       text        NOT NULL,
    comments     boolean     NOT NULL,
    error_code   text        NOT NULL DEFAULT '',
    error_text   text        NOT NULL DEFAULT '',
    requested_by uuid,
    created_at   timestamptz NOT NULL,
    taken_at     timestamptz, -- the moment that it shows
    records      bigint      NOT NULL DEFAULT 0,
    tables       jsonb       NOT NULL DEFAULT '[]',
    size         bigint      NOT NULL DEFAULT 0,
    sum          text,
    CONSTRAINT snapshots_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT snapshots_blob_fkey FOREIGN KEY (tenant_id, sum) REFERENCES blobs (tenant_id, sum),
    CONSTRAINT snapshots_status_check CHECK (status IN ('taking', 'ready', 'failed')),
    CONSTRAINT snapshots_ready_check CHECK ((status = 'ready') = (sum IS NOT NULL))
);
CREATE INDEX snapshots_sum ON snapshots (tenant_id, sum);
SELECT isolate_tenants('snapshots');

-- The files of attachments that a snapshot shows: they stay while it does.
CREATE TABLE snapshot_files (
    tenant_id   uuid NOT NULL,
    snapshot_id uuid NOT NULL,
    sum         text NOT NULL,
    CONSTRAINT snapshot_files_pkey PRIMARY KEY (tenant_id, snapshot_id, sum),
    CONSTRAINT snapshot_files_snapshot_fkey FOREIGN KEY (tenant_id, snapshot_id)
        REFERENCES snapshots (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT snapshot_files_blob_fkey FOREIGN KEY (tenant_id, sum) REFERENCES blobs (tenant_id, sum)
);
CREATE INDEX snapshot_files_sum ON snapshot_files (tenant_id, sum);
SELECT isolate_tenants('snapshot_files');

-- What is, or was, made of snapshots. The rows are forgotten a while after the end.
CREATE TABLE restores (
    tenant_id     uuid        NOT NULL,
    id            uuid        NOT NULL,
    kind          text        NOT NULL,
    snapshot_id   uuid        NOT NULL, -- of a copy: its own, while it runs
    status        text        NOT NULL,
    error_code    text        NOT NULL DEFAULT '',
    error_text    text        NOT NULL DEFAULT '',
    base_id       text        NOT NULL, -- that is made or restored into
    source_id     text        NOT NULL DEFAULT '', -- the base that is copied
    name          text        NOT NULL DEFAULT '', -- that was asked for, then the one given
    table_id      text        NOT NULL DEFAULT '', -- in the snapshot
    new_table_id  text        NOT NULL DEFAULT '',
    record_id     text        NOT NULL DEFAULT '',
    skip_records  boolean     NOT NULL,
    comments      boolean     NOT NULL,
    records       bigint      NOT NULL DEFAULT 0,
    dropped_links bigint      NOT NULL DEFAULT 0,
    requested_by  uuid,
    created_at    timestamptz NOT NULL,
    finished_at   timestamptz,
    CONSTRAINT restores_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT restores_kind_check CHECK (kind IN ('base', 'table', 'contents', 'record', 'copy')),
    CONSTRAINT restores_status_check CHECK (status IN ('running', 'done', 'failed')),
    CONSTRAINT restores_finished_check CHECK ((status = 'running') = (finished_at IS NULL))
);
CREATE INDEX restores_of_snapshot ON restores (tenant_id, snapshot_id) WHERE status = 'running';
CREATE INDEX restores_age ON restores (tenant_id, finished_at);
SELECT isolate_tenants('restores');
