package repository

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// StoredWebhook is a webhook as the database has it, its specification unread.
type StoredWebhook struct {
	models.Webhook
	Specification map[string]any
}

const webhookColumns = `id, base_id, url, specification, secret, created_at, expires_at, broken, pings_enabled, last_payload, ping_result, pinged_at`

func scanWebhook(row pgx.CollectableRow) (StoredWebhook, error) {
	var w StoredWebhook
	var spec []byte
	var pinged *time.Time
	err := row.Scan(&w.ID, &w.Base, &w.URL, &spec, &w.Secret, &w.CreatedAt, &w.ExpiresAt, &w.Broken, &w.Pings, &w.LastPayload, &w.LastPing, &pinged)
	if err != nil {
		return w, err
	}
	if pinged != nil {
		w.PingedAt = *pinged
	}
	if err := json.Unmarshal(spec, &w.Specification); err != nil {
		return w, fmt.Errorf("specification of %s: %w", w.ID, err)
	}
	return w, nil
}

// watchLock is the first half of the advisory lock of a base's list of webhooks.
// Writers of the base share it from when they ask who watches to their commit; who
// adds a webhook has it alone. So a writer that did not see the webhook has committed
// before its creation is answered: whoever reads the base afterwards misses nothing.
//
// It comes after the locks of base, tables and records.
const watchLock = 0x7768_6b73

const lockKey = `hashtext($2::text || '/' || $3::text)`

// Watchers returns the webhooks of the base that are not broken, expired ones
// among them, and keeps others from adding one until the transaction ends.
func (t *Tx) Watchers(ctx context.Context, tenant id.TenantID, base models.BaseID) ([]StoredWebhook, error) {
	return t.EmitWatched(ctx, tenant, base)
}

// EmitWatched is Emit and Watchers in one trip to the database: writers whom nobody
// watches shall not have to make one more.
func (t *Tx) EmitWatched(ctx context.Context, tenant id.TenantID, base models.BaseID, evs ...events.Event) ([]StoredWebhook, error) {
	batch := &pgx.Batch{}
	batch.Queue(`SELECT pg_advisory_xact_lock_shared($1, `+lockKey+`)`, watchLock, tenant.String(), base)
	// Not in one statement: what it reads must be read after it has the lock.
	batch.Queue(`SELECT `+webhookColumns+` FROM webhooks WHERE tenant_id = $1 AND base_id = $2 AND NOT broken ORDER BY id`, tenant, base)
	if err := events.Queue(batch, evs...); err != nil {
		return nil, err
	}
	results := t.tx.SendBatch(ctx, batch)
	found, err := readWatchers(results)
	if closeErr := results.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("read watchers: %w", err)
	}
	return found, nil
}

func readWatchers(results pgx.BatchResults) ([]StoredWebhook, error) {
	if _, err := results.Exec(); err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanWebhook)
}

// Told is what a webhook is to be told of the transaction at hand.
type Told struct {
	Webhook models.WebhookID
	Body    []byte
	Broken  bool // and nothing any more after this
}

