package models

import "github.com/pyairtable/pyairtable/pkg/api/tenantapi"

// Standing is what a user is in a tenant, and how the tenant is.
type Standing struct {
	Tenant    string // its status, as tenant-service names it
	Role      string // of the user, "" if he has none
	Suspended bool   // the user, in this tenant
}

// Shut is what shuts the user out, the kind of a step, or "" if nothing does. A tenant
// that is suspended, or about to be deleted, is shut to all but its owners; a member who
// is suspended is shut out whatever he is. Neither takes anything from anybody: when it
// ends, all have what they had.
func (s Standing) Shut() string {
	switch {
	case s.Suspended:
		return StepMemberSuspended
	case s.Role == TenantOwner:
		return ""
	case s.Tenant == tenantapi.StatusSuspended:
		return StepTenantSuspended
	case s.Tenant == tenantapi.StatusDeleting:
		return StepTenantDeleting
	}
	return ""
}
