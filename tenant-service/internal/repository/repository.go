// Package repository stores what tenant-service owns. A method is a transaction: a fact
// and the events that announce it are stored together, or not at all. PostgreSQL itself
// keeps the tenants' rows apart (see package postgres of the kit).
package repository

import (
	"context"
	"embed"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// Migrations make the service's tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Enqueue inserts a job in the caller's transaction, due at that time, or at once for
// the zero time.
type Enqueue func(ctx context.Context, tx pgx.Tx, args river.JobArgs, due time.Time) error

// Repository is the service's database.
type Repository struct {
	pool    *pgxpool.Pool
	box     *seal.Box
	enqueue Enqueue
	now     func() time.Time
}

// New returns the repository in the pool's database. Mails are sealed in box; now dates
// what events change.
func New(pool *pgxpool.Pool, box *seal.Box, enqueue Enqueue, now func() time.Time) *Repository {
	return &Repository{pool: pool, box: box, enqueue: enqueue, now: now}
}

func (r *Repository) of(tenant id.TenantID) postgres.Querier {
	return postgres.ForTenant(r.pool, tenant)
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
