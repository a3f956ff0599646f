package permit

import (
	"context"
	"strings"

	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// ByRole decides by the role of the token alone, for fleets without permission-service:
// owners, admins and members of a tenant may do everything in it, guests nothing.
type ByRole struct{}

var _ Authority = ByRole{}

// Check implements Checker.
func (ByRole) Check(_ context.Context, who auth.Principal, _ string, object Object) error {
	if !byRole(who, object) {
		return errs.ErrNotFound
	}
	return nil
}

// Filter implements Checker.
func (ByRole) Filter(_ context.Context, who auth.Principal, _ string, objects []Object) ([]bool, error) {
	out := make([]bool, len(objects))
	for i, o := range objects {
		out[i] = byRole(who, o)
	}
	return out, nil
}

func byRole(who auth.Principal, o Object) bool {
	if who.UserID.IsZero() || who.TenantID.IsZero() || !o.of(who) {
		return false
	}
	return who.Role == "owner" || who.Role == "admin" || who.Role == "member"
}

// of reports whether the object may be one of the caller's tenant; a workspace's name does
// not tell whose it is.
func (o Object) of(who auth.Principal) bool {
	kind, rest, _ := strings.Cut(string(o), ":")
	tenant, _, _ := strings.Cut(rest, "/")
	return kind == "workspace" || tenant == who.TenantID.String()
}
