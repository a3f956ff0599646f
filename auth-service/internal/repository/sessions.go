package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

const sessionColumns = `id, tenant_id, coalesce(in_tenant_id, tenant_id), user_id, method, user_agent, ip, created_at, last_used_at, expires_at, revoked_at, mfa_at`

// CreateSession stores a new session of u with its first refresh token, and
// remembers its network as one of the user's. It returns errs.ErrNotFound if the
// user is gone, or if the password is not any more the one that u has: a session
// must not begin on a password after the change that ended its sessions.
func (r *Repository) CreateSession(ctx context.Context, u models.User, s models.Session, refresh models.RefreshToken, a Along) error {
	return postgres.InTenant(ctx, r.pool, u.Tenant, func(tx pgx.Tx) error {
		if err := lockUnchanged(ctx, tx, u); err != nil {
			return err
		}
		if err := insertSession(ctx, tx, s, refresh); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO networks (tenant_id, user_id, network, seen_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT ON CONSTRAINT networks_pkey DO UPDATE SET seen_at = excluded.seen_at`,
			s.Tenant, s.User, models.Network(s.Device.IP), s.CreatedAt)
		if err != nil {
			return fmt.Errorf("note network: %w", err)
		}
		return r.together(ctx, tx, u, a, s.CreatedAt)
	})
}

// insertSession takes a transaction about the account's tenant.
func insertSession(ctx context.Context, tx pgx.Tx, s models.Session, refresh models.RefreshToken) error {
	b := &pgx.Batch{}
	b.Queue(`INSERT INTO sessions (id, tenant_id, in_tenant_id, user_id, method, user_agent, ip, created_at, last_used_at, expires_at, mfa_at)
		VALUES ($1, $2, nullif($3::uuid, $2), $4, $5, $6, $7, $8, $9, $10, $11)`,
		s.ID, s.Tenant, s.In, s.User, s.Method, s.Device.UserAgent, s.Device.IP, s.CreatedAt, s.LastUsedAt, s.ExpiresAt, null(s.MFAAt))
	b.Queue(`INSERT INTO refresh_tokens (hash, tenant_id, session_id) VALUES ($1, $2, $3)`, refresh.Hash, s.Tenant, s.ID)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("insert session: %w", err)
	}
	return nil
}

// lockUnchanged keeps the user's password from changing before the transaction
// ends; errs.ErrNotFound if it has changed already.
func lockUnchanged(ctx context.Context, tx pgx.Tx, u models.User) error {
	err := tx.QueryRow(ctx, `SELECT id FROM users WHERE tenant_id = $1 AND id = $2 AND password_hash = $3 FOR SHARE`,
		u.Tenant, u.ID, u.PasswordHash).Scan(new(id.UserID))
	if err != nil {
		return fmt.Errorf("lock user: %w", postgres.NotFound(err))
	}
	return nil
}

// RotateSession finds the session that the refresh token with that hash belongs
// to, locks it, applies change to it and the links of its chain, given the user's
// standing in the session's tenant, and stores what became of them. A session that change
// revoked is announced as such. It returns errs.ErrNotFound if no session has the token.
func (r *Repository) RotateSession(ctx context.Context, hash []byte, grace time.Duration, now time.Time,
	change func(*models.Family, models.Standing) (Along, error)) error {
	// Of every tenant until the token has said of which.
	return postgres.InEveryTenant(ctx, r.pool, func(tx pgx.Tx) error {
		f, err := lockFamily(ctx, tx, hash, now.Add(-grace))
		if err != nil {
			return err
		}
		before := f.Session
		if err := postgres.Enter(ctx, tx, before.Tenant); err != nil {
			return err
		}
		// Not held: what ends the membership waits for this session and ends it then.
		s, err := standingIn(ctx, tx, before.Tenant, before.User, before.In, "")
		if err != nil {
			return err
		}
		a, err := change(&f, s)
		if err != nil {
			return err
		}
		if err := storeFamily(ctx, tx, f, now.Add(-grace)); err != nil {
			return err
		}
		if f.Session.RevokedAt != before.RevokedAt {
			if err := r.revokeSession(ctx, tx, before, now); err != nil {
				return err
			}
		}
		return r.together(ctx, tx, models.User{ID: f.Session.User, Tenant: f.Session.Tenant}, a, now)
	})
}

func lockFamily(ctx context.Context, tx pgx.Tx, hash []byte, usedAfter time.Time) (models.Family, error) {
	var f models.Family
	var err error
	f.Session, err = scanSession(tx.QueryRow(ctx, `
		SELECT `+sessionColumns+` FROM sessions
		WHERE id = (SELECT session_id FROM refresh_tokens WHERE hash = $1) FOR UPDATE`, hash))
	if err != nil {
		return f, err
	}
	// Read after the lock: a rotation that was under way is seen.
	rows, err := tx.Query(ctx, `
		SELECT hash, used_at, salt FROM refresh_tokens
		WHERE session_id = $1 AND (hash = $2 OR used_at IS NULL OR used_at > $3)`, f.Session.ID, hash, usedAfter)
	if err != nil {
		return f, fmt.Errorf("read refresh tokens: %w", err)
	}
	f.Tokens, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (models.RefreshToken, error) {
		var t models.RefreshToken
		var used *time.Time
		err := row.Scan(&t.Hash, &used, &t.Salt)
		t.UsedAt = zero(used)
		return t, err
	})
	if err != nil {
		return f, fmt.Errorf("read refresh tokens: %w", err)
	}
	return f, nil
}

func storeFamily(ctx context.Context, tx pgx.Tx, f models.Family, usedAfter time.Time) error {
	b := &pgx.Batch{}
	b.Queue(`UPDATE sessions SET last_used_at = $2, expires_at = $3 WHERE id = $1`, f.Session.ID, f.Session.LastUsedAt, f.Session.ExpiresAt)
	if f.Issued != nil {
		b.Queue(`UPDATE refresh_tokens SET used_at = $2, salt = $3 WHERE hash = $1`, f.Spent.Hash, f.Spent.UsedAt, f.Spent.Salt)
		b.Queue(`INSERT INTO refresh_tokens (hash, tenant_id, session_id) VALUES ($1, $2, $3)`, f.Issued.Hash, f.Session.Tenant, f.Session.ID)
		// A salt whose grace time is over leads from an old token to a newer one
		// for nobody but a thief of both.
		b.Queue(`UPDATE refresh_tokens SET salt = NULL WHERE session_id = $1 AND used_at <= $2 AND salt IS NOT NULL`, f.Session.ID, usedAfter)
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("store session: %w", err)
	}
	return nil
}

// SessionPage is where a page of sessions begins: after this one, or at the
// newest for the zero value.
type SessionPage struct {
	After id.SessionID `json:"a"`
}

// Sessions returns the user's live sessions, newest first, at most limit.
func (r *Repository) Sessions(ctx context.Context, tenant id.TenantID, user id.UserID, from SessionPage, limit int, now time.Time) ([]models.Session, error) {
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, `
		SELECT `+sessionColumns+` FROM sessions
		WHERE tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL AND expires_at > $3 AND ($4::uuid IS NULL OR id < $4)
		ORDER BY id DESC LIMIT $5`, tenant, user, now, from.After, limit)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (models.Session, error) { return scanSession(row) })
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return list, nil
}

// Session returns the user's session in the tenant, ended or not, or errs.ErrNotFound.
func (r *Repository) Session(ctx context.Context, tenant id.TenantID, user id.UserID, session id.SessionID) (models.Session, error) {
	return scanSession(postgres.ForTenant(r.pool, tenant).QueryRow(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE coalesce(in_tenant_id, tenant_id) = $1 AND user_id = $2 AND id = $3`,
		tenant, user, session))
}

// EndSession revokes one session of the user. It returns errs.ErrNotFound if he
// has no such session that is not revoked.
func (r *Repository) EndSession(ctx context.Context, tenant id.TenantID, user id.UserID, session id.SessionID, now time.Time) error {
	return postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		return r.endSessions(ctx, tx, tenant, user, sessionFilter{only: session}, now)
	})
}

