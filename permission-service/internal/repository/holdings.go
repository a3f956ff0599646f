package repository

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// Holdings are all that a subject has in a tenant.
type Holdings struct {
	Facts    models.Facts              // without chain and grants
	Subjects []string                  // himself and his groups
	On       map[string][]models.Grant // by object
}

// Holdings reads all that the subject has. fallback is the tenant role of somebody who is
// not known.
func (r *Repository) Holdings(ctx context.Context, tenant id.TenantID, subject, fallback string) (Holdings, error) {
	h := Holdings{Facts: models.Facts{Tenant: tenant, Subject: subject}, Subjects: []string{subject}, On: map[string][]models.Grant{}}
	s, err := r.standing(ctx, tenant, subject, fallback)
	if err != nil {
		return h, err
	}
	h.Facts.TenantRole, h.Facts.Standing = s.at.Role, s.at
	if s.removed {
		return h, nil
	}
	h.Subjects = append(h.Subjects, s.groups...)
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, grantColumns+` WHERE g.tenant_id = $1 AND g.subject = ANY($2) ORDER BY g.id`, tenant, h.Subjects)
	if err != nil {
		return h, fmt.Errorf("read holdings: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanGrant)
	if err != nil {
		return h, fmt.Errorf("read holdings: %w", err)
	}
	custom := models.Facts{Chain: []string{models.TenantObject(tenant)}}
	if err := r.addCustom(ctx, tenant, &custom, subject, s.custom); err != nil {
		return h, err
	}
	for _, g := range append(list, custom.Grants...) {
		h.On[g.Object] = append(h.On[g.Object], g)
	}
	return h, nil
}

// Known lists up to limit objects of the kind after the given one, in the order of their
// names: those that have a place, and those that one of the subjects has anything on. With
// them come the places of all that they lie in.
func (r *Repository) Known(ctx context.Context, tenant id.TenantID, kind string, subjects []string, after string, limit int) ([]string, map[string]models.Place, error) {
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, `
		(SELECT object FROM places WHERE tenant_id = $1 AND object > $3 AND starts_with(object, $2) ORDER BY object LIMIT $5)
		UNION
		(SELECT object FROM grants WHERE tenant_id = $1 AND object > $3 AND starts_with(object, $2) AND subject = ANY($4) ORDER BY object LIMIT $5)
		ORDER BY object LIMIT $5`, tenant, kind+":", after, subjects, limit)
	if err != nil {
		return nil, nil, fmt.Errorf("list objects: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, nil, fmt.Errorf("list objects: %w", err)
	}
	places, err := r.places(ctx, tenant, list)
	return list, places, err
}

// places reads where the objects lie, and what they lie in.
func (r *Repository) places(ctx context.Context, tenant id.TenantID, objects []string) (map[string]models.Place, error) {
	out, asked := map[string]models.Place{}, map[string]bool{}
	for next := objects; len(next) > 0; {
		rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, `
			SELECT p.object, p.parent, p.gone FROM unnest($2::text[]) AS o JOIN places p ON p.tenant_id = $1 AND p.object = o`, tenant, next)
		if err != nil {
			return nil, fmt.Errorf("read places: %w", err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[models.Place])
		if err != nil {
			return nil, fmt.Errorf("read places: %w", err)
		}
		for _, o := range next {
			asked[o] = true
		}
		var above []string
		for _, p := range found {
			out[p.Object] = p
			above = append(above, p.Parent, models.BaseOf(p.Object))
		}
		next = nil
		for _, o := range above {
			if o != "" && !asked[o] {
				asked[o], next = true, append(next, o)
			}
		}
	}
	return out, nil
}
