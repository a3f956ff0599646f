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

const roleColumns = `SELECT id, name, description, actions, created_at, updated_at, version FROM roles`

// CreateRole stores the role. It returns permissionapi.ErrRoleTaken if the tenant has one
// of the name.
func (r *Repository) CreateRole(ctx context.Context, tenant id.TenantID, role models.Role, actor string) error {
	_, err := r.change(ctx, tenant, func(c *change) error {
		_, err := c.Exec(ctx, `INSERT INTO roles (tenant_id, id, name, description, actions, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			tenant, role.ID, role.Name, role.Description, role.Actions, role.CreatedAt, role.UpdatedAt)
		if postgres.IsUnique(err, "roles_name_key") {
			return permissionapi.ErrRoleTaken.Because(err)
		}
		if err != nil {
			return fmt.Errorf("insert role: %w", err)
		}
		c.say(permissionapi.Change{What: "role_changed", Role: role.ID.String(), New: role.Name, ActorID: actor})
		return nil
	})
	return err
}

// UpdateRole stores what set makes of the role, and derives the tuples of all who have it
// again. It returns errs.ErrNotFound if the tenant has no such role, and
// errs.ErrPreconditionFailed if it is none that match names.
func (r *Repository) UpdateRole(ctx context.Context, tenant id.TenantID, role models.RoleID, match etag.Match, actor string, set func(*models.Role)) (models.Role, error) {
	var after models.Role
	_, err := r.change(ctx, tenant, func(c *change) error {
		before, err := c.role(ctx, role)
		if err != nil {
			return err
		}
		if !match.Holds(before.Version) {
			return errs.ErrPreconditionFailed
		}
		after = before
		set(&after)
		after.UpdatedAt, after.Version = c.now, before.Version+1
		_, err = c.Exec(ctx, `UPDATE roles SET name = $3, description = $4, actions = $5, updated_at = $6, version = $7 WHERE tenant_id = $1 AND id = $2`,
			tenant, role, after.Name, after.Description, after.Actions, after.UpdatedAt, after.Version)
		if postgres.IsUnique(err, "roles_name_key") {
			return permissionapi.ErrRoleTaken.Because(err)
		}
		if err != nil {
			return fmt.Errorf("update role: %w", err)
		}
		c.say(permissionapi.Change{
			What: "role_changed", Role: role.String(), Old: fmt.Sprint(before.Name, before.Actions), New: fmt.Sprint(after.Name, after.Actions), ActorID: actor,
		})
		return c.touchHolders(ctx, role)
	})
	return after, err
}

func (c *change) role(ctx context.Context, role models.RoleID) (models.Role, error) {
	rows, err := c.Query(ctx, roleColumns+` WHERE tenant_id = $1 AND id = $2`, c.tenant, role)
	if err != nil {
		return models.Role{}, fmt.Errorf("read role: %w", err)
	}
	found, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[models.Role])
	if err != nil {
		return found, fmt.Errorf("read role: %w", postgres.NotFound(err))
	}
	return found, nil
}

// touchHolders marks everything that the role's holders have by it.
func (c *change) touchHolders(ctx context.Context, role models.RoleID) error {
	rows, err := c.Query(ctx, `
		SELECT object, subject FROM grants WHERE tenant_id = $1 AND role = $2
		UNION SELECT $3, 'user:' || user_id FROM members WHERE tenant_id = $1 AND $2 = ANY(custom_roles) AND NOT removed`,
		c.tenant, role.String(), models.TenantObject(c.tenant))
	if err != nil {
		return fmt.Errorf("list holders: %w", err)
	}
	var object, subject string
	if _, err := pgx.ForEachRow(rows, []any{&object, &subject}, func() error { c.touch(object, subject); return nil }); err != nil {
		return fmt.Errorf("list holders: %w", err)
	}
	return nil
}

// DeleteRole deletes the role. It returns errs.ErrNotFound if there is none,
// errs.ErrPreconditionFailed if it is none that match names, and
// permissionapi.ErrRoleInUse if somebody has it.
func (r *Repository) DeleteRole(ctx context.Context, tenant id.TenantID, role models.RoleID, match etag.Match, actor string) (int64, error) {
	return r.change(ctx, tenant, func(c *change) error {
		found, err := c.role(ctx, role)
		if err != nil {
			return err
		}
		if !match.Holds(found.Version) {
			return errs.ErrPreconditionFailed
		}
		if err := c.touchHolders(ctx, role); err != nil {
			return err
		}
		if len(c.stale) > 0 {
			return permissionapi.ErrRoleInUse
		}
		if _, err := c.Exec(ctx, `DELETE FROM roles WHERE tenant_id = $1 AND id = $2`, tenant, role); err != nil {
			return fmt.Errorf("delete role: %w", err)
		}
		c.say(permissionapi.Change{What: "role_changed", Role: role.String(), Old: found.Name, ActorID: actor})
		return nil
	})
}

// Role returns the tenant's role, or errs.ErrNotFound.
func (r *Repository) Role(ctx context.Context, tenant id.TenantID, role models.RoleID) (models.Role, error) {
	list, err := r.roles(ctx, tenant, ` WHERE tenant_id = $1 AND id = $2`, tenant, role)
	if err != nil {
		return models.Role{}, err
	}
	if len(list) == 0 {
		return models.Role{}, errs.ErrNotFound
	}
	return list[0], nil
}

// Roles returns up to limit of the tenant's roles after the given one, oldest first.
func (r *Repository) Roles(ctx context.Context, tenant id.TenantID, after models.RoleID, limit int) ([]models.Role, error) {
	return r.roles(ctx, tenant, ` WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3`, tenant, after, limit)
}

func (r *Repository) roles(ctx context.Context, tenant id.TenantID, where string, args ...any) ([]models.Role, error) {
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, roleColumns+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read roles: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[models.Role])
	if err != nil {
		return nil, fmt.Errorf("read roles: %w", err)
	}
	return list, nil
}