// EndSessions revokes all sessions of the user; none is fine.
func (r *Repository) EndSessions(ctx context.Context, tenant id.TenantID, user id.UserID, now time.Time) error {
	return postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		return r.endSessions(ctx, tx, tenant, user, sessionFilter{}, now)
	})
}

type sessionFilter struct{ only, except id.SessionID }

func (r *Repository) endSessions(ctx context.Context, tx pgx.Tx, tenant id.TenantID, user id.UserID, f sessionFilter, now time.Time) error {
	rows, err := tx.Query(ctx, `
		UPDATE sessions SET revoked_at = $3
		WHERE tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL
			AND ($4::uuid IS NULL OR id = $4) AND ($5::uuid IS NULL OR id <> $5)
		RETURNING `+sessionColumns, tenant, user, now, f.only, f.except)
	if err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	ended, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (models.Session, error) { return scanSession(row) })
	if err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	if len(ended) == 0 && !f.only.IsZero() {
		return errs.ErrNotFound
	}
	var out []models.Revocation
	for _, s := range ended {
		out = append(out, r.revocation(s))
	}
	// A challenge that was won by the old password must not open a new session.
	if f.only.IsZero() {
		if _, err := tx.Exec(ctx, `DELETE FROM challenges WHERE tenant_id = $1 AND user_id = $2`, tenant, user); err != nil {
			return fmt.Errorf("drop challenges: %w", err)
		}
	}
	return revoke(ctx, tx, out...)
}

