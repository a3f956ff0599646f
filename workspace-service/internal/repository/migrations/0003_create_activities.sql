-- +goose Up
CREATE TABLE activities (
    tenant_id    uuid        NOT NULL,
    id           uuid        NOT NULL,
    at           timestamptz NOT NULL, -- of the first event
    last_at      timestamptz NOT NULL,
    kind         text        NOT NULL,
    audience     text        NOT NULL, -- read, share: who may that; admin: of the tenant
    actor_id     text        NOT NULL DEFAULT '',
    workspace_id text        NOT NULL DEFAULT '',
    project_id   text        NOT NULL DEFAULT '',
    base_id      text        NOT NULL DEFAULT '',
    table_id     text        NOT NULL DEFAULT '',
    subject_id   text        NOT NULL DEFAULT '',
    name         text        NOT NULL DEFAULT '',
    role         text        NOT NULL DEFAULT '',
    changed      text[]      NOT NULL DEFAULT '{}',
    count        int         NOT NULL DEFAULT 1,
    bucket       text        NOT NULL, -- what is one entry
    CONSTRAINT activities_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT activities_bucket_key UNIQUE (tenant_id, bucket)
);
CREATE INDEX activities_time_idx ON activities (tenant_id, at, id);
CREATE INDEX activities_workspace_idx ON activities (tenant_id, workspace_id, at, id);
CREATE INDEX activities_base_idx ON activities (tenant_id, base_id, at, id);
SELECT isolate_tenants('activities');
