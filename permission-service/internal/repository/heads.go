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

// Head is what an answer begins with.
type Head struct {
	Version int64
	Applied int64 // the version that the engine's tuples show
	Deleted bool
	Ends    time.Time               // when the next grant of the tenant ends by itself; zero: none does
	Places  map[string]models.Place // of the objects asked for and of what they lie in
	Members map[string]bool         // which of the users are known, removed or not
}

const version = `
	SELECT version, applied, deleted_at IS NOT NULL,
		(SELECT min(expires_at) FROM grants WHERE tenant_id = $1 AND expires_at > $2)
	FROM tenants WHERE tenant_id = $1`

// Head reads, in one round trip, the tenant's version and what is known of the objects
// and the users ("user:ID").
func (r *Repository) Head(ctx context.Context, tenant id.TenantID, objects, users []string, now time.Time) (Head, error) {
	h := Head{Places: map[string]models.Place{}, Members: map[string]bool{}}
	ids := make([]string, len(users))
	for i, u := range users {
		_, ids[i] = models.Split(u)
	}
	var places []models.Place
	var known []string
	batch := &pgx.Batch{}
	batch.Queue(version, tenant, now).Query(func(rows pgx.Rows) error {
		var ends *time.Time
		for rows.Next() {
			if err := rows.Scan(&h.Version, &h.Applied, &h.Deleted, &ends); err != nil {
				return err
			}
		}
		if ends != nil {
			h.Ends = *ends
		}
		return rows.Err()
	})
	batch.Queue(`
		SELECT object, parent, gone FROM places WHERE tenant_id = $1 AND (object = ANY($2)
			OR object IN (SELECT parent FROM places WHERE tenant_id = $1 AND object = ANY($2)))`, tenant, objects).
		Query(func(rows pgx.Rows) (err error) {
			places, err = pgx.CollectRows(rows, pgx.RowToStructByPos[models.Place])
			return err
		})
	batch.Queue(`SELECT DISTINCT user_id FROM members WHERE tenant_id = $1 AND user_id = ANY($2)`, tenant, ids).
		Query(func(rows pgx.Rows) (err error) {
			known, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
	if err := postgres.ForTenant(r.pool, tenant).SendBatch(ctx, batch).Close(); err != nil {
		return h, fmt.Errorf("read head: %w", err)
	}
	for _, p := range places {
		h.Places[p.Object] = p
	}
	for _, u := range known {
		h.Members[models.UserSubject(u)] = true
	}
	return h, nil
}

// Version is the tenant's version, 0 for one that nothing is known of.
func (r *Repository) Version(ctx context.Context, tenant id.TenantID) (int64, error) {
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, `SELECT version FROM tenants WHERE tenant_id = $1`, tenant)
	if err != nil {
		return 0, fmt.Errorf("read version: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || len(list) == 0 {
		return 0, err
	}
	return list[0], nil
}

// Facts are what the answer about the subject and the object follows from: the role in
// the tenant, and the grants of the subject and his groups on the chain. fallback is the
// tenant role of somebody who is not known.
func (r *Repository) Facts(ctx context.Context, tenant id.TenantID, subject string, chain []string, fallback string) (models.Facts, error) {
	f := models.Facts{Tenant: tenant, Subject: subject, Chain: chain}
	role, custom, subjects, err := r.standing(ctx, tenant, subject)
	if err != nil {
		return f, err
	}
	f.TenantRole = role
	if role == "" {
		f.TenantRole = fallback
	}
	if role == removed {
		f.TenantRole = ""
		return f, nil
	}
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, grantColumns+`
		WHERE g.tenant_id = $1 AND g.object = ANY($2) AND g.subject = ANY($3) ORDER BY g.id`, tenant, chain, subjects)
	if err != nil {
		return f, fmt.Errorf("read facts: %w", err)
	}
	f.Grants, err = pgx.CollectRows(rows, scanGrant)
	if err != nil {
		return f, fmt.Errorf("read facts: %w", err)
	}
	return f, r.addCustom(ctx, tenant, &f, subject, custom)
}

// addCustom adds the custom roles that the member has in the tenant as grants on it.
func (r *Repository) addCustom(ctx context.Context, tenant id.TenantID, f *models.Facts, subject string, custom []string) error {
	top := models.TenantObject(tenant)
	if len(custom) == 0 || f.Chain[len(f.Chain)-1] != top {
		return nil
	}
	roles, err := r.actionsOf(ctx, postgres.ForTenant(r.pool, tenant), tenant, custom)
	if err != nil {
		return err
	}
	for _, role := range custom {
		if actions, ok := roles[role]; ok {
			f.Grants = append(f.Grants, models.Grant{Subject: subject, Object: top, Role: role, Actions: actions})
		}
	}
	return nil
}

// removed stands for the role of somebody who was a member and is none.
const removed = "removed"

// standing is what a user is in the tenant: his role, his custom roles, and the subjects
// that he goes by: himself and his groups.
func (r *Repository) standing(ctx context.Context, tenant id.TenantID, subject string) (role string, custom, subjects []string, err error) {
	_, user := models.Split(subject)
	type membership struct {
		Role    string
		Custom  []string
		Removed bool
	}
	var list []membership
	var groups []string
	batch := &pgx.Batch{}
	batch.Queue(`SELECT role, custom_roles, removed FROM members WHERE tenant_id = $1 AND user_id = $2 ORDER BY removed, member_id`, tenant, user).
		Query(func(rows pgx.Rows) (err error) {
			list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[membership])
			return err
		})
	batch.Queue(`
		SELECT m.group_id FROM group_members m LEFT JOIN groups g USING (tenant_id, group_id)
		WHERE m.tenant_id = $1 AND m.user_id = $2 AND m.present AND NOT coalesce(g.deleted, false) ORDER BY 1`, tenant, user).
		Query(func(rows pgx.Rows) (err error) {
			groups, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
	if err := postgres.ForTenant(r.pool, tenant).SendBatch(ctx, batch).Close(); err != nil {
		return "", nil, nil, fmt.Errorf("read standing: %w", err)
	}
	if len(list) > 0 && list[0].Removed {
		return removed, nil, nil, nil
	}
	subjects = []string{subject}
	for _, g := range groups {
		subjects = append(subjects, models.GroupSubject(g))
	}
	if len(list) > 0 {
		role, custom = list[0].Role, list[0].Custom
	}
	return role, custom, subjects, nil
}

// FactsAndGroups is Facts with the groups that the subject is in.
func (r *Repository) FactsAndGroups(ctx context.Context, tenant id.TenantID, subject string, chain []string, fallback string) (models.Facts, []string, error) {
	f, err := r.Facts(ctx, tenant, subject, chain, fallback)
	if err != nil {
		return f, nil, err
	}
	_, _, subjects, err := r.standing(ctx, tenant, subject)
	if err != nil || len(subjects) == 0 {
		return f, nil, err
	}
	return f, subjects[1:], nil
}

// GroupUsers are the users ("user:ID") in the group.
func (r *Repository) GroupUsers(ctx context.Context, tenant id.TenantID, group string) ([]string, error) {
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, `SELECT 'user:' || user_id FROM group_members WHERE tenant_id = $1 AND group_id = $2 AND present`, tenant, group)
	if err != nil {
		return nil, fmt.Errorf("list group: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list group: %w", err)
	}
	return list, nil
}
