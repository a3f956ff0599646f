-- +goose Up
-- A tenant that is gone keeps its row for its version alone.
SELECT set_config('app.tenant', '*', true);
UPDATE tenants SET name = '', slug = '', ip_ranges = '{}' WHERE status = 'deleted';
