package repository

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

const policyColumns = `SELECT id, name, subjects, base_id, table_id, hidden, read_only, row_rule, created_at, updated_at, version FROM policies`

// CreatePolicy stores a policy under a new id.
func (r *Repository) CreatePolicy(ctx context.Context, tenant id.TenantID, p models.Policy, actor string) (models.Policy, error) {
	_, err := r.change(ctx, tenant, func(c *change) error {
		p.ID, p.CreatedAt, p.UpdatedAt, p.Version = models.NewPolicyID(), c.now, c.now, 1
		_, err := c.Exec(ctx, `
			INSERT INTO policies (tenant_id, id, name, subjects, base_id, table_id, hidden, read_only, row_rule, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)`,
			tenant, p.ID, p.Name, p.Subjects, p.BaseID, p.TableID, p.Hidden, p.ReadOnly, p.Rows, c.now)
		if err != nil {
			return fmt.Errorf("insert policy: %w", err)
		}
		c.sayPolicy(p, "", p.Name, actor)
		return nil
	})
	return p, err
}

func (c *change) sayPolicy(p models.Policy, was, is, actor string) {
	base := models.BaseObject(c.tenant, p.BaseID)
	c.say(permissionapi.Change{What: "policy_changed", Object: base, Old: was, New: is, ActorID: actor, Objects: []string{base}})
}

// UpdatePolicy stores p in the place of the policy with its id, or returns errs.ErrNotFound,
// or errs.ErrPreconditionFailed if that is none that match names.
func (r *Repository) UpdatePolicy(ctx context.Context, tenant id.TenantID, p models.Policy, match etag.Match, actor string) (models.Policy, error) {
	_, err := r.change(ctx, tenant, func(c *change) error {
		var was models.Policy
		err := c.QueryRow(ctx, `SELECT name, base_id, created_at, version FROM policies WHERE tenant_id = $1 AND id = $2`, tenant, p.ID).
			Scan(&was.Name, &was.BaseID, &p.CreatedAt, &was.Version)
		if err != nil {
			return fmt.Errorf("read policy: %w", postgres.NotFound(err))
		}
		if !match.Holds(was.Version) {
			return errs.ErrPreconditionFailed
		}
		p.UpdatedAt, p.Version = c.now, was.Version+1
		_, err = c.Exec(ctx, `
			UPDATE policies SET name = $3, subjects = $4, base_id = $5, table_id = $6, hidden = $7, read_only = $8, row_rule = $9, updated_at = $10,
				version = $11
			WHERE tenant_id = $1 AND id = $2`, tenant, p.ID, p.Name, p.Subjects, p.BaseID, p.TableID, p.Hidden, p.ReadOnly, p.Rows, c.now, p.Version)
		if err != nil {
			return fmt.Errorf("update policy: %w", err)
		}
		if was.BaseID != p.BaseID {
			c.sayPolicy(was, was.Name, "", actor)
		}
		c.sayPolicy(p, was.Name, p.Name, actor)
		return nil
	})
	return p, err
}

// DeletePolicy deletes the policy, or returns errs.ErrNotFound, or
// errs.ErrPreconditionFailed if it is none that match names.
func (r *Repository) DeletePolicy(ctx context.Context, tenant id.TenantID, policy models.PolicyID, match etag.Match, actor string) (int64, error) {
	return r.change(ctx, tenant, func(c *change) error {
		var p models.Policy
		err := c.QueryRow(ctx, `DELETE FROM policies WHERE tenant_id = $1 AND id = $2 RETURNING name, base_id, version`, tenant, policy).
			Scan(&p.Name, &p.BaseID, &p.Version)
		if err != nil {
			return fmt.Errorf("delete policy: %w", postgres.NotFound(err))
		}
		if !match.Holds(p.Version) {
			return errs.ErrPreconditionFailed
		}
		c.sayPolicy(p, p.Name, "", actor)
		return nil
	})
}

// Policy returns the tenant's policy, or errs.ErrNotFound.
func (r *Repository) Policy(ctx context.Context, tenant id.TenantID, policy models.PolicyID) (models.Policy, error) {
	list, err := r.policies(ctx, tenant, ` WHERE tenant_id = $1 AND id = $2`, tenant, policy)
	if err != nil {
		return models.Policy{}, err
	}
	if len(list) == 0 {
		return models.Policy{}, errs.ErrNotFound
	}
	return list[0], nil
}

// Policies returns up to limit policies after the given one, oldest first, of the base if
// it is named; limit 0 is no limit.
func (r *Repository) Policies(ctx context.Context, tenant id.TenantID, base string, after models.PolicyID, limit int) ([]models.Policy, error) {
	return r.policies(ctx, tenant, `
		WHERE tenant_id = $1 AND ($2 = '' OR base_id = $2) AND ($3::uuid IS NULL OR id > $3) ORDER BY id LIMIT nullif($4::bigint, 0)`, tenant, base, after, limit)
}

func (r *Repository) policies(ctx context.Context, tenant id.TenantID, where string, args ...any) ([]models.Policy, error) {
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, policyColumns+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read policies: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[models.Policy])
	if err != nil {
		return nil, fmt.Errorf("read policies: %w", err)
	}
	return list, nil
}

// GrantedTables are the ids of the base's tables on which anybody has a grant or a denial.
func (r *Repository) GrantedTables(ctx context.Context, tenant id.TenantID, base string) ([]string, error) {
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, `
		SELECT DISTINCT substr(object, length($2) + 1) FROM grants
		WHERE tenant_id = $1 AND starts_with(object, $2) ORDER BY 1`, tenant, models.TablesPrefix(tenant, base))
	if err != nil {
		return nil, fmt.Errorf("read granted tables: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read granted tables: %w", err)
	}
	return list, nil
}
