package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// Uses are what tenants have here of what their plans limit. The database counts it: see
// migration 0035.
type Uses struct{ pool *pgxpool.Pool }

// NewUses returns those in pool's database.
func NewUses(pool *pgxpool.Pool) *Uses { return &Uses{pool} }

// Use is how much a tenant has of something.
type Use struct {
	Tenant  id.TenantID
	Name    string // of the limit
	Used    int64
	Version int64 // rises with every change; 0: there was never any
}

// Use returns how much the tenant has.
func (r *Uses) Use(ctx context.Context, tenant id.TenantID, name string) (Use, error) {
	u := Use{Tenant: tenant, Name: name}
	err := postgres.ForTenant(r.pool, tenant).QueryRow(ctx, `SELECT used, version FROM uses WHERE tenant_id = $1 AND name = $2`, tenant, name).
		Scan(&u.Used, &u.Version)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return u, fmt.Errorf("read use: %w", err)
	}
	return u, nil
}

// DueUses returns at most limit uses whose report is due, those that have been so for the
// longest time first.
func (r *Uses) DueUses(ctx context.Context, limit int) ([]Use, error) {
	rows, err := postgres.ForEveryTenant(r.pool).Query(ctx, `
		SELECT tenant_id, name, used, version FROM uses WHERE report_at <= now() ORDER BY report_at LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("look for uses to report: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Use])
	if err != nil {
		return nil, fmt.Errorf("look for uses to report: %w", err)
	}
	return list, nil
}

// ReportIn stores that the use, unless it changed meanwhile, need not be reported again for
// that long.
func (r *Uses) ReportIn(ctx context.Context, u Use, after time.Duration) error {
	_, err := postgres.ForTenant(r.pool, u.Tenant).Exec(ctx, `
		UPDATE uses SET report_at = now() + $4::interval WHERE tenant_id = $1 AND name = $2 AND version = $3`, u.Tenant, u.Name, u.Version, after)
	if err != nil {
		return fmt.Errorf("store report: %w", err)
	}
	return nil
}
