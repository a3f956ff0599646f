package repository

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
)

const linkColumns = `SELECT l.tenant_id, l.id, l.kind, l.object_id, l.role, l.secret_hash, l.secret, l.password_hash, l.expires_at, l.created_by,
	l.maker_role, l.opened, l.last_opened_at, l.version, l.created_at, l.updated_at FROM share_links l `

func scanLink(row pgx.CollectableRow) (l models.ShareLink, err error) {
	var expires, opened *time.Time
	err = row.Scan(&l.Tenant, &l.ID, &l.Kind, &l.Object, &l.Role, &l.Hash, &l.Secret, &l.Password, &expires, &l.Maker,
		&l.MakerRole, &l.Opened, &opened, &l.Version, &l.CreatedAt, &l.UpdatedAt)
	l.ExpiresAt, l.LastOpenedAt = zero(expires), zero(opened)
	return l, err
}

// LinkEvent is the event of the type about the link.
func LinkEvent(ctx context.Context, kind events.Type[workspaceapi.ShareLinkChanged], l models.ShareLink, actor id.UserID) events.Event {
	return kind.New(ctx, l.Tenant, l.ID.String(), l.Version, workspaceapi.ShareLinkChanged{
		ShareLinkID: l.ID.String(), TenantID: l.Tenant.String(), Object: string(LinkObject(l)), Role: l.Role, ActorID: actor.String(),
	})
}

// LinkObject is what the link opens.
func LinkObject(l models.ShareLink) permit.Object {
	if l.Kind == workspaceapi.KindBase {
		return permit.Base(l.Tenant, l.Object)
	}
	return permit.Workspace(l.Object)
}

// CreateShareLink stores the link together with the event, unless its object has most
// links already or is gone.
func (r *Repository) CreateShareLink(ctx context.Context, l models.ShareLink, most int, created events.Event) error {
	return postgres.InTenant(ctx, r.pool, l.Tenant, func(tx pgx.Tx) error {
		if err := r.lockObject(ctx, tx, l); err != nil {
			return err
		}
		stored, err := exec(ctx, tx, "insert share link", `
			INSERT INTO share_links (tenant_id, id, kind, object_id, role, secret_hash, secret, password_hash, expires_at, created_by, maker_role,
				version, created_at, updated_at)
			SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13
			WHERE (SELECT count(*) FROM share_links WHERE tenant_id = $1 AND kind = $3 AND object_id = $4) < $14`,
			l.Tenant, l.ID, l.Kind, l.Object, l.Role, l.Hash, l.Secret, l.Password, null(l.ExpiresAt), l.Maker, l.MakerRole, l.Version, l.CreatedAt, most)
		if err != nil {
			return err
		}
		if stored == 0 {
			return workspaceapi.ErrTooManyHere
		}
		return events.Emit(ctx, tx, created)
	})
}

// lockObject keeps what the link opens from going before the link is there.
func (r *Repository) lockObject(ctx context.Context, tx pgx.Tx, l models.ShareLink) error {
	sql := `SELECT trashed_at FROM workspaces WHERE tenant_id = $1 AND id::text = $2 FOR UPDATE`
	if l.Kind == workspaceapi.KindBase {
		sql = `SELECT trashed_at FROM bases WHERE tenant_id = $1 AND id = $2 AND workspace_id IS NOT NULL FOR UPDATE`
	}
	trashed, err := one(ctx, tx, "lock object", pgx.RowTo[*time.Time], sql, l.Tenant, l.Object)
	if err == nil && trashed != nil {
		err = workspaceapi.ErrTrashed
	}
	return err
}

// ShareLink returns the tenant's link, or errs.ErrNotFound.
func (r *Repository) ShareLink(ctx context.Context, tenant id.TenantID, ref models.ShareLinkID) (models.ShareLink, error) {
	return one(ctx, r.of(tenant), "read share link", scanLink, linkColumns+`WHERE l.tenant_id = $1 AND l.id = $2`, tenant, ref)
}

// ShareLinkBySecret returns the tenant's link with that hash, or errs.ErrNotFound.
func (r *Repository) ShareLinkBySecret(ctx context.Context, tenant id.TenantID, hash []byte) (models.ShareLink, error) {
	return one(ctx, r.of(tenant), "find share link", scanLink, linkColumns+`WHERE l.tenant_id = $1 AND l.secret_hash = $2`, tenant, hash)
}

// ShareLinks returns up to limit of the links to an object, oldest first, those after the
// given one.
func (r *Repository) ShareLinks(ctx context.Context, tenant id.TenantID, kind, object string, after models.ShareLinkID, limit int) ([]models.ShareLink, error) {
	return query(ctx, r.of(tenant), "list share links", scanLink, linkColumns+`
		WHERE l.tenant_id = $1 AND l.kind = $2 AND l.object_id = $3 AND ($4::uuid IS NULL OR l.id > $4) ORDER BY l.id LIMIT $5`,
		tenant, kind, object, after, limit)
}

// LinkTarget returns the name of what a link opens, or errs.ErrNotFound if that is gone or
// in the trash, itself or with what it is in.
func (r *Repository) LinkTarget(ctx context.Context, l models.ShareLink) (string, error) {
	sql := `SELECT name FROM workspaces WHERE tenant_id = $1 AND id::text = $2 AND trashed_at IS NULL`
	if l.Kind == workspaceapi.KindBase {
		sql = `SELECT b.name FROM bases b JOIN workspaces w ON w.tenant_id = b.tenant_id AND w.id = b.workspace_id
			LEFT JOIN projects p ON p.tenant_id = b.tenant_id AND p.id = b.project_id
			WHERE b.tenant_id = $1 AND b.id = $2 AND coalesce(b.trashed_at, w.trashed_at, p.trashed_at) IS NULL`
	}
	return one(ctx, r.of(l.Tenant), "read link's object", pgx.RowTo[string], sql, l.Tenant, l.Object)
}

