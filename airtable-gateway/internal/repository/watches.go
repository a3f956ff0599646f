package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// Watches keeps the webhooks by which Airtable tells of changes.
type Watches struct {
	pool    *pgxpool.Pool
	enqueue Enqueue
}

// NewWatches returns those in pool's database; enqueue adds the jobs that look after
// them.
func NewWatches(pool *pgxpool.Pool, enqueue Enqueue) *Watches { return &Watches{pool, enqueue} }

const watchColumns = `tenant_id, connection_id, base_id, id, webhook_id, secret, cursor, expires_at, refused,
	used_at, check_at, pinged, handled, pinged_at`

func asWatch(row pgx.CollectableRow) (w models.Watch, err error) {
	var expires, pinged *time.Time
	err = row.Scan(&w.Tenant, &w.Connection, &w.Base, &w.ID, &w.Webhook, &w.Secret, &w.Cursor, &expires, &w.Refused,
		&w.UsedAt, &w.CheckAt, &w.Pinged, &w.Handled, &pinged)
	if expires != nil {
		w.ExpiresAt = *expires
	}
	if pinged != nil {
		w.PingedAt = *pinged
	}
	return w, err
}

func (r *Watches) one(ctx context.Context, tenant id.TenantID, where string, args ...any) (models.Watch, error) {
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, `SELECT `+watchColumns+` FROM watches WHERE `+where, args...)
	if err != nil {
		return models.Watch{}, fmt.Errorf("select watch: %w", err)
	}
	w, err := pgx.CollectExactlyOneRow(rows, asWatch)
	if err = postgres.NotFound(err); err != nil {
		return w, fmt.Errorf("select watch: %w", err)
	}
	return w, nil
}

// Watch returns errs.ErrNotFound if the base is not watched.
func (r *Watches) Watch(ctx context.Context, key models.WatchKey) (models.Watch, error) {
	return r.one(ctx, key.Tenant, `tenant_id = $1 AND connection_id = $2 AND base_id = $3`, key.Tenant, key.Connection, key.Base)
}

// WatchByID returns errs.ErrNotFound if the tenant has no such watch.
func (r *Watches) WatchByID(ctx context.Context, tenant id.TenantID, key models.WatchID) (models.Watch, error) {
	return r.one(ctx, tenant, `tenant_id = $1 AND id = $2`, tenant, key)
}

// Watches lists at most limit watches of the connection, by base, those after the given
// one.
func (r *Watches) Watches(ctx context.Context, tenant id.TenantID, connection models.ConnectionID, after string, limit int) ([]models.Watch, error) {
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, `
		SELECT `+watchColumns+` FROM watches
		WHERE tenant_id = $1 AND connection_id = $2 AND base_id > $3 ORDER BY base_id LIMIT $4`, tenant, connection, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list watches: %w", err)
	}
	list, err := pgx.CollectRows(rows, asWatch)
	if err != nil {
		return nil, fmt.Errorf("list watches: %w", err)
	}
	return list, nil
}

// Use notes that the base is read, begins to watch it if it is not watched yet, and
// adds the job if the watch is to be looked after. Where the connection is gone it does
// nothing.
func (r *Watches) Use(ctx context.Context, key models.WatchKey, now time.Time, settle river.JobArgs) error {
	err := postgres.InTenant(ctx, r.pool, key.Tenant, func(tx pgx.Tx) error {
		var due bool
		err := tx.QueryRow(ctx, `
			INSERT INTO watches (tenant_id, connection_id, base_id, id, used_at, check_at) VALUES ($1, $2, $3, $4, $5, $5)
			ON CONFLICT ON CONSTRAINT watches_pkey DO UPDATE SET used_at = excluded.used_at
			RETURNING check_at <= $5`, key.Tenant, key.Connection, key.Base, models.NewWatchID(), now).Scan(&due)
		if err != nil {
			return fmt.Errorf("note use of base: %w", err)
		}
		if !due {
			return nil
		}
		return r.enqueue(ctx, tx, settle)
	})
	if postgres.IsForeignKey(err, "watches_connection_fkey") {
		return nil
	}
	return err
}

