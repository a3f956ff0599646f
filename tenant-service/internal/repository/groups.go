package repository

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
)

const groupColumns = `g.id, g.tenant_id, g.name, g.external_id, g.version, g.created_at, g.updated_at`

// CreateGroup stores a group with its first members and its event, if allowed says so
// under the tenant's lock. It returns tenantapi.ErrGroupNameTaken, or ErrMemberNotFound
// if one of those is no member.
func (r *Repository) CreateGroup(ctx context.Context, c models.Caller, g models.Group, first []models.MemberID, allowed func(*models.Scene) error) error {
	return r.withScene(ctx, c, func(tx pgx.Tx, s *models.Scene) error {
		if err := allowed(s); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO groups (tenant_id, id, name, name_key, external_id, version, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			g.Tenant, g.ID, g.Name, models.NameKey(g.Name), g.ExternalID, g.Version, g.CreatedAt, g.UpdatedAt)
		if err != nil {
			return groupFault("insert group", err)
		}
		added, err := r.joinGroup(ctx, tx, g, first)
		if err != nil {
			return err
		}
		return events.Emit(ctx, tx, groupEvent(ctx, tenantapi.GroupChangedEvent, g, added, nil, c.User))
	})
}

// ChangeGroup has change decide about a group under the tenant's lock, and stores what it
// returns with the event. The group is nil if there is none. What changes nothing leaves
// the version as it is. It returns the errors of CreateGroup, too.
func (r *Repository) ChangeGroup(ctx context.Context, c models.Caller, ref models.GroupID,
	change func(*models.Scene, *models.Group) (models.GroupEdit, error)) (models.Group, error) {
	return r.changeGroup(ctx, c, ref, func(_ pgx.Tx, s *models.Scene, g *models.Group) (models.GroupEdit, error) { return change(s, g) })
}

func (r *Repository) changeGroup(ctx context.Context, c models.Caller, ref models.GroupID,
	change func(pgx.Tx, *models.Scene, *models.Group) (models.GroupEdit, error)) (g models.Group, err error) {
	err = r.withScene(ctx, c, func(tx pgx.Tx, s *models.Scene) error {
		found, err := groups(ctx, tx, `SELECT `+groupColumns+` FROM groups g WHERE g.tenant_id = $1 AND g.id = $2`, c.Tenant, ref)
		if err != nil {
			return err
		}
		var was *models.Group
		if len(found) > 0 {
			was = &found[0]
		}
		edit, err := change(tx, s, was)
		if err != nil {
			return err
		}
		if was == nil {
			return tenantapi.ErrGroupNotFound
		}
		g, err = r.storeGroup(ctx, tx, *was, edit, c.User)
		return err
	})
	return g, err
}

func (r *Repository) storeGroup(ctx context.Context, tx pgx.Tx, g models.Group, edit models.GroupEdit, actor id.UserID) (models.Group, error) {
	now := r.now()
	if edit.Gone {
		g.Touch(now)
		if _, err := tx.Exec(ctx, `DELETE FROM groups WHERE tenant_id = $1 AND id = $2`, g.Tenant, g.ID); err != nil {
			return g, fmt.Errorf("delete group: %w", err)
		}
		return g, events.Emit(ctx, tx, groupEvent(ctx, tenantapi.GroupDeletedEvent, g, nil, nil, actor))
	}
	removed, err := usersOf(ctx, tx, `
		WITH gone AS (DELETE FROM group_members WHERE tenant_id = $1 AND group_id = $2 AND member_id = ANY($3) AND NOT member_id = ANY($4) RETURNING member_id)
		SELECT m.user_id FROM members m JOIN gone ON gone.member_id = m.id WHERE m.tenant_id = $1 ORDER BY m.id`,
		g.Tenant, g.ID, ids(edit.Remove), ids(edit.Add))
	if err != nil {
		return g, err
	}
	added, err := r.joinGroup(ctx, tx, g, edit.Add)
	if err != nil {
		return g, err
	}
	if len(added)+len(removed) == 0 && edit.Name == g.Name && edit.ExternalID == g.ExternalID {
		return g, nil
	}
	g.Name, g.ExternalID = edit.Name, edit.ExternalID
	g.Touch(now)
	_, err = tx.Exec(ctx, `UPDATE groups SET name = $3, name_key = $4, external_id = $5, version = $6, updated_at = $7 WHERE tenant_id = $1 AND id = $2`,
		g.Tenant, g.ID, g.Name, models.NameKey(g.Name), g.ExternalID, g.Version, g.UpdatedAt)
	if err != nil {
		return g, groupFault("update group", err)
	}
	return g, events.Emit(ctx, tx, groupEvent(ctx, tenantapi.GroupChangedEvent, g, added, removed, actor))
}

