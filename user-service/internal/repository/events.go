package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/user-service/internal/models"
)

// Registered makes the profile of a new account, or completes the one that the
// user's token made before. It leaves alone what the user has said himself, and a
// user who is deleted stays so.
func (r *Repository) Registered(ctx context.Context, tx pgx.Tx, e events.Event, d authapi.UserRegisteredData) error {
	a := models.Account{Email: d.Email, Name: d.Name, Version: max(e.Version, 1)}
	var err error
	if a.User, err = id.Parse[id.User](d.UserID); err != nil {
		return fmt.Errorf("user of %s: %w", e.ID, err)
	}
	if a.Tenant, err = id.Parse[id.Tenant](d.TenantID); err != nil {
		return fmt.Errorf("tenant of %s: %w", e.ID, err)
	}
	if err := postgres.Enter(ctx, tx, a.Tenant); err != nil {
		return err
	}
	now := r.now().UTC().Truncate(time.Microsecond)
	u := models.New(a.User, a.Tenant, now)
	u.Learn(a, now)
	u.Version = 1
	created, err := insert(ctx, tx, u, models.RoleOwner)
	if err != nil {
		return err
	}
	if created {
		return events.Emit(ctx, tx, userapi.ProfileCreated.New(ctx, u.Tenant, u.ID.String(), u.Version,
			userapi.ProfileCreatedData{UserID: u.ID.String(), TenantID: u.Tenant.String()}))
	}
	return r.learn(ctx, tx, a, now)
}

func (r *Repository) learn(ctx context.Context, tx pgx.Tx, a models.Account, now time.Time) error {
	m, err := oneMember(ctx, tx, `
		SELECT `+memberColumns+`
		FROM users u LEFT JOIN memberships m ON m.tenant_id = $2 AND m.user_id = u.id
		WHERE u.id = $1 FOR UPDATE OF u`, a.User, a.Tenant)
	if err != nil {
		return err
	}
	if m.Deleted() || a.Version <= m.AccountVersion {
		return nil
	}
	changed := m.Learn(a, now)
	if err := store(ctx, tx, m.User); err != nil {
		return err
	}
	if err := join(ctx, tx, a.Tenant, a.User, models.RoleOwner); err != nil || len(changed) == 0 {
		return err
	}
	return events.Emit(ctx, tx, userapi.UserUpdated.New(ctx, m.Tenant, m.ID.String(), m.Version,
		userapi.UserUpdatedData{UserID: m.ID.String(), TenantID: m.Tenant.String(), Changed: changed}))
}
