package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
)

const tenantColumns = `t.tenant_id, t.kind, t.name, t.slug, t.logo_url, t.locale, t.time_zone, t.owner_id, t.require_mfa, t.email_domains,
	t.ip_ranges, t.session_minutes, t.suspended_at, t.delete_at, t.version, t.created_at, t.updated_at`

// CreateTenant stores a tenant with its first member. It returns tenantapi.ErrSlugTaken
// if another one has the slug.
func (r *Repository) CreateTenant(ctx context.Context, t models.Tenant, owner models.Member, evs ...events.Event) error {
	return postgres.InTenant(ctx, r.pool, t.ID, func(tx pgx.Tx) error {
		if err := insertTenant(ctx, tx, t); err != nil {
			return err
		}
		if err := insertMember(ctx, tx, owner); err != nil {
			return err
		}
		return events.Emit(ctx, tx, evs...)
	})
}

func insertTenant(ctx context.Context, tx pgx.Tx, t models.Tenant) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO tenants (tenant_id, kind, name, slug, logo_url, locale, time_zone, owner_id, version, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		t.ID, t.Kind, t.Name, t.Slug, t.LogoURL, t.Locale, t.TimeZone, t.Owner, t.Version, t.CreatedAt, t.UpdatedAt)
	if postgres.IsUnique(err, "tenants_slug_key") {
		return tenantapi.ErrSlugTaken.Because(err)
	}
	if err != nil {
		return fmt.Errorf("insert tenant: %w", err)
	}
	return nil
}

// Tenant returns the tenant and the caller's role in it: the weaker of his membership's
// and his token's. It returns tenantapi.ErrTenantNotFound if he is not a member.
func (r *Repository) Tenant(ctx context.Context, c models.Caller) (models.Tenant, string, error) {
	var role string
	t, err := scanTenant(r.of(c.Tenant).QueryRow(ctx, `
		SELECT `+tenantColumns+`, m.role FROM tenants t JOIN members m ON m.tenant_id = t.tenant_id AND m.user_id = $2 AND m.suspended_at IS NULL
		WHERE t.tenant_id = $1`, c.Tenant, c.User), &role)
	return t, models.Weaker(c.Role, role), err
}

// ChangeTenant has change decide under the tenant's lock and stores what became of the
// scene together with the events that change returns, or nothing. It returns
// tenantapi.ErrTenantNotFound if the caller is not a member.
func (r *Repository) ChangeTenant(ctx context.Context, c models.Caller, about models.About,
	change func(*models.Scene) ([]events.Event, error)) (s *models.Scene, err error) {
	err = postgres.InTenant(ctx, r.pool, c.Tenant, func(tx pgx.Tx) error {
		t, err := lockTenant(ctx, tx, c.Tenant)
		if err != nil {
			return err
		}
		cast, err := members(ctx, tx, `
			SELECT `+memberColumns+` FROM members m
			WHERE m.tenant_id = $1 AND (m.role = 'owner' OR m.user_id = $2 OR m.id = $3 OR m.user_id = $4) ORDER BY m.id`,
			c.Tenant, c.User, about.Member, about.User)
		if err != nil {
			return err
		}
		known := false
		if s, known = models.NewScene(t, cast, c, about); !known {
			return tenantapi.ErrTenantNotFound
		}
		evs, err := change(s)
		if err != nil {
			return err
		}
		return r.storeScene(ctx, tx, s, t, c.User, evs)
	})
	return s, err
}

func (r *Repository) storeScene(ctx context.Context, tx pgx.Tx, s *models.Scene, before models.Tenant, actor id.UserID, evs []events.Event) error {
	if s.Version != before.Version {
		if err := updateTenant(ctx, tx, s.Tenant); err != nil {
			return err
		}
	}
	if s.DeleteAt != before.DeleteAt && !s.DeleteAt.IsZero() {
		if err := r.enqueue(ctx, tx, models.EndTenant{Tenant: s.ID}, s.DeleteAt); err != nil {
			return err
		}
	}
	for _, m := range s.ChangedMembers() {
		if err := updateMember(ctx, tx, m); err != nil {
			return err
		}
	}
	if s.Removed {
		if err := deleteMember(ctx, tx, *s.Target, actor); err != nil {
			return err
		}
	}
	return events.Emit(ctx, tx, evs...)
}

// lockTenant reads the tenant and keeps it, and who is in it, from changing before the
// transaction ends.
func lockTenant(ctx context.Context, tx pgx.Tx, tenant id.TenantID) (models.Tenant, error) {
	return scanTenant(tx.QueryRow(ctx, `SELECT `+tenantColumns+` FROM tenants t WHERE t.tenant_id = $1 FOR UPDATE`, tenant))
}

func updateTenant(ctx context.Context, tx pgx.Tx, t models.Tenant) error {
	_, err := tx.Exec(ctx, `
		UPDATE tenants SET name = $2, slug = $3, logo_url = $4, locale = $5, time_zone = $6, owner_id = $7, require_mfa = $8,
			email_domains = $9, ip_ranges = $10, session_minutes = $11, suspended_at = $12, delete_at = $13, version = $14, updated_at = $15
		WHERE tenant_id = $1`,
		t.ID, t.Name, t.Slug, t.LogoURL, t.Locale, t.TimeZone, t.Owner, t.Security.RequireMFA,
		list(t.Security.EmailDomains), list(t.Security.IPRanges), t.Security.SessionMinutes, null(t.SuspendedAt), null(t.DeleteAt),
		t.Version, t.UpdatedAt)
	if postgres.IsUnique(err, "tenants_slug_key") {
		return tenantapi.ErrSlugTaken.Because(err)
	}
	if err != nil {
		return fmt.Errorf("update tenant: %w", err)
	}
	return nil
}

// list is an array column, which is never NULL.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// DeleteTenant erases a tenant whose grace period is over together with the event that
// gone makes of it. One that was kept, or is gone, is left alone.
func (r *Repository) DeleteTenant(ctx context.Context, tenant id.TenantID, now time.Time, gone func(models.Tenant) events.Event) error {
	err := postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		t, err := lockTenant(ctx, tx, tenant)
		if err != nil {
			return err
		}
		if t.DeleteAt.IsZero() || t.DeleteAt.After(now) {
			return nil
		}
		return eraseTenant(ctx, tx, t, gone(t))
	})
	if isNone(err) {
		return nil
	}
	return err
}

func eraseTenant(ctx context.Context, tx pgx.Tx, t models.Tenant, gone events.Event) error {
	if _, err := tx.Exec(ctx, `DELETE FROM tenants WHERE tenant_id = $1`, t.ID); err != nil {
		return fmt.Errorf("delete tenant: %w", err)
	}
	return events.Emit(ctx, tx, gone)
}

func scanTenant(row pgx.Row, more ...any) (models.Tenant, error) {
	var t models.Tenant
	var suspended, deletion *time.Time
	err := row.Scan(append([]any{
		&t.ID, &t.Kind, &t.Name, &t.Slug, &t.LogoURL, &t.Locale, &t.TimeZone, &t.Owner, &t.Security.RequireMFA, &t.Security.EmailDomains,
		&t.Security.IPRanges, &t.Security.SessionMinutes, &suspended, &deletion, &t.Version, &t.CreatedAt, &t.UpdatedAt,
	}, more...)...)
	t.SuspendedAt, t.DeleteAt = zero(suspended), zero(deletion)
	if err == nil {
		return t, nil
	}
	if isNone(postgres.NotFound(err)) {
		return t, tenantapi.ErrTenantNotFound.Because(err)
	}
	return t, fmt.Errorf("read tenant: %w", err)
}
