package permissionapi

import "github.com/pyairtable/pyairtable/pkg/errs"

// What permission-service answers beside the general errors.
var (
	ErrBadSubject  = errs.New(errs.Invalid, "bad_subject", "The subject is no user or group of the tenant.")
	ErrBadObject   = errs.New(errs.Invalid, "bad_object", "The object is none of the tenant.")
	ErrBadRole     = errs.New(errs.Invalid, "bad_role", "The tenant has no such role.")
	ErrBadGrant    = errs.New(errs.Invalid, "bad_grant", "The grant's conditions cannot be met.")
	ErrBadRule     = errs.New(errs.Invalid, "bad_policy", "The policy is not valid.")
	ErrBadToken    = errs.New(errs.Invalid, "bad_token", "The consistency token is none of this tenant.")
	ErrBadIP       = errs.New(errs.Invalid, "bad_ip", "The address is none.")
	ErrChanged     = errs.New(errs.PreconditionFailed, "permissions_changed", "Grants on the object have changed since then.")
	ErrTooStrong   = errs.New(errs.Forbidden, "role_too_strong", "Nobody gives or takes more than he has himself.")
	ErrRoleInUse   = errs.New(errs.Conflict, "role_in_use", "Grants or members still have the role.")
	ErrRoleTaken   = errs.New(errs.Conflict, "role_name_taken", "The tenant has a role with this name.")
	ErrOwnersOwner = errs.New(errs.Forbidden, "owner_protected", "Only owners and admins of the tenant deny anything to one of them.")
)
