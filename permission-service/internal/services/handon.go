package services

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// grantsAtOnce is how many of a group's grants are read at a time.
const grantsAtOnce = 200

// forGood is when everything has ended that ends by itself.
var forGood = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// MayHandOn reports whether the caller may give and take what the custom roles allow in
// his tenant, and what the groups were given: see permissionapi.HandOn. Roles that do not
// exist nobody hands on.
func (d *Decisions) MayHandOn(ctx context.Context, who auth.Principal, roles, groups []string) (bool, error) {
	switch err := d.MayAdminister(ctx, who); {
	case err == nil:
		return true, nil
	case !errors.Is(err, errs.ErrForbidden):
		return false, err
	}
	var all []models.Grant
	for _, role := range roles {
		actions, err := d.actions(ctx, who.TenantID, role)
		if errors.Is(err, permissionapi.ErrBadRole) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		all = append(all, models.Grant{Object: models.TenantObject(who.TenantID), Actions: actions})
	}
	for _, group := range groups {
		given, err := d.givenTo(ctx, who, models.GroupSubject(group))
		if err != nil {
			return false, err
		}
		all = append(all, given...)
	}
	err := d.mayHandOn(ctx, who, all)
	if errors.Is(err, permissionapi.ErrTooStrong) {
		return false, nil
	}
	return err == nil, err
}

// givenTo are all grants of the subject.
func (d *Decisions) givenTo(ctx context.Context, who auth.Principal, subject string) ([]models.Grant, error) {
	var all []models.Grant
	var after models.GrantID
	for {
		part, err := d.repo.Grants(ctx, who.TenantID, "", subject, after, grantsAtOnce)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
		if len(part) < grantsAtOnce {
			return all, nil
		}
		after = part[len(part)-1].ID
	}
}

// mayHandOn returns nil if the caller has what it needs to give or take the grants, and
// not only for a time or from some networks; permissionapi.ErrTooStrong if not.
func (d *Decisions) mayHandOn(ctx context.Context, who auth.Principal, grants []models.Grant) error {
	return d.has(ctx, who, grants, time.Time{}, forGood)
}

// has returns nil if at each of the times, now for the zero one, the caller has what it
// needs to give or take the grants, from wherever he asks; permissionapi.ErrTooStrong if not.
func (d *Decisions) has(ctx context.Context, who auth.Principal, grants []models.Grant, times ...time.Time) error {
	var questions []Question
	seen := map[[2]string]bool{}
	for _, g := range grants {
		for _, action := range models.Need(g.Object, g.Actions, g.Deny) {
			if key := [2]string{g.Object, action}; !seen[key] {
				seen[key] = true
				questions = append(questions, Question{
					Subject: models.UserSubject(who.UserID.String()), Action: action, Object: g.Object, Role: who.Role,
				})
			}
		}
	}
	if len(questions) == 0 {
		return nil
	}
	for _, at := range times { // from an address that is not known
		a, err := d.Check(ctx, Request{Tenant: who.TenantID, Questions: questions, Time: at})
		if err != nil {
			return err
		}
		if slices.Contains(a.Allowed, false) {
			return permissionapi.ErrTooStrong
		}
	}
	return nil
}
