package repository

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
)

// Due is something in the trash whose time has come.
type Due struct {
	Tenant id.TenantID
	Kind   string
	ID     string
}

// Due returns up to limit of what was put into the trash before the time, of any tenant:
// the workspaces first, since they take what is in them along.
func (r *Repository) Due(ctx context.Context, before time.Time, limit int) ([]Due, error) {
	return query(ctx, postgres.ForEveryTenant(r.pool), "find what is due", pgx.RowToStructByPos[Due], `
		(SELECT tenant_id, 'workspace', id::text FROM workspaces WHERE trashed_at < $1 ORDER BY tenant_id, id LIMIT $2)
		UNION ALL (SELECT tenant_id, 'project', id::text FROM projects WHERE trashed_at < $1 ORDER BY tenant_id, id LIMIT $2)
		UNION ALL (SELECT tenant_id, 'base', id FROM bases WHERE trashed_at < $1 ORDER BY tenant_id, id LIMIT $2)
		LIMIT $2`, before, limit)
}

// Purge deletes what is due, unless it was restored or deleted meanwhile.
func (r *Repository) Purge(ctx context.Context, d Due, before time.Time) error {
	still := func(s models.Standing) error {
		if s.TrashedAt.IsZero() || !s.TrashedAt.Before(before) {
			return workspaceapi.ErrNotTrashed
		}
		return nil
	}
	err := r.purge(ctx, d, still)
	if errors.Is(err, errs.ErrNotFound) || errors.Is(err, workspaceapi.ErrNotTrashed) {
		return nil
	}
	return err
}

func (r *Repository) purge(ctx context.Context, d Due, still func(models.Standing) error) error {
	switch d.Kind {
	case workspaceapi.KindWorkspace:
		var ref models.WorkspaceID
		if err := ref.UnmarshalText([]byte(d.ID)); err != nil {
			return err
		}
		return r.PurgeWorkspace(ctx, d.Tenant, ref, id.UserID{}, func(w models.Workspace) error { return still(w.Standing) })
	case workspaceapi.KindProject:
		var ref models.ProjectID
		if err := ref.UnmarshalText([]byte(d.ID)); err != nil {
			return err
		}
		return r.PurgeProject(ctx, d.Tenant, ref, id.UserID{}, func(_ models.Workspace, p models.Project) error { return still(p.Standing) })
	}
	_, err := r.UnlinkBase(ctx, d.Tenant, d.ID, id.UserID{}, still)
	return err
}

// TenantDeleted erases what the tenant has. A mark stays, so that nothing that comes late
// makes anything of it.
func (r *Repository) TenantDeleted(ctx context.Context, tx pgx.Tx, e events.Event, _ tenantapi.TenantChanged) error {
	if err := postgres.Enter(ctx, tx, e.TenantID); err != nil {
		return err
	}
	if _, err := exec(ctx, tx, "mark tenant", `INSERT INTO erased_tenants (tenant_id, erased_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`, e.TenantID, r.now()); err != nil {
		return err
	}
	// Whoever is making a workspace has finished, or comes after the mark.
	if err := lockTenant(ctx, tx, e.TenantID); err != nil && !errors.Is(err, errs.ErrNotFound) {
		return err
	}
	for _, table := range []string{
		"activities", "share_redemptions", "share_links", "snapshot_schedules", "snapshots", "templates", "restores", "favourites", "field_notes", "bases", "projects", "workspaces",
	} {
		if _, err := exec(ctx, tx, "erase "+table, `DELETE FROM `+pgx.Identifier{table}.Sanitize()+` WHERE tenant_id = $1`, e.TenantID); err != nil {
			return err
		}
	}
	return nil
}

// MemberRemoved forgets what a user had marked for himself in the tenant, and ends the
// links that he made: who is out must not get in by one of them.
func (r *Repository) MemberRemoved(ctx context.Context, tx pgx.Tx, e events.Event, d tenantapi.MemberChanged) error {
	if err := postgres.Enter(ctx, tx, e.TenantID); err != nil {
		return err
	}
	_, err := exec(ctx, tx, "delete favourites", `DELETE FROM favourites WHERE tenant_id = $1 AND user_id = $2::uuid`, e.TenantID, d.UserID)
	if err != nil {
		return err
	}
	// His grants end at permission-service, with his membership.
	if _, err := exec(ctx, tx, "forget redemptions", `DELETE FROM share_redemptions WHERE tenant_id = $1 AND user_id = $2::uuid`, e.TenantID, d.UserID); err != nil {
		return err
	}
	gone, err := r.revokeLinks(ctx, tx, e.TenantID, id.UserID{}, `created_by = $2::uuid`, d.UserID)
	if err != nil {
		return err
	}
	if err := events.Emit(ctx, tx, gone...); err != nil {
		return err
	}
	return r.record(ctx, tx, e, models.Activity{Kind: "member.removed", Audience: models.Admins, Actor: d.ActorID, Subject: d.UserID, Name: d.Name, Role: d.Role})
}
