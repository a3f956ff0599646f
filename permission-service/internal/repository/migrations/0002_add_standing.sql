-- +goose Up

-- What tenant-service says of tenants and members that are shut out for a time: nothing of
-- theirs is taken away meanwhile. status_version is the tenant's own, at tenant-service.
ALTER TABLE tenants
    ADD COLUMN status         text   NOT NULL DEFAULT 'active',
    ADD COLUMN status_version bigint NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN suspended boolean NOT NULL DEFAULT false;

-- What the entity tags of roles and policies are made of.
ALTER TABLE roles ADD COLUMN version bigint NOT NULL DEFAULT 1;
ALTER TABLE policies ADD COLUMN version bigint NOT NULL DEFAULT 1;
