package repository

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// UserDeleted forgets the account of a user who was deleted, with everything
// that belongs to it, and revokes what access tokens of his are out. An account
// that is gone already is fine.
func (r *Repository) UserDeleted(ctx context.Context, tx pgx.Tx, e events.Event, d userapi.UserDeletedData) error {
	user, err := id.Parse[id.User](d.UserID)
	if err != nil {
		return fmt.Errorf("user of %s: %w", e.ID, err)
	}
	if err := postgres.Enter(ctx, tx, e.TenantID); err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, `DELETE FROM users WHERE tenant_id = $1 AND id = $2`, e.TenantID, user)
	if err != nil {
		return fmt.Errorf("delete user: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return nil
	}
	// Not the event's time: it may have waited while new tokens were made.
	return revoke(ctx, tx, models.Revocation{Kind: models.RevokedUser, ID: user.String(), Until: r.now().Add(r.access)})
}
