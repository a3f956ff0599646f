package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// settleMost is how many keys are derived again in one transaction.
const settleMost = 500

// Stale is a key whose tuples must be derived again, with what they follow from.
type Stale struct {
	Object     string
	Subject    string         // "" for the object's place
	Everything bool           // the tenant was deleted: all its tuples go
	Parent     string         // of a place; "" for none
	Role       string         // of a user in the tenant, when the object is the tenant
	Present    bool           // of a user in a group, when the object is a group
	Grants     []models.Grant // of the subject on the object, with their actions
}

// Settle derives the tuples of what is stale again, by apply, and reports whether nothing
// is stale any more. No change of the tenant gets in between. If the process ends after
// apply and before the commit, the same keys are derived again.
func (r *Repository) Settle(ctx context.Context, tenant id.TenantID, apply func(ctx context.Context, keys []Stale) error) (bool, error) {
	done := false
	err := postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		var behind bool
		err := tx.QueryRow(ctx, `SELECT applied < version FROM tenants WHERE tenant_id = $1 FOR UPDATE`, tenant).Scan(&behind)
		if err != nil {
			return fmt.Errorf("lock tenant: %w", err)
		}
		if !behind {
			done = true
			return nil
		}
		keys, err := r.stale(ctx, tx, tenant)
		if err != nil {
			return err
		}
		if err := apply(ctx, keys); err != nil {
			return err
		}
		return settled(ctx, tx, tenant, keys, &done)
	})
	return done, err
}

func settled(ctx context.Context, tx pgx.Tx, tenant id.TenantID, keys []Stale, done *bool) error {
	var objects, subjects []string
	for _, k := range keys {
		objects, subjects = append(objects, k.Object), append(subjects, k.Subject)
	}
	_, err := tx.Exec(ctx, `DELETE FROM stale s USING unnest($2::text[], $3::text[]) AS k(object, subject)
		WHERE s.tenant_id = $1 AND s.object = k.object AND s.subject = k.subject`, tenant, objects, subjects)
	if err != nil {
		return fmt.Errorf("note what is settled: %w", err)
	}
	err = tx.QueryRow(ctx, `
		UPDATE tenants SET applied = CASE WHEN EXISTS (SELECT FROM stale WHERE tenant_id = $1) THEN applied ELSE version END
		WHERE tenant_id = $1 RETURNING applied = version`, tenant).Scan(done)
	if err != nil {
		return fmt.Errorf("note what is settled: %w", err)
	}
	return nil
}

// stale reads the next keys with what their tuples follow from.
func (r *Repository) stale(ctx context.Context, tx pgx.Tx, tenant id.TenantID) ([]Stale, error) {
	rows, err := tx.Query(ctx, `SELECT object, subject FROM stale WHERE tenant_id = $1 ORDER BY object, subject LIMIT $2`, tenant, settleMost)
	if err != nil {
		return nil, fmt.Errorf("read stale keys: %w", err)
	}
	keys, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (k Stale, err error) { return k, row.Scan(&k.Object, &k.Subject) })
	if err != nil {
		return nil, fmt.Errorf("read stale keys: %w", err)
	}
	for i := range keys {
		if err := r.fill(ctx, tx, tenant, &keys[i]); err != nil {
			return nil, fmt.Errorf("read what %s %s follows from: %w", keys[i].Object, keys[i].Subject, err)
		}
	}
	return keys, nil
}

