// Package repository stores what auth-service owns. A method is a transaction:
// a fact and what announces it are stored together, or not at all.
package repository

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// Migrations are the schema's.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Enqueue inserts a job in the caller's transaction.
type Enqueue func(ctx context.Context, tx pgx.Tx, args river.JobArgs) error

// Repository is the service's database. Secrets in it are sealed on the way in
// and opened on the way out.
type Repository struct {
	pool    *pgxpool.Pool
	box     *seal.Box
	enqueue Enqueue
	access  time.Duration // that an access token lives, and its revocation is remembered
	now     func() time.Time
}

// New returns a repository on the pool. Mails are sent by the jobs that enqueue
// inserts; access is the lifetime of an access token.
func New(pool *pgxpool.Pool, box *seal.Box, enqueue Enqueue, access time.Duration, now func() time.Time) *Repository {
	return &Repository{pool: pool, box: box, enqueue: enqueue, access: access, now: now}
}

// Along is what is stored together with a change.
type Along struct {
	Events []events.Event
	Mails  []models.Mail
	Ends   models.EndSessions // sessions of the user that the change ends
	// Proves is the session in which the user has given a second factor.
	Proves id.SessionID
	// EndTokens revokes the user's personal access tokens.
	EndTokens bool
}

// together stores a in tx, for the user whose the change is.
func (r *Repository) together(ctx context.Context, tx pgx.Tx, u models.User, a Along, now time.Time) error {
	if a.Ends.All {
		if err := r.endSessions(ctx, tx, u.Tenant, u.ID, sessionFilter{except: a.Ends.Except}, now); err != nil {
			return err
		}
	}
	if a.EndTokens {
		if _, err := r.revokeTokens(ctx, tx, id.TenantID{}, u.ID, models.TokenID{}, now); err != nil {
			return err
		}
	}
	if !a.Proves.IsZero() {
		if _, err := tx.Exec(ctx, `UPDATE sessions SET mfa_at = $2 WHERE id = $1`, a.Proves, now); err != nil {
			return fmt.Errorf("note second factor: %w", err)
		}
	}
	for _, m := range a.Mails {
		if err := r.mail(ctx, tx, m); err != nil {
			return err
		}
	}
	return events.Emit(ctx, tx, a.Events...)
}

// sealJSON seals v for the place that context names.
func (r *Repository) sealJSON(v any, context string) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("render for sealing: %w", err)
	}
	return r.box.Seal(plain, []byte(context))
}

func (r *Repository) openJSON(sealed []byte, context string, into any) error {
	plain, err := r.box.Open(sealed, []byte(context))
	if err != nil {
		return fmt.Errorf("open %s: %w", context, err)
	}
	return json.Unmarshal(plain, into)
}

// null is the time as a column: NULL for zero.
func null(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func zero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
