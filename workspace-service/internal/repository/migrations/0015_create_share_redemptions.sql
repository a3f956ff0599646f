-- +goose Up
-- What users were given by links above viewing: a grant at permission-service each. A row
-- with dropped_at is one that is to be taken back; it goes when it has been.
CREATE TABLE share_redemptions (
    tenant_id   uuid        NOT NULL,
    link_id     uuid        NOT NULL,
    user_id     uuid        NOT NULL,
    kind        text        NOT NULL,
    object_id   text        NOT NULL,
    role        text        NOT NULL,
    until       timestamptz NOT NULL,
    redeemed_at timestamptz NOT NULL,
    dropped_at  timestamptz,
    CONSTRAINT share_redemptions_pkey PRIMARY KEY (tenant_id, link_id, user_id)
);
CREATE INDEX share_redemptions_object_idx ON share_redemptions (tenant_id, kind, object_id, user_id);
SELECT isolate_tenants('share_redemptions');
