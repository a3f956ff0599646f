package repository

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/events"
)

// TenantUpdated notes how the tenant is: whether it is shut to all but its owners. Nothing
// that anybody has in it changes.
func (r *Repository) TenantUpdated(ctx context.Context, tx pgx.Tx, e events.Event, d tenantapi.TenantChanged) error {
	return r.apply(ctx, tx, e, func(c *change) error {
		var was string
		err := c.QueryRow(ctx, `SELECT status FROM tenants WHERE tenant_id = $1`, c.tenant).Scan(&was)
		if err != nil {
			return fmt.Errorf("read status: %w", err)
		}
		tag, err := c.Exec(ctx, `UPDATE tenants SET status = $2, status_version = $3 WHERE tenant_id = $1 AND status_version < $3`, c.tenant, d.Status, e.Version)
		if err != nil {
			return fmt.Errorf("store status: %w", err)
		}
		if tag.RowsAffected() > 0 && was != d.Status {
			c.say(permissionapi.Change{What: "tenant_status", Object: models.TenantObject(c.tenant), Old: was, New: d.Status, ActorID: d.ActorID})
		}
		return nil
	})
}

// TenantDeleted erases what the tenant has, and says so to all who remember answers. Its
// row stays, so that nothing that comes late brings it back; its tuples go with the next
// Settle.
func (r *Repository) TenantDeleted(ctx context.Context, tx pgx.Tx, e events.Event, d tenantapi.TenantChanged) error {
	return r.apply(ctx, tx, e, func(c *change) error {
		batch := &pgx.Batch{}
		for _, table := range []string{"stale", "roles", "grants", "members", "groups", "group_members", "places", "policies", "changes"} {
			batch.Queue(`DELETE FROM `+pgx.Identifier{table}.Sanitize()+` WHERE tenant_id = $1`, c.tenant)
		}
		batch.Queue(`UPDATE tenants SET deleted_at = $2, status = $3, status_version = $4 WHERE tenant_id = $1`,
			c.tenant, c.now, tenantapi.StatusDeleted, e.Version)
		if err := c.SendBatch(ctx, batch).Close(); err != nil {
			return fmt.Errorf("erase tenant: %w", err)
		}
		c.touch("", "")
		c.last = true
		c.say(permissionapi.Change{What: "tenant_deleted", Object: models.TenantObject(c.tenant), ActorID: d.ActorID})
		return nil
	})
}
