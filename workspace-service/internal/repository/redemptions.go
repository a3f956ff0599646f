package repository

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
)

const redemptionColumns = `SELECT tenant_id, link_id, user_id, kind, object_id, role, until FROM share_redemptions `

// Redeem notes that the user has by the link what m says, together with the event, and
// forgets failed attempts. It returns errs.ErrNotFound if the link has changed meanwhile.
func (r *Repository) Redeem(ctx context.Context, l models.ShareLink, m models.Redemption, now time.Time, redeemed events.Event) error {
	return postgres.InTenant(ctx, r.pool, l.Tenant, func(tx pgx.Tx) error {
		still, err := exec(ctx, tx, "note opening", `
			UPDATE share_links SET opened = opened + 1, last_opened_at = $4, failures = 0, blocked_until = NULL
			WHERE tenant_id = $1 AND id = $2 AND version = $3`, l.Tenant, l.ID, l.Version, now)
		if err == nil && still == 0 {
			err = errs.ErrNotFound
		}
		if err != nil {
			return err
		}
		_, err = exec(ctx, tx, "store redemption", `
			INSERT INTO share_redemptions (tenant_id, link_id, user_id, kind, object_id, role, until, redeemed_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT ON CONSTRAINT share_redemptions_pkey DO UPDATE SET until = excluded.until, redeemed_at = excluded.redeemed_at, dropped_at = NULL`,
			m.Tenant, m.Link, m.User, m.Kind, m.Object, m.Role, m.Until, now)
		if err != nil {
			return err
		}
		return events.Emit(ctx, tx, redeemed)
	})
}

// Redeemed reports whether the user has something by the link at the time.
func (r *Repository) Redeemed(ctx context.Context, l models.ShareLink, user id.UserID, now time.Time) (bool, error) {
	return one(ctx, r.of(l.Tenant), "look for redemption", pgx.RowTo[bool], `
		SELECT EXISTS (SELECT FROM share_redemptions WHERE tenant_id = $1 AND link_id = $2 AND user_id = $3 AND dropped_at IS NULL AND until > $4)`,
		l.Tenant, l.ID, user, now)
}

// DropRedemptions has what was given by the link taken back.
func (r *Repository) DropRedemptions(ctx context.Context, tenant id.TenantID, link models.ShareLinkID) error {
	return r.dropRedemptions(ctx, r.of(tenant), tenant, []models.ShareLinkID{link})
}

func (r *Repository) dropRedemptions(ctx context.Context, q postgres.Querier, tenant id.TenantID, links []models.ShareLinkID) error {
	_, err := exec(ctx, q, "drop redemptions", `
		UPDATE share_redemptions SET dropped_at = $3 WHERE tenant_id = $1 AND link_id = ANY($2::uuid[]) AND dropped_at IS NULL`, tenant, links, r.now())
	return err
}

// Dropped returns up to limit redemptions that are to be taken back: of one link, or of
// every tenant for a zero one.
func (r *Repository) Dropped(ctx context.Context, link models.ShareLinkID, limit int) ([]models.Redemption, error) {
	return query(ctx, postgres.ForEveryTenant(r.pool), "look for dropped redemptions", pgx.RowToStructByPos[models.Redemption], redemptionColumns+`
		WHERE dropped_at IS NOT NULL AND ($1::uuid IS NULL OR link_id = $1) ORDER BY tenant_id, link_id, user_id LIMIT $2`, link, limit)
}

// RedeemedLinks returns the links by which users have something, of every tenant, in the
// order of their ids, from behind after on.
func (r *Repository) RedeemedLinks(ctx context.Context, after models.ShareLinkID, limit int) ([]models.ShareLink, error) {
	return query(ctx, postgres.ForEveryTenant(r.pool), "list redeemed links", scanLink, linkColumns+`
		WHERE ($1::uuid IS NULL OR l.id > $1) AND EXISTS (
			SELECT FROM share_redemptions m WHERE m.tenant_id = l.tenant_id AND m.link_id = l.id AND m.dropped_at IS NULL)
		ORDER BY l.id LIMIT $2`, after, limit)
}

// ForgetRedemption removes a redemption that was taken back.
func (r *Repository) ForgetRedemption(ctx context.Context, m models.Redemption) error {
	_, err := exec(ctx, r.of(m.Tenant), "forget redemption", `
		DELETE FROM share_redemptions WHERE tenant_id = $1 AND link_id = $2 AND user_id = $3 AND dropped_at IS NOT NULL`, m.Tenant, m.Link, m.User)
	return err
}

// ForgetEnded removes redemptions that ended by themselves, of every tenant.
func (r *Repository) ForgetEnded(ctx context.Context, now time.Time) error {
	_, err := exec(ctx, postgres.ForEveryTenant(r.pool), "forget ended redemptions", `DELETE FROM share_redemptions WHERE until <= $1`, now)
	return err
}

// Supersede forgets what a user has by links to an object, since somebody decided about
// him: the end of a link takes nothing from him any more.
func (r *Repository) Supersede(ctx context.Context, tenant id.TenantID, object permit.Object, subject string) error {
	user, _ := strings.CutPrefix(subject, "user:")
	kind, ref, _ := strings.Cut(string(object), ":")
	if kind == workspaceapi.KindBase {
		_, ref, _ = strings.Cut(ref, "/")
	}
	_, err := exec(ctx, r.of(tenant), "supersede redemptions", `
		DELETE FROM share_redemptions WHERE tenant_id = $1 AND kind = $2 AND object_id = $3 AND user_id::text = $4`, tenant, kind, ref, user)
	return err
}
