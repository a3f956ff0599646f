-- +goose Up

-- What people say about a record. They go with it.
CREATE TABLE comments (
    tenant_id  uuid        NOT NULL,
    id         text        NOT NULL,
    table_id   text        NOT NULL,
    record_id  text        NOT NULL,
    number     bigint      GENERATED ALWAYS AS IDENTITY, -- the order in which they were made
    author_id  uuid        NOT NULL,
    text       text        NOT NULL,
    parent_id  text,
    version    bigint      NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz,
    CONSTRAINT comments_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT comments_place_key UNIQUE (tenant_id, table_id, record_id, number),
    CONSTRAINT comments_record_fkey FOREIGN KEY (tenant_id, table_id, record_id)
        REFERENCES records (tenant_id, table_id, id) ON DELETE CASCADE,
    CONSTRAINT comments_parent_fkey FOREIGN KEY (tenant_id, parent_id)
        REFERENCES comments (tenant_id, id) ON DELETE SET NULL (parent_id)
);
CREATE INDEX comments_parent ON comments (tenant_id, parent_id) WHERE parent_id IS NOT NULL;
