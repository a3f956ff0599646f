package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
)

// holds is the condition on which the plan p is that of the tenant whose subscription, if
// any, is s.
const holds = `CASE WHEN s.status IS NULL OR s.status = 'ended' THEN p.is_default ELSE p.name = s.plan END`

// Plans returns at most limit plans, those after the named one, in the order of their
// names.
func (r *Repository) Plans(ctx context.Context, after string, limit int) ([]models.Plan, error) {
	rows, err := r.pool.Query(ctx, `SELECT name, title, limits, is_default FROM plans WHERE name > $1 ORDER BY name LIMIT $2`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list plans: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[models.Plan])
	if err != nil {
		return nil, fmt.Errorf("list plans: %w", err)
	}
	return list, nil
}

// SetPlan makes or replaces a plan, and has a job tell the tenants that have it. The plan
// that is the default stays so until another one is made it.
func (r *Repository) SetPlan(ctx context.Context, p models.Plan) (models.Plan, error) {
	err := postgres.InTx(ctx, r.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE plans IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return fmt.Errorf("lock plans: %w", err)
		}
		if p.Default {
			if _, err := tx.Exec(ctx, `UPDATE plans SET is_default = false WHERE is_default AND name <> $1`, p.Name); err != nil {
				return fmt.Errorf("change default plan: %w", err)
			}
		}
		err := tx.QueryRow(ctx, `
			INSERT INTO plans AS p (name, title, limits, is_default, updated_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT ON CONSTRAINT plans_pkey DO UPDATE
				SET title = excluded.title, limits = excluded.limits, is_default = p.is_default OR excluded.is_default, updated_at = excluded.updated_at
			RETURNING is_default`, p.Name, p.Title, p.Limits, p.Default, r.now()).Scan(&p.Default)
		if err != nil {
			return fmt.Errorf("store plan: %w", err)
		}
		return r.enqueue(ctx, tx, models.AnnouncePlan{Plan: p.Name}, time.Time{})
	})
	return p, err
}

// TenantsOn returns at most limit of the tenants that have the plan, those after the given
// one.
func (r *Repository) TenantsOn(ctx context.Context, plan string, after id.TenantID, limit int) ([]id.TenantID, error) {
	rows, err := postgres.ForEveryTenant(r.pool).Query(ctx, `
		SELECT t.tenant_id FROM tenants t LEFT JOIN subscriptions s ON s.tenant_id = t.tenant_id JOIN plans p ON `+holds+`
		WHERE p.name = $1 AND ($2::uuid IS NULL OR t.tenant_id > $2) ORDER BY t.tenant_id LIMIT $3`, plan, after, limit)
	if err != nil {
		return nil, fmt.Errorf("find tenants of plan: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[id.TenantID])
	if err != nil {
		return nil, fmt.Errorf("find tenants of plan: %w", err)
	}
	return list, nil
}

// TellPlan says what the tenant's plan is now. One that is gone is left alone.
func (r *Repository) TellPlan(ctx context.Context, tenant id.TenantID) error {
	err := postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		if _, err := lockTenant(ctx, tx, tenant); err != nil {
			return err
		}
		_, err := tellPlan(ctx, tx, tenant)
		return err
	})
	if isNone(err) {
		return nil
	}
	return err
}

// tellPlan emits what the plan of the tenant, whose lock the caller has, is now. What is
// told later has a higher version.
func tellPlan(ctx context.Context, tx pgx.Tx, tenant id.TenantID) (models.TenantPlan, error) {
	p, err := readPlan(ctx, tx, tenant, "")
	if err != nil {
		return p, err
	}
	var version int64
	if err := tx.QueryRow(ctx, `SELECT nextval('limit_versions')`).Scan(&version); err != nil {
		return p, fmt.Errorf("draw version: %w", err)
	}
	return p, events.Emit(ctx, tx, tenantapi.PlanChanged.New(ctx, tenant, tenant.String(), version, tenantapi.PlanChangedData{
		TenantID: tenant.String(), Plan: p.Plan, Limits: p.Limits,
	}))
}

