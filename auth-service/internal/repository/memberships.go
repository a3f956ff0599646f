package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// MemberChanged keeps what tenant-service says of a membership. One that is over ends the
// user's sessions and tokens in the tenant. A role that may do less, or a suspension, ends
// the sessions, and what the tokens were exchanged for. A service account's user comes and
// goes with the membership.
func (r *Repository) MemberChanged(ctx context.Context, tx pgx.Tx, e events.Event, d tenantapi.MemberChanged) error {
	user, err := id.Parse[id.User](d.UserID)
	if err != nil {
		return fmt.Errorf("user of %s: %w", e.ID, err)
	}
	if err := postgres.Enter(ctx, tx, e.TenantID); err != nil {
		return err
	}
	now := r.now()
	over := e.Type == tenantapi.MemberRemoved.Name
	var removed *time.Time
	if over {
		removed = &now
	}
	var before string // the role that this one replaces
	err = tx.QueryRow(ctx, `SELECT role FROM memberships WHERE tenant_id = $1 AND member_id = $2 FOR UPDATE`, e.TenantID, d.MemberID).Scan(&before)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("read membership: %w", err)
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO memberships AS m (tenant_id, member_id, user_id, role, version, removed_at, suspended) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT ON CONSTRAINT memberships_pkey DO UPDATE
			SET role = excluded.role, version = excluded.version, removed_at = excluded.removed_at, suspended = excluded.suspended
			WHERE m.version < excluded.version`, e.TenantID, d.MemberID, user, d.Role, e.Version, removed, d.Suspended)
	switch {
	case err != nil:
		return fmt.Errorf("keep membership: %w", err)
	case tag.RowsAffected() == 0: // older than what is known
		return nil
	}
	now = r.now() // the membership is locked: see pauseTokens
	if over {
		if _, err := r.revokeTokens(ctx, tx, e.TenantID, user, models.TokenID{}, now); err != nil {
			return err
		}
		if err := r.endSessionsIn(ctx, tx, e.TenantID, user, now); err != nil {
			return err
		}
		return forgetServiceAccounts(ctx, tx, e.TenantID, user)
	}
	if d.Kind == tenantapi.MemberServiceAccount {
		if err := keepServiceAccount(ctx, tx, e.TenantID, user, d.Name, now); err != nil {
			return err
		}
	}
	if d.Suspended || before != "" && models.Lowered(before, d.Role) {
		if err := r.pauseTokens(ctx, tx, now, inTenantOfUser, e.TenantID, user); err != nil {
			return err
		}
		return r.endSessionsIn(ctx, tx, e.TenantID, user, now)
	}
	return nil
}

// TenantChanged keeps what tenant-service says of a tenant. One that is shut ends the
// sessions of all but its owners; one that is gone those of everybody, and the tokens, and
// leaves no name, which a personal tenant has from its user. One that demands a second factor ends what the tokens of those without one were exchanged for.
func (r *Repository) TenantChanged(ctx context.Context, tx pgx.Tx, e events.Event, d tenantapi.TenantChanged) error {
	if err := postgres.Enter(ctx, tx, e.TenantID); err != nil {
		return err
	}
	ranges := d.Security.IPRanges
	if ranges == nil {
		ranges = []string{}
	}
	if d.Status == tenantapi.StatusDeleted {
		d.Name, d.Slug, ranges = "", "", []string{}
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO tenants AS t (tenant_id, kind, name, slug, status, require_mfa, ip_ranges, session_minutes, version)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT ON CONSTRAINT tenants_pkey DO UPDATE SET kind = excluded.kind, name = excluded.name, slug = excluded.slug,
			status = excluded.status, require_mfa = excluded.require_mfa, ip_ranges = excluded.ip_ranges,
			session_minutes = excluded.session_minutes, version = excluded.version
		WHERE t.version < excluded.version`,
		e.TenantID, d.Kind, d.Name, d.Slug, d.Status, d.Security.RequireMFA, ranges, d.Security.SessionMinutes, e.Version)
	if err != nil {
		return fmt.Errorf("keep tenant: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return nil
	}
	now := r.now()
	if d.Security.RequireMFA {
		if err := r.pauseUnsecured(ctx, tx, e.TenantID, now); err != nil {
			return err
		}
	}
	if d.Status == tenantapi.StatusActive {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT DISTINCT user_id FROM memberships WHERE tenant_id = $1 AND removed_at IS NULL AND ($2 OR role <> 'owner') ORDER BY user_id`,
		e.TenantID, d.Status == tenantapi.StatusDeleted)
	if err != nil {
		return fmt.Errorf("find members: %w", err)
	}
	users, err := pgx.CollectRows(rows, pgx.RowTo[id.UserID])
	if err != nil {
		return fmt.Errorf("find members: %w", err)
	}
	for _, user := range users {
		if err := r.shutOut(ctx, tx, e.TenantID, user, d.Status == tenantapi.StatusDeleted, now); err != nil {
			return err
		}
	}
	if d.Status == tenantapi.StatusDeleted {
		return forgetServiceAccounts(ctx, tx, e.TenantID, id.UserID{})
	}
	return nil
}

func (r *Repository) shutOut(ctx context.Context, tx pgx.Tx, tenant id.TenantID, user id.UserID, forGood bool, now time.Time) error {
	if err := r.endSessionsIn(ctx, tx, tenant, user, now); err != nil {
		return err
	}
	if !forGood {
		return r.pauseTokens(ctx, tx, now, inTenantOfUser, tenant, user)
	}
	_, err := r.revokeTokens(ctx, tx, tenant, user, models.TokenID{}, now)
	return err
}

// endSessionsIn ends the user's sessions in a tenant that is not that of his account.
func (r *Repository) endSessionsIn(ctx context.Context, tx pgx.Tx, tenant id.TenantID, user id.UserID, now time.Time) error {
	rows, err := tx.Query(ctx, `
		UPDATE sessions SET revoked_at = $3 WHERE in_tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL RETURNING `+sessionColumns, tenant, user, now)
	if err != nil {
		return fmt.Errorf("end sessions in tenant: %w", err)
	}
	ended, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (models.Session, error) { return scanSession(row) })
	if err != nil {
		return fmt.Errorf("end sessions in tenant: %w", err)
	}
	var out []models.Revocation
	for _, s := range ended {
		out = append(out, r.revocation(s))
	}
	return revoke(ctx, tx, out...)
}

// pauseUnsecured is pauseTokens for those whose users have no second factor, service
// accounts excepted.
func (r *Repository) pauseUnsecured(ctx context.Context, tx pgx.Tx, tenant id.TenantID, now time.Time) error {
	if err := postgres.EnterEvery(ctx, tx); err != nil { // accounts are at home elsewhere
		return err
	}
	err := r.pauseTokens(ctx, tx, now, `
		coalesce(p.in_tenant_id, p.tenant_id) = $1 AND p.in_tenant_id IS NOT NULL AND EXISTS (SELECT FROM users u
			WHERE u.tenant_id = p.tenant_id AND u.id = p.user_id AND u.totp_confirmed_at IS NULL AND u.service_of IS NULL)`, tenant)
	if err != nil {
		return err
	}
	return postgres.Enter(ctx, tx, tenant)
}

const (
	inTenantOfUser = `p.in_tenant_id = $1 AND p.user_id = $2`
	abroadOfUser   = `p.tenant_id = $1 AND p.user_id = $2 AND p.in_tenant_id IS NOT NULL`
)

// pauseTokens announces as revoked what the tokens were exchanged for until now, which has
// to be the time after what is asked of them has been locked: UseToken holds it, so that
// whatever was made before expires by what is announced, and whatever is made later does
// not.
func (r *Repository) pauseTokens(ctx context.Context, tx pgx.Tx, now time.Time, which string, args ...any) error {
	rows, err := tx.Query(ctx, `SELECT p.id FROM personal_tokens p WHERE p.revoked_at IS NULL AND `+which, args...)
	if err != nil {
		return fmt.Errorf("find tokens: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[models.TokenID])
	if err != nil {
		return fmt.Errorf("find tokens: %w", err)
	}
	var out []models.Revocation
	for _, t := range ids {
		out = append(out, models.Revocation{Kind: models.RevokedToken, ID: t.String(), Until: now.Add(models.TokenAccess)})
	}
	return revoke(ctx, tx, out...)
}

// Standings returns what the user is in the tenants that have said so, by their ids; in
// the one only, unless it is zero.
func (r *Repository) Standings(ctx context.Context, user id.UserID, only id.TenantID) ([]models.Standing, error) {
	return standings(ctx, postgres.ForEveryTenant(r.pool), user, only, "")
}

// Who came back after a removal has two memberships; the newer one counts.
func standings(ctx context.Context, q postgres.Querier, user id.UserID, only id.TenantID, lock string) ([]models.Standing, error) {
	rows, err := q.Query(ctx, `
		SELECT t.tenant_id, t.kind, t.name, t.slug, t.status, m.role, m.suspended, t.require_mfa, t.ip_ranges, t.session_minutes
		FROM memberships m JOIN tenants t ON t.tenant_id = m.tenant_id
		WHERE m.user_id = $1 AND m.removed_at IS NULL AND t.status <> 'deleted' AND ($2::uuid IS NULL OR m.tenant_id = $2)
			AND NOT EXISTS (SELECT FROM memberships n
				WHERE n.tenant_id = m.tenant_id AND n.user_id = m.user_id AND n.removed_at IS NULL AND n.member_id > m.member_id)
		ORDER BY m.tenant_id`+lock, user, only)
	if err != nil {
		return nil, fmt.Errorf("read standings: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[models.Standing])
	if err != nil {
		return nil, fmt.Errorf("read standings: %w", err)
	}
	return list, nil
}

// held keeps a standing from changing before the transaction ends. What changes it locks
// it before the user's sessions: so has to do who holds it.
const held = ` FOR SHARE OF m, t`

// standingIn is the user's standing in the tenant; zero if he is not a member. The
// transaction goes on about his home.
func standingIn(ctx context.Context, tx pgx.Tx, home id.TenantID, user id.UserID, tenant id.TenantID, lock string) (models.Standing, error) {
	if tenant == home {
		return models.AtHome(home), nil
	}
	if err := postgres.Enter(ctx, tx, tenant); err != nil {
		return models.Standing{}, err
	}
	list, err := standings(ctx, tx, user, tenant, lock)
	if err != nil {
		return models.Standing{}, err
	}
	if err := postgres.Enter(ctx, tx, home); err != nil || len(list) == 0 {
		return models.Standing{}, err
	}
	return list[0], nil
}

// SwitchSession ends the session from and begins the next one, which is in another
// tenant, if admit lets it in, given the user's standing there. It returns
// errs.ErrNotFound if from has ended.
func (r *Repository) SwitchSession(ctx context.Context, from models.Session, next *models.Session, refresh models.RefreshToken, a Along,
	admit func(models.Standing) error) (s models.Standing, err error) {
	err = postgres.InTenant(ctx, r.pool, next.Tenant, func(tx pgx.Tx) error {
		if s, err = standingIn(ctx, tx, next.Tenant, next.User, next.In, held); err != nil {
			return err
		}
		var still bool
		err := tx.QueryRow(ctx, `SELECT true FROM sessions WHERE id = $1 AND revoked_at IS NULL FOR UPDATE`, from.ID).Scan(&still)
		if err != nil {
			return fmt.Errorf("lock session: %w", postgres.NotFound(err))
		}
		if err := admit(s); err != nil {
			return err
		}
		if err := insertSession(ctx, tx, *next, refresh); err != nil {
			return err
		}
		if err := r.revokeSession(ctx, tx, from, next.LastUsedAt); err != nil {
			return err
		}
		return events.Emit(ctx, tx, a.Events...)
	})
	return s, err
}
