-- +goose Up
-- Row-level security, so that a statement which forgets its tenant finds nothing. A
-- service calls isolate_tenants for each of its tables with a tenant_id; package
-- postgres says which tenant a transaction is about.

-- current_tenant is NULL, which no row has, unless the transaction named a tenant.
CREATE FUNCTION current_tenant() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(nullif(current_setting('app.tenant', true), ''), '*')::uuid;

-- +goose StatementBegin
CREATE FUNCTION isolate_tenants(t regclass) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t); -- of the owner too
    EXECUTE format('CREATE POLICY one_tenant ON %s USING (tenant_id = (SELECT current_tenant()))', t);
    EXECUTE format('CREATE POLICY all_tenants ON %s USING ((SELECT current_setting(''app.tenant'', true)) = ''*'')', t);
END
$$;
-- +goose StatementEnd
