package permit

import (
	"context"
	"strings"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// ByRole decides by the role of the token alone, for fleets without permission-service:
// owners, admins and members of a tenant may do everything in it, guests nothing. What is
// permissionapi.Administration only owners and admins may.
type ByRole struct{}

var _ Authority = ByRole{}

// Check implements Checker.
func (ByRole) Check(_ context.Context, who auth.Principal, action string, object Object) error {
	switch {
	case !byRole(who, permissionapi.Read, object):
		return errs.ErrNotFound
	case !byRole(who, action, object):
		return errs.ErrForbidden
	}
	return nil
}

// Filter implements Checker.
func (ByRole) Filter(_ context.Context, who auth.Principal, action string, objects []Object) ([]bool, error) {
	out := make([]bool, len(objects))
	for i, o := range objects {
		out[i] = byRole(who, action, o)
	}
	return out, nil
}

func byRole(who auth.Principal, action string, o Object) bool {
	if who.UserID.IsZero() || who.TenantID.IsZero() || !o.of(who) {
		return false
	}
	return who.IsAdmin() || who.Role == "member" && !permissionapi.IsAdministration(action)
}

// of reports whether the object may be one of the caller's tenant; a workspace's name does
// not tell whose it is.
func (o Object) of(who auth.Principal) bool {
	kind, rest, _ := strings.Cut(string(o), ":")
	tenant, _, _ := strings.Cut(rest, "/")
	return kind == "workspace" || tenant == who.TenantID.String()
}
