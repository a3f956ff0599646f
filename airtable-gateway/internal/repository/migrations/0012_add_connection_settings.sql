-- +goose Up
ALTER TABLE connections
    ADD COLUMN freshness          int     NOT NULL DEFAULT 30, -- seconds; 0: nothing is cached
    ADD COLUMN stable_attachments boolean NOT NULL DEFAULT false,
    ADD COLUMN before_images      boolean NOT NULL DEFAULT true,
    ADD CONSTRAINT connections_freshness_check CHECK (freshness BETWEEN 0 AND 86400);
