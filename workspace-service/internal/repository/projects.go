package repository

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
)

const projectColumns = `SELECT p.tenant_id, p.id, p.workspace_id, p.name, p.description, p.position, p.created_by, p.archived_at, p.trashed_at,
	p.version, p.created_at, p.updated_at FROM projects p `

func scanProject(row pgx.CollectableRow) (p models.Project, err error) {
	var archived, trashed *time.Time
	err = row.Scan(&p.Tenant, &p.ID, &p.Workspace, &p.Name, &p.Description, &p.Position, &p.CreatedBy, &archived, &trashed,
		&p.Version, &p.CreatedAt, &p.UpdatedAt)
	p.ArchivedAt, p.TrashedAt = zero(archived), zero(trashed)
	return p, err
}

// CreateProject stores the project behind the others of its workspace, which has to be
// open, together with the event.
func (r *Repository) CreateProject(ctx context.Context, p models.Project, most int, created events.Event) (models.Project, error) {
	err := postgres.InTenant(ctx, r.pool, p.Tenant, func(tx pgx.Tx) error {
		w, err := lockWorkspace(ctx, tx, p.Tenant, p.Workspace)
		if err != nil {
			return err
		}
		if err := w.Open(); err != nil {
			return err
		}
		position, count, err := projectsOf(p.Tenant, p.Workspace).behind(ctx, tx)
		if err != nil {
			return err
		}
		if count >= most {
			return workspaceapi.ErrTooManyHere
		}
		p.Position = position
		if err := insertProject(ctx, tx, p); err != nil {
			return err
		}
		return events.Emit(ctx, tx, created)
	})
	return p, err
}

func insertProject(ctx context.Context, tx pgx.Tx, p models.Project) error {
	_, err := exec(ctx, tx, "insert project", `
		INSERT INTO projects (tenant_id, id, workspace_id, name, description, position, created_by, version, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		p.Tenant, p.ID, p.Workspace, p.Name, p.Description, p.Position, p.CreatedBy, p.Version, p.CreatedAt, p.UpdatedAt)
	return err
}

// Project returns the tenant's project, or errs.ErrNotFound.
func (r *Repository) Project(ctx context.Context, tenant id.TenantID, ref models.ProjectID) (models.Project, error) {
	return one(ctx, r.of(tenant), "read project", scanProject, projectColumns+`WHERE p.tenant_id = $1 AND p.id = $2`, tenant, ref)
}

// Projects returns up to limit of a workspace's projects with the status, those behind
// after, in their order.
func (r *Repository) Projects(ctx context.Context, tenant id.TenantID, w models.WorkspaceID, status string, after Place[models.ProjectID], limit int) ([]models.Project, error) {
	return query(ctx, r.of(tenant), "list projects", scanProject, projectColumns+`
		WHERE p.tenant_id = $1 AND p.workspace_id = $6 AND `+byStatus("p", "$2::text")+`
			AND ($4::uuid IS NULL OR (p.position, p.id) > (coalesce((SELECT position FROM projects WHERE tenant_id = $1 AND id = $4), $3), $4))
		ORDER BY p.position, p.id LIMIT $5`, tenant, status, after.Position, after.ID, limit, w)
}

// ChangeProject applies change to the project, under its lock and its workspace's, and
// stores the result together with the events, or nothing. With an order the project is put
// behind that sibling, or before all for "".
func (r *Repository) ChangeProject(ctx context.Context, tenant id.TenantID, ref models.ProjectID, order *string,
	change func(models.Workspace, *models.Project) ([]events.Event, error)) (p models.Project, err error) {
	err = r.withProject(ctx, tenant, ref, func(tx pgx.Tx, w models.Workspace, locked models.Project) error {
		p = locked
		evs, err := change(w, &p)
		if err != nil || p.Version == locked.Version {
			return err
		}
		if order != nil {
			if p.Position, err = projectsOf(tenant, w.ID).after(ctx, tx, ref.String(), *order); err != nil {
				return err
			}
		}
		_, err = exec(ctx, tx, "update project", `
			UPDATE projects SET name = $3, description = $4, position = $5, archived_at = $6, trashed_at = $7, version = $8, updated_at = $9
			WHERE tenant_id = $1 AND id = $2`,
			tenant, ref, p.Name, p.Description, p.Position, null(p.ArchivedAt), null(p.TrashedAt), p.Version, p.UpdatedAt)
		if err != nil {
			return err
		}
		return events.Emit(ctx, tx, evs...)
	})
	return p, err
}

// PurgeProject deletes a project in the trash; its bases stay in the workspace. allowed is
// asked under the locks.
func (r *Repository) PurgeProject(ctx context.Context, tenant id.TenantID, ref models.ProjectID, actor id.UserID,
	allowed func(models.Workspace, models.Project) error) error {
	return r.withProject(ctx, tenant, ref, func(tx pgx.Tx, w models.Workspace, p models.Project) error {
		if err := allowed(w, p); err != nil {
			return err
		}
		bases, err := query(ctx, tx, "lock bases", scanBase, baseColumns+`WHERE b.tenant_id = $1 AND b.project_id = $2 ORDER BY b.id FOR UPDATE`, tenant, ref)
		if err != nil {
			return err
		}
		var evs []events.Event
		for _, b := range bases {
			b.Project = models.ProjectID{}
			b.Touch(r.now())
			if err := updateBase(ctx, tx, b); err != nil {
				return err
			}
			evs = append(evs, PlaceEvent(ctx, workspaceapi.BaseMoved, b, b.Workspace, actor))
		}
		gone, err := r.deleteProject(ctx, tx, p, actor)
		if err != nil {
			return err
		}
		return events.Emit(ctx, tx, append(evs, gone)...)
	})
}

// withProject runs fn under the locks of a project and its workspace, in which it stays
// for good.
func (r *Repository) withProject(ctx context.Context, tenant id.TenantID, ref models.ProjectID,
	fn func(pgx.Tx, models.Workspace, models.Project) error) error {
	return postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		p, err := one(ctx, tx, "read project", scanProject, projectColumns+`WHERE p.tenant_id = $1 AND p.id = $2`, tenant, ref)
		if err != nil {
			return err
		}
		w, err := lockWorkspace(ctx, tx, tenant, p.Workspace)
		if err != nil {
			return err
		}
		p, err = one(ctx, tx, "lock project", scanProject, projectColumns+`WHERE p.tenant_id = $1 AND p.id = $2 FOR UPDATE`, tenant, ref)
		if err != nil {
			return err
		}
		return fn(tx, w, p)
	})
}

// deleteProject deletes a project in which no bases are, and returns the event.
func (r *Repository) deleteProject(ctx context.Context, tx pgx.Tx, p models.Project, actor id.UserID) (events.Event, error) {
	if _, err := r.forget(ctx, tx, p.Tenant, workspaceapi.KindProject, p.ID.String(), actor); err != nil {
		return events.Event{}, err
	}
	if _, err := exec(ctx, tx, "delete project", `DELETE FROM projects WHERE tenant_id = $1 AND id = $2`, p.Tenant, p.ID); err != nil {
		return events.Event{}, err
	}
	p.Touch(r.now())
	return ProjectEvent(ctx, workspaceapi.ProjectDeleted, p, []string{"status"}, actor), nil
}
