package services

import (
	"context"
	"errors"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
)

// HandOn asks permission-service what permissionapi.HandOn does.
type HandOn func(ctx context.Context, in permissionapi.HandOnRequest) (permissionapi.HandOnAnswer, error)

// Rights is what callers may do in a tenant by their custom roles. Owners and admins need
// none: nobody is asked about them, so that no failure of permission-service keeps them
// from their tenant.
type Rights struct {
	checker permit.Checker
	handOn  HandOn
}

// NewRights asks what a caller may do by the checker, and what he may hand on by handOn.
func NewRights(checker permit.Checker, handOn HandOn) *Rights { return &Rights{checker, handOn} }

// may reports whether the caller has the permission, one of permissionapi.Administration.
func (r *Rights) may(ctx context.Context, who auth.Principal, permission string) (bool, error) {
	if who.IsAdmin() {
		return true, nil
	}
	err := r.checker.Check(ctx, who, permission, permit.Tenant(who.TenantID))
	if errors.Is(err, errs.ErrForbidden) || errors.Is(err, errs.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// caller refuses tokens of other tenants, and notes which of the permissions the caller
// has.
func (r *Rights) caller(ctx context.Context, who auth.Principal, tenant id.TenantID, permissions ...string) (models.Caller, error) {
	if who.TenantID != tenant {
		return models.Caller{}, tenantapi.ErrTenantNotFound
	}
	c := models.Caller{Tenant: tenant, User: who.UserID, Role: who.Role}
	for _, p := range permissions {
		yes, err := r.may(ctx, who, p)
		if err != nil {
			return c, err
		}
		if yes {
			c.May = append(c.May, p)
		}
	}
	return c, nil
}

// noteHandOn notes of a caller who is no admin that he may hand on these custom roles, and
// what these groups have, if that is so. Who may nothing is not asked about.
func (r *Rights) noteHandOn(ctx context.Context, c *models.Caller, roles, groups []string) error {
	if models.IsAdmin(c.Role) || len(c.May) == 0 || len(roles)+len(groups) == 0 {
		return nil
	}
	a, err := r.handOn(ctx, permissionapi.HandOnRequest{
		TenantID: c.Tenant.String(), Subject: "user:" + c.User.String(), Role: c.Role, Roles: roles, Groups: groups,
	})
	if err != nil {
		return errs.ErrUnavailable.Because(err)
	}
	if a.Allowed {
		c.HandsOn = append(append(c.HandsOn, roles...), groups...)
	}
	return nil
}

// enterFor is enter for callers who have the permission.
func (s *Tenants) enterFor(ctx context.Context, who auth.Principal, tenant id.TenantID, permission string) error {
	_, role, err := s.enter(ctx, who, tenant)
	if err != nil {
		return err
	}
	who.Role = role
	yes, err := s.rights.may(ctx, who, permission)
	if err == nil && !yes {
		err = tenantapi.ErrAdminsOnly
	}
	return err
}

// seesMembers reports whether the caller, who has the role in his tenant, sees who else is
// in it: all but guests do, and guests who manage some of it.
func (s *Tenants) seesMembers(ctx context.Context, who auth.Principal, role string) (bool, error) {
	if models.SeesMembers(role) {
		return true, nil
	}
	who.Role = role
	for _, p := range []string{permissionapi.ManageMembers, permissionapi.ManageGroups, permissionapi.ManageServiceAccounts} {
		if yes, err := s.rights.may(ctx, who, p); yes || err != nil {
			return yes, err
		}
	}
	return false, nil
}
