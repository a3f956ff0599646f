package repository

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// MemberChanged keeps what tenant-service says of a membership: who is in a tenant is seen
// there, who was removed is not any more. Events may come in any order; one that is older
// than what is known changes nothing.
func (r *Repository) MemberChanged(ctx context.Context, tx pgx.Tx, e events.Event, d tenantapi.MemberChanged) error {
	user, err := id.Parse[id.User](d.UserID)
	if err != nil {
		return fmt.Errorf("user of %s: %w", e.ID, err)
	}
	if err := postgres.Enter(ctx, tx, e.TenantID); err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO told_memberships AS m (tenant_id, member_id, user_id, role, version, ended) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT ON CONSTRAINT told_memberships_pkey DO UPDATE SET role = excluded.role, version = excluded.version, ended = excluded.ended
		WHERE m.version < excluded.version`,
		e.TenantID, d.MemberID, user, d.Role, e.Version, e.Type == tenantapi.MemberRemoved.Name)
	if err != nil {
		return fmt.Errorf("keep membership: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return nil
	}
	return follow(ctx, tx, e.TenantID, user)
}

// follow makes the user a member of the tenant, or none, as was told. Of several
// memberships, the end of one of which has not been heard of yet, the newest counts. Who
// is erased is nowhere.
func follow(ctx context.Context, tx pgx.Tx, tenant id.TenantID, user id.UserID) error {
	var role string
	err := tx.QueryRow(ctx, `
		SELECT role FROM told_memberships WHERE tenant_id = $1 AND user_id = $2 AND NOT ended
			AND NOT EXISTS (SELECT FROM users WHERE id = $2 AND deleted_at IS NOT NULL)
		ORDER BY member_id DESC LIMIT 1`, tenant, user).Scan(&role)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		_, err = tx.Exec(ctx, `DELETE FROM memberships WHERE tenant_id = $1 AND user_id = $2`, tenant, user)
	case err == nil:
		_, err = tx.Exec(ctx, `
			INSERT INTO memberships (tenant_id, user_id, role) VALUES ($1, $2, $3)
			ON CONFLICT ON CONSTRAINT memberships_pkey DO UPDATE SET role = excluded.role`, tenant, user, role)
	}
	if err != nil {
		return fmt.Errorf("follow membership: %w", err)
	}
	return nil
}

// TenantDeleted ends all memberships of a tenant that is gone. The users stay.
func (r *Repository) TenantDeleted(ctx context.Context, tx pgx.Tx, e events.Event, _ tenantapi.TenantChanged) error {
	if err := postgres.Enter(ctx, tx, e.TenantID); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE told_memberships SET ended = true WHERE tenant_id = $1`, e.TenantID); err != nil {
		return fmt.Errorf("end memberships: %w", err)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM memberships WHERE tenant_id = $1`, e.TenantID); err != nil {
		return fmt.Errorf("end memberships: %w", err)
	}
	return nil
}
