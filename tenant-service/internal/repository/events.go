package repository

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
)

// Registered makes the personal tenant of a new account, whose id auth-service has made,
// and keeps the account's address. An account that was erased stays so.
func (r *Repository) Registered(ctx context.Context, tx pgx.Tx, e events.Event, d authapi.UserRegisteredData) error {
	user, err := id.Parse[id.User](d.UserID)
	if err != nil {
		return fmt.Errorf("user of %s: %w", e.ID, err)
	}
	tenant, err := id.Parse[id.Tenant](d.TenantID)
	if err != nil {
		return fmt.Errorf("tenant of %s: %w", e.ID, err)
	}
	if err := postgres.Enter(ctx, tx, tenant); err != nil {
		return err
	}
	// An address may have been verified, as told by an event that was faster.
	tag, err := tx.Exec(ctx, `
		INSERT INTO accounts (tenant_id, user_id, email, verified) VALUES ($1, $2, $3, $4)
		ON CONFLICT ON CONSTRAINT accounts_pkey DO UPDATE SET email = excluded.email, verified = accounts.verified OR excluded.verified
		WHERE accounts.deleted_at IS NULL`, tenant, user, strings.ToLower(d.Email), d.EmailVerified)
	if err != nil {
		return fmt.Errorf("keep account: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return nil
	}
	now := r.now().UTC().Truncate(time.Microsecond)
	t := models.PersonalTenant(tenant, user, d.Name, now)
	owner := models.NewMember(tenant, user, tenantapi.RoleOwner, now)
	if err := insertTenant(ctx, tx, t); err != nil {
		return err
	}
	if err := insertMember(ctx, tx, owner); err != nil {
		return err
	}
	err = events.Emit(ctx, tx, TenantEvent(ctx, tenantapi.TenantCreated, t, nil, id.UserID{}), MemberEvent(ctx, tenantapi.MemberAdded, owner, id.UserID{}))
	if err != nil {
		return err
	}
	return r.autoJoin(ctx, tx, user)
}

// Verified notes that the user has proved to read the mail of his address.
func (r *Repository) Verified(ctx context.Context, tx pgx.Tx, e events.Event, d authapi.EmailVerifiedData) error {
	user, err := id.Parse[id.User](d.UserID)
	if err != nil {
		return fmt.Errorf("user of %s: %w", e.ID, err)
	}
	if err := postgres.Enter(ctx, tx, e.TenantID); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO accounts (tenant_id, user_id, email, verified) VALUES ($1, $2, $3, true)
		ON CONFLICT ON CONSTRAINT accounts_pkey DO UPDATE SET email = excluded.email, verified = true WHERE accounts.deleted_at IS NULL`,
		e.TenantID, user, strings.ToLower(d.Email))
	if err != nil {
		return fmt.Errorf("note verified address: %w", err)
	}
	return r.autoJoin(ctx, tx, user)
}

// Erased ends the memberships of a user who was erased, and his personal tenant. An
// organisation that he alone owned goes to its strongest member, of several to the one
// who joined first; one without other users ends with him.
func (r *Repository) Erased(ctx context.Context, tx pgx.Tx, e events.Event, d userapi.UserDeletedData) error {
	user, err := id.Parse[id.User](d.UserID)
	if err != nil {
		return fmt.Errorf("user of %s: %w", e.ID, err)
	}
	if err := postgres.EnterEvery(ctx, tx); err != nil {
		return err
	}
	now := r.now().UTC().Truncate(time.Microsecond)
	_, err = tx.Exec(ctx, `
		INSERT INTO accounts (tenant_id, user_id, deleted_at) VALUES ($1, $2, $3)
		ON CONFLICT ON CONSTRAINT accounts_pkey DO UPDATE SET email = '', verified = false, deleted_at = $3`, e.TenantID, user, now)
	if err != nil {
		return fmt.Errorf("forget account: %w", err)
	}
	rows, err := tx.Query(ctx, `SELECT tenant_id FROM members WHERE user_id = $1 ORDER BY tenant_id`, user)
	if err != nil {
		return fmt.Errorf("find memberships: %w", err)
	}
	tenants, err := pgx.CollectRows(rows, pgx.RowTo[id.TenantID])
	if err != nil {
		return fmt.Errorf("find memberships: %w", err)
	}
	for _, tenant := range tenants {
		if err := r.erasedFrom(ctx, tx, tenant, user, now); err != nil {
			return err
		}
	}
	return nil
}

func (r *Repository) erasedFrom(ctx context.Context, tx pgx.Tx, tenant id.TenantID, user id.UserID, now time.Time) error {
	t, err := lockTenant(ctx, tx, tenant)
	if isNone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	all, err := members(ctx, tx, `SELECT `+memberColumns+` FROM members m WHERE m.tenant_id = $1 ORDER BY m.id`, tenant)
	if err != nil {
		return err
	}
	in := models.Bereave(t, all, user, now)
	if in.Over {
		in.Tenant.Version++
		gone := TenantEvent(ctx, tenantapi.TenantDeleted, in.Tenant, []string{"status"}, id.UserID{})
		return eraseTenant(ctx, tx, in.Tenant, gone)
	}
	var evs []events.Event
	if in.Heir != nil {
		if err := updateMember(ctx, tx, *in.Heir); err != nil {
			return err
		}
		evs = append(evs, MemberEvent(ctx, tenantapi.MemberUpdated, *in.Heir, id.UserID{}))
	}
	if in.Tenant.Version != t.Version {
		if err := updateTenant(ctx, tx, in.Tenant); err != nil {
			return err
		}
		evs = append(evs, TenantEvent(ctx, tenantapi.TenantUpdated, in.Tenant, []string{"owner_id"}, id.UserID{}))
	}
	if in.Left == nil {
		return events.Emit(ctx, tx, evs...)
	}
	if err := deleteMember(ctx, tx, *in.Left, id.UserID{}); err != nil {
		return err
	}
	return events.Emit(ctx, tx, append(evs, MemberEvent(ctx, tenantapi.MemberRemoved, *in.Left, id.UserID{}))...)
}

// TenantEvent is the event of the type about the tenant as it is now. actor is zero for
// what nobody did.
func TenantEvent(ctx context.Context, kind events.Type[tenantapi.TenantChanged], t models.Tenant, changed []string, actor id.UserID) events.Event {
	status := t.Status()
	if kind.Name == tenantapi.TenantDeleted.Name {
		status = tenantapi.StatusDeleted
	}
	return kind.New(ctx, t.ID, t.ID.String(), t.Version, tenantapi.TenantChanged{
		TenantID: t.ID.String(), Kind: t.Kind, Name: t.Name, Slug: t.Slug, Status: status, OwnerID: t.Owner.String(),
		Security: tenantapi.Security{
			RequireMFA: t.Security.RequireMFA, EmailDomains: list(t.Security.EmailDomains), IPRanges: list(t.Security.IPRanges),
			SessionMinutes: t.Security.SessionMinutes,
		},
		Changed: list(changed), ActorID: actor.String(),
	})
}

// MemberEvent is the event of the type about the member.
func MemberEvent(ctx context.Context, kind events.Type[tenantapi.MemberChanged], m models.Member, actor id.UserID) events.Event {
	return kind.New(ctx, m.Tenant, m.ID.String(), m.Version, tenantapi.MemberChanged{
		MemberID: m.ID.String(), TenantID: m.Tenant.String(), UserID: m.User.String(), Kind: m.Kind, Role: m.Role,
		CustomRoles: list(m.CustomRoles), Name: m.Name, Suspended: m.Suspended(), ActorID: actor.String(),
	})
}
