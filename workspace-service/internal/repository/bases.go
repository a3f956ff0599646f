package repository

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
)

const baseColumns = `SELECT b.tenant_id, b.id, b.connection_id::text, b.workspace_id, b.project_id, b.name, b.description, b.tags, b.owner_id, b.linked_by,
	b.position, b.archived_at, b.trashed_at, b.version, b.created_at, b.updated_at FROM bases b `

func scanBase(row pgx.CollectableRow) (b models.Base, err error) {
	var archived, trashed *time.Time
	err = row.Scan(&b.Tenant, &b.ID, &b.Connection, &b.Workspace, &b.Project, &b.Name, &b.Description, &b.Tags, &b.Owner, &b.LinkedBy,
		&b.Position, &archived, &trashed, &b.Version, &b.CreatedAt, &b.UpdatedAt)
	b.ArchivedAt, b.TrashedAt = zero(archived), zero(trashed)
	return b, err
}

// LinkBase stores the base behind the others of its workspace, which has to be open like
// the project, together with the event that linked makes of it. What was said of it when
// it was in a workspace before is kept. It returns workspaceapi.ErrLinked if it is in one.
func (r *Repository) LinkBase(ctx context.Context, b models.Base, most int, linked func(models.Base) events.Event) (models.Base, error) {
	err := postgres.InTenant(ctx, r.pool, b.Tenant, func(tx pgx.Tx) error {
		w, err := lockWorkspace(ctx, tx, b.Tenant, b.Workspace)
		if err != nil {
			return err
		}
		if err := r.mayEnter(ctx, tx, w, b.Project); err != nil {
			return err
		}
		position, count, err := basesOf(b.Tenant, b.Workspace).behind(ctx, tx)
		if err != nil {
			return err
		}
		if count >= most {
			return workspaceapi.ErrTooManyHere
		}
		b, err = one(ctx, tx, "insert base", scanBase, `
			INSERT INTO bases AS b (tenant_id, id, connection_id, workspace_id, project_id, name, tags, owner_id, linked_by, position, version, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)
			ON CONFLICT ON CONSTRAINT bases_pkey DO UPDATE SET connection_id = excluded.connection_id, workspace_id = excluded.workspace_id,
				project_id = excluded.project_id, linked_by = excluded.linked_by, position = excluded.position, version = b.version + 1,
				created_at = excluded.created_at, updated_at = excluded.updated_at
			WHERE b.workspace_id IS NULL
			RETURNING b.tenant_id, b.id, b.connection_id::text, b.workspace_id, b.project_id, b.name, b.description, b.tags, b.owner_id, b.linked_by,
				b.position, b.archived_at, b.trashed_at, b.version, b.created_at, b.updated_at`,
			b.Tenant, b.ID, b.Connection, b.Workspace, b.Project, b.Name, b.Tags, b.Owner, b.LinkedBy, position, b.Version, b.CreatedAt)
		if errors.Is(err, errs.ErrNotFound) {
			return workspaceapi.ErrLinked
		}
		if err != nil {
			return err
		}
		return events.Emit(ctx, tx, linked(b))
	})
	return b, err
}

// mayEnter refuses what comes into a workspace, and into a project unless that is zero,
// which is archived or in the trash.
func (r *Repository) mayEnter(ctx context.Context, q postgres.Querier, w models.Workspace, project models.ProjectID) error {
	if err := w.Open(); err != nil || project.IsZero() {
		return err
	}
	p, err := one(ctx, q, "read project", scanProject, projectColumns+`WHERE p.tenant_id = $1 AND p.id = $2 AND p.workspace_id = $3`, w.Tenant, project, w.ID)
	if errors.Is(err, errs.ErrNotFound) {
		return workspaceapi.ErrNoProject
	}
	if err != nil {
		return err
	}
	return p.Open()
}

// MayEnter returns why nothing can come into the workspace, and the project unless that is
// zero, as they are now.
func (r *Repository) MayEnter(ctx context.Context, tenant id.TenantID, ref models.WorkspaceID, project models.ProjectID) error {
	w, err := r.Workspace(ctx, tenant, ref)
	if err != nil {
		return err
	}
	return r.mayEnter(ctx, r.of(tenant), w, project)
}

// trashedBase selects a base that is in the trash, itself or with what it is in.
const trashedBase = `SELECT FROM bases b
	JOIN workspaces w ON w.tenant_id = b.tenant_id AND w.id = b.workspace_id
	LEFT JOIN projects p ON p.tenant_id = b.tenant_id AND p.id = b.project_id
	WHERE b.tenant_id = $1 AND b.id = $2 AND coalesce(b.trashed_at, w.trashed_at, p.trashed_at) IS NOT NULL`

