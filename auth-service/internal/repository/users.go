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

const userColumns = `id, tenant_id, email, name, password_hash, verified_at,
	totp_secret, totp_confirmed_at, totp_step, recovery, version, created_at`

// CreateUser stores a new account with the key of its address and, unless nil,
// the provider's account that it was made from. It returns
// authapi.ErrEmailTaken if another account has the address.
func (r *Repository) CreateUser(ctx context.Context, u models.User, key string, from *models.Identity, a Along) error {
	err := postgres.InTenant(ctx, r.pool, u.Tenant, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO users (id, tenant_id, email, email_key, name, password_hash, verified_at, version, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			u.ID, u.Tenant, u.Email, key, u.Name, u.PasswordHash, null(u.VerifiedAt), u.Version, u.CreatedAt)
		if err != nil {
			return fmt.Errorf("insert user: %w", err)
		}
		if from != nil {
			if err := insertIdentity(ctx, tx, u, *from, u.CreatedAt); err != nil {
				return err
			}
		}
		return r.together(ctx, tx, u, a, u.CreatedAt)
	})
	if postgres.IsUnique(err, "users_email_key") {
		return authapi.ErrEmailTaken.Because(err)
	}
	return err
}

// UserByEmail finds the account of an address by its key, whatever its tenant:
// nobody is signed in yet. It returns errs.ErrNotFound if there is none; service accounts
// have no address, and are never found.
func (r *Repository) UserByEmail(ctx context.Context, key string) (models.User, error) {
	return r.scanUser(postgres.ForEveryTenant(r.pool).QueryRow(ctx, `SELECT `+userColumns+` FROM users WHERE email_key = $1 AND service_of IS NULL`, key))
}

// UserByIdentity finds the account that a provider's account is linked to, whatever its
// tenant, or returns errs.ErrNotFound.
func (r *Repository) UserByIdentity(ctx context.Context, i models.Identity) (models.User, error) {
	return r.scanUser(postgres.ForEveryTenant(r.pool).QueryRow(ctx, `
		SELECT `+userColumns+` FROM users
		WHERE (tenant_id, id) = (SELECT tenant_id, user_id FROM identities WHERE provider = $1 AND subject = $2)`,
		i.Provider, i.Subject))
}

// User returns the account, or errs.ErrNotFound.
func (r *Repository) User(ctx context.Context, tenant id.TenantID, user id.UserID) (models.User, error) {
	return r.scanUser(postgres.ForTenant(r.pool, tenant).QueryRow(ctx, `SELECT `+userColumns+` FROM users WHERE tenant_id = $1 AND id = $2`, tenant, user))
}

// TenantOf returns the personal tenant of a user that another service names, or
// errs.ErrNotFound.
func (r *Repository) TenantOf(ctx context.Context, user id.UserID) (id.TenantID, error) {
	var tenant id.TenantID
	err := postgres.ForEveryTenant(r.pool).QueryRow(ctx, `SELECT tenant_id FROM users WHERE id = $1`, user).Scan(&tenant)
	return tenant, postgres.NotFound(err)
}

// UpdateUser applies change to the account under its row lock and stores the
// result with what change returns, or nothing. It returns errs.ErrNotFound if
// the tenant has no such user.
func (r *Repository) UpdateUser(ctx context.Context, tenant id.TenantID, user id.UserID, now time.Time,
	change func(*models.User) (Along, error)) error {
	return postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		return r.updateUser(ctx, tx, tenant, user, now, change)
	})
}

