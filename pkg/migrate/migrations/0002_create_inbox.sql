-- +goose Up
-- The events whose effect is in this database.
CREATE TABLE inbox (
    consumer   text        NOT NULL,
    event_id   uuid        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT inbox_pkey PRIMARY KEY (consumer, event_id)
);
CREATE INDEX inbox_applied_idx ON inbox (applied_at);

-- The events that could not be applied, for a person to look at and replay.
CREATE TABLE dead_events (
    id          bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT dead_events_pkey PRIMARY KEY,
    consumer    text        NOT NULL,
    event_id    text        NOT NULL,
    tenant_id   uuid,
    type        text        NOT NULL,
    topic       text        NOT NULL,
    event       bytea       NOT NULL,
    error       text        NOT NULL,
    attempts    integer     NOT NULL,
    died_at     timestamptz NOT NULL DEFAULT now(),
    replayed_at timestamptz,
    CONSTRAINT dead_events_event_key UNIQUE (consumer, event_id)
);
CREATE INDEX dead_events_open_idx ON dead_events (consumer, id) WHERE replayed_at IS NULL;
