-- +goose Up
-- Events wait here, in the transaction that they tell of, until the relay has
-- put them on their stream.
CREATE TABLE outbox (
    seq          bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT outbox_pkey PRIMARY KEY,
    event_id     uuid        NOT NULL CONSTRAINT outbox_event_id_key UNIQUE,
    tenant_id    uuid,
    topic        text        NOT NULL,
    event        json        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    -- The relay's pass that published the row; see outbox_marks.
    batch        bigint
);
CREATE INDEX outbox_pending_idx ON outbox (seq) WHERE published_at IS NULL;
CREATE INDEX outbox_published_idx ON outbox (published_at) WHERE published_at IS NOT NULL;
CREATE INDEX outbox_batch_idx ON outbox (topic, batch) WHERE published_at IS NOT NULL;

CREATE SEQUENCE outbox_batch_seq;

-- The last batch published to each topic. The same number is written to Redis
-- behind the batch: if Redis has a lower one, it has lost what came after it.
CREATE TABLE outbox_marks (
    topic text   CONSTRAINT outbox_marks_pkey PRIMARY KEY,
    batch bigint NOT NULL
);
