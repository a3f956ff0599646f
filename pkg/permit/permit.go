// Package permit asks permission-service whether a caller may do something, and
// remembers the answer for a short time.
//
// It fails closed: when permission-service cannot be asked and nothing is remembered,
// nobody may anything, and the error is errs.ErrUnavailable.
package permit

import (
	"context"
	"strings"

	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Object names what permission is asked for.
type Object string

// Tenant is the organisation itself.
func Tenant(tenant id.TenantID) Object { return Object("tenant:" + tenant.String()) }

// Workspace is a workspace by its id.
func Workspace(workspace string) Object { return Object("workspace:" + workspace) }

// Base is a base by its Airtable id, which is unique within the tenant only.
func Base(tenant id.TenantID, base string) Object {
	return Object("base:" + tenant.String() + "/" + base)
}

// Table is a table of a base by its Airtable id.
func Table(tenant id.TenantID, base, table string) Object {
	return Object("table:" + tenant.String() + "/" + base + "/" + table)
}

// Subject is who asks.
func Subject(who auth.Principal) string { return "user:" + who.UserID.String() }

// Kind is what the object is: tenant, workspace, base or table.
func (o Object) Kind() string {
	kind, _, _ := strings.Cut(string(o), ":")
	return kind
}

// Checker decides. There are two: Client asks permission-service, ByRole knows the
// roles of the token alone, for a fleet without permission-service. Both are Authorities.
type Checker interface {
	// Check returns nil if the caller may do the action (of permissionapi) on the
	// object, errs.ErrForbidden if he may see but not do it, errs.ErrNotFound if he may
	// not even see it, and errs.ErrUnavailable if that cannot be found out.
	Check(ctx context.Context, who auth.Principal, action string, object Object) error
	// Filter tells for each object whether the caller may do the action on it.
	Filter(ctx context.Context, who auth.Principal, action string, objects []Object) ([]bool, error)
}