func (r *Repository) fill(ctx context.Context, tx pgx.Tx, tenant id.TenantID, k *Stale) error {
	kind, name := models.Split(k.Object)
	_, user := models.Split(k.Subject)
	switch {
	case k.Object == "":
		k.Everything = true
		return nil
	case k.Subject == "":
		return parentOf(ctx, tx, tenant, k)
	case kind == models.Group:
		return tx.QueryRow(ctx, `
			SELECT EXISTS (SELECT FROM group_members WHERE tenant_id = $1 AND group_id = $2 AND user_id = $3 AND present)
				AND NOT EXISTS (SELECT FROM groups WHERE tenant_id = $1 AND group_id = $2 AND deleted)
				AND NOT (SELECT coalesce(bool_and(removed), false) FROM members WHERE tenant_id = $1 AND user_id = $3)`,
			tenant, name, user).Scan(&k.Present)
	}
	rows, err := tx.Query(ctx, grantColumns+` WHERE g.tenant_id = $1 AND g.object = $2 AND g.subject = $3 ORDER BY g.id`, tenant, k.Object, k.Subject)
	if err != nil {
		return err
	}
	if k.Grants, err = pgx.CollectRows(rows, scanGrant); err != nil || kind != models.Tenant {
		return err
	}
	return r.fillMember(ctx, tx, tenant, k, user)
}

func parentOf(ctx context.Context, tx pgx.Tx, tenant id.TenantID, k *Stale) error {
	rows, err := tx.Query(ctx, `
		SELECT object, parent, gone FROM places WHERE tenant_id = $1 AND (object = $2
			OR object = (SELECT parent FROM places WHERE tenant_id = $1 AND object = $2))`, tenant, k.Object)
	if err != nil {
		return err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[models.Place])
	if err != nil {
		return err
	}
	places := map[string]models.Place{}
	for _, p := range list {
		places[p.Object] = p
	}
	k.Parent = models.ParentOf(tenant, k.Object, places)
	return nil
}

// fillMember adds the role of a member, and his custom ones as grants on the tenant.
func (r *Repository) fillMember(ctx context.Context, tx pgx.Tx, tenant id.TenantID, k *Stale, user string) error {
	var custom []string
	rows, err := tx.Query(ctx, `SELECT role, custom_roles FROM members WHERE tenant_id = $1 AND user_id = $2 AND NOT removed ORDER BY member_id LIMIT 1`, tenant, user)
	if err != nil {
		return err
	}
	if _, err := pgx.ForEachRow(rows, []any{&k.Role, &custom}, func() error { return nil }); err != nil {
		return err
	}
	actions, err := r.actionsOf(ctx, tx, tenant, custom)
	if err != nil {
		return err
	}
	for _, role := range custom {
		if a, ok := actions[role]; ok {
			k.Grants = append(k.Grants, models.Grant{Subject: k.Subject, Object: k.Object, Role: role, Actions: a})
		}
	}
	return nil
}

// actionsOf are the actions of those of the custom roles that exist.
func (r *Repository) actionsOf(ctx context.Context, q postgres.Querier, tenant id.TenantID, roles []string) (map[string][]string, error) {
	out := map[string][]string{}
	if len(roles) == 0 {
		return out, nil
	}
	rows, err := q.Query(ctx, `SELECT id::text, actions FROM roles WHERE tenant_id = $1 AND id::text = ANY($2)`, tenant, roles)
	if err != nil {
		return nil, fmt.Errorf("read roles: %w", err)
	}
	var name string
	var actions []string
	if _, err := pgx.ForEachRow(rows, []any{&name, &actions}, func() error { out[name] = actions; actions = nil; return nil }); err != nil {
		return nil, fmt.Errorf("read roles: %w", err)
	}
	return out, nil
}

// Behind lists up to limit tenants with stale keys.
func (r *Repository) Behind(ctx context.Context, limit int) ([]id.TenantID, error) {
	rows, err := postgres.ForEveryTenant(r.pool).Query(ctx, `SELECT tenant_id FROM tenants WHERE applied < version LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("look for stale tuples: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[id.TenantID])
	if err != nil {
		return nil, fmt.Errorf("look for stale tuples: %w", err)
	}
	return list, nil
}

// ForgetChanges deletes what the feed says of times before.
func (r *Repository) ForgetChanges(ctx context.Context, before time.Time) error {
	_, err := postgres.ForEveryTenant(r.pool).Exec(ctx, `DELETE FROM changes WHERE at < $1`, before)
	if err != nil {
		return fmt.Errorf("forget changes: %w", err)
	}
	return nil
}
