-- +goose Up

-- What a tenant has here of what its plan limits: counted with every change of it, in the
-- same transaction, whoever makes that. The version rises with it, so that tenant-service,
-- which is told, knows the later of two reports. When the next one is due is in report_at.
CREATE TABLE uses (
    tenant_id uuid        NOT NULL,
    name      text        NOT NULL, -- bases, storage_bytes
    used      bigint      NOT NULL,
    version   bigint      NOT NULL,
    report_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uses_pkey PRIMARY KEY (tenant_id, name)
);

SELECT isolate_tenants('uses');

-- +goose StatementBegin
CREATE FUNCTION count_use() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_row  jsonb := to_jsonb(coalesce(new, old));
    v_more bigint := coalesce((v_row ->> TG_ARGV[1])::bigint, 1) * CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
BEGIN
    INSERT INTO uses AS u (tenant_id, name, used, version) VALUES ((v_row ->> 'tenant_id')::uuid, TG_ARGV[0], v_more, 1)
    ON CONFLICT ON CONSTRAINT uses_pkey DO UPDATE SET used = u.used + excluded.used, version = u.version + 1, report_at = excluded.report_at;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- At the end of the transaction, so that the tenant's counter is locked for no longer than
-- its commit takes.
CREATE CONSTRAINT TRIGGER bases_counted AFTER INSERT OR DELETE ON bases
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION count_use('bases');
CREATE CONSTRAINT TRIGGER blobs_counted AFTER INSERT OR DELETE ON blobs
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION count_use('storage_bytes', 'size');

-- What there is, now that nobody adds to it uncounted.
SELECT set_config('app.tenant', '*', true);
INSERT INTO uses (tenant_id, name, used, version) SELECT tenant_id, 'bases', count(*), 1 FROM bases GROUP BY tenant_id;
INSERT INTO uses (tenant_id, name, used, version) SELECT tenant_id, 'storage_bytes', sum(size), 1 FROM blobs GROUP BY tenant_id;
