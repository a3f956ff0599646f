-- +goose Up
CREATE TABLE users (
	id              uuid        NOT NULL CONSTRAINT users_pkey PRIMARY KEY,
	tenant_id       uuid        NOT NULL, -- that the account was made in
	email           text        NOT NULL,
	name            text        NOT NULL,
	avatar_url      text        NOT NULL,
	locale          text        NOT NULL,
	time_zone       text        NOT NULL,
	preferences     json        NOT NULL, -- json, not jsonb: nothing looks into it, and jsonb refuses \u0000 and long numbers
	search          text        NOT NULL, -- name and email, case folded
	named           boolean     NOT NULL,
	account_version bigint      NOT NULL,
	version         bigint      NOT NULL,
	created_at      timestamptz NOT NULL,
	updated_at      timestamptz NOT NULL,
	deleted_at      timestamptz,
	CONSTRAINT users_erased CHECK (deleted_at IS NULL OR
		(email = '' AND name = '' AND avatar_url = '' AND search = '' AND preferences::text = '{}'))
);

-- Which tenants a user belongs to. Registration makes the first.
CREATE TABLE memberships (
	tenant_id uuid NOT NULL,
	user_id   uuid NOT NULL CONSTRAINT memberships_user REFERENCES users (id),
	role      text NOT NULL,
	CONSTRAINT memberships_pkey PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX memberships_by_user ON memberships (user_id);

-- A search in one tenant reads its members; one in all of them needs trigrams. A
-- server without the extension answers it more slowly.
-- +goose StatementBegin
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm') THEN
		CREATE EXTENSION IF NOT EXISTS pg_trgm;
		CREATE INDEX users_search ON users USING gin (search gin_trgm_ops) WHERE deleted_at IS NULL;
	END IF;
EXCEPTION WHEN insufficient_privilege THEN
	RAISE NOTICE 'pg_trgm may not be created; searches in all tenants will be slow';
END $$;
-- +goose StatementEnd
