package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

const tokenColumns = `id, coalesce(in_tenant_id, tenant_id), tenant_id, user_id, name, prefix, hash, scopes, bases, created_at, expires_at, last_used_at, revoked_at`

// CreateToken stores a personal access token. It returns
// authapi.ErrTooManyTokens if the user has as many as he may.
func (r *Repository) CreateToken(ctx context.Context, t models.Token, a Along) error {
	// Of every tenant until the user's home is known.
	return postgres.InEveryTenant(ctx, r.pool, func(tx pgx.Tx) error {
		// The user's row lock makes the count hold until the insert.
		var n int
		err := tx.QueryRow(ctx, `
			SELECT (SELECT count(*) FROM personal_tokens p WHERE p.tenant_id = u.tenant_id AND p.user_id = u.id AND p.revoked_at IS NULL), u.tenant_id
			FROM users u WHERE u.id = $1 FOR UPDATE`, t.User).Scan(&n, &t.Home)
		if err != nil {
			return fmt.Errorf("count tokens: %w", postgres.NotFound(err))
		}
		if n >= models.MaxTokens {
			return authapi.ErrTooManyTokens
		}
		if err := postgres.Enter(ctx, tx, t.Home); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO personal_tokens (id, tenant_id, in_tenant_id, user_id, name, prefix, hash, scopes, bases, created_at, expires_at)
			VALUES ($1, $2, nullif($3::uuid, $2), $4, $5, $6, $7, $8, $9, $10, $11)`,
			t.ID, t.Home, t.Tenant, t.User, t.Name, t.Prefix, t.Hash, t.Scopes, t.Bases, t.CreatedAt, null(t.ExpiresAt))
		if err != nil {
			return fmt.Errorf("insert token: %w", err)
		}
		return r.together(ctx, tx, models.User{ID: t.User, Tenant: t.Tenant}, a, t.CreatedAt)
	})
}

// TokenPage is where a page of tokens begins: after this one, or at the newest
// for the zero value.
type TokenPage struct {
	After models.TokenID `json:"a"`
}

// Tokens returns the user's tokens that are not revoked, newest first.
func (r *Repository) Tokens(ctx context.Context, tenant id.TenantID, user id.UserID, from TokenPage, limit int) ([]models.Token, error) {
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, `
		SELECT `+tokenColumns+` FROM personal_tokens
		WHERE coalesce(in_tenant_id, tenant_id) = $1 AND user_id = $2 AND revoked_at IS NULL AND ($3::uuid IS NULL OR id < $3)
		ORDER BY id DESC LIMIT $4`, tenant, user, from.After, limit)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (models.Token, error) { return scanToken(row) })
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return list, nil
}

// Token returns a token of the user that is not revoked, or errs.ErrNotFound.
func (r *Repository) Token(ctx context.Context, tenant id.TenantID, user id.UserID, token models.TokenID) (models.Token, error) {
	return scanToken(postgres.ForTenant(r.pool, tenant).QueryRow(ctx, `
		SELECT `+tokenColumns+` FROM personal_tokens WHERE coalesce(in_tenant_id, tenant_id) = $1 AND user_id = $2 AND id = $3 AND revoked_at IS NULL`,
		tenant, user, token))
}

// TokenByPrefix finds a token by the prefix of its text, revoked or not, or
// returns errs.ErrNotFound. Whoever has the whole text is its user.
func (r *Repository) TokenByPrefix(ctx context.Context, prefix string) (models.Token, error) {
	return scanToken(postgres.ForEveryTenant(r.pool).QueryRow(ctx, `SELECT `+tokenColumns+` FROM personal_tokens WHERE prefix = $1`, prefix))
}

// UseToken calls use with what the token's user is in its tenant, and whether he is secured:
// see models.Standing.AdmitToken. Neither changes before use returns: what changes it
// then ends what use has made, see pauseTokens. It returns errs.ErrNotFound if the user is
// gone.
func (r *Repository) UseToken(ctx context.Context, t models.Token, use func(at models.Standing, secured bool) error) error {
	if t.Tenant == t.Home {
		return use(models.AtHome(t.Home), true)
	}
	return postgres.InTenant(ctx, r.pool, t.Home, func(tx pgx.Tx) error {
		at, err := standingIn(ctx, tx, t.Home, t.User, t.Tenant, held)
		if err != nil {
			return err
		}
		var secured bool
		err = tx.QueryRow(ctx, `
			SELECT totp_confirmed_at IS NOT NULL OR service_of IS NOT NULL FROM users WHERE tenant_id = $1 AND id = $2 FOR SHARE`,
			t.Home, t.User).Scan(&secured)
		if err != nil {
			return fmt.Errorf("look at second factor: %w", postgres.NotFound(err))
		}
		return use(at, secured)
	})
}

// RevokeToken revokes a token of the user. It returns errs.ErrNotFound if he has
// no such token that is not revoked.
func (r *Repository) RevokeToken(ctx context.Context, tenant id.TenantID, user id.UserID, token models.TokenID, now time.Time, a Along) error {
	return postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		n, err := r.revokeTokens(ctx, tx, tenant, user, token, now)
		if err != nil {
			return err
		}
		if n == 0 {
			return errs.ErrNotFound
		}
		return r.together(ctx, tx, models.User{ID: user, Tenant: tenant}, a, now)
	})
}

// revokeTokens revokes one token of the user in the tenant, or all for the zero id, and
// returns how many; in every tenant for the zero tenant, in a transaction about his home.
func (r *Repository) revokeTokens(ctx context.Context, tx pgx.Tx, tenant id.TenantID, user id.UserID, only models.TokenID, now time.Time) (int, error) {
	rows, err := tx.Query(ctx, `
		UPDATE personal_tokens SET revoked_at = $3
		WHERE ($1::uuid IS NULL OR coalesce(in_tenant_id, tenant_id) = $1) AND user_id = $2 AND revoked_at IS NULL AND ($4::uuid IS NULL OR id = $4)
		RETURNING id`, tenant, user, now, only)
	if err != nil {
		return 0, fmt.Errorf("revoke tokens: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[models.TokenID])
	if err != nil {
		return 0, fmt.Errorf("revoke tokens: %w", err)
	}
	var list []models.Revocation
	for _, t := range ids {
		list = append(list, models.Revocation{Kind: models.RevokedToken, ID: t.String(), Until: now.Add(r.access)})
	}
	return len(ids), revoke(ctx, tx, list...)
}

// TouchTokens notes when tokens were used last, by id, all tenants together.
func (r *Repository) TouchTokens(ctx context.Context, used map[models.TokenID]time.Time) error {
	b := &pgx.Batch{}
	for t, at := range used {
		b.Queue(`UPDATE personal_tokens SET last_used_at = GREATEST(last_used_at, $2) WHERE id = $1`, t, at)
	}
	if b.Len() == 0 {
		return nil
	}
	if err := postgres.ForEveryTenant(r.pool).SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("note use of tokens: %w", err)
	}
	return nil
}

func scanToken(row pgx.Row) (models.Token, error) {
	var t models.Token
	var expires, used, revoked *time.Time
	err := row.Scan(&t.ID, &t.Tenant, &t.Home, &t.User, &t.Name, &t.Prefix, &t.Hash, &t.Scopes, &t.Bases, &t.CreatedAt, &expires, &used, &revoked)
	t.ExpiresAt, t.LastUsedAt, t.RevokedAt = zero(expires), zero(used), zero(revoked)
	if err != nil {
		return t, fmt.Errorf("read token: %w", postgres.NotFound(err))
	}
	return t, nil
}
