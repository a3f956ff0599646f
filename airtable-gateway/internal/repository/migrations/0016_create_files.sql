-- +goose Up

-- What is in the store of files, by tenant and content. A row is made, or its
-- used_at moved on, before anything may refer to it; the collector takes rows that
-- were not used for long and that nothing refers to, bytes and all.
CREATE TABLE blobs (
    tenant_id uuid        NOT NULL,
    sum       text        NOT NULL, -- SHA-256, hexadecimal
    size      bigint      NOT NULL,
    used_at   timestamptz NOT NULL,
    CONSTRAINT blobs_pkey PRIMARY KEY (tenant_id, sum)
);
-- The collector goes through all tenants.
CREATE INDEX blobs_used ON blobs (used_at);

-- Small pictures of pictures, made when somebody asks for them.
CREATE TABLE thumbnails (
    tenant_id uuid NOT NULL,
    sum       text NOT NULL,
    variant   text NOT NULL,
    thumb_sum text NOT NULL,
    type      text NOT NULL,
    CONSTRAINT thumbnails_pkey PRIMARY KEY (tenant_id, sum, variant),
    CONSTRAINT thumbnails_blob_fkey FOREIGN KEY (tenant_id, sum) REFERENCES blobs (tenant_id, sum) ON DELETE CASCADE,
    CONSTRAINT thumbnails_thumb_fkey FOREIGN KEY (tenant_id, thumb_sum) REFERENCES blobs (tenant_id, sum)
);
CREATE INDEX thumbnails_thumb ON thumbnails (tenant_id, thumb_sum);

-- Which attachment stands in which cell of the base store. The cell has the same
-- facts; here they are found by id and by content. One attachment may stand in
-- several cells. Without sum it has not been fetched from source_url yet.
CREATE TABLE attachments (
    tenant_id  uuid   NOT NULL,
    id         text   NOT NULL,
    table_id   text   NOT NULL,
    record_id  text   NOT NULL,
    field_id   text   NOT NULL,
    base_id    text   NOT NULL,
    filename   text   NOT NULL,
    type       text   NOT NULL DEFAULT '',
    size       bigint NOT NULL DEFAULT 0,
    width      int    NOT NULL DEFAULT 0,
    height     int    NOT NULL DEFAULT 0,
    sum        text,
    source_url text   NOT NULL DEFAULT '',
    CONSTRAINT attachments_pkey PRIMARY KEY (tenant_id, id, table_id, record_id, field_id),
    CONSTRAINT attachments_record_fkey FOREIGN KEY (tenant_id, table_id, record_id)
        REFERENCES records (tenant_id, table_id, id) ON DELETE CASCADE,
    CONSTRAINT attachments_blob_fkey FOREIGN KEY (tenant_id, sum) REFERENCES blobs (tenant_id, sum)
);
CREATE INDEX attachments_cell ON attachments (tenant_id, table_id, record_id, field_id);
CREATE INDEX attachments_sum ON attachments (tenant_id, sum);

-- The key that links to files are signed with, sealed. It is the service's own and
-- not of SEAL_KEYS, so that links outlive a rotation of those.
CREATE TABLE link_keys (
    id  smallint NOT NULL,
    key bytea    NOT NULL,
    CONSTRAINT link_keys_pkey PRIMARY KEY (id),
    CONSTRAINT link_keys_one_check CHECK (id = 1)
);
