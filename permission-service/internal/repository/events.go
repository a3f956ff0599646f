package repository

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// Handlers of events run in the transaction of the inbox. Events come in any order; what
// is older than what is known changes nothing.

// apply runs fn as a change of the event's tenant. A tenant that was deleted has no more.
func (r *Repository) apply(ctx context.Context, tx pgx.Tx, e events.Event, fn func(c *change) error) error {
	if err := postgres.Enter(ctx, tx, e.TenantID); err != nil {
		return err
	}
	_, err := r.changeIn(ctx, tx, e.TenantID, fn)
	if errors.Is(err, errDeleted) {
		return nil
	}
	return err
}

// MemberAdded keeps a copy of the membership.
func (r *Repository) MemberAdded(ctx context.Context, tx pgx.Tx, e events.Event, d tenantapi.MemberChanged) error {
	return r.putMember(ctx, tx, e, d, false)
}

// MemberUpdated keeps a copy of the membership.
func (r *Repository) MemberUpdated(ctx context.Context, tx pgx.Tx, e events.Event, d tenantapi.MemberChanged) error {
	return r.putMember(ctx, tx, e, d, false)
}

// MemberRemoved takes everything from the user that he had in the tenant.
func (r *Repository) MemberRemoved(ctx context.Context, tx pgx.Tx, e events.Event, d tenantapi.MemberChanged) error {
	return r.putMember(ctx, tx, e, d, true)
}

func (r *Repository) putMember(ctx context.Context, tx pgx.Tx, e events.Event, d tenantapi.MemberChanged, gone bool) error {
	return r.apply(ctx, tx, e, func(c *change) error {
		custom := slices.Clone(d.CustomRoles)
		if custom == nil {
			custom = []string{}
		}
		tag, err := c.Exec(ctx, `
			INSERT INTO members (tenant_id, member_id, user_id, role, custom_roles, suspended, version, removed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (tenant_id, member_id) DO UPDATE SET user_id = excluded.user_id, role = excluded.role,
				custom_roles = excluded.custom_roles, suspended = excluded.suspended, version = excluded.version, removed = excluded.removed
			WHERE members.version < excluded.version`, c.tenant, d.MemberID, d.UserID, d.Role, custom, d.Suspended, e.Version, gone)
		if err != nil {
			return fmt.Errorf("store member: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return nil
		}
		subject, top := models.UserSubject(d.UserID), models.TenantObject(c.tenant)
		now := d.Role
		switch {
		case gone:
			now = ""
		case d.Suspended:
			now += ", suspended"
		}
		c.touch(top, subject)
		c.say(permissionapi.Change{What: "role_changed", Object: top, Subject: subject, New: now, ActorID: d.ActorID})
		return c.memberMoved(ctx, d, subject)
	})
}

// memberMoved takes a removed user's grants, and marks what he has by his groups.
func (c *change) memberMoved(ctx context.Context, d tenantapi.MemberChanged, subject string) error {
	rows, err := c.Query(ctx, `SELECT group_id FROM group_members WHERE tenant_id = $1 AND user_id = $2 AND present`, c.tenant, d.UserID)
	if err != nil {
		return fmt.Errorf("list groups: %w", err)
	}
	groups, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list groups: %w", err)
	}
	for _, g := range groups {
		c.touch(models.GroupSubject(g), subject)
	}
	var lives bool
	err = c.QueryRow(ctx, `SELECT EXISTS (SELECT FROM members WHERE tenant_id = $1 AND user_id = $2 AND NOT removed)`, c.tenant, d.UserID).Scan(&lives)
	if err != nil {
		return fmt.Errorf("look for membership: %w", err)
	}
	if lives {
		return nil
	}
	return c.revokeAll(ctx, "revoked", d.ActorID, `g.subject = $2`, subject)
}

