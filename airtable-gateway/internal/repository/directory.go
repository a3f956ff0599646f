package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// Directory keeps who may be named in the local bases of which tenant. A user is in
// a tenant's directory from his registration or his first call there on, until he is
// erased. The events of auth-service bring his address; those of user-service say
// only that his profile is another, and Stale tells which to ask for.
//
// An address, a name and an erasure are written in all tenants at once.
//
// Events come in any order: what is older than what is known changes nothing, and an
// erased user stays erased.
type Directory struct {
	Reader
	pool *pgxpool.Pool
	now  func() time.Time
}

// NewDirectory returns the directory in pool's database.
func NewDirectory(pool *pgxpool.Pool, now func() time.Time) *Directory {
	return &Directory{reader(pool), pool, now}
}

// wantedAtFirst is the version of a profile that is wanted of whom only the id is
// known: any.
const wantedAtFirst = 1

// Meet notes that the user is in the tenant.
func (d *Directory) Meet(ctx context.Context, tenant id.TenantID, user id.UserID) error {
	return meet(ctx, postgres.ForEveryTenant(d.pool), tenant, user, wantedAtFirst)
}

// meet makes the user's entry unless there is one, he was erased elsewhere, or the tenant
// was deleted.
func meet(ctx context.Context, q postgres.Querier, tenant id.TenantID, user id.UserID, wanted int64) error {
	_, err := q.Exec(ctx, `
		INSERT INTO people (tenant_id, user_id, airtable_id, wanted_version)
		SELECT $1, $2, $3, $4 WHERE NOT EXISTS (SELECT FROM people WHERE user_id = $2 AND erased_at IS NOT NULL) AND`+notErased(`$1`)+`
		ON CONFLICT ON CONSTRAINT people_pkey DO NOTHING`, tenant, user, models.UserIDOf(user), wanted)
	if err != nil {
		return fmt.Errorf("meet user: %w", err)
	}
	return nil
}

// Registered notes a new account: its address, and its name unless a profile has
// said another.
func (d *Directory) Registered(ctx context.Context, tx pgx.Tx, e events.Event, data authapi.UserRegisteredData) error {
	user, err := enter(ctx, tx, e, data.UserID, 0)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		UPDATE people SET name = $2 WHERE user_id = $1 AND name = '' AND profile_version = 0 AND erased_at IS NULL`, user, data.Name)
	if err != nil {
		return fmt.Errorf("note name: %w", err)
	}
	return address(ctx, tx, user, e.Version, data.Email)
}

// EmailVerified notes the address that an account has.
func (d *Directory) EmailVerified(ctx context.Context, tx pgx.Tx, e events.Event, data authapi.EmailVerifiedData) error {
	user, err := enter(ctx, tx, e, data.UserID, 0)
	if err != nil {
		return err
	}
	return address(ctx, tx, user, e.Version, data.Email)
}

// ProfileCreated notes that there is a profile to ask for.
func (d *Directory) ProfileCreated(ctx context.Context, tx pgx.Tx, e events.Event, data userapi.ProfileCreatedData) error {
	return announced(ctx, tx, e, data.UserID)
}

// UserUpdated notes that the profile is another.
func (d *Directory) UserUpdated(ctx context.Context, tx pgx.Tx, e events.Event, data userapi.UserUpdatedData) error {
	return announced(ctx, tx, e, data.UserID)
}

// UserDeleted forgets the user, in all tenants and for good.
func (d *Directory) UserDeleted(ctx context.Context, tx pgx.Tx, e events.Event, data userapi.UserDeletedData) error {
	user, err := enter(ctx, tx, e, data.UserID, 0)
	if err != nil {
		return err
	}
	return erase(ctx, tx, user, d.now())
}

// enter makes the entry of the event's subject in the event's tenant. The transaction
// is about all tenants from then on.
func enter(ctx context.Context, tx pgx.Tx, e events.Event, userID string, wanted int64) (id.UserID, error) {
	user, err := id.Parse[id.User](userID)
	if err != nil {
		return user, fmt.Errorf("user of %s: %w", e.ID, err)
	}
	if err := postgres.EnterEvery(ctx, tx); err != nil {
		return user, err
	}
	return user, meet(ctx, tx, e.TenantID, user, wanted)
}

func address(ctx context.Context, tx pgx.Tx, user id.UserID, version int64, email string) error {
	_, err := tx.Exec(ctx, `
		UPDATE people SET email = $3, account_version = $2 WHERE user_id = $1 AND account_version < $2 AND erased_at IS NULL`,
		user, version, email)
	if err != nil {
		return fmt.Errorf("note address: %w", err)
	}
	return nil
}

func announced(ctx context.Context, tx pgx.Tx, e events.Event, userID string) error {
	user, err := enter(ctx, tx, e, userID, e.Version)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		UPDATE people SET wanted_version = $2, asked_at = NULL WHERE user_id = $1 AND wanted_version < $2 AND erased_at IS NULL`,
		user, e.Version)
	if err != nil {
		return fmt.Errorf("note profile: %w", err)
	}
	return nil
}

func erase(ctx context.Context, q postgres.Querier, user id.UserID, at time.Time) error {
	_, err := q.Exec(ctx, `UPDATE people SET email = '', name = '', erased_at = $2 WHERE user_id = $1 AND erased_at IS NULL`, user, at)
	if err != nil {
		return fmt.Errorf("erase user: %w", err)
	}
	return nil
}

// Stale returns up to limit users whose profiles have to be asked for, and counts
// them as asked: until pause is over nobody else gets them.
func (d *Directory) Stale(ctx context.Context, pause time.Duration, limit int) ([]id.UserID, error) {
	now := d.now()
	rows, err := postgres.ForEveryTenant(d.pool).Query(ctx, `
		UPDATE people SET asked_at = $1
		WHERE (tenant_id, user_id) IN (
			SELECT tenant_id, user_id FROM people
			WHERE wanted_version > profile_version AND erased_at IS NULL AND (asked_at IS NULL OR asked_at <= $2)
			ORDER BY asked_at NULLS FIRST LIMIT $3 FOR UPDATE SKIP LOCKED)
		RETURNING user_id`, now, now.Add(-pause), limit)
	if err != nil {
		return nil, fmt.Errorf("find stale people: %w", err)
	}
	users, err := pgx.CollectRows(rows, pgx.RowTo[id.UserID])
	if err != nil {
		return nil, fmt.Errorf("find stale people: %w", err)
	}
	return users, nil
}

// Learn notes what user-service says of a user, unless something newer is known. The
// address is the account's own; a profile has a copy of it.
func (d *Directory) Learn(ctx context.Context, user id.UserID, card userapi.UserCard) error {
	if card.Deleted {
		return erase(ctx, postgres.ForEveryTenant(d.pool), user, d.now())
	}
	_, err := postgres.ForEveryTenant(d.pool).Exec(ctx, `
		UPDATE people SET
			name = $3, profile_version = $2,
			email = CASE WHEN account_version = 0 AND $4 <> '' THEN $4 ELSE email END
		WHERE user_id = $1 AND profile_version < $2 AND erased_at IS NULL`, user, card.Version, card.Name, card.Email)
	if err != nil {
		return fmt.Errorf("note profile: %w", err)
	}
	return nil
}
