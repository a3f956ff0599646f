-- +goose Up
-- Plans are nobody's: all tenants see them.
CREATE TABLE plans (
    name       text        NOT NULL CONSTRAINT plans_pkey PRIMARY KEY,
    title      text        NOT NULL,
    limits     jsonb       NOT NULL, -- by name; -1, or absent, is none
    is_default boolean     NOT NULL DEFAULT false,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX plans_default_key ON plans (is_default) WHERE is_default;
INSERT INTO plans (name, title, is_default, limits) VALUES
    ('free', 'Free', false, '{"members": 5, "bases": 5, "api_calls": 10000, "storage_bytes": 1073741824, "automations": 5}'),
    ('team', 'Team', false, '{"members": 25, "bases": 50, "api_calls": 1000000, "storage_bytes": 53687091200, "automations": 100}'),
    ('business', 'Business', false, '{"members": 250, "bases": 500, "api_calls": 20000000, "storage_bytes": 1099511627776, "automations": 1000}'),
    ('enterprise', 'Enterprise', true, '{"members": -1, "bases": -1, "api_calls": -1, "storage_bytes": -1, "automations": -1}');

-- Numbers what is told of a tenant's limits, drawn under its lock.
CREATE SEQUENCE limit_versions;

CREATE TABLE subscriptions (
    tenant_id    uuid        NOT NULL CONSTRAINT subscriptions_pkey PRIMARY KEY,
    plan         text        NOT NULL CONSTRAINT subscriptions_plan_fkey REFERENCES plans,
    status       text        NOT NULL,
    period_start timestamptz,
    period_end   timestamptz,
    updated_at   timestamptz NOT NULL,
    CONSTRAINT subscriptions_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
SELECT isolate_tenants('subscriptions');

-- What a tenant may beside its plan.
CREATE TABLE limit_overrides (
    tenant_id  uuid        NOT NULL CONSTRAINT limit_overrides_pkey PRIMARY KEY,
    limits     jsonb       NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT limit_overrides_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
SELECT isolate_tenants('limit_overrides');

-- The counters: one row is the lock of one.
CREATE TABLE limit_uses (
    tenant_id uuid   NOT NULL,
    name      text   NOT NULL,
    period    text   NOT NULL, -- 2026-01; '' for what is not counted by the month
    used      bigint NOT NULL,
    CONSTRAINT limit_uses_pkey PRIMARY KEY (tenant_id, name, period),
    CONSTRAINT limit_uses_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
SELECT isolate_tenants('limit_uses');

CREATE TABLE reservations (
    tenant_id  uuid        NOT NULL,
    key        text        NOT NULL,
    name       text        NOT NULL,
    period     text        NOT NULL,
    amount     bigint      NOT NULL,
    status     text        NOT NULL,
    expires_at timestamptz NOT NULL, -- by the database's clock
    CONSTRAINT reservations_pkey PRIMARY KEY (tenant_id, key),
    CONSTRAINT reservations_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
CREATE INDEX reservations_open_idx ON reservations (tenant_id, name, period) WHERE status = 'open';
SELECT isolate_tenants('reservations');
