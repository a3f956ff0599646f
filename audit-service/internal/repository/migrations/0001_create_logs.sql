-- +goose Up
-- A log of each tenant; the nil uuid has that of what belongs to no tenant. The row is
-- locked by whoever appends, so that numbers are given in the order of commits.
CREATE TABLE logs (
    tenant_id      uuid    NOT NULL,
    size           bigint  NOT NULL DEFAULT 0,
    peaks          bytea   NOT NULL DEFAULT '',
    chain          bytea   NOT NULL,
    pruned         bigint  NOT NULL DEFAULT 0,
    pruned_chain   bytea   NOT NULL,
    edge           bytea   NOT NULL DEFAULT '',
    retention_days integer NOT NULL DEFAULT 0,
    CONSTRAINT logs_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT logs_size_check CHECK (0 <= pruned AND pruned <= size)
);

CREATE TABLE entries (
    tenant_id          uuid        NOT NULL,
    seq                bigint      NOT NULL,
    event_id           uuid        NOT NULL,
    at                 timestamptz NOT NULL,
    recorded_at        timestamptz NOT NULL,
    action             text        NOT NULL,
    source             text        NOT NULL,
    object             text        NOT NULL,
    version            bigint      NOT NULL,
    result             text        NOT NULL,
    user_id            text        NOT NULL,
    actor              text        NOT NULL,
    session_id         text        NOT NULL,
    token_id           text        NOT NULL,
    request_id         text        NOT NULL,
    base_id            text        NOT NULL,
    record_id          text        NOT NULL,
    fields             text        NOT NULL,
    facts              text        NOT NULL,
    own_subject        text        NOT NULL,
    own_commitment     bytea       NOT NULL,
    own_cipher         bytea       NOT NULL,
    other_subject      text        NOT NULL,
    other_commitment   bytea       NOT NULL,
    other_cipher       bytea       NOT NULL,
    leaf               bytea       NOT NULL,
    chain              bytea       NOT NULL,
    CONSTRAINT entries_pkey PRIMARY KEY (tenant_id, seq)
);
CREATE INDEX entries_user_idx ON entries (tenant_id, user_id, seq);
CREATE INDEX entries_action_idx ON entries (tenant_id, action text_pattern_ops, seq);
CREATE INDEX entries_recorded_idx ON entries (tenant_id, recorded_at, seq);
CREATE INDEX entries_object_idx ON entries (tenant_id, object, seq);
CREATE INDEX entries_record_idx ON entries (tenant_id, record_id, seq) WHERE record_id <> '';

-- The nodes of the trees whose level is a multiple of 8; those between follow from them.
CREATE TABLE nodes (
    tenant_id uuid     NOT NULL,
    level     smallint NOT NULL,
    idx       bigint   NOT NULL,
    hash      bytea    NOT NULL,
    CONSTRAINT nodes_pkey PRIMARY KEY (tenant_id, level, idx)
);

CREATE TABLE heads (
    tenant_id uuid        NOT NULL,
    size      bigint      NOT NULL,
    root      bytea       NOT NULL,
    chain     bytea       NOT NULL,
    signed_at timestamptz NOT NULL,
    key_id    text        NOT NULL,
    signature bytea       NOT NULL,
    CONSTRAINT heads_pkey PRIMARY KEY (tenant_id, size)
);

-- The keys under which personal data is sealed, themselves sealed. An erased person's
-- are gone; the row stays, so that he gets no other.
CREATE TABLE subject_keys (
    tenant_id  uuid        NOT NULL,
    subject    text        NOT NULL,
    sealed     bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    erased_at  timestamptz,
    CONSTRAINT subject_keys_pkey PRIMARY KEY (tenant_id, subject)
);

-- Who was erased, of whatever tenant.
CREATE TABLE erased_subjects (
    subject   text        CONSTRAINT erased_subjects_pkey PRIMARY KEY,
    erased_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE signing_keys (
    id         text        CONSTRAINT signing_keys_pkey PRIMARY KEY,
    public_key bytea       NOT NULL,
    sealed     bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE sinks (
    tenant_id    uuid        NOT NULL,
    id           uuid        NOT NULL,
    name         text        NOT NULL,
    url          text        NOT NULL,
    format       text        NOT NULL,
    token        bytea,
    enabled      boolean     NOT NULL,
    next_seq     bigint      NOT NULL,
    failures     integer     NOT NULL DEFAULT 0,
    last_error   text        NOT NULL DEFAULT '',
    due_at       timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz NOT NULL DEFAULT '-infinity',
    created_at   timestamptz NOT NULL,
    CONSTRAINT sinks_pkey PRIMARY KEY (tenant_id, id)
);
CREATE INDEX sinks_due_idx ON sinks (tenant_id, due_at) WHERE enabled;

SELECT isolate_tenants('logs');
SELECT isolate_tenants('entries');
SELECT isolate_tenants('nodes');
SELECT isolate_tenants('heads');
SELECT isolate_tenants('subject_keys');
SELECT isolate_tenants('sinks');

-- Append-only. The one role of the service owns its tables, so that these rights and
-- triggers keep its code, and whoever has got hold of its connection's SQL, from changing
-- entries by mistake; the owner, or a superuser, who takes them away is found by the
-- signed heads. Entries are deleted only below a pruning that was recorded, and a
-- pruning goes only as far as the tenant's retention.
REVOKE UPDATE, TRUNCATE ON entries, nodes, heads FROM CURRENT_USER;

-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION refuse_entries_unless_pruned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM deleted d LEFT JOIN logs l USING (tenant_id) WHERE l.pruned IS NULL OR d.seq >= l.pruned) THEN
        RAISE EXCEPTION 'entries is append-only' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION refuse_heads_unless_pruned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM deleted d LEFT JOIN logs l USING (tenant_id) WHERE l.pruned IS NULL OR d.size >= l.pruned) THEN
        RAISE EXCEPTION 'heads is append-only' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION refuse_going_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.size < OLD.size OR NEW.pruned < OLD.pruned OR NEW.tenant_id <> OLD.tenant_id THEN
        RAISE EXCEPTION 'a log does not shrink' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.pruned > OLD.pruned AND (NEW.retention_days = 0 OR EXISTS (
        SELECT FROM entries e WHERE e.tenant_id = NEW.tenant_id AND e.seq = NEW.pruned - 1
            AND e.recorded_at >= now() - make_interval(days => NEW.retention_days))) THEN
        RAISE EXCEPTION 'the retention keeps these entries' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER entries_no_update BEFORE UPDATE OR TRUNCATE ON entries FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER nodes_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON nodes FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER heads_no_update BEFORE UPDATE OR TRUNCATE ON heads FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER logs_no_delete BEFORE DELETE OR TRUNCATE ON logs FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER entries_pruned AFTER DELETE ON entries REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_entries_unless_pruned();
CREATE TRIGGER heads_pruned AFTER DELETE ON heads REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_heads_unless_pruned();
CREATE TRIGGER logs_grow BEFORE UPDATE ON logs FOR EACH ROW EXECUTE FUNCTION refuse_going_back();
