package repository

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/events"
)

// WorkspaceCreated puts the workspace into the tenant's tree and gives it to its maker,
// unless workspace-service has said so itself before, or the workspace is gone: what was
// taken from the maker since does not come back.
func (r *Repository) WorkspaceCreated(ctx context.Context, tx pgx.Tx, e events.Event, d workspaceapi.WorkspaceChanged) error {
	return r.apply(ctx, tx, e, func(c *change) error {
		object := models.WorkspaceObject(d.WorkspaceID)
		if err := c.place(ctx, Placing{object, models.TenantObject(c.tenant), e.Version}, d.ActorID); err != nil {
			return err
		}
		if d.ActorID == "" {
			return nil
		}
		subject := models.UserSubject(d.ActorID)
		var known bool
		err := c.QueryRow(ctx, `
			SELECT EXISTS (SELECT FROM changes WHERE tenant_id = $1 AND object = $2 AND change ->> 'what' = 'granted' AND change ->> 'subject' = $3)
				OR EXISTS (SELECT FROM places WHERE tenant_id = $1 AND object = $2 AND gone)
				OR EXISTS (SELECT FROM members WHERE tenant_id = $1 AND user_id = $4 AND removed)`,
			c.tenant, object, subject, d.ActorID).Scan(&known)
		if err != nil {
			return fmt.Errorf("look for the maker's grant: %w", err)
		}
		if known {
			return nil
		}
		_, err = c.grant(ctx, models.Grant{Subject: subject, Object: object, Role: permissionapi.RoleOwner, IPRanges: []string{}, GrantedBy: d.ActorID})
		return err
	})
}