// GroupChanged keeps a copy of who is in the group.
func (r *Repository) GroupChanged(ctx context.Context, tx pgx.Tx, e events.Event, d tenantapi.GroupChanged) error {
	return r.apply(ctx, tx, e, func(c *change) error {
		_, err := c.Exec(ctx, `
			INSERT INTO groups (tenant_id, group_id, version, deleted) VALUES ($1, $2, $3, false)
			ON CONFLICT (tenant_id, group_id) DO UPDATE SET version = greatest(groups.version, excluded.version)`, c.tenant, d.GroupID, e.Version)
		if err != nil {
			return fmt.Errorf("store group: %w", err)
		}
		for _, u := range d.Removed {
			if err := c.groupMember(ctx, d.GroupID, u, e.Version, false); err != nil {
				return err
			}
		}
		for _, u := range d.Added {
			if err := c.groupMember(ctx, d.GroupID, u, e.Version, true); err != nil {
				return err
			}
		}
		if len(c.stale) > 0 {
			c.say(permissionapi.Change{What: "role_changed", Subject: models.GroupSubject(d.GroupID), ActorID: d.ActorID})
		}
		return nil
	})
}

// groupMember notes whether the user is in the group, as of the version that says so.
func (c *change) groupMember(ctx context.Context, group, user string, version int64, present bool) error {
	tag, err := c.Exec(ctx, `
		INSERT INTO group_members (tenant_id, group_id, user_id, version, present) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (tenant_id, group_id, user_id) DO UPDATE SET version = excluded.version, present = excluded.present
			WHERE group_members.version < excluded.version`, c.tenant, group, user, version, present)
	if err != nil {
		return fmt.Errorf("store group member: %w", err)
	}
	if tag.RowsAffected() > 0 {
		c.touch(models.GroupSubject(group), models.UserSubject(user))
	}
	return nil
}

// GroupDeleted takes the group with all that it was given.
func (r *Repository) GroupDeleted(ctx context.Context, tx pgx.Tx, e events.Event, d tenantapi.GroupChanged) error {
	return r.apply(ctx, tx, e, func(c *change) error {
		_, err := c.Exec(ctx, `
			INSERT INTO groups (tenant_id, group_id, version, deleted) VALUES ($1, $2, $3, true)
			ON CONFLICT (tenant_id, group_id) DO UPDATE SET version = greatest(groups.version, excluded.version), deleted = true`, c.tenant, d.GroupID, e.Version)
		if err != nil {
			return fmt.Errorf("store group: %w", err)
		}
		rows, err := c.Query(ctx, `SELECT user_id FROM group_members WHERE tenant_id = $1 AND group_id = $2`, c.tenant, d.GroupID)
		if err != nil {
			return fmt.Errorf("list group: %w", err)
		}
		users, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("list group: %w", err)
		}
		group := models.GroupSubject(d.GroupID)
		for _, u := range users {
			c.touch(group, models.UserSubject(u))
		}
		c.say(permissionapi.Change{What: "role_changed", Subject: group, ActorID: d.ActorID})
		return c.revokeAll(ctx, "revoked", d.ActorID, `g.subject = $2`, group)
	})
}

// WorkspacePlaced puts the workspace into the tenant's tree.
func (r *Repository) WorkspacePlaced(ctx context.Context, tx pgx.Tx, e events.Event, d workspaceapi.WorkspaceChanged) error {
	return r.apply(ctx, tx, e, func(c *change) error {
		return c.place(ctx, Placing{models.WorkspaceObject(d.WorkspaceID), models.TenantObject(c.tenant), e.Version}, d.ActorID)
	})
}

// WorkspaceDeleted takes the workspace out of the tree with the grants on it.
func (r *Repository) WorkspaceDeleted(ctx context.Context, tx pgx.Tx, e events.Event, d workspaceapi.WorkspaceChanged) error {
	return r.apply(ctx, tx, e, func(c *change) error {
		return c.place(ctx, Placing{models.WorkspaceObject(d.WorkspaceID), "", e.Version}, d.ActorID)
	})
}

// BasePlaced puts the base into its workspace, or out of all of them.
func (r *Repository) BasePlaced(ctx context.Context, tx pgx.Tx, e events.Event, d workspaceapi.BasePlaced) error {
	return r.apply(ctx, tx, e, func(c *change) error {
		p := Placing{Object: models.BaseObject(c.tenant, d.BaseID), Version: e.Version}
		if d.WorkspaceID != "" {
			p.Parent = models.WorkspaceObject(d.WorkspaceID)
		}
		return c.place(ctx, p, d.ActorID)
	})
}
