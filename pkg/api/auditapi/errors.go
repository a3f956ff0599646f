package auditapi

import "github.com/pyairtable/pyairtable/pkg/errs"

// What audit-service answers beside the general errors.
var (
	ErrAdminsOnly = errs.New(errs.Forbidden, "admins_only", "Only owners and admins of the tenant may use its audit log.")
	ErrPruned     = errs.New(errs.Conflict, "entries_pruned", "The retention of the tenant has pruned what this would be made of.")
	ErrBadSize    = errs.New(errs.Invalid, "bad_tree_size", "The log has never had such a size.")
	ErrBadSink    = errs.New(errs.Invalid, "bad_sink", "Nothing can be forwarded there.")
	ErrTooMany    = errs.New(errs.Conflict, "too_many_sinks", "The tenant has as many sinks as it may have.")
	ErrTampered   = errs.New(errs.Conflict, "log_tampered", "The log does not verify; see /api/v1/audit/verify.")
)
