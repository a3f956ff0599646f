package policy

import (
	"context"
	"errors"
	"slices"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/permit"
)

// levelsOf are Airtable's names of what may be done with a base, the weakest first, each
// with the action that it takes.
var levelsOf = []struct{ name, action string }{
	{"none", ""}, {"read", permissionapi.Read}, {"comment", permissionapi.Comment},
	{"edit", permissionapi.Edit}, {"create", permissionapi.Create},
}

// Bases leaves of the bases those that the caller may read, each with what he may do: no
// more than its connection may. A base of which he may read single tables is not among
// them; it opens to who knows its id.
func (g *Guard) Bases(ctx context.Context, who auth.Principal, bases []models.OfferedBase) ([]models.OfferedBase, error) {
	strongest := make([]int, len(bases))
	left := make([]int, len(bases)) // places in bases of those that had the last action
	for i := range bases {
		left[i] = i
	}
	for level := 1; level < len(levelsOf) && len(left) > 0; level++ {
		objects := make([]permit.Object, len(left))
		for i, at := range left {
			objects[i] = permit.Base(who.TenantID, bases[at].ID)
		}
		allowed, err := g.permits.Filter(ctx, who, levelsOf[level].action, objects)
		if err != nil {
			return nil, undecided(err)
		}
		var next []int
		for i, at := range left {
			if allowed[i] {
				strongest[at], next = level, append(next, at)
			}
		}
		left = next
	}
	out := make([]models.OfferedBase, 0, len(bases))
	for i, b := range bases {
		if strongest[i] == 0 {
			continue
		}
		if offered := rank(b.PermissionLevel); offered > strongest[i] {
			b.PermissionLevel = levelsOf[strongest[i]].name
		}
		out = append(out, b)
	}
	return out, nil
}

func rank(level string) int {
	return slices.IndexFunc(levelsOf, func(l struct{ name, action string }) bool { return l.name == level })
}

// Base returns the base as Bases shows it, or airtableapi.ErrBaseNotFound.
func (g *Guard) Base(ctx context.Context, who auth.Principal, b models.OfferedBase) (models.OfferedBase, error) {
	list, err := g.Bases(ctx, who, []models.OfferedBase{b})
	if err == nil && len(list) == 0 {
		err = airtableapi.ErrBaseNotFound
	}
	if err != nil {
		return models.OfferedBase{}, err
	}
	return list[0], nil
}

// MayCreateBase returns airtableapi.ErrNotPermitted for who may not make bases.
func (g *Guard) MayCreateBase(ctx context.Context, who auth.Principal) error {
	err := g.permits.Check(ctx, who, permissionapi.Create, permit.Tenant(who.TenantID))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errs.ErrForbidden), errors.Is(err, errs.ErrNotFound):
		return airtableapi.ErrNotPermitted
	}
	return undecided(err)
}

// Own makes a user the owner of a base. Members of a tenant have nothing but what they
// are given, and so not even the bases that they make.
func (g *Guard) Own(ctx context.Context, o Ownership) error {
	_, err := g.permits.Write(ctx, permissionapi.WriteRequest{
		TenantID: o.Tenant.String(), ActorID: o.User.String(),
		Grants: []permissionapi.Grant{{
			Subject: permit.Subject(auth.Principal{UserID: o.User}), Object: string(permit.Base(o.Tenant, o.Base)), Role: permissionapi.RoleOwner,
		}},
	})
	return err
}
