// Package repository stores what workspace-service owns. A method is a transaction: a fact
// and the events that announce it are stored together, or not at all. PostgreSQL itself
// keeps the tenants' rows apart (see package postgres of the kit).
//
// Locks are taken in one order: the tenant's list of workspaces, workspaces by their ids,
// projects, bases, share links, templates.
package repository

import (
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// Migrations make the service's tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Repository is the service's database.
type Repository struct {
	pool *pgxpool.Pool
	now  func() time.Time
}

// New returns the repository in the pool's database. now dates what events and sweeps
// change.
func New(pool *pgxpool.Pool, now func() time.Time) *Repository { return &Repository{pool, now} }

func (r *Repository) of(tenant id.TenantID) postgres.Querier {
	return postgres.ForTenant(r.pool, tenant)
}

// query collects the rows of a statement.
func query[T any](ctx context.Context, q postgres.Querier, what string, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	list, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return list, nil
}

// one is the row of a statement, or errs.ErrNotFound.
func one[T any](ctx context.Context, q postgres.Querier, what string, scan pgx.RowToFunc[T], sql string, args ...any) (T, error) {
	list, err := query(ctx, q, what, scan, sql, args...)
	if err == nil && len(list) == 0 {
		err = errs.ErrNotFound
	}
	if err != nil {
		var none T
		return none, err
	}
	return list[0], nil
}

func exec(ctx context.Context, q postgres.Querier, what, sql string, args ...any) (int64, error) {
	tag, err := q.Exec(ctx, sql, args...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	return tag.RowsAffected(), nil
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
