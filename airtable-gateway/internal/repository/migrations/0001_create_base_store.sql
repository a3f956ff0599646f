-- +goose Up

-- The local base store. Airtable's ids are unique within a tenant only: a base
-- may be seeded with chosen ids in more than one tenant.

CREATE TABLE bases (
    tenant_id      uuid        NOT NULL,
    id             text        NOT NULL,
    name           text        NOT NULL,
    workspace_id   text        NOT NULL DEFAULT '',
    schema_version bigint      NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL,
    created_by     uuid,
    CONSTRAINT bases_pkey PRIMARY KEY (tenant_id, id)
);

CREATE TABLE tables (
    tenant_id        uuid NOT NULL,
    id               text NOT NULL,
    base_id          text NOT NULL,
    position         int  NOT NULL,
    name             text NOT NULL,
    name_key         text NOT NULL,
    description      text NOT NULL DEFAULT '',
    primary_field_id text NOT NULL,
    CONSTRAINT tables_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT tables_name_key UNIQUE (tenant_id, base_id, name_key),
    CONSTRAINT tables_base_fkey FOREIGN KEY (tenant_id, base_id) REFERENCES bases (tenant_id, id)
);

-- The numbers that records of a table get. The row is also the lock of whatever
-- must see a table stand still: creating, deleting, upserting, linking.
CREATE TABLE table_counters (
    tenant_id   uuid   NOT NULL,
    table_id    text   NOT NULL,
    last_number bigint NOT NULL DEFAULT 0,
    CONSTRAINT table_counters_pkey PRIMARY KEY (tenant_id, table_id),
    CONSTRAINT table_counters_table_fkey FOREIGN KEY (tenant_id, table_id) REFERENCES tables (tenant_id, id)
) WITH (fillfactor = 50);

CREATE TABLE fields (
    tenant_id   uuid  NOT NULL,
    id          text  NOT NULL,
    table_id    text  NOT NULL,
    position    int   NOT NULL,
    name        text  NOT NULL,
    name_key    text  NOT NULL,
    description text  NOT NULL DEFAULT '',
    type        text  NOT NULL,
    options     jsonb NOT NULL DEFAULT 'null',
    CONSTRAINT fields_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT fields_name_key UNIQUE (tenant_id, table_id, name_key),
    CONSTRAINT fields_table_fkey FOREIGN KEY (tenant_id, table_id) REFERENCES tables (tenant_id, id)
);

CREATE TABLE views (
    tenant_id uuid NOT NULL,
    id        text NOT NULL,
    table_id  text NOT NULL,
    position  int  NOT NULL,
    name      text NOT NULL,
    type      text NOT NULL,
    CONSTRAINT views_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT views_table_fkey FOREIGN KEY (tenant_id, table_id) REFERENCES tables (tenant_id, id)
);
CREATE INDEX views_of_table ON views (tenant_id, table_id, position);

-- A record's cells are one JSON object keyed by field id, so that a change of
-- the schema touches no record.
CREATE TABLE records (
    tenant_id   uuid        NOT NULL,
    table_id    text        NOT NULL,
    id          text        NOT NULL,
    number      bigint      NOT NULL,
    cells       jsonb       NOT NULL,
    version     bigint      NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    created_by  uuid,
    modified_at timestamptz,
    modified_by uuid,
    CONSTRAINT records_pkey PRIMARY KEY (tenant_id, table_id, id),
    CONSTRAINT records_number_key UNIQUE (tenant_id, table_id, number),
    CONSTRAINT records_table_fkey FOREIGN KEY (tenant_id, table_id) REFERENCES tables (tenant_id, id)
) WITH (fillfactor = 90);

-- cell_key puts a record's cells under its tenant and table, so that one index
-- finds a record by the value of any of its fields and still starts with the
-- tenant: jsonb_path_ops hashes the whole path.
-- +goose StatementBegin
CREATE FUNCTION cell_key(tenant uuid, tbl text, cells jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN jsonb_build_object(tenant::text, jsonb_build_object(tbl, cells));
-- +goose StatementEnd
CREATE INDEX records_cells ON records USING gin (cell_key(tenant_id, table_id, cells) jsonb_path_ops)
    WITH (gin_pending_list_limit = 256); -- kB, read through by every search

-- A link is stored once for each of its ends: (field, record -> target) and
-- (mirror field, target -> record). Both are written in one transaction under
-- the locks of both tables.
CREATE TABLE links (
    tenant_id uuid NOT NULL,
    field_id  text NOT NULL,
    record_id text NOT NULL,
    target_id text NOT NULL,
    position  int  NOT NULL,
    CONSTRAINT links_pkey PRIMARY KEY (tenant_id, field_id, record_id, target_id),
    CONSTRAINT links_field_fkey FOREIGN KEY (tenant_id, field_id) REFERENCES fields (tenant_id, id)
);

-- Sorted walks through a table: the records' numbers in the order that they had
-- when the walk began, in pieces, so that a page reads few of them.
CREATE TABLE list_iterators (
    tenant_id  uuid        NOT NULL,
    id         text        NOT NULL,
    params     text        NOT NULL,
    total      bigint      NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT list_iterators_pkey PRIMARY KEY (tenant_id, id)
);
CREATE INDEX list_iterators_expiry ON list_iterators (tenant_id, expires_at);

CREATE TABLE list_iterator_pieces (
    tenant_id   uuid     NOT NULL,
    iterator_id text     NOT NULL,
    piece       int      NOT NULL,
    numbers     bigint[] NOT NULL,
    CONSTRAINT list_iterator_pieces_pkey PRIMARY KEY (tenant_id, iterator_id, piece),
    CONSTRAINT list_iterator_pieces_iterator_fkey FOREIGN KEY (tenant_id, iterator_id)
        REFERENCES list_iterators (tenant_id, id) ON DELETE CASCADE
);

-- People sort z2 before z11 and do not tell upper from lower case.
CREATE COLLATION natural_order (provider = icu, locale = 'und-u-kn-true-ks-level2', deterministic = false);