// OutOfTrash returns workspaceapi.ErrTrashed for a base that is in the trash, itself or
// with what it is in.
func (r *Repository) OutOfTrash(ctx context.Context, tenant id.TenantID, ref string) error {
	trashed, err := one(ctx, r.of(tenant), "look into the trash", pgx.RowTo[bool], `SELECT EXISTS (`+trashedBase+`)`, tenant, ref)
	if err == nil && trashed {
		err = workspaceapi.ErrTrashed
	}
	return err
}

// Base returns the tenant's base if it is in a workspace, or errs.ErrNotFound.
func (r *Repository) Base(ctx context.Context, tenant id.TenantID, ref string) (models.Base, error) {
	return one(ctx, r.of(tenant), "read base", scanBase, baseColumns+`WHERE b.tenant_id = $1 AND b.id = $2 AND b.workspace_id IS NOT NULL`, tenant, ref)
}

// BasesIn returns those of the named bases that are in workspaces.
func (r *Repository) BasesIn(ctx context.Context, tenant id.TenantID, refs []string) ([]models.Base, error) {
	return query(ctx, r.of(tenant), "read bases", scanBase, baseColumns+`WHERE b.tenant_id = $1 AND b.id = ANY($2) AND b.workspace_id IS NOT NULL`, tenant, refs)
}

// BaseFilter selects bases. Zero values select all.
type BaseFilter struct {
	ID          string
	Status, Tag string // without a status: those not in the trash
	Workspace   models.WorkspaceID
	Project     models.ProjectID
}

// Bases returns up to limit of the bases in workspaces, those behind after: of one
// workspace in its order, of all in the order of their ids. With the status active those
// in an archived or trashed workspace or project are left out.
func (r *Repository) Bases(ctx context.Context, tenant id.TenantID, f BaseFilter, after Place[string], limit int) ([]models.Base, error) {
	return query(ctx, r.of(tenant), "list bases", scanBase, baseColumns+`
		JOIN workspaces w ON w.tenant_id = b.tenant_id AND w.id = b.workspace_id
		LEFT JOIN projects p ON p.tenant_id = b.tenant_id AND p.id = b.project_id
		WHERE b.tenant_id = $1 AND ($9 = '' OR b.id = $9)
			AND CASE WHEN $2 = '' THEN b.trashed_at IS NULL ELSE `+byStatus("b", "$2::text")+` END
			AND ($2 <> 'active' OR (coalesce(w.archived_at, w.trashed_at, p.archived_at, p.trashed_at) IS NULL))
			AND w.trashed_at IS NULL
			AND ($3::uuid IS NULL OR b.workspace_id = $3) AND ($4::uuid IS NULL OR b.project_id = $4) AND ($5 = '' OR $5 = ANY(b.tags))
			AND ($7 = '' OR CASE WHEN $3 IS NULL THEN b.id > $7
				ELSE (b.position, b.id) > (coalesce((SELECT position FROM bases WHERE tenant_id = $1 AND id = $7 AND workspace_id = $3), $6), $7) END)
		ORDER BY CASE WHEN $3 IS NULL THEN 0 ELSE b.position END, b.id LIMIT $8`,
		tenant, f.Status, f.Workspace, f.Project, f.Tag, after.Position, after.ID, limit, f.ID)
}

// BasePlace is where a base is to be.
type BasePlace struct {
	Workspace models.WorkspaceID // zero: where it is
	Project   *models.ProjectID  // nil: as it is, in another workspace none
	After     *string            // nil: as it is, in another workspace last
	Most      int                // bases in a workspace
}

// ChangeBase applies change to the base, under its lock and those of what it is in, and
// stores the result together with the events, or nothing. change is given the
// project too, or nil.
func (r *Repository) ChangeBase(ctx context.Context, tenant id.TenantID, ref string,
	change func(models.Workspace, *models.Project, *models.Base) ([]events.Event, error)) (models.Base, error) {
	return r.withBase(ctx, tenant, ref, models.WorkspaceID{}, func(tx pgx.Tx, s scene) (models.Base, error) {
		b := s.base
		evs, err := change(s.home, s.project, &b)
		if err != nil || b.Version == s.base.Version {
			return b, err
		}
		if err := updateBase(ctx, tx, b); err != nil {
			return b, err
		}
		return b, events.Emit(ctx, tx, evs...)
	})
}

