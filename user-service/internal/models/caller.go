package models

import (
	"slices"

	"github.com/pyairtable/pyairtable/pkg/id"
)

// The roles in a tenant.
const (
	RoleOwner  = "owner"
	RoleAdmin  = "admin"
	RoleMember = "member"
	RoleGuest  = "guest"
)

// Caller is who asks, as far as it matters here.
type Caller struct {
	User     id.UserID
	Tenant   id.TenantID
	Role     string
	Everyone bool // may see and change the users of all tenants
	// ManagesMembers is what a custom role of his lets him do: see everybody in the tenant,
	// and change who is no stronger than he is.
	ManagesMembers bool
}

// SeesTenant reports whether the caller sees the members of his tenant. A guest
// sees himself only.
func (c Caller) SeesTenant() bool {
	return c.ManagesMembers || slices.Contains([]string{RoleOwner, RoleAdmin, RoleMember}, c.Role)
}

// roles from the weakest to the strongest.
var roles = []string{RoleGuest, RoleMember, RoleAdmin, RoleOwner}

// MayEdit reports whether the caller may change u, whom he sees, and who has the
// role in the caller's tenant, "" for none.
func (c Caller) MayEdit(u id.UserID, role string) bool {
	return c.MayErase(u, role) || c.ManagesMembers && role != "" && slices.Index(roles, role) <= slices.Index(roles, c.Role)
}

// MayErase reports whether the caller may end u, who is as for MayEdit.
func (c Caller) MayErase(u id.UserID, role string) bool {
	switch {
	case c.User == u || c.Everyone:
		return true
	case role == RoleOwner:
		return c.Role == RoleOwner
	case role == "":
		return false
	}
	return c.Role == RoleOwner || c.Role == RoleAdmin
}

// Manages reports whether the caller's tenant may decide that the account ends.
func (c Caller) Manages(u User) bool {
	return c.User == u.ID || c.Everyone || c.Tenant == u.Tenant
}

// MayRepeat reports whether the caller could have deleted u, of whom only the
// tombstone is left.
func (c Caller) MayRepeat(u User) bool {
	return c.User == u.ID || c.Everyone || c.Tenant == u.Tenant && (c.Role == RoleOwner || c.Role == RoleAdmin)
}
