package repository

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/user-service/internal/models"
)

// Create stores a profile, its first membership and the events. It reports false,
// and stores nothing, if the user has a profile, or a tombstone, already.
func (r *Repository) Create(ctx context.Context, u models.User, role string, evs ...events.Event) (created bool, err error) {
	err = postgres.InTenant(ctx, r.pool, u.Tenant, func(tx pgx.Tx) error {
		if created, err = insert(ctx, tx, u, role); err != nil || !created {
			return err
		}
		return events.Emit(ctx, tx, evs...)
	})
	return created, err
}

// User returns the user as the caller sees him, or his tombstone. It returns
// errs.ErrNotFound if there is neither, or the caller may not know of him.
func (r *Repository) User(ctx context.Context, c models.Caller, user id.UserID) (Member, error) {
	return r.find(ctx, postgres.ForTenant(r.pool, c.Tenant), c, user, "")
}

func (r *Repository) find(ctx context.Context, q postgres.Querier, c models.Caller, user id.UserID, lock string) (Member, error) {
	return oneMember(ctx, q, `
		SELECT `+memberColumns+`
		FROM users u LEFT JOIN memberships m ON m.tenant_id = $1 AND m.user_id = u.id
		WHERE u.id = $5 AND `+visible+lock,
		c.Tenant, c.User, c.SeesTenant(), c.Everyone, user)
}

// Update applies change to the user, or the tombstone, under the row lock and
// stores the result together with the events that change returns, or nothing. A
// user who is deleted by it leaves all tenants. It returns errs.ErrNotFound as
// User does.
func (r *Repository) Update(ctx context.Context, c models.Caller, user id.UserID,
	change func(*Member) ([]events.Event, error)) (m Member, err error) {
	err = postgres.InTenant(ctx, r.pool, c.Tenant, func(tx pgx.Tx) error {
		if m, err = r.find(ctx, tx, c, user, ` FOR UPDATE OF u`); err != nil {
			return err
		}
		before := m.Version
		evs, err := change(&m)
		if err != nil || m.Version == before {
			return err
		}
		if err := store(ctx, tx, m.User); err != nil {
			return err
		}
		return events.Emit(ctx, tx, evs...)
	})
	return m, err
}

// List returns at most limit users whom the caller sees, with ids after the
// given one, whose name or address holds text, in the order of their ids: that of
// their registration.
func (r *Repository) List(ctx context.Context, c models.Caller, text string, after id.UserID, limit int) ([]Member, error) {
	from := `memberships m JOIN users u ON u.id = m.user_id WHERE m.tenant_id = $1 AND ($3 OR u.id = $2) AND NOT $4`
	key := `m.user_id`
	if c.Everyone {
		from = `users u LEFT JOIN memberships m ON m.tenant_id = $1 AND m.user_id = u.id WHERE ` + visible
		key = `u.id`
	}
	rows, err := postgres.ForTenant(r.pool, c.Tenant).Query(ctx, `
		SELECT `+memberColumns+` FROM `+from+` AND u.deleted_at IS NULL
			AND ($5::uuid IS NULL OR `+key+` > $5) AND u.search LIKE $6
		ORDER BY `+key+` LIMIT $7`,
		c.Tenant, c.User, c.SeesTenant(), c.Everyone, after, pattern(text), limit)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanMember)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return list, nil
}

// Known returns what is known of the users, the erased included, in any order and of
// any tenant.
func (r *Repository) Known(ctx context.Context, users []id.UserID) ([]models.User, error) {
	rows, err := r.pool.Query(ctx, `SELECT `+memberColumns+` FROM users u LEFT JOIN memberships m ON false WHERE u.id = ANY($1)`, users)
	if err != nil {
		return nil, fmt.Errorf("look up users: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (models.User, error) {
		m, err := scanMember(row)
		return m.User, err
	})
	if err != nil {
		return nil, fmt.Errorf("look up users: %w", err)
	}
	return list, nil
}

// pattern makes LIKE look for the text, taken literally, anywhere and in any case.
func pattern(text string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(models.Fold(text)) + "%"
}
