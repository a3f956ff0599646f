// Package repository stores profiles and memberships. A method is a transaction:
// a fact and the events that announce it are stored together, or not at all. PostgreSQL
// itself keeps memberships apart by tenant (see package postgres of the kit); profiles
// are of users, who may be in several.
package repository

import (
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/user-service/internal/models"
)

// Migrations are the schema's.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Repository is the service's database.
type Repository struct {
	pool *pgxpool.Pool
	now  func() time.Time
}

// New returns a repository on the pool. now dates what events change.
func New(pool *pgxpool.Pool, now func() time.Time) *Repository {
	return &Repository{pool: pool, now: now}
}

// Member is a user and the role that he has in the caller's tenant, "" for none.
type Member struct {
	models.User
	Role string
}

const memberColumns = `u.id, u.tenant_id, u.email, u.name, u.avatar_url, u.locale, u.time_zone, u.preferences,
	u.named, u.account_version, u.version, u.created_at, u.updated_at, u.deleted_at, coalesce(m.role, '')`

// visible admits the users whom the caller may know of: $1 is the caller's
// tenant, $2 the caller, $3 whether he sees his tenant, $4 whether he sees all.
// The tombstone of a user is known to the tenant that the account was made in.
const visible = `(u.id = $2 OR $4 OR $3 AND (m.user_id IS NOT NULL OR u.deleted_at IS NOT NULL AND u.tenant_id = $1))`

func scanMember(row pgx.CollectableRow) (Member, error) {
	var (
		m       Member
		deleted *time.Time
	)
	err := row.Scan(&m.ID, &m.Tenant, &m.Email, &m.Name, &m.AvatarURL, &m.Locale, &m.TimeZone, &m.Preferences,
		&m.Named, &m.AccountVersion, &m.Version, &m.CreatedAt, &m.UpdatedAt, &deleted, &m.Role)
	if deleted != nil {
		m.DeletedAt = *deleted
	}
	return m, err
}

// oneMember reads the one user that a query selects, or returns errs.ErrNotFound.
func oneMember(ctx context.Context, q postgres.Querier, sql string, args ...any) (Member, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return Member{}, fmt.Errorf("read user: %w", err)
	}
	m, err := pgx.CollectExactlyOneRow(rows, scanMember)
	if err != nil {
		return Member{}, fmt.Errorf("read user: %w", postgres.NotFound(err))
	}
	return m, nil
}

// insert stores a profile with its first membership; it reports false if the user
// has a profile, or a tombstone, already.
func insert(ctx context.Context, tx pgx.Tx, u models.User, role string) (bool, error) {
	tag, err := tx.Exec(ctx, `
		INSERT INTO users (id, tenant_id, email, name, avatar_url, locale, time_zone, preferences, search,
			named, account_version, version, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
		ON CONFLICT ON CONSTRAINT users_pkey DO NOTHING`,
		u.ID, u.Tenant, u.Email, u.Name, u.AvatarURL, u.Locale, u.TimeZone, u.Preferences, u.SearchText(),
		u.Named, u.AccountVersion, u.Version, u.CreatedAt, u.UpdatedAt)
	if err != nil {
		return false, fmt.Errorf("insert user: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return false, nil
	}
	return true, join(ctx, tx, u.Tenant, u.ID, role)
}

// join makes the user a member, since his token says so; one who is already keeps his role.
// What tenant-service has told of him counts for more: who was removed does not come back.
func join(ctx context.Context, tx pgx.Tx, tenant id.TenantID, user id.UserID, role string) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO memberships (tenant_id, user_id, role)
		SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT FROM told_memberships WHERE tenant_id = $1 AND user_id = $2)
		ON CONFLICT ON CONSTRAINT memberships_pkey DO NOTHING`, tenant, user, role)
	if err != nil {
		return fmt.Errorf("insert membership: %w", err)
	}
	return nil
}

// store writes all of u, whose row is locked. A deleted user leaves his tenants.
func store(ctx context.Context, tx pgx.Tx, u models.User) error {
	var deleted *time.Time
	preferences, search := u.Preferences, u.SearchText()
	if preferences == nil {
		preferences = models.Preferences{}
	}
	if u.Deleted() {
		deleted, search = &u.DeletedAt, ""
		if err := postgres.EnterEvery(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM memberships WHERE user_id = $1`, u.ID); err != nil {
			return fmt.Errorf("delete memberships: %w", err)
		}
	}
	_, err := tx.Exec(ctx, `
		UPDATE users SET tenant_id = $2, email = $3, name = $4, avatar_url = $5, locale = $6, time_zone = $7,
			preferences = $8, search = $9, named = $10, account_version = $11, version = $12, updated_at = $13, deleted_at = $14
		WHERE id = $1`,
		u.ID, u.Tenant, u.Email, u.Name, u.AvatarURL, u.Locale, u.TimeZone,
		preferences, search, u.Named, u.AccountVersion, u.Version, u.UpdatedAt, deleted)
	if err != nil {
		return fmt.Errorf("update user: %w", err)
	}
	return nil
}
