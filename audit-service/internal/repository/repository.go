// Package repository stores what audit-service owns.
package repository

import (
	"context"
	"embed"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// Migrations make the service's tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Repository is the service's database. Logs are named by their tenants' ids;
// models.Unowned is one more.
type Repository struct{ pool *pgxpool.Pool }

// New returns the repository in the pool's database.
func New(pool *pgxpool.Pool) *Repository { return &Repository{pool} }

// in runs fn in a transaction about one log.
func (r *Repository) in(ctx context.Context, log string, fn func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('app.tenant', $1, true)`, log); err != nil {
			return fmt.Errorf("enter log: %w", err)
		}
		return fn(tx)
	})
}

// Emit announces events that no change of a table is behind.
func (r *Repository) Emit(ctx context.Context, list []events.Event) error {
	return postgres.InTx(ctx, r.pool, func(tx pgx.Tx) error { return events.Emit(ctx, tx, list...) })
}