func (r *Repository) revokeSession(ctx context.Context, tx pgx.Tx, s models.Session, now time.Time) error {
	if _, err := tx.Exec(ctx, `UPDATE sessions SET revoked_at = $2 WHERE id = $1`, s.ID, now); err != nil {
		return fmt.Errorf("revoke session: %w", err)
	}
	return revoke(ctx, tx, r.revocation(s))
}

// revocation is remembered for as long as the session's last access token lives.
func (r *Repository) revocation(s models.Session) models.Revocation {
	return models.Revocation{Kind: models.RevokedSession, ID: s.ID.String(), Until: s.LastUsedAt.Add(r.access)}
}

func scanSession(row pgx.Row) (models.Session, error) {
	var s models.Session
	var revoked, mfa *time.Time
	err := row.Scan(&s.ID, &s.Tenant, &s.In, &s.User, &s.Method, &s.Device.UserAgent, &s.Device.IP,
		&s.CreatedAt, &s.LastUsedAt, &s.ExpiresAt, &revoked, &mfa)
	s.RevokedAt, s.MFAAt = zero(revoked), zero(mfa)
	if err != nil {
		return s, fmt.Errorf("read session: %w", postgres.NotFound(err))
	}
	return s, nil
}

// CreateChallenge stores a sign-in of u that awaits its second step. It returns
// errs.ErrNotFound in the cases in which CreateSession does.
func (r *Repository) CreateChallenge(ctx context.Context, u models.User, c models.Challenge) error {
	return postgres.InTenant(ctx, r.pool, u.Tenant, func(tx pgx.Tx) error {
		if err := lockUnchanged(ctx, tx, u); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO challenges (hash, tenant_id, user_id, method, expires_at) VALUES ($1, $2, $3, $4, $5)`,
			c.Hash, c.Tenant, c.User, c.Method, c.ExpiresAt)
		if err != nil {
			return fmt.Errorf("insert challenge: %w", err)
		}
		return nil
	})
}

// Challenge returns the open sign-in, or errs.ErrNotFound.
func (r *Repository) Challenge(ctx context.Context, hash []byte) (models.Challenge, error) {
	return scanChallenge(postgres.ForEveryTenant(r.pool).QueryRow(ctx, selectChallenge, hash))
}

// AnswerChallenge applies change to the sign-in and its user under their row
// locks. The challenge is gone afterwards if change says that it is won; if not,
// its failures are stored. It returns errs.ErrNotFound if there is none.
func (r *Repository) AnswerChallenge(ctx context.Context, hash []byte, now time.Time,
	change func(*models.Challenge, *models.User) (won bool, a Along, err error)) error {
	// Of every tenant until the challenge has said of which.
	return postgres.InEveryTenant(ctx, r.pool, func(tx pgx.Tx) error {
		of, err := scanChallenge(tx.QueryRow(ctx, selectChallenge, hash))
		if err != nil {
			return err
		}
		if err := postgres.Enter(ctx, tx, of.Tenant); err != nil {
			return err
		}
		// The user is locked first, as everywhere: a change of his password drops
		// his challenges.
		return r.updateUser(ctx, tx, of.Tenant, of.User, now, func(u *models.User) (Along, error) {
			c, err := scanChallenge(tx.QueryRow(ctx, selectChallenge+` FOR UPDATE`, hash))
			if err != nil {
				return Along{}, err
			}
			won, a, err := change(&c, u)
			if err != nil {
				return Along{}, err
			}
			return a, storeChallenge(ctx, tx, c, won)
		})
	})
}

func storeChallenge(ctx context.Context, tx pgx.Tx, c models.Challenge, won bool) error {
	var err error
	if won {
		_, err = tx.Exec(ctx, `DELETE FROM challenges WHERE hash = $1`, c.Hash)
	} else {
		_, err = tx.Exec(ctx, `UPDATE challenges SET failures = $2 WHERE hash = $1`, c.Hash, c.Failures)
	}
	if err != nil {
		return fmt.Errorf("store challenge: %w", err)
	}
	return nil
}

const selectChallenge = `SELECT hash, tenant_id, user_id, method, failures, expires_at FROM challenges WHERE hash = $1`

func scanChallenge(row pgx.Row) (models.Challenge, error) {
	var c models.Challenge
	if err := row.Scan(&c.Hash, &c.Tenant, &c.User, &c.Method, &c.Failures, &c.ExpiresAt); err != nil {
		return c, fmt.Errorf("read challenge: %w", postgres.NotFound(err))
	}
	return c, nil
}