// MoveBase puts the base elsewhere, if change says so; both workspaces have to be open.
func (r *Repository) MoveBase(ctx context.Context, tenant id.TenantID, ref string, to BasePlace,
	moved func(b models.Base, former models.WorkspaceID) events.Event) (models.Base, error) {
	return r.withBase(ctx, tenant, ref, to.Workspace, func(tx pgx.Tx, s scene) (models.Base, error) {
		b := s.base
		if err := errors.Join(s.home.Open(), b.Open()); err != nil {
			return b, err
		}
		abroad := s.target.ID != s.home.ID
		if abroad {
			b.Project = models.ProjectID{}
		}
		if to.Project != nil {
			b.Project = *to.Project
		}
		if err := r.mayEnter(ctx, tx, s.target, b.Project); err != nil {
			return b, err
		}
		b.Workspace = s.target.ID
		if err := r.position(ctx, tx, &b, to, abroad); err != nil {
			return b, err
		}
		if !abroad && b.Project == s.base.Project && b.Position == s.base.Position {
			return b, nil
		}
		b.Touch(r.now())
		if err := updateBase(ctx, tx, b); err != nil {
			return b, err
		}
		return b, events.Emit(ctx, tx, moved(b, s.home.ID))
	})
}

// position finds the base's place in the order of its workspace.
func (r *Repository) position(ctx context.Context, tx pgx.Tx, b *models.Base, to BasePlace, abroad bool) (err error) {
	in := basesOf(b.Tenant, b.Workspace)
	if abroad {
		last, count, err := in.behind(ctx, tx)
		if err != nil {
			return err
		}
		if count >= to.Most {
			return workspaceapi.ErrTooManyHere
		}
		b.Position = last
	}
	if to.After != nil {
		b.Position, err = in.after(ctx, tx, b.ID, *to.After)
	}
	return err
}

// UnlinkBase takes the base out of its workspace, if allowed says so under the locks.
func (r *Repository) UnlinkBase(ctx context.Context, tenant id.TenantID, ref string, actor id.UserID, allowed func(models.Standing) error) (models.Base, error) {
	return r.withBase(ctx, tenant, ref, models.WorkspaceID{}, func(tx pgx.Tx, s scene) (models.Base, error) {
		if err := allowed(s.base.Standing); err != nil {
			return s.base, err
		}
		b := s.base
		gone, err := r.unlink(ctx, tx, &b, actor)
		if err != nil {
			return b, err
		}
		return b, events.Emit(ctx, tx, gone...)
	})
}

// scene is a base with what it is in and where it is to go, all locked.
type scene struct {
	base         models.Base
	home, target models.Workspace
	project      *models.Project
}

const retries = 5

// withBase runs fn under the locks of the base, its workspace and the one it is to go to,
// which may be zero. The base may be moved while its workspaces are being locked; then it
// is tried again.
func (r *Repository) withBase(ctx context.Context, tenant id.TenantID, ref string, target models.WorkspaceID,
	fn func(pgx.Tx, scene) (models.Base, error)) (b models.Base, err error) {
	for range retries {
		var moved bool
		err = postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
			s, still, err := lockScene(ctx, tx, tenant, ref, target)
			if moved = !still; err != nil || moved {
				return err
			}
			b, err = fn(tx, s)
			return err
		})
		if !moved {
			return b, err
		}
	}
	return b, errs.ErrUnavailable.Saying("The base is being moved.")
}

func lockScene(ctx context.Context, tx pgx.Tx, tenant id.TenantID, ref string, target models.WorkspaceID) (s scene, still bool, err error) {
	const placed = `WHERE b.tenant_id = $1 AND b.id = $2 AND b.workspace_id IS NOT NULL`
	if s.base, err = one(ctx, tx, "read base", scanBase, baseColumns+placed, tenant, ref); err != nil {
		return s, true, err
	}
	home := s.base.Workspace
	if target.IsZero() {
		target = home
	}
	both := []models.WorkspaceID{home, target}
	slices.SortFunc(both, models.WorkspaceID.Compare)
	for _, w := range slices.Compact(both) {
		locked, err := lockWorkspace(ctx, tx, tenant, w)
		if err != nil {
			return s, w != home, err // the home may have been purged meanwhile
		}
		if w == home {
			s.home = locked
		}
		if w == target {
			s.target = locked
		}
	}
	if s.base, err = one(ctx, tx, "lock base", scanBase, baseColumns+placed+` FOR UPDATE`, tenant, ref); err != nil {
		return s, true, err
	}
	if s.base.Workspace != home {
		return s, false, nil
	}
	if s.base.Project.IsZero() {
		return s, true, nil
	}
	p, err := one(ctx, tx, "read project", scanProject, projectColumns+`WHERE p.tenant_id = $1 AND p.id = $2`, tenant, s.base.Project)
	s.project = &p
	return s, true, err
}

