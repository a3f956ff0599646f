-- +goose Up
-- A statement that forgets its tenant finds nothing, see the kit's isolate_tenants. What is
-- an account's has the account's home, its personal tenant, as tenant_id.
ALTER TABLE refresh_tokens ADD COLUMN tenant_id uuid; -- its session's
UPDATE refresh_tokens r SET tenant_id = s.tenant_id FROM sessions s WHERE s.id = r.session_id;
ALTER TABLE refresh_tokens ALTER COLUMN tenant_id SET NOT NULL;

SELECT isolate_tenants('users');
SELECT isolate_tenants('identities');
SELECT isolate_tenants('networks');
SELECT isolate_tenants('mails');
SELECT isolate_tenants('mail_tokens');
SELECT isolate_tenants('challenges');
SELECT isolate_tenants('sessions');
SELECT isolate_tenants('refresh_tokens');
SELECT isolate_tenants('personal_tokens');

-- A session or token is also of the tenant that it is for, and a service account of the
-- tenant that it serves.
CREATE POLICY tenant_that_it_is_in ON sessions USING (in_tenant_id = (SELECT current_tenant()));
CREATE POLICY tenant_that_it_is_for ON personal_tokens USING (in_tenant_id = (SELECT current_tenant()));
CREATE POLICY tenant_that_it_serves ON users USING (service_of = (SELECT current_tenant()));
