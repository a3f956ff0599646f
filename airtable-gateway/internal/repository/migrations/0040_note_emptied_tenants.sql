-- +goose Up

-- When nothing of an erased tenant was found any more; NULL until then.
ALTER TABLE erased_tenants ADD COLUMN emptied_at timestamptz;