// ChangeShareLink applies change to the link under its lock and stores its password and
// end together with the event that change returns, or nothing. It returns errs.ErrNotFound
// if the tenant has no such link.
func (r *Repository) ChangeShareLink(ctx context.Context, tenant id.TenantID, ref models.ShareLinkID,
	change func(*models.ShareLink) (events.Event, error)) (l models.ShareLink, err error) {
	err = postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		if l, err = one(ctx, tx, "lock share link", scanLink, linkColumns+`WHERE l.tenant_id = $1 AND l.id = $2 FOR UPDATE`, tenant, ref); err != nil {
			return err
		}
		changed, err := change(&l)
		if err != nil {
			return err
		}
		_, err = exec(ctx, tx, "update share link", `
			UPDATE share_links SET password_hash = $3, expires_at = $4, version = $5, updated_at = $6, failures = 0, blocked_until = NULL
			WHERE tenant_id = $1 AND id = $2`, tenant, ref, l.Password, null(l.ExpiresAt), l.Version, l.UpdatedAt)
		if err != nil {
			return err
		}
		if err := r.dropRedemptions(ctx, tx, tenant, []models.ShareLinkID{ref}); err != nil {
			return err
		}
		return events.Emit(ctx, tx, changed)
	})
	return l, err
}

// RevokeShareLink deletes the link together with the event.
func (r *Repository) RevokeShareLink(ctx context.Context, tenant id.TenantID, ref models.ShareLinkID, actor id.UserID) error {
	return postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		gone, err := r.revokeLinks(ctx, tx, tenant, actor, `id = $2`, ref)
		if err == nil && len(gone) == 0 {
			err = errs.ErrNotFound
		}
		if err != nil {
			return err
		}
		return events.Emit(ctx, tx, gone...)
	})
}

// revokeLinks deletes the links that the condition selects, has taken back what they gave,
// and returns the events.
func (r *Repository) revokeLinks(ctx context.Context, tx pgx.Tx, tenant id.TenantID, actor id.UserID, condition string, args ...any) ([]events.Event, error) {
	gone, err := query(ctx, tx, "delete share links", scanLink, `
		DELETE FROM share_links l WHERE tenant_id = $1 AND `+condition+`
		RETURNING l.tenant_id, l.id, l.kind, l.object_id, l.role, l.secret_hash, l.secret, l.password_hash, l.expires_at, l.created_by,
			l.maker_role, l.opened, l.last_opened_at, l.version, l.created_at, l.updated_at`, append([]any{tenant}, args...)...)
	if err != nil || len(gone) == 0 {
		return nil, err
	}
	var evs []events.Event
	var ended []models.ShareLinkID
	for _, l := range gone {
		l.Version++
		ended = append(ended, l.ID)
		evs = append(evs, LinkEvent(ctx, workspaceapi.ShareLinkRevoked, l, actor))
	}
	return evs, r.dropRedemptions(ctx, tx, tenant, ended)
}

// TryPassword counts an attempt on the link's password before it is compared, so that
// attempts made at once count too. While nobody may try it returns
// workspaceapi.ErrAttempts with the time until then.
func (r *Repository) TryPassword(ctx context.Context, l models.ShareLink, now time.Time) error {
	return postgres.InTenant(ctx, r.pool, l.Tenant, func(tx pgx.Tx) error {
		var failures int
		var blocked *time.Time
		err := tx.QueryRow(ctx, `SELECT failures, blocked_until FROM share_links WHERE tenant_id = $1 AND id = $2 FOR UPDATE`, l.Tenant, l.ID).
			Scan(&failures, &blocked)
		if err != nil {
			return postgres.NotFound(err)
		}
		if blocked != nil && now.Before(*blocked) {
			return workspaceapi.ErrAttempts.After(blocked.Sub(now) + time.Second - 1)
		}
		failures++
		var until time.Time
		if block := models.BlockAfter(failures); block > 0 {
			until = now.Add(block)
		}
		_, err = exec(ctx, tx, "count attempt", `UPDATE share_links SET failures = $3, blocked_until = $4 WHERE tenant_id = $1 AND id = $2`,
			l.Tenant, l.ID, failures, null(until))
		return err
	})
}

// OpenedShareLink notes that the link was opened, together with the event, and forgets
// failed attempts. It returns errs.ErrNotFound if the link has changed meanwhile.
func (r *Repository) OpenedShareLink(ctx context.Context, l models.ShareLink, now time.Time, opened events.Event) error {
	return postgres.InTenant(ctx, r.pool, l.Tenant, func(tx pgx.Tx) error {
		still, err := exec(ctx, tx, "note opening", `
			UPDATE share_links SET opened = opened + 1, last_opened_at = $4, failures = 0, blocked_until = NULL
			WHERE tenant_id = $1 AND id = $2 AND version = $3`, l.Tenant, l.ID, l.Version, now)
		if err == nil && still == 0 {
			err = errs.ErrNotFound
		}
		if err != nil {
			return err
		}
		return events.Emit(ctx, tx, opened)
	})
}
