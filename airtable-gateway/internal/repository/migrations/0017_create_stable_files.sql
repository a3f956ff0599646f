-- +goose Up

-- Files of attachments of Airtable accounts that links of ours were handed out for:
-- where each was seen last, and our copy of it once there is one. They go with their
-- connection.
CREATE TABLE stable_files (
    tenant_id     uuid        NOT NULL,
    connection_id uuid        NOT NULL,
    attachment_id text        NOT NULL,
    variant       text        NOT NULL, -- '' is the file itself, others its thumbnails
    base_id       text        NOT NULL,
    table_name    text        NOT NULL, -- id or name, '' if the call named none
    record_id     text        NOT NULL,
    in_comment    boolean     NOT NULL DEFAULT false,
    filename      text        NOT NULL,
    type          text        NOT NULL DEFAULT '',
    source_url    text        NOT NULL,
    source_size   bigint      NOT NULL DEFAULT 0, -- as Airtable tells it; 0: it did not
    seen_at       timestamptz NOT NULL,
    sum           text,
    CONSTRAINT stable_files_pkey PRIMARY KEY (tenant_id, connection_id, attachment_id, variant),
    CONSTRAINT stable_files_connection_fkey FOREIGN KEY (tenant_id, connection_id)
        REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT stable_files_blob_fkey FOREIGN KEY (tenant_id, sum) REFERENCES blobs (tenant_id, sum)
);
CREATE INDEX stable_files_sum ON stable_files (tenant_id, sum);
