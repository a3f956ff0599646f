-- +goose Up

-- Who may be named in the local bases of a tenant: a copy of what auth-service and
-- user-service say. An erased user leaves only the mark that he is, so that a late
-- event does not bring him back.
CREATE TABLE people (
    tenant_id       uuid   NOT NULL,
    user_id         uuid   NOT NULL,
    airtable_id     text   NOT NULL, -- usr…
    email           text   NOT NULL DEFAULT '',
    name            text   NOT NULL DEFAULT '',
    account_version bigint NOT NULL DEFAULT 0, -- of auth-service's event that the address is from
    profile_version bigint NOT NULL DEFAULT 0, -- of user-service's profile that the name is from
    wanted_version  bigint NOT NULL DEFAULT 0, -- that user-service has announced
    asked_at        timestamptz,               -- when user-service was asked last
    erased_at       timestamptz,
    CONSTRAINT people_pkey PRIMARY KEY (tenant_id, user_id),
    CONSTRAINT people_airtable_id_key UNIQUE (tenant_id, airtable_id),
    CONSTRAINT people_erased_check CHECK (erased_at IS NULL OR (email = '' AND name = ''))
);
CREATE INDEX people_stale ON people (tenant_id, asked_at) WHERE wanted_version > profile_version AND erased_at IS NULL;
-- What is said of a user holds in every tenant that knows him.
CREATE INDEX people_by_user ON people (user_id);

-- Who changed a cell last, and when: {field id: [milliseconds since 1970, user id]}.
-- A field that shows it reads it here, so that making one rewrites no record.
ALTER TABLE records ADD COLUMN touched jsonb;
