-- +goose Up
-- What tenant-service has said of memberships, the ended ones too, so that a late event
-- changes nothing. The table memberships has what follows from it: who is in a tenant now.
CREATE TABLE told_memberships (
	tenant_id uuid    NOT NULL,
	member_id uuid    NOT NULL,
	user_id   uuid    NOT NULL,
	role      text    NOT NULL,
	version   bigint  NOT NULL,
	ended     boolean NOT NULL,
	CONSTRAINT told_memberships_pkey PRIMARY KEY (tenant_id, member_id)
);
CREATE INDEX told_memberships_of_user ON told_memberships (tenant_id, user_id);
SELECT isolate_tenants('told_memberships');

-- A membership may be told of before its user is.
ALTER TABLE memberships DROP CONSTRAINT memberships_user;