// EnqueueDue adds the job that settle makes for each watch that is to be looked after,
// of whichever tenant, and at most limit. It returns how many.
func (r *Watches) EnqueueDue(ctx context.Context, now time.Time, limit int, settle func(models.WatchKey) river.JobArgs) (n int, err error) {
	err = postgres.InEveryTenant(ctx, r.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT tenant_id, connection_id, base_id FROM watches WHERE check_at <= $1 ORDER BY check_at LIMIT $2`, now, limit)
		if err != nil {
			return fmt.Errorf("list due watches: %w", err)
		}
		due, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (k models.WatchKey, err error) {
			return k, row.Scan(&k.Tenant, &k.Connection, &k.Base)
		})
		if err != nil {
			return fmt.Errorf("list due watches: %w", err)
		}
		for _, key := range due {
			if err := r.enqueue(ctx, tx, settle(key)); err != nil {
				return err
			}
		}
		n = len(due)
		return nil
	})
	return n, err
}

// Settle stores what became of the webhook. It returns errs.ErrNotFound for a watch that
// is gone.
func (r *Watches) Settle(ctx context.Context, w models.Watch) error {
	tag, err := postgres.ForTenant(r.pool, w.Tenant).Exec(ctx, `
		UPDATE watches SET webhook_id = $4, secret = $5, cursor = $6, expires_at = $7, refused = $8, check_at = $9
		WHERE tenant_id = $1 AND connection_id = $2 AND base_id = $3`,
		w.Tenant, w.Connection, w.Base, w.Webhook, w.Secret, w.Cursor, nullable(w.ExpiresAt), w.Refused, w.CheckAt)
	if err != nil {
		return fmt.Errorf("settle watch: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("settle watch: %w", errs.ErrNotFound)
	}
	return nil
}

// Forget deletes a watch.
func (r *Watches) Forget(ctx context.Context, key models.WatchKey) error {
	_, err := postgres.ForTenant(r.pool, key.Tenant).Exec(ctx, `
		DELETE FROM watches WHERE tenant_id = $1 AND connection_id = $2 AND base_id = $3`, key.Tenant, key.Connection, key.Base)
	if err != nil {
		return fmt.Errorf("forget watch: %w", err)
	}
	return nil
}

// jobLost is how long after a job was asked for a ping asks for another one: the first
// may have died with its process.
const jobLost = 30 * time.Second

// Ping counts a ping, and adds the job that reads what changed unless one is on its way
// that will. The job is to wait for so long that it begins at the given interval after
// the one before.
func (r *Watches) Ping(ctx context.Context, key models.WatchKey, now time.Time, interval time.Duration, read func(wait time.Duration) river.JobArgs) error {
	return postgres.InTenant(ctx, r.pool, key.Tenant, func(tx pgx.Tx) error {
		var idle bool
		var asked *time.Time
		err := tx.QueryRow(ctx, `
			UPDATE watches SET pinged = pinged + 1, pinged_at = $4 WHERE tenant_id = $1 AND connection_id = $2 AND base_id = $3
			RETURNING pinged - 1 = handled, asked_at`, key.Tenant, key.Connection, key.Base, now).Scan(&idle, &asked)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("count ping: %w", err)
		}
		if !idle && asked != nil && now.Sub(*asked) < jobLost {
			return nil
		}
		_, err = tx.Exec(ctx, `
			UPDATE watches SET asked_at = $4 WHERE tenant_id = $1 AND connection_id = $2 AND base_id = $3`,
			key.Tenant, key.Connection, key.Base, now)
		if err != nil {
			return fmt.Errorf("count ping: %w", err)
		}
		var wait time.Duration
		if asked != nil {
			wait = max(0, asked.Add(interval).Sub(now))
		}
		return r.enqueue(ctx, tx, read(wait))
	})
}

// Handled stores how far the payloads of a webhook were read after its first pings, and
// reports whether there were more pings since.
func (r *Watches) Handled(ctx context.Context, w models.Watch, pings int64) (more bool, err error) {
	err = postgres.ForTenant(r.pool, w.Tenant).QueryRow(ctx, `
		UPDATE watches SET
			cursor = CASE webhook_id WHEN $4 THEN greatest(cursor, $5) ELSE cursor END,
			expires_at = CASE webhook_id WHEN $4 THEN $6 ELSE expires_at END,
			handled = greatest(handled, $7)
		WHERE tenant_id = $1 AND connection_id = $2 AND base_id = $3
		RETURNING pinged > handled`, w.Tenant, w.Connection, w.Base, w.Webhook, w.Cursor, nullable(w.ExpiresAt), pings).Scan(&more)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("note pings: %w", err)
	}
	return more, nil
}

// Leave adds, in the transaction that deletes the connection, the job that leave makes
// of its webhooks, if it has any.
func (r *Watches) Leave(ctx context.Context, tx pgx.Tx, c models.Connection, leave func([]models.Watch) river.JobArgs) error {
	rows, err := tx.Query(ctx, `
		SELECT `+watchColumns+` FROM watches WHERE tenant_id = $1 AND connection_id = $2 AND webhook_id <> ''`, c.Tenant, c.ID)
	if err != nil {
		return fmt.Errorf("list watches: %w", err)
	}
	list, err := pgx.CollectRows(rows, asWatch)
	if err != nil {
		return fmt.Errorf("list watches: %w", err)
	}
	if len(list) == 0 {
		return nil
	}
	return r.enqueue(ctx, tx, leave(list))
}
