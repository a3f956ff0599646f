package repository

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// CreateItem stores the item together with the event that announces it. allowed
// is given the number of items that the tenant has, and may refuse.
func (r *Repository) CreateItem(ctx context.Context, it models.Item, created events.Event, allowed func(count int) error) error {
	return postgres.InTx(ctx, r.pool, func(tx pgx.Tx) error {
		// Counting and adding is one step for a tenant, else two requests could
		// both take the last place.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('items/' || $1, 0))`, it.Tenant.String()); err != nil {
			return fmt.Errorf("lock items: %w", err)
		}
		var count int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM items WHERE tenant_id = $1`, it.Tenant).Scan(&count); err != nil {
			return fmt.Errorf("count items: %w", err)
		}
		if err := allowed(count); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO items (tenant_id, id, name, created_at) VALUES ($1, $2, $3, $4)`,
			it.Tenant, it.ID, it.Name, it.CreatedAt)
		if err != nil {
			return fmt.Errorf("insert item: %w", err)
		}
		return events.Emit(ctx, tx, created)
	})
}

// Item returns the tenant's item, or errs.ErrNotFound.
func (r *Repository) Item(ctx context.Context, tenant id.TenantID, item models.ItemID) (models.Item, error) {
	rows, err := r.pool.Query(ctx, `SELECT id, tenant_id, name, created_at FROM items WHERE tenant_id = $1 AND id = $2`, tenant, item)
	if err != nil {
		return models.Item{}, fmt.Errorf("read item: %w", err)
	}
	it, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[models.Item])
	if err != nil {
		return models.Item{}, fmt.Errorf("read item: %w", postgres.NotFound(err))
	}
	return it, nil
}

// Items returns up to limit of the tenant's items, those after the given one, in
// the order in which they were made.
func (r *Repository) Items(ctx context.Context, tenant id.TenantID, after models.ItemID, limit int) ([]models.Item, error) {
	rows, err := r.pool.Query(ctx, `
		SELECT id, tenant_id, name, created_at FROM items
		WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3`, tenant, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list items: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[models.Item])
	if err != nil {
		return nil, fmt.Errorf("list items: %w", err)
	}
	return list, nil
}
