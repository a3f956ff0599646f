-- +goose Up

-- Lists and the formula name fields by id: renaming a field touches no view.
-- Views of before are grid views that show everything, which the defaults say.
ALTER TABLE views
    ADD COLUMN name_key      text,
    ADD COLUMN description   text      NOT NULL DEFAULT '',
    ADD COLUMN filter        text      NOT NULL DEFAULT '',
    ADD COLUMN sort_fields   text[]    NOT NULL DEFAULT '{}',
    ADD COLUMN sort_desc     boolean[] NOT NULL DEFAULT '{}',
    ADD COLUMN field_order   text[]    NOT NULL DEFAULT '{}',
    ADD COLUMN hidden_fields text[]    NOT NULL DEFAULT '{}',
    ADD COLUMN version       bigint    NOT NULL DEFAULT 1;

UPDATE views SET name_key = lower(name);

-- Code of before leaves the key out, and makes one view a table.
ALTER TABLE views ADD CONSTRAINT views_name_key UNIQUE (tenant_id, table_id, name_key);