// TenantPlan returns what the tenant may, or tenantapi.ErrTenantNotFound.
func (r *Repository) TenantPlan(ctx context.Context, tenant id.TenantID) (models.TenantPlan, error) {
	return readPlan(ctx, r.of(tenant), tenant, "")
}

func readPlan(ctx context.Context, q postgres.Querier, tenant id.TenantID, lock string) (models.TenantPlan, error) {
	p := models.TenantPlan{Tenant: tenant}
	err := q.QueryRow(ctx, `
		SELECT p.name, p.limits || coalesce(o.limits, '{}')
		FROM tenants t LEFT JOIN subscriptions s ON s.tenant_id = t.tenant_id LEFT JOIN limit_overrides o ON o.tenant_id = t.tenant_id
			JOIN plans p ON `+holds+`
		WHERE t.tenant_id = $1`+lock, tenant).Scan(&p.Plan, &p.Limits)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, tenantapi.ErrTenantNotFound.Because(err)
	}
	if err != nil {
		return p, fmt.Errorf("read plan: %w", err)
	}
	for _, limit := range tenantapi.Limits {
		p.Limits[limit] = p.Allowed(limit)
	}
	return p, nil
}

// SetOverrides gives the tenant limits of its own and says so.
func (r *Repository) SetOverrides(ctx context.Context, tenant id.TenantID, limits map[string]int64) (p models.TenantPlan, err error) {
	err = postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		if _, err := lockTenant(ctx, tx, tenant); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO limit_overrides (tenant_id, limits, updated_at) VALUES ($1, $2, $3)
			ON CONFLICT ON CONSTRAINT limit_overrides_pkey DO UPDATE SET limits = excluded.limits, updated_at = excluded.updated_at`,
			tenant, limits, r.now())
		if err != nil {
			return fmt.Errorf("store overrides: %w", err)
		}
		p, err = tellPlan(ctx, tx, tenant)
		return err
	})
	return p, err
}

// SetSubscription replaces the tenant's subscription and says which plan it has now. It
// returns tenantapi.ErrPlanNotFound if there is no such plan.
func (r *Repository) SetSubscription(ctx context.Context, s models.Subscription) (models.Subscription, error) {
	err := postgres.InTenant(ctx, r.pool, s.Tenant, func(tx pgx.Tx) error {
		if _, err := lockTenant(ctx, tx, s.Tenant); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO subscriptions (tenant_id, plan, status, period_start, period_end, updated_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT ON CONSTRAINT subscriptions_pkey DO UPDATE SET plan = excluded.plan, status = excluded.status,
				period_start = excluded.period_start, period_end = excluded.period_end, updated_at = excluded.updated_at`,
			s.Tenant, s.Plan, s.Status, null(s.PeriodStart), null(s.PeriodEnd), r.now())
		if postgres.IsForeignKey(err, "subscriptions_plan_fkey") {
			return tenantapi.ErrPlanNotFound.Because(err)
		}
		if err != nil {
			return fmt.Errorf("store subscription: %w", err)
		}
		p, err := tellPlan(ctx, tx, s.Tenant)
		s.Holds = p.Plan
		return err
	})
	return s, err
}

// Subscription returns the tenant's subscription, with an empty status if it has none, or
// tenantapi.ErrTenantNotFound.
func (r *Repository) Subscription(ctx context.Context, tenant id.TenantID) (models.Subscription, error) {
	s := models.Subscription{Tenant: tenant}
	var start, end *time.Time
	err := r.of(tenant).QueryRow(ctx, `
		SELECT p.name, coalesce(s.plan, ''), coalesce(s.status, ''), s.period_start, s.period_end
		FROM tenants t LEFT JOIN subscriptions s ON s.tenant_id = t.tenant_id JOIN plans p ON `+holds+` WHERE t.tenant_id = $1`,
		tenant).Scan(&s.Holds, &s.Plan, &s.Status, &start, &end)
	s.PeriodStart, s.PeriodEnd = zero(start), zero(end)
	if errors.Is(err, pgx.ErrNoRows) {
		return s, tenantapi.ErrTenantNotFound.Because(err)
	}
	if err != nil {
		return s, fmt.Errorf("read subscription: %w", err)
	}
	return s, nil
}