func groupFault(doing string, err error) error {
	if postgres.IsUnique(err, "groups_name_key") {
		return tenantapi.ErrGroupNameTaken.Because(err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// joinGroup takes members into the group and returns the users of those who were not in
// it. It returns tenantapi.ErrMemberNotFound if one is no member of the tenant.
func (r *Repository) joinGroup(ctx context.Context, tx pgx.Tx, g models.Group, join []models.MemberID) ([]id.UserID, error) {
	if len(join) == 0 {
		return nil, nil
	}
	var stranger *models.MemberID
	err := tx.QueryRow(ctx, `
		SELECT (SELECT j.id FROM unnest($2::uuid[]) j (id) WHERE NOT EXISTS (SELECT FROM members m WHERE m.tenant_id = $1 AND m.id = j.id) LIMIT 1)`,
		g.Tenant, ids(join)).Scan(&stranger)
	if err != nil {
		return nil, fmt.Errorf("look for members: %w", err)
	}
	if stranger != nil {
		return nil, tenantapi.ErrMemberNotFound.Saying("There is no member %s.", stranger)
	}
	return usersOf(ctx, tx, `
		WITH come AS (
			INSERT INTO group_members (tenant_id, group_id, member_id, added_at) SELECT $1, $2, j, $4 FROM unnest($3::uuid[]) j
			ON CONFLICT ON CONSTRAINT group_members_pkey DO NOTHING RETURNING member_id)
		SELECT m.user_id FROM members m JOIN come ON come.member_id = m.id WHERE m.tenant_id = $1 ORDER BY m.id`,
		g.Tenant, g.ID, ids(join), r.now())
}

// leaveGroups takes a member whose membership ends out of his groups, and announces it.
func leaveGroups(ctx context.Context, tx pgx.Tx, m models.Member, actor id.UserID) error {
	left, err := groups(ctx, tx, `
		WITH gone AS (DELETE FROM group_members WHERE tenant_id = $1 AND member_id = $2 RETURNING group_id)
		UPDATE groups g SET version = g.version + 1, updated_at = $3 FROM gone WHERE g.tenant_id = $1 AND g.id = gone.group_id
		RETURNING `+groupColumns, m.Tenant, m.ID, m.UpdatedAt)
	if err != nil {
		return err
	}
	var evs []events.Event
	for _, g := range left {
		evs = append(evs, groupEvent(ctx, tenantapi.GroupChangedEvent, g, nil, []id.UserID{m.User}, actor))
	}
	return events.Emit(ctx, tx, evs...)
}

// Groups returns at most limit of the tenant's groups, those after the given one, oldest
// first; only those that the user is in unless he is zero.
func (r *Repository) Groups(ctx context.Context, tenant id.TenantID, user id.UserID, after models.GroupID, limit int) ([]models.Group, error) {
	return groups(ctx, r.of(tenant), `
		SELECT `+groupColumns+` FROM groups g
		WHERE g.tenant_id = $1 AND ($3::uuid IS NULL OR g.id > $3) AND ($2::uuid IS NULL OR `+hasUser+`) ORDER BY g.id LIMIT $4`,
		tenant, user, after, limit)
}

const hasUser = `EXISTS (SELECT FROM group_members i JOIN members m ON m.tenant_id = i.tenant_id AND m.id = i.member_id
	WHERE i.tenant_id = g.tenant_id AND i.group_id = g.id AND m.user_id = $2)`

// Group returns a group of the tenant, which has the user in it unless he is zero, or
// tenantapi.ErrGroupNotFound.
func (r *Repository) Group(ctx context.Context, tenant id.TenantID, user id.UserID, ref models.GroupID) (models.Group, error) {
	found, err := groups(ctx, r.of(tenant), `
		SELECT `+groupColumns+` FROM groups g WHERE g.tenant_id = $1 AND g.id = $3 AND ($2::uuid IS NULL OR `+hasUser+`)`, tenant, user, ref)
	switch {
	case err != nil:
		return models.Group{}, err
	case len(found) == 0:
		return models.Group{}, tenantapi.ErrGroupNotFound
	}
	return found[0], nil
}

// GroupMembers returns at most limit of the group's members, those after the given one,
// in the order in which they joined the tenant; only the one user unless he is zero.
func (r *Repository) GroupMembers(ctx context.Context, tenant id.TenantID, ref models.GroupID, user id.UserID, after models.MemberID, limit int) ([]models.Member, error) {
	return members(ctx, r.of(tenant), `
		SELECT `+memberColumns+` FROM group_members i JOIN members m ON m.tenant_id = i.tenant_id AND m.id = i.member_id
		WHERE i.tenant_id = $1 AND i.group_id = $2 AND ($3::uuid IS NULL OR m.user_id = $3) AND ($4::uuid IS NULL OR m.id > $4)
		ORDER BY m.id LIMIT $5`, tenant, ref, user, after, limit)
}

func groups(ctx context.Context, q postgres.Querier, sql string, args ...any) ([]models.Group, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read groups: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[models.Group])
	if err != nil {
		return nil, fmt.Errorf("read groups: %w", err)
	}
	return found, nil
}

func usersOf(ctx context.Context, tx pgx.Tx, sql string, args ...any) ([]id.UserID, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("change members of group: %w", err)
	}
	users, err := pgx.CollectRows(rows, pgx.RowTo[id.UserID])
	if err != nil {
		return nil, fmt.Errorf("change members of group: %w", err)
	}
	return users, nil
}

// ids are the ids as an array, without those that come twice; never NULL.
func ids(of []models.MemberID) []string {
	seen := map[models.MemberID]bool{}
	out := []string{}
	for _, m := range of {
		if !seen[m] {
			seen[m] = true
			out = append(out, m.String())
		}
	}
	return out
}

func groupEvent(ctx context.Context, kind events.Type[tenantapi.GroupChanged], g models.Group, added, removed []id.UserID, actor id.UserID) events.Event {
	return kind.New(ctx, g.Tenant, g.ID.String(), g.Version, tenantapi.GroupChanged{
		GroupID: g.ID.String(), TenantID: g.Tenant.String(), Name: g.Name, Added: texts(added), Removed: texts(removed), ActorID: actor.String(),
	})
}

func texts(users []id.UserID) []string {
	out := make([]string, 0, len(users))
	for _, u := range users {
		out = append(out, u.String())
	}
	return out
}

// AddServiceAccount stores a member that is a program, with its event, if allowed says so
// under the tenant's lock.
func (r *Repository) AddServiceAccount(ctx context.Context, c models.Caller, m models.Member, allowed func(*models.Scene) error) error {
	return r.withScene(ctx, c, func(tx pgx.Tx, s *models.Scene) error {
		if err := allowed(s); err != nil {
			return err
		}
		if err := insertMember(ctx, tx, m); err != nil {
			return err
		}
		return events.Emit(ctx, tx, MemberEvent(ctx, tenantapi.MemberAdded, m, c.User))
	})
}