// updateUser is UpdateUser in a transaction about the account's tenant.
func (r *Repository) updateUser(ctx context.Context, tx pgx.Tx, tenant id.TenantID, user id.UserID, now time.Time,
	change func(*models.User) (Along, error)) error {
	u, err := r.scanUser(tx.QueryRow(ctx, `SELECT `+userColumns+` FROM users WHERE tenant_id = $1 AND id = $2 FOR UPDATE`, tenant, user))
	if err != nil {
		return err
	}
	u.Version++
	secured := u.TOTP.Enabled()
	a, err := change(&u)
	if err != nil {
		return err
	}
	if secured && !u.TOTP.Enabled() { // tenants may demand it of his tokens
		if err := r.pauseTokens(ctx, tx, r.now(), abroadOfUser, tenant, user); err != nil {
			return err
		}
	}
	secret, err := r.sealTOTP(u)
	if err != nil {
		return err
	}
	if u.Recovery == nil {
		u.Recovery = [][]byte{}
	}
	_, err = tx.Exec(ctx, `
		UPDATE users SET password_hash = $3, verified_at = $4, totp_secret = $5, totp_confirmed_at = $6, totp_step = $7,
			recovery = $8, version = $9
		WHERE tenant_id = $1 AND id = $2`,
		tenant, user, u.PasswordHash, null(u.VerifiedAt), secret, null(u.TOTP.ConfirmedAt), u.TOTP.Step, u.Recovery, u.Version)
	if err != nil {
		return fmt.Errorf("update user: %w", err)
	}
	return r.together(ctx, tx, u, a, now)
}

// LinkIdentity links a provider's account to the user's. It returns
// errs.ErrNotFound if the tenant has no such user; an account that is linked
// already stays where it is.
func (r *Repository) LinkIdentity(ctx context.Context, tenant id.TenantID, user id.UserID, i models.Identity, now time.Time,
	change func(*models.User) (Along, error)) error {
	return postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		return r.updateUser(ctx, tx, tenant, user, now, func(u *models.User) (Along, error) {
			a, err := change(u)
			if err != nil {
				return a, err
			}
			return a, insertIdentity(ctx, tx, *u, i, now)
		})
	})
}

func insertIdentity(ctx context.Context, tx pgx.Tx, u models.User, i models.Identity, now time.Time) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO identities (provider, subject, tenant_id, user_id, created_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT ON CONSTRAINT identities_pkey DO NOTHING`, i.Provider, i.Subject, u.Tenant, u.ID, now)
	if err != nil {
		return fmt.Errorf("insert identity: %w", err)
	}
	return nil
}

// KnowsNetwork reports whether the user has signed in from the network before.
func (r *Repository) KnowsNetwork(ctx context.Context, tenant id.TenantID, user id.UserID, network string) (bool, error) {
	var known bool
	err := postgres.ForTenant(r.pool, tenant).QueryRow(ctx, `SELECT EXISTS (SELECT FROM networks WHERE tenant_id = $1 AND user_id = $2 AND network = $3)`,
		tenant, user, network).Scan(&known)
	if err != nil {
		return false, fmt.Errorf("look network up: %w", err)
	}
	return known, nil
}

func (r *Repository) scanUser(row pgx.Row) (models.User, error) {
	var (
		u                   models.User
		verified, confirmed *time.Time
		secret              []byte
	)
	err := row.Scan(&u.ID, &u.Tenant, &u.Email, &u.Name, &u.PasswordHash, &verified,
		&secret, &confirmed, &u.TOTP.Step, &u.Recovery, &u.Version, &u.CreatedAt)
	if err != nil {
		return models.User{}, fmt.Errorf("read user: %w", postgres.NotFound(err))
	}
	u.VerifiedAt, u.TOTP.ConfirmedAt = zero(verified), zero(confirmed)
	if secret != nil {
		plain, err := r.box.Open(secret, totpContext(u.ID))
		if err != nil {
			return models.User{}, fmt.Errorf("open second factor: %w", err)
		}
		u.TOTP.Secret = string(plain)
	}
	return u, nil
}

func (r *Repository) sealTOTP(u models.User) ([]byte, error) {
	if u.TOTP.Secret == "" {
		return nil, nil
	}
	return r.box.Seal([]byte(u.TOTP.Secret), totpContext(u.ID))
}

func totpContext(user id.UserID) []byte { return []byte("user.totp/" + user.String()) }
