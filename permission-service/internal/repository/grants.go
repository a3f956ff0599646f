package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

const grantColumns = `
	SELECT g.id, g.subject, g.object, g.role, g.deny, g.expires_at, g.ip_ranges, g.granted_by, g.created_at, g.updated_at, r.actions
	FROM grants g LEFT JOIN roles r ON r.tenant_id = g.tenant_id AND r.id::text = g.role`

func scanGrant(row pgx.CollectableRow) (models.Grant, error) {
	var g models.Grant
	var ends *time.Time
	err := row.Scan(&g.ID, &g.Subject, &g.Object, &g.Role, &g.Deny, &ends, &g.IPRanges, &g.GrantedBy, &g.CreatedAt, &g.UpdatedAt, &g.Actions)
	if ends != nil {
		g.ExpiresAt = *ends
	}
	if actions, ok := models.BuiltIn(g.Role); ok {
		g.Actions = actions
	}
	return g, err
}

// Write is a change of grants and places.
type Write struct {
	Grants, Revokes []models.Grant
	Places          []Placing
	IfUnchanged     int64  // 0: whatever was changed
	Object          string // that IfUnchanged is about
	Actor           string
}

// Placing puts an object under its parent, or takes it out of the tree if there is none.
// A version that is not newer than what is known is dropped.
type Placing struct {
	Object, Parent string
	Version        int64
}

// Write changes everything or nothing, and returns the version that shows it with the
// grants as they are then, in their order. It refuses with permissionapi.ErrChanged if the
// precondition does not hold, ErrBadRole for a role that the tenant does not have, and
// ErrBadSubject for somebody who was removed.
func (r *Repository) Write(ctx context.Context, tenant id.TenantID, w Write) (int64, []models.Grant, error) {
	stored := make([]models.Grant, 0, len(w.Grants))
	version, err := r.change(ctx, tenant, func(c *change) error {
		if err := c.unchanged(ctx, w); err != nil {
			return err
		}
		for _, p := range w.Places {
			if err := c.place(ctx, p, w.Actor); err != nil {
				return err
			}
		}
		for _, g := range w.Revokes {
			if err := c.revoke(ctx, g, "revoked", w.Actor); err != nil {
				return err
			}
		}
		for _, g := range w.Grants {
			g, err := c.grant(ctx, g)
			if err != nil {
				return err
			}
			stored = append(stored, g)
		}
		return nil
	})
	return version, stored, err
}

