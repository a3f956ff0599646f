-- +goose Up
-- A service account is a user of one tenant: it has neither password nor address, and its
-- email_key is none. Its tenant_id is nobody's.
ALTER TABLE users
    ADD COLUMN service_of uuid,
    ADD CONSTRAINT users_service_check CHECK (service_of IS NULL OR password_hash = '');
CREATE INDEX users_service_idx ON users (service_of) WHERE service_of IS NOT NULL;
ALTER TABLE memberships ADD COLUMN suspended boolean NOT NULL DEFAULT false;
