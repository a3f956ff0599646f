package repository

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
)

// together is within what time changes of one kind by one user in one table are one entry.
const together = 5 * time.Minute

// record adds an entry to the feed, in the transaction of the inbox: an event that comes
// again adds nothing. A tenant that was deleted gets none.
func (r *Repository) record(ctx context.Context, tx pgx.Tx, e events.Event, a models.Activity) error {
	return r.recordIn(ctx, tx, e, a, e.ID)
}

// recordIn is record for one of several events that are one entry, the bucket.
func (r *Repository) recordIn(ctx context.Context, tx pgx.Tx, e events.Event, a models.Activity, bucket string) error {
	if err := postgres.Enter(ctx, tx, e.TenantID); err != nil {
		return err
	}
	_, err := exec(ctx, tx, "record activity", `
		INSERT INTO activities AS a (tenant_id, id, at, last_at, kind, audience, actor_id, workspace_id, project_id, base_id, table_id, subject_id, name,
			role, changed, bucket)
		SELECT $1, $2, $3, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15
		WHERE NOT EXISTS (SELECT FROM erased_tenants WHERE tenant_id = $1)
		ON CONFLICT ON CONSTRAINT activities_bucket_key DO UPDATE SET count = a.count + 1, last_at = greatest(a.last_at, excluded.last_at)`,
		e.TenantID, models.NewActivityID(), e.Time, a.Kind, a.Audience, a.Actor, a.Workspace, a.Project, a.Base, a.Table, a.Subject, a.Name,
		a.Role, texts(a.Changed), bucket)
	return err
}

// kindOf is com.pyairtable.KIND.v1.
func kindOf(e events.Event) string {
	return strings.TrimSuffix(strings.TrimPrefix(e.Type, "com.pyairtable."), ".v1")
}

// WorkspaceChanged records what became of a workspace.
func (r *Repository) WorkspaceChanged(ctx context.Context, tx pgx.Tx, e events.Event, d workspaceapi.WorkspaceChanged) error {
	return r.record(ctx, tx, e, models.Activity{
		Kind: kindOf(e), Audience: models.Readers, Actor: d.ActorID, Workspace: d.WorkspaceID, Name: d.Name, Changed: d.Changed,
	})
}

// ProjectChanged records what became of a project.
func (r *Repository) ProjectChanged(ctx context.Context, tx pgx.Tx, e events.Event, d workspaceapi.ProjectChanged) error {
	return r.record(ctx, tx, e, models.Activity{
		Kind: kindOf(e), Audience: models.Readers, Actor: d.ActorID, Workspace: d.WorkspaceID, Project: d.ProjectID, Name: d.Name, Changed: d.Changed,
	})
}

// BasePlaced records where a base came or went; in the feed of the workspace that it left
// if it is in none now.
func (r *Repository) BasePlaced(ctx context.Context, tx pgx.Tx, e events.Event, d workspaceapi.BasePlaced) error {
	workspace := d.WorkspaceID
	if workspace == "" {
		workspace = d.FormerID
	}
	return r.record(ctx, tx, e, models.Activity{
		Kind: kindOf(e), Audience: models.Readers, Actor: d.ActorID, Workspace: workspace, Project: d.ProjectID, Base: d.BaseID,
	})
}

// BaseChanged records what is said of a base.
func (r *Repository) BaseChanged(ctx context.Context, tx pgx.Tx, e events.Event, d workspaceapi.BaseChanged) error {
	return r.record(ctx, tx, e, models.Activity{
		Kind: kindOf(e), Audience: models.Readers, Actor: d.ActorID, Workspace: d.WorkspaceID, Project: d.ProjectID, Base: d.BaseID, Name: d.Name, Changed: d.Changed,
	})
}

// SnapshotChanged records what was done with snapshots of a base.
func (r *Repository) SnapshotChanged(ctx context.Context, tx pgx.Tx, e events.Event, d workspaceapi.SnapshotChanged) error {
	return r.recordOfBase(ctx, tx, e, models.Activity{Kind: kindOf(e), Audience: models.Readers, Actor: d.ActorID, Base: d.BaseID, Subject: d.SnapshotID}, e.ID)
}

// ShareLinkChanged records what was done with links.
func (r *Repository) ShareLinkChanged(ctx context.Context, tx pgx.Tx, e events.Event, d workspaceapi.ShareLinkChanged) error {
	return r.recordShared(ctx, tx, e, d.Object, models.Activity{Kind: kindOf(e), Actor: d.ActorID, Subject: d.ShareLinkID, Role: d.Role})
}

// PermissionsChanged records who was given a workspace or base, and who lost it.
func (r *Repository) PermissionsChanged(ctx context.Context, tx pgx.Tx, e events.Event, d permissionapi.Change) error {
	switch d.What {
	case "granted", "revoked", "expired":
		return r.recordShared(ctx, tx, e, d.Object, models.Activity{Kind: "access." + d.What, Actor: d.ActorID, Subject: d.Subject, Role: d.Role})
	}
	return nil
}

