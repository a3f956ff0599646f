-- +goose Up
CREATE TABLE domains (
    tenant_id   uuid        NOT NULL,
    id          uuid        NOT NULL,
    domain      text        NOT NULL, -- in lower case
    token       text        NOT NULL, -- that the domain's DNS has to show
    role        text        NOT NULL,
    auto_join   boolean     NOT NULL,
    verified_at timestamptz,
    missed_at   timestamptz, -- since when the record has been missing
    version     bigint      NOT NULL,
    created_at  timestamptz NOT NULL,
    CONSTRAINT domains_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT domains_domain_key UNIQUE (tenant_id, domain),
    CONSTRAINT domains_tenant_fkey FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
-- One tenant at a time has proved that a domain is its own.
CREATE UNIQUE INDEX domains_verified_key ON domains (domain) WHERE verified_at IS NOT NULL;
SELECT isolate_tenants('domains');
