package tenantapi

import "github.com/pyairtable/pyairtable/pkg/errs"

// Errors of tenants.
var (
	ErrTenantNotFound = errs.New(errs.NotFound, "tenant_not_found", "There is no such tenant.")
	// ErrBadTenant names the faulty fields.
	ErrBadTenant = errs.New(errs.Invalid, "bad_tenant", "The tenant cannot be described like this.")
	ErrSlugTaken = errs.New(errs.Conflict, "slug_taken", "Another tenant has this slug.")
	// ErrPersonalTenant is the answer to what only organisations can do: have other
	// members, be suspended, change hands or be deleted.
	ErrPersonalTenant = errs.New(errs.Conflict, "personal_tenant", "A personal tenant belongs to its user alone.")
	// ErrTenantSuspended is the answer to all but the owners of a tenant that is
	// suspended or about to be deleted.
	ErrTenantSuspended = errs.New(errs.Forbidden, "tenant_suspended", "The tenant is suspended; only its owners may enter it.")
	ErrTenantDeleting  = errs.New(errs.Conflict, "tenant_deleting", "The tenant is about to be deleted; undo that first.")
	ErrNotDeleting     = errs.New(errs.Conflict, "tenant_not_deleting", "The tenant is not about to be deleted.")
	ErrOwnersOnly      = errs.New(errs.Forbidden, "owners_only", "Only an owner may do this.")
	ErrAdminsOnly      = errs.New(errs.Forbidden, "admins_only", "Only an owner, an admin or who has a role for it may do this.")
	// ErrTooStrong keeps people from managing those above them, and from giving or taking
	// what they do not have themselves.
	ErrTooStrong = errs.New(errs.Forbidden, "role_too_strong", "Nobody manages somebody stronger, or gives and takes more than he has himself.")
)

// Errors of members.
var (
	ErrMemberNotFound = errs.New(errs.NotFound, "member_not_found", "There is no such member.")
	// ErrLastOwner keeps a tenant from being nobody's.
	ErrLastOwner = errs.New(errs.Conflict, "last_owner", "The tenant needs an owner; make another one first.")
	ErrBadRole   = errs.New(errs.Invalid, "bad_role", "The member cannot have this role.")
	// ErrOwnerSuspended keeps a tenant from having owners who cannot enter it.
	ErrOwnerSuspended = errs.New(errs.Conflict, "owner_suspended", "An owner cannot be suspended; give him another role first.")
)
