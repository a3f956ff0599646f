-- +goose Up

-- Who has what is counted numbers what he says of it: what was said before and comes late
-- changes nothing.
ALTER TABLE limit_uses ADD COLUMN version bigint NOT NULL DEFAULT 0;

-- What more of a limit there may be: p_allowed, negative for any number, without what is
-- used and what open reservations hold. The caller has the counter's lock, and calls this
-- in a statement of its own: it has to see what was committed while he waited for that.
-- +goose StatementBegin
CREATE FUNCTION limit_room(p_tenant uuid, p_name text, p_period text, p_allowed bigint) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN p_allowed < 0 THEN 9223372036854775807 ELSE greatest(0, p_allowed
        - coalesce((SELECT used FROM limit_uses WHERE tenant_id = p_tenant AND name = p_name AND period = p_period), 0)
        - (SELECT coalesce(sum(amount), 0) FROM reservations
           WHERE tenant_id = p_tenant AND name = p_name AND period = p_period AND status = 'open' AND expires_at > clock_timestamp()))::bigint END
$$;
-- +goose StatementEnd

-- Reserves in one round trip, so that the counter's lock is held no longer than that and
-- the commit take. Having locked the tenant, shared, and the counters in the order of
-- their periods, it
--   settles: counts what was used of reservations that are over, and forgets them; one
--   that ran out, maybe given to somebody else since, counts as far as there is room;
--   then sets p_amount aside, or with p_partial less if there is less, and at most one
--   p_share-th of what there is, so that some is left to others.
-- outcome is no_tenant, key_reused, refused or done. What was settled is so in any case.
-- +goose StatementBegin
CREATE FUNCTION reserve_limit(
    p_tenant uuid, p_key text, p_name text, p_monthly boolean, p_amount bigint, p_partial boolean, p_share bigint, p_kept interval,
    p_settle text[], p_used bigint[],
    OUT outcome text, OUT plan text, OUT allowed bigint, OUT asked_at timestamptz, OUT amount bigint, OUT status text, OUT expires_at timestamptz
) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    v_period text;
    v_room   bigint;
    v_spent  bigint;
    v_one    record;
    v_old    reservations;
    v_live   boolean;
BEGIN
    SELECT p.name, coalesce(((p.limits || coalesce(o.limits, '{}')) ->> p_name)::bigint, -1) INTO plan, allowed
    FROM tenants t LEFT JOIN subscriptions s ON s.tenant_id = t.tenant_id LEFT JOIN limit_overrides o ON o.tenant_id = t.tenant_id
        JOIN plans p ON CASE WHEN s.status IS NULL OR s.status = 'ended' THEN p.is_default ELSE p.name = s.plan END
    WHERE t.tenant_id = p_tenant FOR KEY SHARE OF t;
    IF NOT FOUND THEN
        outcome := 'no_tenant';
        RETURN;
    END IF;
    asked_at := clock_timestamp();
    v_period := CASE WHEN p_monthly THEN to_char(asked_at AT TIME ZONE 'UTC', 'YYYY-MM') ELSE '' END;

    IF cardinality(p_settle) > 0 THEN -- the current period is the last one
        PERFORM FROM limit_uses u WHERE u.tenant_id = p_tenant AND u.name = p_name AND u.period IN
            (SELECT r.period FROM reservations r WHERE r.tenant_id = p_tenant AND r.key = ANY (p_settle) AND r.name = p_name)
        ORDER BY u.period FOR UPDATE;
    END IF;
    PERFORM FROM limit_uses u WHERE u.tenant_id = p_tenant AND u.name = p_name AND u.period = v_period FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO limit_uses AS u (tenant_id, name, period, used) VALUES (p_tenant, p_name, v_period, 0)
        ON CONFLICT ON CONSTRAINT limit_uses_pkey DO UPDATE SET used = u.used;
    END IF;

    FOR v_one IN -- those that hold what they are about first: they make no room for the others
        SELECT r.key, r.period, r.expires_at > clock_timestamp() AS live, least(max(s.used), r.amount) AS used
        FROM unnest(p_settle, p_used) AS s (key, used)
            JOIN reservations r ON r.tenant_id = p_tenant AND r.key = s.key AND r.name = p_name AND r.status = 'open'
        GROUP BY r.key, r.period, r.expires_at, r.amount ORDER BY r.period, live DESC, r.key
    LOOP
        v_spent := v_one.used;
        IF NOT v_one.live THEN
            v_spent := least(v_spent, limit_room(p_tenant, p_name, v_one.period, allowed));
        END IF;
        DELETE FROM reservations WHERE tenant_id = p_tenant AND key = v_one.key;
        UPDATE limit_uses SET used = used + v_spent WHERE tenant_id = p_tenant AND name = p_name AND period = v_one.period;
    END LOOP;

    v_room := limit_room(p_tenant, p_name, v_period, allowed);
    SELECT * INTO v_old FROM reservations WHERE tenant_id = p_tenant AND key = p_key;
    IF FOUND THEN
        v_live := v_old.status = 'open' AND v_old.expires_at > clock_timestamp();
        CASE
        WHEN v_old.name <> p_name OR v_live AND (v_old.amount > p_amount OR v_old.amount < p_amount AND NOT p_partial) THEN
            outcome := 'key_reused';
            RETURN;
        WHEN v_old.status = 'committed' THEN
            outcome := 'done';
            amount := v_old.amount;
            status := v_old.status;
            expires_at := v_old.expires_at;
            RETURN;
        WHEN v_live AND v_old.period = v_period THEN
            amount := v_old.amount;
        ELSE
            NULL; -- it ran out, or was released: there is nothing of it
        END CASE;
    END IF;
    IF amount IS NULL THEN
        amount := CASE WHEN p_partial THEN least(p_amount, v_room, greatest(1, v_room / p_share)) WHEN p_amount <= v_room THEN p_amount ELSE 0 END;
    END IF;
    IF amount = 0 THEN
        outcome := 'refused';
        RETURN;
    END IF;
    outcome := 'done';
    status := 'open';
    expires_at := clock_timestamp() + p_kept;
    INSERT INTO reservations (tenant_id, key, name, period, amount, status, expires_at)
    VALUES (p_tenant, p_key, p_name, v_period, amount, status, expires_at)
    ON CONFLICT ON CONSTRAINT reservations_pkey DO UPDATE
        SET period = excluded.period, amount = excluded.amount, status = excluded.status, expires_at = excluded.expires_at;
END
$$;
-- +goose StatementEnd
