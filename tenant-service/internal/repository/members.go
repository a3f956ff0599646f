package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
)

const memberColumns = `m.id, m.tenant_id, m.user_id, m.kind, m.role, m.custom_roles, m.name, m.suspended_at, m.version, m.joined_at, m.updated_at`

// isNone reports whether err says that something is not there.
func isNone(err error) bool { return err != nil && errs.From(err).Kind == errs.NotFound }

// Membership is a tenant with what the user is in it.
type Membership struct {
	models.Tenant
	Member models.MemberID
	Role   string
}

// Memberships returns at most limit of the user's tenants, those after the given one, in
// the order of their ids.
func (r *Repository) Memberships(ctx context.Context, user id.UserID, after id.TenantID, limit int) ([]Membership, error) {
	rows, err := postgres.ForEveryTenant(r.pool).Query(ctx, `
		SELECT `+tenantColumns+`, m.id, m.role FROM members m JOIN tenants t ON t.tenant_id = m.tenant_id
		WHERE m.user_id = $1 AND m.suspended_at IS NULL AND ($2::uuid IS NULL OR m.tenant_id > $2) ORDER BY m.tenant_id LIMIT $3`, user, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list memberships: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m Membership, err error) {
		m.Tenant, err = scanTenant(row, &m.Member, &m.Role)
		return m, err
	})
	if err != nil {
		return nil, fmt.Errorf("list memberships: %w", err)
	}
	return found, nil
}

// Members returns at most limit of the tenant's members, those after the given one, in
// the order in which they joined; only the one user's membership unless user is zero, and
// only members of the kind unless it is "".
func (r *Repository) Members(ctx context.Context, tenant id.TenantID, user id.UserID, kind string, after models.MemberID, limit int) ([]models.Member, error) {
	return members(ctx, r.of(tenant), `
		SELECT `+memberColumns+` FROM members m
		WHERE m.tenant_id = $1 AND ($2::uuid IS NULL OR m.user_id = $2) AND ($3::uuid IS NULL OR m.id > $3) AND ($5 = '' OR m.kind = $5)
		ORDER BY m.id LIMIT $4`, tenant, user, after, limit, kind)
}

// Member returns a member of the tenant, or tenantapi.ErrMemberNotFound.
func (r *Repository) Member(ctx context.Context, tenant id.TenantID, member models.MemberID) (models.Member, error) {
	found, err := members(ctx, r.of(tenant), `SELECT `+memberColumns+` FROM members m WHERE m.tenant_id = $1 AND m.id = $2`, tenant, member)
	switch {
	case err != nil:
		return models.Member{}, err
	case len(found) == 0:
		return models.Member{}, tenantapi.ErrMemberNotFound
	}
	return found[0], nil
}

func members(ctx context.Context, q postgres.Querier, sql string, args ...any) ([]models.Member, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read members: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (models.Member, error) { return scanMember(row) })
	if err != nil {
		return nil, fmt.Errorf("read members: %w", err)
	}
	return found, nil
}

func scanMember(row pgx.Row, more ...any) (models.Member, error) {
	var m models.Member
	var suspended *time.Time
	err := row.Scan(append([]any{
		&m.ID, &m.Tenant, &m.User, &m.Kind, &m.Role, &m.CustomRoles, &m.Name, &suspended, &m.Version, &m.JoinedAt, &m.UpdatedAt,
	}, more...)...)
	m.SuspendedAt = zero(suspended)
	return m, err
}

// errMember is returned for a user who is a member already.
var errMember = errors.New("is a member already")

// insertMember returns tenantapi.ErrLimitReached if the tenant's plan does not allow
// another member. It keeps others from joining until the transaction ends.
func insertMember(ctx context.Context, tx pgx.Tx, m models.Member) error {
	room, err := roomForMember(ctx, tx, m)
	if err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO members (tenant_id, id, user_id, kind, role, custom_roles, name, version, joined_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT ON CONSTRAINT members_user_key DO NOTHING`,
		m.Tenant, m.ID, m.User, m.Kind, m.Role, list(m.CustomRoles), m.Name, m.Version, m.JoinedAt, m.UpdatedAt)
	if err != nil {
		return fmt.Errorf("insert member: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return errMember
	}
	return room
}

func updateMember(ctx context.Context, tx pgx.Tx, m models.Member) error {
	_, err := tx.Exec(ctx, `
		UPDATE members SET role = $3, custom_roles = $4, name = $5, version = $6, updated_at = $7, suspended_at = $8
		WHERE tenant_id = $1 AND id = $2`,
		m.Tenant, m.ID, m.Role, list(m.CustomRoles), m.Name, m.Version, m.UpdatedAt, null(m.SuspendedAt))
	if err != nil {
		return fmt.Errorf("update member: %w", err)
	}
	return nil
}

// deleteMember takes the member out of his groups, which is announced, and deletes him.
func deleteMember(ctx context.Context, tx pgx.Tx, m models.Member, actor id.UserID) error {
	if err := leaveGroups(ctx, tx, m, actor); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM members WHERE tenant_id = $1 AND id = $2`, m.Tenant, m.ID); err != nil {
		return fmt.Errorf("delete member: %w", err)
	}
	return nil
}