// unchanged holds the write to its precondition. Changes from before the feed's beginning
// are not known, and count.
func (c *change) unchanged(ctx context.Context, w Write) error {
	if w.Object == "" || w.IfUnchanged == 0 {
		return nil
	}
	var changed bool
	err := c.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM changes WHERE tenant_id = $1 AND object = $2 AND version > $3)
			OR $3 < (SELECT min(version) - 1 FROM changes WHERE tenant_id = $1)`, c.tenant, w.Object, w.IfUnchanged).Scan(&changed)
	if err != nil {
		return fmt.Errorf("look for changes: %w", err)
	}
	if w.IfUnchanged > c.version {
		return permissionapi.ErrBadToken
	}
	if changed {
		return permissionapi.ErrChanged
	}
	return nil
}

// grant stores g, whose conditions take the place of those of an equal one.
func (c *change) grant(ctx context.Context, g models.Grant) (models.Grant, error) {
	if err := c.mayHave(ctx, g); err != nil {
		return g, err
	}
	if err := c.rooted(ctx, g.Object); err != nil {
		return g, err
	}
	g.ID, g.CreatedAt, g.UpdatedAt = models.NewGrantID(), c.now, c.now
	rows, err := c.Query(ctx, `
		INSERT INTO grants (tenant_id, id, subject, object, role, deny, expires_at, ip_ranges, granted_by, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
		ON CONFLICT ON CONSTRAINT grants_key DO UPDATE
			SET expires_at = excluded.expires_at, ip_ranges = excluded.ip_ranges, granted_by = excluded.granted_by, updated_at = excluded.updated_at
			WHERE (grants.expires_at, grants.ip_ranges) IS DISTINCT FROM (excluded.expires_at, excluded.ip_ranges)
		RETURNING id`, c.tenant, g.ID, g.Subject, g.Object, g.Role, g.Deny, orNull(g.ExpiresAt), g.IPRanges, g.GrantedBy, c.now)
	if err != nil {
		return g, fmt.Errorf("insert grant: %w", err)
	}
	changed, err := pgx.CollectRows(rows, pgx.RowTo[models.GrantID])
	if err != nil {
		return g, fmt.Errorf("insert grant: %w", err)
	}
	if len(changed) > 0 {
		c.touch(g.Object, g.Subject)
		c.say(permissionapi.Change{What: "granted", Object: g.Object, Subject: g.Subject, Role: sign(g), New: terms(g), ActorID: g.GrantedBy, Objects: []string{g.Object}})
	}
	stored, err := c.query(ctx, grantColumns+`
		WHERE g.tenant_id = $1 AND g.object = $2 AND g.subject = $3 AND g.role = $4 AND g.deny = $5`, c.tenant, g.Object, g.Subject, g.Role, g.Deny)
	if err != nil || len(stored) != 1 {
		return g, fmt.Errorf("read grant back: %w", err)
	}
	return stored[0], nil
}

// mayHave refuses a role that the tenant has not, a group that was deleted, and somebody
// who was removed from the tenant.
func (c *change) mayHave(ctx context.Context, g models.Grant) error {
	if _, ok := models.BuiltIn(g.Role); !ok {
		var has bool
		if err := c.QueryRow(ctx, `SELECT EXISTS (SELECT FROM roles WHERE tenant_id = $1 AND id::text = $2)`, c.tenant, g.Role).Scan(&has); err != nil {
			return fmt.Errorf("look for role: %w", err)
		}
		if !has {
			return permissionapi.ErrBadRole
		}
	}
	kind, name := models.Split(g.Subject)
	sql := `SELECT coalesce(bool_and(removed), false) FROM members WHERE tenant_id = $1 AND user_id = $2`
	if kind == models.Group {
		sql = `SELECT coalesce(bool_and(deleted), false) FROM groups WHERE tenant_id = $1 AND group_id = $2`
	}
	var gone bool
	if err := c.QueryRow(ctx, sql, c.tenant, name).Scan(&gone); err != nil {
		return fmt.Errorf("look for subject: %w", err)
	}
	if gone {
		return permissionapi.ErrBadSubject
	}
	return nil
}

// revoke deletes the grant with g's key, if there is one.
func (c *change) revoke(ctx context.Context, g models.Grant, what, actor string) error {
	tag, err := c.Exec(ctx, `DELETE FROM grants WHERE tenant_id = $1 AND object = $2 AND subject = $3 AND role = $4 AND deny = $5`,
		c.tenant, g.Object, g.Subject, g.Role, g.Deny)
	if err != nil {
		return fmt.Errorf("delete grant: %w", err)
	}
	if tag.RowsAffected() > 0 {
		c.touch(g.Object, g.Subject)
		c.say(permissionapi.Change{What: what, Object: g.Object, Subject: g.Subject, Role: sign(g), Old: terms(g), ActorID: actor, Objects: []string{g.Object}})
	}
	return nil
}

// revokeAll deletes the grants that the condition selects.
func (c *change) revokeAll(ctx context.Context, what, actor, condition string, args ...any) error {
	list, err := c.query(ctx, grantColumns+` WHERE g.tenant_id = $1 AND `+condition+` ORDER BY g.id`, append([]any{c.tenant}, args...)...)
	if err != nil {
		return err
	}
	for _, g := range list {
		if err := c.revoke(ctx, g, what, actor); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) query(ctx context.Context, sql string, args ...any) ([]models.Grant, error) {
	rows, err := c.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read grants: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanGrant)
	if err != nil {
		return nil, fmt.Errorf("read grants: %w", err)
	}
	return list, nil
}

// sign tells a denial's role from a grant's.
func sign(g models.Grant) string {
	if g.Deny {
		return "-" + g.Role
	}
	return g.Role
}

// terms are the conditions of a grant, for those who record it.
func terms(g models.Grant) string {
	s := ""
	if !g.ExpiresAt.IsZero() {
		s = "until " + g.ExpiresAt.UTC().Format(time.RFC3339)
	}
	for _, r := range g.IPRanges {
		s += " from " + r
	}
	return s
}

func orNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

// Grant returns the tenant's grant, or errs.ErrNotFound.
func (r *Repository) Grant(ctx context.Context, tenant id.TenantID, grant models.GrantID) (models.Grant, error) {
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, grantColumns+` WHERE g.tenant_id = $1 AND g.id = $2`, tenant, grant)
	if err != nil {
		return models.Grant{}, fmt.Errorf("read grant: %w", err)
	}
	g, err := pgx.CollectExactlyOneRow(rows, scanGrant)
	if err != nil {
		return g, fmt.Errorf("read grant: %w", postgres.NotFound(err))
	}
	return g, nil
}

// Grants returns up to limit grants after the given one, oldest first, on the object and
// of the subject if they are named.
func (r *Repository) Grants(ctx context.Context, tenant id.TenantID, object, subject string, after models.GrantID, limit int) ([]models.Grant, error) {
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, grantColumns+`
		WHERE g.tenant_id = $1 AND ($2 = '' OR g.object = $2) AND ($3 = '' OR g.subject = $3) AND ($4::uuid IS NULL OR g.id > $4)
		ORDER BY g.id LIMIT $5`, tenant, object, subject, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list grants: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanGrant)
	if err != nil {
		return nil, fmt.Errorf("list grants: %w", err)
	}
	return list, nil
}

// Expire takes away what has ended by itself, of up to limit tenants, and returns them.
// The engine does not count such grants any more; this is for the record and the feed.
func (r *Repository) Expire(ctx context.Context, limit int) ([]id.TenantID, error) {
	now := r.now()
	rows, err := postgres.ForEveryTenant(r.pool).Query(ctx, `SELECT DISTINCT tenant_id FROM grants WHERE expires_at <= $1 LIMIT $2`, now, limit)
	if err != nil {
		return nil, fmt.Errorf("look for ended grants: %w", err)
	}
	tenants, err := pgx.CollectRows(rows, pgx.RowTo[id.TenantID])
	if err != nil {
		return nil, fmt.Errorf("look for ended grants: %w", err)
	}
	for _, t := range tenants {
		_, err := r.change(ctx, t, func(c *change) error { return c.revokeAll(ctx, "expired", "", `g.expires_at <= $2`, now) })
		if err != nil {
			return nil, fmt.Errorf("end grants: %w", err)
		}
	}
	return tenants, nil
}

// place puts an object where p says, unless something newer is known.
func (c *change) place(ctx context.Context, p Placing, actor string) error {
	gone := p.Parent == ""
	was := models.Place{Gone: true}
	known := int64(-2)
	err := c.QueryRow(ctx, `SELECT parent, gone, version FROM places WHERE tenant_id = $1 AND object = $2`, c.tenant, p.Object).
		Scan(&was.Parent, &was.Gone, &known)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("read place: %w", err)
	}
	if known >= p.Version {
		return nil
	}
	_, err = c.Exec(ctx, `
		INSERT INTO places (tenant_id, object, parent, version, gone) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (tenant_id, object) DO UPDATE SET parent = excluded.parent, version = excluded.version, gone = excluded.gone`,
		c.tenant, p.Object, p.Parent, p.Version, gone)
	if err != nil {
		return fmt.Errorf("place object: %w", err)
	}
	if known > -2 && was.Parent == p.Parent && was.Gone == gone {
		return nil
	}
	c.touch(p.Object, "")
	c.say(permissionapi.Change{What: "placed", Object: p.Object, New: p.Parent, ActorID: actor})
	if kind, _ := models.Split(p.Parent); kind == models.Workspace {
		if err := c.know(ctx, p.Parent, models.TenantObject(c.tenant)); err != nil {
			return err
		}
	}
	if gone {
		if err := c.revokeAll(ctx, "revoked", actor, `g.object = $2`, p.Object); err != nil {
			return err
		}
	}
	return c.touchInside(ctx, p.Object)
}

// touchInside marks the places of what lies directly in the object.
func (c *change) touchInside(ctx context.Context, object string) error {
	rows, err := c.Query(ctx, `SELECT object FROM places WHERE tenant_id = $1 AND parent = $2`, c.tenant, object)
	if err != nil {
		return fmt.Errorf("look inside: %w", err)
	}
	inside, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look inside: %w", err)
	}
	for _, o := range inside {
		c.touch(o, "")
	}
	return nil
}

// rooted gives an object that grants are given on the place that its name tells, unless
// it has one, so that it is found in lists.
func (c *change) rooted(ctx context.Context, object string) error {
	kind, _ := models.Split(object)
	switch kind {
	case models.Table:
		if err := c.rooted(ctx, models.BaseOf(object)); err != nil {
			return err
		}
		return c.know(ctx, object, models.BaseOf(object))
	case models.Base:
		return c.know(ctx, object, models.TenantObject(c.tenant))
	}
	return nil
}

// know places what has no place. Any event about it is newer.
func (c *change) know(ctx context.Context, object, parent string) error {
	tag, err := c.Exec(ctx, `INSERT INTO places (tenant_id, object, parent, version, gone) VALUES ($1, $2, $3, -1, false) ON CONFLICT DO NOTHING`,
		c.tenant, object, parent)
	if err != nil {
		return fmt.Errorf("place object: %w", err)
	}
	if tag.RowsAffected() > 0 {
		c.touch(object, "")
	}
	return nil
}
