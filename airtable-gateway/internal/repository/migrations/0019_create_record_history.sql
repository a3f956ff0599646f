-- +goose Up

-- Who changed which cells of which record: a row a record and write, kept after the
-- record is gone. Cells hold what the API showed, by field id; a side without any is
-- NULL. Nothing refers to it and it refers to nothing, so a write pays for the row
-- and two index entries, of which one is always the index's last.
CREATE TABLE record_history (
    tenant_id uuid        NOT NULL,
    table_id  text        NOT NULL,
    record_id text        NOT NULL,
    seq       bigint      GENERATED ALWAYS AS IDENTITY,
    kind      text        NOT NULL,
    version   bigint      NOT NULL,
    at        timestamptz NOT NULL,
    by        uuid,
    old_cells jsonb,
    new_cells jsonb,
    CONSTRAINT record_history_pkey PRIMARY KEY (tenant_id, table_id, record_id, seq)
);
-- What is too old is found by this.
CREATE INDEX record_history_age ON record_history (tenant_id, at);
