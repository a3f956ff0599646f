-- +goose Up
-- A statement that forgets its tenant finds nothing, see the kit's isolate_tenants.
-- Of the records see 0031. link_keys belongs to no tenant.
SELECT isolate_tenants('bases');
SELECT isolate_tenants('tables');
SELECT isolate_tenants('table_counters');
SELECT isolate_tenants('fields');
SELECT isolate_tenants('views');
SELECT isolate_tenants('links');
SELECT isolate_tenants('list_iterators');
SELECT isolate_tenants('list_iterator_pieces');
SELECT isolate_tenants('connections');
SELECT isolate_tenants('connection_bases');
SELECT isolate_tenants('connection_quotas');
SELECT isolate_tenants('usage_minutes');
SELECT isolate_tenants('usage_days');
SELECT isolate_tenants('saved_minutes');
SELECT isolate_tenants('saved_days');
SELECT isolate_tenants('people');
SELECT isolate_tenants('comments');
SELECT isolate_tenants('blobs');
SELECT isolate_tenants('thumbnails');
SELECT isolate_tenants('attachments');
SELECT isolate_tenants('stable_files');
SELECT isolate_tenants('record_history');
SELECT isolate_tenants('watches');
SELECT isolate_tenants('webhooks');
SELECT isolate_tenants('webhook_feeds');
SELECT isolate_tenants('webhook_payloads');
