package userapi

import "github.com/pyairtable/pyairtable/pkg/errs"

var (
	// ErrUserNotFound is the answer for a user who does not exist, was deleted, or
	// shares no tenant with the caller.
	ErrUserNotFound = errs.New(errs.NotFound, "user_not_found", "There is no such user.")
	// ErrBadProfile names every faulty field.
	ErrBadProfile = errs.New(errs.Invalid, "bad_profile", "The profile cannot be stored like this.")
	ErrMayNotEdit = errs.New(errs.Forbidden, "may_not_edit", "Only an owner or admin of the tenant may change another user, and only an owner an owner.")
	// ErrNotManaged protects an account that merely joined the caller's tenant:
	// leaving a tenant must not cost the account.
	ErrNotManaged = errs.New(errs.Forbidden, "account_not_managed", "The account belongs to another tenant, which alone can delete it.")
)
