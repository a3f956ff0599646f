package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// keepServiceAccount stores the user of a service account, or its new name. A person's
// account is left alone, whatever its id.
func keepServiceAccount(ctx context.Context, tx pgx.Tx, tenant id.TenantID, user id.UserID, name string, now time.Time) error {
	tag, err := tx.Exec(ctx, `
		INSERT INTO users (id, tenant_id, email, email_key, name, service_of, created_at) VALUES ($1, $2, '', $3, $4, $5, $6)
		ON CONFLICT ON CONSTRAINT users_pkey DO NOTHING`,
		user, id.New[id.Tenant](), models.ServiceAccountKey(user), name, tenant, now)
	if err == nil && tag.RowsAffected() == 0 {
		_, err = tx.Exec(ctx, `UPDATE users SET name = $3 WHERE service_of = $1 AND id = $2`, tenant, user, name)
	}
	if err != nil {
		return fmt.Errorf("keep service account: %w", err)
	}
	return nil
}

// forgetServiceAccounts deletes the tenant's service account with that user, or all of
// them for the zero id, with their tokens; those have been revoked before.
func forgetServiceAccounts(ctx context.Context, tx pgx.Tx, tenant id.TenantID, user id.UserID) error {
	if _, err := tx.Exec(ctx, `DELETE FROM users WHERE service_of = $1 AND ($2::uuid IS NULL OR id = $2)`, tenant, user); err != nil {
		return fmt.Errorf("forget service accounts: %w", err)
	}
	return nil
}

// RequireServiceAccount returns authapi.ErrServiceAccountNotFound unless the user is a
// service account of the tenant.
func (r *Repository) RequireServiceAccount(ctx context.Context, tenant id.TenantID, user id.UserID) error {
	var known bool
	err := postgres.ForTenant(r.pool, tenant).QueryRow(ctx, `SELECT EXISTS (SELECT FROM users WHERE service_of = $1 AND id = $2)`, tenant, user).Scan(&known)
	if err != nil {
		return fmt.Errorf("look for service account: %w", err)
	}
	if !known {
		return authapi.ErrServiceAccountNotFound
	}
	return nil
}

// Claimed reports whether anybody can have signed in to the account: whether it has a
// password, or a provider's account.
func (r *Repository) Claimed(ctx context.Context, u models.User) (bool, error) {
	if u.PasswordHash != "" {
		return true, nil
	}
	var linked bool
	err := postgres.ForTenant(r.pool, u.Tenant).QueryRow(ctx, `SELECT EXISTS (SELECT FROM identities WHERE tenant_id = $1 AND user_id = $2)`, u.Tenant, u.ID).Scan(&linked)
	if err != nil {
		return false, fmt.Errorf("look for identities: %w", err)
	}
	return linked, nil
}
