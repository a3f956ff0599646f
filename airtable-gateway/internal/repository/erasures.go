package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// Erasures erases what tenants had that were deleted. A mark of each stays: its
// connections and files are found no more from the mark on, and nothing that comes late
// makes anything of it.
type Erasures struct {
	pool    *pgxpool.Pool
	enqueue Enqueue
	job     func(id.TenantID) river.JobArgs
	now     func() time.Time
}

// NewErasures returns the erasures in pool's database. The job calls the other methods; it
// must be unique.
func NewErasures(pool *pgxpool.Pool, enqueue Enqueue, job func(id.TenantID) river.JobArgs, now func() time.Time) *Erasures {
	return &Erasures{pool, enqueue, job, now}
}

// notErased is the condition that the tenant with the id, an expression, was not deleted.
func notErased(tenant string) string {
	return ` NOT EXISTS (SELECT FROM erased_tenants e WHERE e.tenant_id = ` + tenant + `)`
}

// mustLive returns errs.ErrForbidden if the tenant was deleted.
func mustLive(ctx context.Context, tx pgx.Tx, tenant id.TenantID) error {
	var erased bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM erased_tenants WHERE tenant_id = $1)`, tenant).Scan(&erased); err != nil {
		return fmt.Errorf("look for tenant: %w", err)
	}
	if erased {
		return fmt.Errorf("the tenant was deleted: %w", errs.ErrForbidden)
	}
	return nil
}

// TenantDeleted marks the tenant, and has the job erase what it has.
func (r *Erasures) TenantDeleted(ctx context.Context, tx pgx.Tx, e events.Event, _ tenantapi.TenantChanged) error {
	if err := postgres.Enter(ctx, tx, e.TenantID); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO erased_tenants (tenant_id, erased_at) VALUES ($1, $2) ON CONFLICT ON CONSTRAINT erased_tenants_pkey DO NOTHING`,
		e.TenantID, r.now()); err != nil {
		return fmt.Errorf("mark tenant: %w", err)
	}
	return r.enqueue(ctx, tx, r.job(e.TenantID))
}

// EnqueueUnfinished adds the job for each marked tenant that was not found empty yet, or
// was so less than after since the mark: what was under way may have come since.
func (r *Erasures) EnqueueUnfinished(ctx context.Context, after time.Duration) error {
	return postgres.InEveryTenant(ctx, r.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT tenant_id FROM erased_tenants
			WHERE emptied_at IS NULL OR emptied_at < erased_at + $1::interval AND erased_at + $1::interval <= $2`, after, r.now())
		if err != nil {
			return fmt.Errorf("find erased tenants: %w", err)
		}
		tenants, err := pgx.CollectRows(rows, pgx.RowTo[id.TenantID])
		if err != nil {
			return fmt.Errorf("find erased tenants: %w", err)
		}
		for _, tenant := range tenants {
			if err := r.enqueue(ctx, tx, r.job(tenant)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Account is a connection of an erased tenant, and the bases that it offered.
type Account struct {
	models.Connection
	Bases []string
}

// Accounts lists the tenant's connections: all that there may be.
func (r *Erasures) Accounts(ctx context.Context, tenant id.TenantID) ([]Account, error) {
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, `
		SELECT `+connectionColumns+`, ARRAY(SELECT b.base_id FROM connection_bases b WHERE b.tenant_id = c.tenant_id AND b.connection_id = c.id)
		FROM connections c WHERE tenant_id = $1 ORDER BY id`, tenant)
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a Account, err error) {
		a.Connection, err = scanConnection(row, &a.Bases)
		return a, err
	})
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	return list, nil
}

// EraseConnection deletes a connection with its sealed token, after leave in the same
// transaction. What hangs on it, but for its watches, is erased before.
func (r *Erasures) EraseConnection(ctx context.Context, c models.Connection, leave func(pgx.Tx, models.Connection) error) error {
	return postgres.InTenant(ctx, r.pool, c.Tenant, func(tx pgx.Tx) error {
		if err := leave(tx, c); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM connections WHERE tenant_id = $1 AND id = $2`, c.Tenant, c.ID); err != nil {
			return fmt.Errorf("erase connection: %w", err)
		}
		return nil
	})
}

// The tables that a tenant has rows in, those that refer to others before them.
// Connections, with watches, are erased between the first two lists and blobs between the
// last two.
var (
	OfConnections = []string{"stable_files", "connection_bases", "connection_quotas"}
	BeforeBlobs   = []string{
		"list_iterator_pieces", "list_iterators",
		"comments", "attachments", "links", "records", "record_history",
		"webhook_payloads", "webhooks", "webhook_feeds",
		"table_counters", "views", "fields", "tables", "bases",
		"restores", "snapshot_files", "snapshots", "thumbnails",
	}
	// Bases and blobs are counted in uses when they go.
	AfterBlobs = []string{
		"usage_minutes", "usage_days", "saved_minutes", "saved_days",
		"people", "base_places", "shelves", "idempotency_keys", "uses",
	}
)

// EraseRows deletes at most limit of the tenant's rows of a table, and returns how many it
// did. Where the table has partitions a place may name a row in each: all are the tenant's.
func (r *Erasures) EraseRows(ctx context.Context, tenant id.TenantID, table string, limit int) (int64, error) {
	name := pgx.Identifier{table}.Sanitize()
	tag, err := postgres.ForTenant(r.pool, tenant).Exec(ctx, `
		DELETE FROM `+name+` WHERE tenant_id = $1 AND ctid = ANY (ARRAY(SELECT ctid FROM `+name+` WHERE tenant_id = $1 LIMIT $2))`, tenant, limit)
	if err != nil {
		return 0, fmt.Errorf("erase %s: %w", table, err)
	}
	return tag.RowsAffected(), nil
}

// Emptied notes that nothing of the tenant was found.
func (r *Erasures) Emptied(ctx context.Context, tenant id.TenantID) error {
	_, err := postgres.ForTenant(r.pool, tenant).Exec(ctx, `UPDATE erased_tenants SET emptied_at = $2 WHERE tenant_id = $1`, tenant, r.now())
	if err != nil {
		return fmt.Errorf("note empty tenant: %w", err)
	}
	return nil
}
