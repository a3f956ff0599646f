-- +goose Up
CREATE TABLE signing_keys (
    kid         text        NOT NULL CONSTRAINT signing_keys_pkey PRIMARY KEY,
    private     bytea       NOT NULL, -- sealed Ed25519 seed
    active_from timestamptz NOT NULL CONSTRAINT signing_keys_active_key UNIQUE
);
