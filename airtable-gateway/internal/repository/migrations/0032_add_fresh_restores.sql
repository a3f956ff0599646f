-- +goose Up

-- What templates of bases are made of and become: a schema without its records, and
-- records that are new.
ALTER TABLE snapshots ADD COLUMN skip_records boolean NOT NULL DEFAULT false;
ALTER TABLE restores ADD COLUMN fresh boolean NOT NULL DEFAULT false;
