package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
)

const workspaceColumns = `SELECT w.tenant_id, w.id, w.name, w.description, w.position, w.created_by, w.archived_at, w.trashed_at, w.version,
	w.created_at, w.updated_at FROM workspaces w `

func scanWorkspace(row pgx.CollectableRow) (w models.Workspace, err error) {
	var archived, trashed *time.Time
	err = row.Scan(&w.Tenant, &w.ID, &w.Name, &w.Description, &w.Position, &w.CreatedBy, &archived, &trashed, &w.Version, &w.CreatedAt, &w.UpdatedAt)
	w.ArchivedAt, w.TrashedAt = zero(archived), zero(trashed)
	return w, err
}

// CreateWorkspace stores the workspace with its projects behind the tenant's others,
// together with the events. It returns workspaceapi.ErrTooMany if there are most already,
// and errs.ErrNotFound for a tenant that was deleted.
func (r *Repository) CreateWorkspace(ctx context.Context, w models.Workspace, projects []models.Project, most int, evs []events.Event) (models.Workspace, error) {
	err := postgres.InTenant(ctx, r.pool, w.Tenant, func(tx pgx.Tx) error {
		if err := lockTenant(ctx, tx, w.Tenant); err != nil {
			return err
		}
		position, count, err := workspacesOf(w.Tenant).behind(ctx, tx)
		if err != nil {
			return err
		}
		if count >= most {
			return workspaceapi.ErrTooMany
		}
		w.Position = position
		if err := insertWorkspace(ctx, tx, w); err != nil {
			return err
		}
		for i, p := range projects {
			p.Position = int64(i+1) * gap
			if err := insertProject(ctx, tx, p); err != nil {
				return err
			}
		}
		return events.Emit(ctx, tx, evs...)
	})
	return w, err
}

// lockTenant makes one of all who change the tenant's list of workspaces. It returns
// errs.ErrNotFound for a tenant that was deleted.
func lockTenant(ctx context.Context, tx pgx.Tx, tenant id.TenantID) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('workspaces/' || $1, 0))`, tenant.String()); err != nil {
		return fmt.Errorf("lock tenant: %w", err)
	}
	var erased bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM erased_tenants WHERE tenant_id = $1)`, tenant).Scan(&erased); err != nil {
		return fmt.Errorf("look for tenant: %w", err)
	}
	if erased {
		return errs.ErrNotFound
	}
	return nil
}