// recordShared records something about the sharing of a workspace or base.
func (r *Repository) recordShared(ctx context.Context, tx pgx.Tx, e events.Event, object string, a models.Activity) error {
	a.Audience = models.Sharers
	kind, name, _ := strings.Cut(object, ":")
	switch kind {
	case workspaceapi.KindWorkspace:
		a.Workspace = name
		return r.record(ctx, tx, e, a)
	case workspaceapi.KindBase:
		_, a.Base, _ = strings.Cut(name, "/")
		return r.recordOfBase(ctx, tx, e, a, e.ID)
	}
	return nil
}

// recordOfBase records something of a base that is in a workspace. What happens in other
// bases is in no feed.
func (r *Repository) recordOfBase(ctx context.Context, tx pgx.Tx, e events.Event, a models.Activity, bucket string) error {
	if err := postgres.Enter(ctx, tx, e.TenantID); err != nil {
		return err
	}
	found, err := query(ctx, tx, "find base", scanBase, baseColumns+`WHERE b.tenant_id = $1 AND b.id = $2 AND b.workspace_id IS NOT NULL`, e.TenantID, a.Base)
	if err != nil || len(found) == 0 {
		return err
	}
	a.Workspace, a.Project, a.Name = found[0].Workspace.String(), found[0].Project.String(), found[0].Name
	return r.recordIn(ctx, tx, e, a, bucket)
}

// RecordChanged records a change of a record, with those like it. The feed names no record,
// since not everybody who may read the base sees each of them.
func (r *Repository) RecordChanged(ctx context.Context, tx pgx.Tx, e events.Event, d airtableapi.RecordChanged) error {
	return r.recordInTable(ctx, tx, e, d.BaseID, d.TableID, d.ActorID)
}

// CommentChanged records a change of a comment, with those like it.
func (r *Repository) CommentChanged(ctx context.Context, tx pgx.Tx, e events.Event, d airtableapi.CommentChanged) error {
	return r.recordInTable(ctx, tx, e, d.BaseID, d.TableID, d.AuthorID)
}

func (r *Repository) recordInTable(ctx context.Context, tx pgx.Tx, e events.Event, base, table, actor string) error {
	bucket := fmt.Sprintf("%q %d", []string{kindOf(e), base, table, actor}, e.Time.Unix()/int64(together.Seconds()))
	return r.recordOfBase(ctx, tx, e, models.Activity{Kind: kindOf(e), Audience: models.Readers, Actor: actor, Base: base, Table: table}, bucket)
}

// MemberAdded records that somebody joined the tenant.
func (r *Repository) MemberAdded(ctx context.Context, tx pgx.Tx, e events.Event, d tenantapi.MemberChanged) error {
	return r.record(ctx, tx, e, models.Activity{Kind: kindOf(e), Audience: models.Admins, Actor: d.ActorID, Subject: d.UserID, Name: d.Name, Role: d.Role})
}

// MemberUpdated records that a member's role is another one.
func (r *Repository) MemberUpdated(ctx context.Context, tx pgx.Tx, e events.Event, d tenantapi.MemberChanged) error {
	return r.MemberAdded(ctx, tx, e, d)
}

// ActivityKey is the key of a page of the feed.
type ActivityKey struct {
	At time.Time         `json:"a"`
	ID models.ActivityID `json:"i"`
}

// Activities returns up to limit entries, newest first, behind after: of one workspace, of
// one base, or of all that is in no trash. Entries of the tenant are for its admins.
func (r *Repository) Activities(ctx context.Context, tenant id.TenantID, workspace, base string, admin bool, after ActivityKey, limit int) ([]models.Activity, error) {
	return query(ctx, r.of(tenant), "list activities", pgx.RowToStructByPos[models.Activity], `
		SELECT a.id, a.at, a.last_at, a.kind, a.audience, a.actor_id, a.workspace_id, a.project_id, a.base_id, a.table_id, a.subject_id, a.name, a.role,
			a.changed, a.count
		FROM activities a
		WHERE a.tenant_id = $1 AND ($2 = '' OR a.workspace_id = $2) AND ($3 = '' OR a.base_id = $3) AND ($4 OR a.audience <> 'admin')
			AND ($2 <> '' OR $3 <> '' OR NOT EXISTS (SELECT FROM workspaces w WHERE w.tenant_id = $1 AND w.id::text = a.workspace_id AND w.trashed_at IS NOT NULL))
			AND ($6::uuid IS NULL OR (a.at, a.id) < ($5, $6))
		ORDER BY a.at DESC, a.id DESC LIMIT $7`, tenant, workspace, base, admin, after.At, after.ID, limit)
}

// ForgetActivities deletes up to limit entries from before the time, of any tenant, and
// returns how many.
func (r *Repository) ForgetActivities(ctx context.Context, before time.Time, limit int) (int64, error) {
	return exec(ctx, postgres.ForEveryTenant(r.pool), "forget activities", `
		DELETE FROM activities a USING (SELECT tenant_id, id FROM activities WHERE at < $1 LIMIT $2) old
		WHERE a.tenant_id = old.tenant_id AND a.id = old.id`, before, limit)
}
