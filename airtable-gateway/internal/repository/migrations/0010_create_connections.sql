-- +goose Up
CREATE TABLE connections (
    tenant_id  uuid        NOT NULL,
    id         uuid        NOT NULL,
    name       text        NOT NULL,
    kind       text        NOT NULL,
    api_url    text        NOT NULL DEFAULT '',
    token      bytea,
    status     text        NOT NULL,
    version    bigint      NOT NULL DEFAULT 1,
    checked_at timestamptz,
    -- When the bases were read last, successfully or not: an unknown base id must
    -- not be a way to spend the upstream's budget.
    read_at    timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT connections_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT connections_kind_check CHECK (kind IN ('local', 'airtable')),
    CONSTRAINT connections_status_check CHECK (status IN ('active', 'refused', 'unchecked')),
    CONSTRAINT connections_token_check CHECK ((kind = 'airtable') = (token IS NOT NULL AND api_url <> ''))
);

-- All local bases of a tenant live in one store.
CREATE UNIQUE INDEX connections_local_key ON connections (tenant_id) WHERE kind = 'local';

-- Which connection offered which base when it was asked last.
CREATE TABLE connection_bases (
    tenant_id        uuid NOT NULL,
    base_id          text NOT NULL,
    connection_id    uuid NOT NULL,
    name             text NOT NULL,
    permission_level text NOT NULL,
    CONSTRAINT connection_bases_pkey PRIMARY KEY (tenant_id, base_id, connection_id),
    CONSTRAINT connection_bases_connection_fkey FOREIGN KEY (tenant_id, connection_id)
        REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);

CREATE INDEX connection_bases_connection_idx ON connection_bases (tenant_id, connection_id);
