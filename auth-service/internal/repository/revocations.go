package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// revoke notes what is revoked, to be announced when the transaction commits.
func revoke(ctx context.Context, tx pgx.Tx, list ...models.Revocation) error {
	b := &pgx.Batch{}
	for _, v := range list {
		b.Queue(`INSERT INTO revocations (kind, id, until) VALUES ($1, $2, $3)
			ON CONFLICT ON CONSTRAINT revocations_pkey
			DO UPDATE SET until = GREATEST(revocations.until, excluded.until), announced_at = NULL`, v.Kind, v.ID, v.Until)
	}
	if b.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("insert revocations: %w", err)
	}
	return nil
}

// Announce gives at most limit revocations that were not announced yet to fn,
// and marks them as announced if it returns nil. Replicas do not get the same
// ones. It returns how many there were.
func (r *Repository) Announce(ctx context.Context, limit int, now time.Time, fn func([]models.Revocation) error) (int, error) {
	var n int
	err := postgres.InTx(ctx, r.pool, func(tx pgx.Tx) error {
		list, err := revocations(ctx, tx, `
			SELECT kind, id, until FROM revocations WHERE announced_at IS NULL
			ORDER BY until LIMIT $1 FOR UPDATE SKIP LOCKED`, limit)
		if err != nil || len(list) == 0 {
			return err
		}
		if err := fn(list); err != nil {
			return err
		}
		b := &pgx.Batch{}
		for _, v := range list {
			b.Queue(`UPDATE revocations SET announced_at = $3 WHERE kind = $1 AND id = $2`, v.Kind, v.ID, now)
		}
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("mark revocations: %w", err)
		}
		n = len(list)
		return nil
	})
	return n, err
}

// Revocations returns all that still have to be remembered.
func (r *Repository) Revocations(ctx context.Context, now time.Time) ([]models.Revocation, error) {
	return revocations(ctx, r.pool, `SELECT kind, id, until FROM revocations WHERE until > $1`, now)
}

func revocations(ctx context.Context, q postgres.Querier, sql string, args ...any) ([]models.Revocation, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read revocations: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[models.Revocation])
	if err != nil {
		return nil, fmt.Errorf("read revocations: %w", err)
	}
	return list, nil
}

// How long what is over is kept: long enough to be looked at.
const (
	keepSessions = 30 * 24 * time.Hour
	keepMails    = 7 * 24 * time.Hour
	keepNetworks = 180 * 24 * time.Hour
)

// Sweep deletes what is over, of all tenants.
func (r *Repository) Sweep(ctx context.Context, now time.Time) error {
	for _, s := range []struct {
		sql    string
		before time.Time
	}{
		{`DELETE FROM sessions WHERE expires_at < $1`, now.Add(-keepSessions)},
		{`DELETE FROM sessions WHERE revoked_at < $1`, now.Add(-keepSessions)},
		{`DELETE FROM challenges WHERE expires_at < $1`, now},
		{`DELETE FROM mail_tokens WHERE expires_at < $1`, now},
		{`DELETE FROM mails WHERE created_at < $1`, now.Add(-keepMails)},
		{`DELETE FROM networks WHERE seen_at < $1`, now.Add(-keepNetworks)},
		{`DELETE FROM revocations WHERE until < $1 AND announced_at IS NOT NULL`, now},
	} {
		if _, err := postgres.ForEveryTenant(r.pool).Exec(ctx, s.sql, s.before); err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
	}
	return nil
}