// Tell counts the transaction among those of the base and appends what webhooks
// are told of it; the ones that may be pinged are due at once. It must be the last
// thing before the commit: from here on other writers of the base wait.
func (t *Tx) Tell(ctx context.Context, tenant id.TenantID, base models.BaseID, at time.Time, told []Told) error {
	ids, bodies, broken := make([]models.WebhookID, len(told)), make([]string, len(told)), make([]bool, len(told))
	for i, w := range told {
		ids[i], bodies[i], broken[i] = w.Webhook, string(w.Body), w.Broken
	}
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE webhook_feeds SET last_transaction = last_transaction + 1 WHERE tenant_id = $1 AND base_id = $2`, tenant, base)
	if len(told) > 0 {
		batch.Queue(`
			WITH told AS (
				UPDATE webhooks w SET last_payload = w.last_payload + 1, broken = u.broken,
					ping_due_at = CASE WHEN w.url <> '' AND w.pings_enabled THEN coalesce(w.ping_due_at, '-infinity') END
				FROM unnest($3::text[], $4::text[], $5::boolean[]) AS u (id, body, broken)
				WHERE w.tenant_id = $1 AND w.id = u.id
				RETURNING w.id, w.last_payload, u.body)
			INSERT INTO webhook_payloads (tenant_id, webhook_id, number, transaction_number, created_at, body)
			SELECT $1, told.id, told.last_payload,
				(SELECT last_transaction FROM webhook_feeds WHERE tenant_id = $1 AND base_id = $2), $6, told.body
			FROM told`, tenant, base, ids, bodies, broken, at)
	}
	if err := t.tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("tell webhooks: %w", err)
	}
	return nil
}

// AddWebhook stores a webhook unless the base has most live ones already, which it
// reports as false. The webhook is due for a first ping.
func (t *Tx) AddWebhook(ctx context.Context, tenant id.TenantID, w models.Webhook, by id.UserID, most int) (bool, error) {
	batch := &pgx.Batch{}
	// The foreign key would lock the base after the webhooks, against the order.
	batch.Queue(`SELECT FROM bases WHERE tenant_id = $1 AND id = $2 FOR KEY SHARE`, tenant, w.Base)
	batch.Queue(`SELECT pg_advisory_xact_lock($1, `+lockKey+`)`, watchLock, tenant.String(), w.Base)
	if err := t.tx.SendBatch(ctx, batch).Close(); err != nil {
		return false, fmt.Errorf("lock webhooks: %w", err)
	}
	batch = &pgx.Batch{}
	batch.Queue(`INSERT INTO webhook_feeds (tenant_id, base_id) VALUES ($1, $2) ON CONFLICT ON CONSTRAINT webhook_feeds_pkey DO NOTHING`, tenant, w.Base)
	batch.Queue(`
		INSERT INTO webhooks (tenant_id, id, base_id, url, specification, secret, created_at, created_by, expires_at, ping_due_at)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, CASE WHEN $4 <> '' THEN '-infinity'::timestamptz END
		WHERE (SELECT count(*) FROM webhooks WHERE tenant_id = $1 AND base_id = $3 AND expires_at > $7) < $10`,
		tenant, w.ID, w.Base, w.URL, models.Marshal(w.Spec.Wire()), w.Secret, w.CreatedAt, by, w.ExpiresAt, most)
	results := t.tx.SendBatch(ctx, batch)
	_, err := results.Exec()
	added, insertErr := results.Exec()
	if closeErr := results.Close(); err == nil && insertErr == nil {
		err = closeErr
	}
	if err == nil {
		err = insertErr
	}
	return added.RowsAffected() == 1, insertError("webhook", "webhooks_pkey", err)
}

// Webhooks returns the webhooks of a base that have not expired before since, in
// the order of their creation.
func (r Reader) Webhooks(ctx context.Context, tenant id.TenantID, base models.BaseID, since time.Time) ([]StoredWebhook, error) {
	rows, err := r.of(tenant).Query(ctx, `
		SELECT `+webhookColumns+` FROM webhooks
		WHERE tenant_id = $1 AND base_id = $2 AND expires_at > $3 ORDER BY created_at, id`, tenant, base, since)
	if err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	found, err := pgx.CollectRows(rows, scanWebhook)
	if err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	return found, nil
}

// DeleteWebhook removes a webhook with its payloads, or returns errs.ErrNotFound.
func (s *Store) DeleteWebhook(ctx context.Context, tenant id.TenantID, base models.BaseID, hook models.WebhookID, since time.Time) error {
	tag, err := s.of(tenant).Exec(ctx, `DELETE FROM webhooks WHERE tenant_id = $1 AND base_id = $2 AND id = $3 AND expires_at > $4`, tenant, base, hook, since)
	return affected("delete webhook", tag.RowsAffected(), err)
}

// EnablePings switches a webhook's notifications, or returns errs.ErrNotFound. One
// that gets them back is pinged at once if it was told anything.
func (s *Store) EnablePings(ctx context.Context, tenant id.TenantID, base models.BaseID, hook models.WebhookID, enable bool, since time.Time) error {
	tag, err := s.of(tenant).Exec(ctx, `
		UPDATE webhooks SET pings_enabled = $4,
			ping_failures = CASE WHEN pings_enabled = $4 THEN ping_failures ELSE 0 END,
			ping_due_at = CASE WHEN pings_enabled = $4 THEN ping_due_at
				WHEN $4 AND url <> '' AND last_payload > 0 THEN '-infinity'::timestamptz END
		WHERE tenant_id = $1 AND base_id = $2 AND id = $3 AND expires_at > $5`, tenant, base, hook, enable, since)
	return affected("enable pings", tag.RowsAffected(), err)
}

func affected(doing string, rows int64, err error) error {
	if err == nil && rows == 0 {
		err = errs.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// ExtendWebhook moves the end of a webhook that is active at now, and returns the
// webhook as it then is. Others that did not expire before since are returned as
// they are; errs.ErrNotFound if there is none.
func (s *Store) ExtendWebhook(ctx context.Context, tenant id.TenantID, base models.BaseID, hook models.WebhookID, now, until, since time.Time) (StoredWebhook, error) {
	rows, err := s.of(tenant).Query(ctx, `
		UPDATE webhooks SET expires_at = CASE WHEN expires_at > $4 AND NOT broken THEN $5 ELSE expires_at END
		WHERE tenant_id = $1 AND base_id = $2 AND id = $3 AND expires_at > $6
		RETURNING `+webhookColumns, tenant, base, hook, now, until, since)
	if err != nil {
		return StoredWebhook{}, fmt.Errorf("extend webhook: %w", err)
	}
	w, err := pgx.CollectExactlyOneRow(rows, scanWebhook)
	if err != nil {
		return w, fmt.Errorf("extend webhook: %w", postgres.NotFound(err))
	}
	return w, nil
}

// Payload is one entry of a webhook's log.
type Payload struct {
	Number      int64
	Transaction int64
	CreatedAt   time.Time
	Body        []byte
}

// Payloads returns up to limit payloads from number from on that are newer than
// since, and stops after one that makes them larger than mostBytes. What it returns
// has no gap that could be filled later.
func (r Reader) Payloads(ctx context.Context, tenant id.TenantID, hook models.WebhookID, from int64, limit, mostBytes int, since time.Time) ([]Payload, error) {
	rows, err := r.of(tenant).Query(ctx, `
		SELECT number, transaction_number, created_at, body FROM webhook_payloads
		WHERE tenant_id = $1 AND webhook_id = $2 AND number >= $3 AND created_at > $4 ORDER BY number LIMIT $5`,
		tenant, hook, from, since, limit)
	if err != nil {
		return nil, fmt.Errorf("read payloads: %w", err)
	}
	defer rows.Close()
	var out []Payload
	for size := 0; size <= mostBytes && rows.Next(); {
		var p Payload
		if err := rows.Scan(&p.Number, &p.Transaction, &p.CreatedAt, &p.Body); err != nil {
			return nil, fmt.Errorf("read payloads: %w", err)
		}
		out = append(out, p)
		size += len(p.Body)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read payloads: %w", err)
	}
	return out, nil
}

// SweepWebhooks deletes, of all tenants, the webhooks that expired before since
// and the payloads that are older. It returns how many of each.
func (s *Store) SweepWebhooks(ctx context.Context, since time.Time) (webhooks, payloads int64, err error) {
	every := postgres.ForEveryTenant(s.pool)
	gone, err := every.Exec(ctx, `DELETE FROM webhooks WHERE expires_at <= $1`, since)
	if err != nil {
		return 0, 0, fmt.Errorf("sweep webhooks: %w", err)
	}
	// Payloads are numbered in the order of time: the first that is young enough ends
	// the search of each webhook.
	old, err := every.Exec(ctx, `
		DELETE FROM webhook_payloads p USING webhooks w
		WHERE p.tenant_id = w.tenant_id AND p.webhook_id = w.id AND p.number < coalesce((
			SELECT q.number FROM webhook_payloads q
			WHERE q.tenant_id = w.tenant_id AND q.webhook_id = w.id AND q.created_at > $1 ORDER BY q.number LIMIT 1), w.last_payload + 1)`, since)
	if err != nil {
		return 0, 0, fmt.Errorf("sweep payloads: %w", err)
	}
	return gone.RowsAffected(), old.RowsAffected(), nil
}

// DuePing is a webhook that is to be pinged.
type DuePing struct {
	Tenant   id.TenantID
	Webhook  models.WebhookID
	Base     models.BaseID
	URL      string
	Secret   []byte // sealed
	Payload  int64  // up to which the ping tells
	Failures int
}

// TakePings takes up to limit webhooks of all tenants that are due at now; nobody
// else takes them before held, unless PingDone gives them back.
func (s *Store) TakePings(ctx context.Context, now, held time.Time, limit int) ([]DuePing, error) {
	rows, err := postgres.ForEveryTenant(s.pool).Query(ctx, `
		UPDATE webhooks w SET ping_held_until = $2
		FROM (
			SELECT tenant_id, id FROM webhooks
			WHERE ping_due_at <= $1 AND (ping_held_until IS NULL OR ping_held_until <= $1)
			ORDER BY ping_due_at, tenant_id, id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED) due
		WHERE w.tenant_id = due.tenant_id AND w.id = due.id
		RETURNING w.tenant_id, w.id, w.base_id, w.url, w.secret, w.last_payload, w.ping_failures`, now, held, limit)
	if err != nil {
		return nil, fmt.Errorf("take pings: %w", err)
	}
	due, err := pgx.CollectRows(rows, pgx.RowToStructByPos[DuePing])
	if err != nil {
		return nil, fmt.Errorf("take pings: %w", err)
	}
	return due, nil
}

// PingOutcome is what became of a ping.
type PingOutcome struct {
	Result  []byte    // Airtable's lastNotificationResult
	Success time.Time // zero: it failed
	Again   time.Time // when to ping next: after a success, if there is news since; zero after a failure: never
}

// PingDone notes the outcome and gives the webhook back. A failure without another
// try switches its notifications off.
func (s *Store) PingDone(ctx context.Context, p DuePing, o PingOutcome) error {
	var err error
	if !o.Success.IsZero() {
		_, err = s.of(p.Tenant).Exec(ctx, `
			UPDATE webhooks SET ping_result = $3, pinged_at = $4, ping_failures = 0, ping_held_until = NULL,
				ping_due_at = CASE WHEN pings_enabled AND last_payload > $5 THEN $6::timestamptz END
			WHERE tenant_id = $1 AND id = $2`, p.Tenant, p.Webhook, o.Result, o.Success, p.Payload, o.Again)
	} else {
		goesOn := !o.Again.IsZero()
		_, err = s.of(p.Tenant).Exec(ctx, `
			UPDATE webhooks SET ping_result = $3, ping_failures = ping_failures + 1, ping_held_until = NULL,
				ping_due_at = CASE WHEN pings_enabled AND $4 THEN $5::timestamptz END, pings_enabled = pings_enabled AND $4
			WHERE tenant_id = $1 AND id = $2`, p.Tenant, p.Webhook, o.Result, goesOn, o.Again)
	}
	if err != nil {
		return fmt.Errorf("note ping: %w", err)
	}
	return nil
}

// GiveBackPing lets others take a webhook that was not pinged after all.
func (s *Store) GiveBackPing(ctx context.Context, p DuePing) error {
	_, err := s.of(p.Tenant).Exec(ctx, `UPDATE webhooks SET ping_held_until = NULL WHERE tenant_id = $1 AND id = $2`, p.Tenant, p.Webhook)
	if err != nil {
		return fmt.Errorf("give back ping: %w", err)
	}
	return nil
}
