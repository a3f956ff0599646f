-- +goose Up
CREATE TABLE items (
    tenant_id  uuid        NOT NULL,
    id         uuid        NOT NULL,
    name       text        NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT items_pkey PRIMARY KEY (tenant_id, id)
);
