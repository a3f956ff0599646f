package repository

import (
	"context"
	"fmt"
	"slices"
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
	Status  string                  // of the tenant
	Places  map[string]models.Place // of the objects asked for and of what they lie in
	Members map[string]member       // those of the users who are known, removed or not
}

type member struct {
	role      string // "" of one who was removed
	suspended bool
}

// Standing is what the user is in the tenant. fallback is the role of one who is not known.
func (h Head) Standing(user, fallback string) models.Standing {
	m, known := h.Members[user]
	if !known {
		m.role = fallback
	}
	return models.Standing{Tenant: h.Status, Role: m.role, Suspended: m.suspended}
}

// version reads the tenant and the users in it in one statement, and so of one state.
const version = `
	SELECT t.version, t.applied, t.deleted_at IS NOT NULL, t.status,
		(SELECT min(expires_at) FROM grants WHERE tenant_id = $1 AND expires_at > $2),
		coalesce('user:' || m.user_id, ''), coalesce(m.role, ''), coalesce(m.suspended, false), coalesce(m.removed, false)
	FROM tenants t LEFT JOIN LATERAL (
		SELECT DISTINCT ON (user_id) user_id, role, suspended, removed FROM members
		WHERE tenant_id = $1 AND user_id = ANY($3) ORDER BY user_id, removed, member_id
	) m ON true
	WHERE t.tenant_id = $1`

// Head reads, in one round trip, the tenant's version and what is known of the objects
// and the users ("user:ID").
func (r *Repository) Head(ctx context.Context, tenant id.TenantID, objects, users []string, now time.Time) (Head, error) {
	h := Head{Places: map[string]models.Place{}, Members: map[string]member{}}
	ids := make([]string, len(users))
	for i, u := range users {
		_, ids[i] = models.Split(u)
	}
	var places []models.Place
	batch := &pgx.Batch{}
	batch.Queue(version, tenant, now, ids).Query(func(rows pgx.Rows) error {
		var ends *time.Time
		var user string
		var m member
		var gone bool
		_, err := pgx.ForEachRow(rows, []any{&h.Version, &h.Applied, &h.Deleted, &h.Status, &ends, &user, &m.role, &m.suspended, &gone}, func() error {
			if gone {
				m = member{}
			}
			if user != "" {
				h.Members[user] = m
			}
			if ends != nil {
				h.Ends = *ends
			}
			return nil
		})
		return err
	})
	batch.Queue(`
		SELECT object, parent, gone FROM places WHERE tenant_id = $1 AND (object = ANY($2)
			OR object IN (SELECT parent FROM places WHERE tenant_id = $1 AND object = ANY($2)))`, tenant, objects).
		Query(func(rows pgx.Rows) (err error) {
			places, err = pgx.CollectRows(rows, pgx.RowToStructByPos[models.Place])
			return err
		})
	if err := postgres.ForTenant(r.pool, tenant).SendBatch(ctx, batch).Close(); err != nil {
		return h, fmt.Errorf("read head: %w", err)
	}
	for _, p := range places {
		h.Places[p.Object] = p
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
	f, _, err := r.FactsAndGroups(ctx, tenant, subject, chain, fallback)
	return f, err
}

// FactsAndGroups is Facts with the groups that the subject is in.
func (r *Repository) FactsAndGroups(ctx context.Context, tenant id.TenantID, subject string, chain []string, fallback string) (models.Facts, []string, error) {
	f := models.Facts{Tenant: tenant, Subject: subject, Chain: chain}
	s, err := r.standing(ctx, tenant, subject, fallback)
	if err != nil {
		return f, nil, err
	}
	f.TenantRole, f.Standing = s.at.Role, s.at
	if s.removed {
		return f, nil, nil
	}
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, grantColumns+`
		WHERE g.tenant_id = $1 AND g.object = ANY($2) AND g.subject = ANY($3) ORDER BY g.id`, tenant, chain, append([]string{subject}, s.groups...))
	if err != nil {
		return f, nil, fmt.Errorf("read facts: %w", err)
	}
	f.Grants, err = pgx.CollectRows(rows, scanGrant)
	if err != nil {
		return f, nil, fmt.Errorf("read facts: %w", err)
	}
	return f, s.groups, r.addCustom(ctx, tenant, &f, subject, s.custom)
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

// standing is what a user is in the tenant.
type standing struct {
	at      models.Standing
	removed bool
	custom  []string // ids of his own roles
	groups  []string // subjects
}

func (r *Repository) standing(ctx context.Context, tenant id.TenantID, subject, fallback string) (standing, error) {
	_, user := models.Split(subject)
	s := standing{at: models.Standing{Role: fallback}}
	batch := &pgx.Batch{}
	batch.Queue(`SELECT status FROM tenants WHERE tenant_id = $1`, tenant).Query(func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&s.at.Tenant}, func() error { return nil })
		return err
	})
	batch.Queue(`SELECT role, custom_roles, suspended, removed FROM members WHERE tenant_id = $1 AND user_id = $2 ORDER BY removed, member_id LIMIT 1`, tenant, user).
		Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&s.at.Role, &s.custom, &s.at.Suspended, &s.removed}, func() error { return nil })
			return err
		})
	batch.Queue(`
		SELECT 'group:' || m.group_id FROM group_members m LEFT JOIN groups g USING (tenant_id, group_id)
		WHERE m.tenant_id = $1 AND m.user_id = $2 AND m.present AND NOT coalesce(g.deleted, false) ORDER BY 1`, tenant, user).
		Query(func(rows pgx.Rows) (err error) {
			s.groups, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
	if err := postgres.ForTenant(r.pool, tenant).SendBatch(ctx, batch).Close(); err != nil {
		return s, fmt.Errorf("read standing: %w", err)
	}
	if s.removed {
		return standing{at: models.Standing{Tenant: s.at.Tenant}, removed: true}, nil
	}
	return s, nil
}

// Open leaves of the users ("user:ID") those who are not shut out of the tenant.
func (r *Repository) Open(ctx context.Context, tenant id.TenantID, users []string, now time.Time) ([]string, error) {
	h, err := r.Head(ctx, tenant, nil, users, now)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(users, func(u string) bool { return h.Standing(u, "").Shut() != "" }), nil
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