func insertWorkspace(ctx context.Context, tx pgx.Tx, w models.Workspace) error {
	_, err := exec(ctx, tx, "insert workspace", `
		INSERT INTO workspaces (tenant_id, id, name, description, position, created_by, version, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		w.Tenant, w.ID, w.Name, w.Description, w.Position, w.CreatedBy, w.Version, w.CreatedAt, w.UpdatedAt)
	return err
}

// Workspace returns the tenant's workspace, or errs.ErrNotFound.
func (r *Repository) Workspace(ctx context.Context, tenant id.TenantID, ref models.WorkspaceID) (models.Workspace, error) {
	return one(ctx, r.of(tenant), "read workspace", scanWorkspace, workspaceColumns+`WHERE w.tenant_id = $1 AND w.id = $2`, tenant, ref)
}

// Place is where an item is in an ordered list: the key of a page. What was moved since
// goes on from where it is now.
type Place[ID any] struct {
	Position int64 `json:"p"`
	ID       ID    `json:"i"`
}

// byStatus selects rows of the alias by status.
func byStatus(alias, arg string) string {
	return fmt.Sprintf(`CASE %[2]s WHEN 'trashed' THEN %[1]s.trashed_at IS NOT NULL
		WHEN 'archived' THEN %[1]s.trashed_at IS NULL AND %[1]s.archived_at IS NOT NULL
		ELSE %[1]s.trashed_at IS NULL AND %[1]s.archived_at IS NULL END`, alias, arg)
}

// Workspaces returns up to limit of the tenant's workspaces with the status, those behind
// after, in their order.
func (r *Repository) Workspaces(ctx context.Context, tenant id.TenantID, status string, after Place[models.WorkspaceID], limit int) ([]models.Workspace, error) {
	return query(ctx, r.of(tenant), "list workspaces", scanWorkspace, workspaceColumns+`
		WHERE w.tenant_id = $1 AND `+byStatus("w", "$2::text")+`
			AND ($4::uuid IS NULL OR (w.position, w.id) > (coalesce((SELECT position FROM workspaces WHERE tenant_id = $1 AND id = $4), $3), $4))
		ORDER BY w.position, w.id LIMIT $5`, tenant, status, after.Position, after.ID, limit)
}

// ChangeWorkspace applies change to the workspace under its row lock and stores the result
// together with the events that change returns, or nothing. It returns errs.ErrNotFound if
// the tenant has no such workspace.
func (r *Repository) ChangeWorkspace(ctx context.Context, tenant id.TenantID, ref models.WorkspaceID,
	change func(*models.Workspace) ([]events.Event, error)) (w models.Workspace, err error) {
	err = postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		if w, err = lockWorkspace(ctx, tx, tenant, ref); err != nil {
			return err
		}
		before := w.Version
		evs, err := change(&w)
		if err != nil || w.Version == before {
			return err
		}
		if err := updateWorkspace(ctx, tx, w); err != nil {
			return err
		}
		return events.Emit(ctx, tx, evs...)
	})
	return w, err
}

// OrderWorkspace puts the workspace behind the other one, or before all for "".
func (r *Repository) OrderWorkspace(ctx context.Context, tenant id.TenantID, ref models.WorkspaceID, after string,
	change func(*models.Workspace) ([]events.Event, error)) (w models.Workspace, err error) {
	err = postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		if err := lockTenant(ctx, tx, tenant); err != nil {
			return err
		}
		position, err := workspacesOf(tenant).after(ctx, tx, ref.String(), after) // may lock all, in the order of their ids
		if err != nil {
			return err
		}
		if w, err = lockWorkspace(ctx, tx, tenant, ref); err != nil {
			return err
		}
		evs, err := change(&w)
		if err != nil {
			return err
		}
		w.Position = position
		if err := updateWorkspace(ctx, tx, w); err != nil {
			return err
		}
		return events.Emit(ctx, tx, evs...)
	})
	return w, err
}

func lockWorkspace(ctx context.Context, tx pgx.Tx, tenant id.TenantID, ref models.WorkspaceID) (models.Workspace, error) {
	return one(ctx, tx, "lock workspace", scanWorkspace, workspaceColumns+`WHERE w.tenant_id = $1 AND w.id = $2 FOR UPDATE`, tenant, ref)
}

func updateWorkspace(ctx context.Context, tx pgx.Tx, w models.Workspace) error {
	_, err := exec(ctx, tx, "update workspace", `
		UPDATE workspaces SET name = $3, description = $4, position = $5, archived_at = $6, trashed_at = $7, version = $8, updated_at = $9
		WHERE tenant_id = $1 AND id = $2`,
		w.Tenant, w.ID, w.Name, w.Description, w.Position, null(w.ArchivedAt), null(w.TrashedAt), w.Version, w.UpdatedAt)
	return err
}

// PurgeWorkspace deletes a workspace in the trash with its projects, and takes its bases
// out of it; the events tell all of that. allowed is asked under the lock.
func (r *Repository) PurgeWorkspace(ctx context.Context, tenant id.TenantID, ref models.WorkspaceID, actor id.UserID,
	allowed func(models.Workspace) error) error {
	return postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		w, err := lockWorkspace(ctx, tx, tenant, ref)
		if err != nil {
			return err
		}
		if err := allowed(w); err != nil {
			return err
		}
		projects, err := query(ctx, tx, "lock projects", scanProject, projectColumns+`WHERE p.tenant_id = $1 AND p.workspace_id = $2 ORDER BY p.id FOR UPDATE`, tenant, ref)
		if err != nil {
			return err
		}
		bases, err := query(ctx, tx, "lock bases", scanBase, baseColumns+`WHERE b.tenant_id = $1 AND b.workspace_id = $2 ORDER BY b.id FOR UPDATE`, tenant, ref)
		if err != nil {
			return err
		}
		var evs []events.Event
		for _, b := range bases {
			gone, err := r.unlink(ctx, tx, &b, actor)
			if err != nil {
				return err
			}
			evs = append(evs, gone...)
		}
		for _, p := range projects {
			gone, err := r.deleteProject(ctx, tx, p, actor)
			if err != nil {
				return err
			}
			evs = append(evs, gone)
		}
		more, err := r.forget(ctx, tx, tenant, workspaceapi.KindWorkspace, ref.String(), actor)
		if err != nil {
			return err
		}
		evs = append(evs, more...)
		if _, err := exec(ctx, tx, "delete workspace", `DELETE FROM workspaces WHERE tenant_id = $1 AND id = $2`, tenant, ref); err != nil {
			return err
		}
		w.Touch(r.now())
		return events.Emit(ctx, tx, append(evs, WorkspaceEvent(ctx, workspaceapi.WorkspaceDeleted, w, []string{"status"}, actor))...)
	})
}

// forget takes what hangs on an object that goes: favourites of users, and links to it,
// whose events it returns.
func (r *Repository) forget(ctx context.Context, tx pgx.Tx, tenant id.TenantID, kind, object string, actor id.UserID) ([]events.Event, error) {
	_, err := exec(ctx, tx, "delete favourites", `DELETE FROM favourites WHERE tenant_id = $1 AND kind = $2 AND object_id = $3`, tenant, kind, object)
	if err != nil {
		return nil, err
	}
	return r.revokeLinks(ctx, tx, tenant, actor, `kind = $2 AND object_id = $3`, kind, object)
}