func updateBase(ctx context.Context, tx pgx.Tx, b models.Base) error {
	_, err := exec(ctx, tx, "update base", `
		UPDATE bases SET workspace_id = $3, project_id = $4, name = $5, description = $6, tags = $7, owner_id = $8, position = $9,
			archived_at = $10, trashed_at = $11, version = $12, updated_at = $13
		WHERE tenant_id = $1 AND id = $2`,
		b.Tenant, b.ID, b.Workspace, b.Project, b.Name, b.Description, texts(b.Tags), b.Owner, b.Position,
		null(b.ArchivedAt), null(b.TrashedAt), b.Version, b.UpdatedAt)
	return err
}

// unlink takes a locked base out of its workspace and returns the events.
func (r *Repository) unlink(ctx context.Context, tx pgx.Tx, b *models.Base, actor id.UserID) ([]events.Event, error) {
	former := b.Workspace
	b.Unlink(r.now())
	if err := updateBase(ctx, tx, *b); err != nil {
		return nil, err
	}
	evs, err := r.forget(ctx, tx, b.Tenant, workspaceapi.KindBase, b.ID, actor)
	return append(evs, PlaceEvent(ctx, workspaceapi.BaseUnlinked, *b, former, actor)), err
}

// FieldNotes returns up to limit of what is said of a base's fields, behind after; of one
// table unless that is "".
func (r *Repository) FieldNotes(ctx context.Context, tenant id.TenantID, base, table string, after FieldKey, limit int) ([]models.FieldNote, error) {
	return query(ctx, r.of(tenant), "list field notes", pgx.RowToStructByPos[models.FieldNote], `
		SELECT table_id, field_id, text, updated_by, updated_at FROM field_notes
		WHERE tenant_id = $1 AND base_id = $2 AND ($3 = '' OR table_id = $3) AND (table_id, field_id) > ($4, $5)
		ORDER BY table_id, field_id LIMIT $6`, tenant, base, table, after.Table, after.Field, limit)
}

// FieldKey is the key of a page of field notes.
type FieldKey struct {
	Table string `json:"t"`
	Field string `json:"f"`
}

// PutFieldNote stores what is said of a field, or deletes it if the text is empty, as a
// change of the base that allowed permits, with the event that it returns.
func (r *Repository) PutFieldNote(ctx context.Context, tenant id.TenantID, base string, n models.FieldNote, most int,
	allowed func(models.Workspace, *models.Project, *models.Base) (events.Event, error)) error {
	_, err := r.withBase(ctx, tenant, base, models.WorkspaceID{}, func(tx pgx.Tx, s scene) (models.Base, error) {
		b := s.base
		told, err := allowed(s.home, s.project, &b)
		if err != nil {
			return b, err
		}
		changed, err := storeNote(ctx, tx, b, n, most)
		if err != nil || !changed {
			return b, err
		}
		if err := updateBase(ctx, tx, b); err != nil {
			return b, err
		}
		return b, events.Emit(ctx, tx, told)
	})
	return err
}

func storeNote(ctx context.Context, tx pgx.Tx, b models.Base, n models.FieldNote, most int) (bool, error) {
	if n.Text == "" {
		gone, err := exec(ctx, tx, "delete field note", `DELETE FROM field_notes WHERE tenant_id = $1 AND base_id = $2 AND table_id = $3 AND field_id = $4`,
			b.Tenant, b.ID, n.Table, n.Field)
		return gone > 0, err
	}
	stored, err := exec(ctx, tx, "store field note", `
		INSERT INTO field_notes (tenant_id, base_id, table_id, field_id, text, updated_by, updated_at)
		SELECT $1, $2, $3, $4, $5, $6, $7 WHERE (SELECT count(*) FROM field_notes WHERE tenant_id = $1 AND base_id = $2) < $8
			OR EXISTS (SELECT FROM field_notes WHERE tenant_id = $1 AND base_id = $2 AND table_id = $3 AND field_id = $4)
		ON CONFLICT ON CONSTRAINT field_notes_pkey DO UPDATE SET text = excluded.text, updated_by = excluded.updated_by, updated_at = excluded.updated_at`,
		b.Tenant, b.ID, n.Table, n.Field, n.Text, n.UpdatedBy, n.UpdatedAt, most)
	if err == nil && stored == 0 {
		return false, workspaceapi.ErrTooManyHere
	}
	return true, err
}
