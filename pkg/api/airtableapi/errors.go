package airtableapi

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/errs"
)

// What the operations answer beside the general errors.
var (
	ErrBaseNotFound       = errs.New(errs.NotFound, "base_not_found", "No connection of this tenant offers such a base to this token.")
	ErrTableNotFound      = errs.New(errs.NotFound, "table_not_found", "The base has no such table.")
	ErrRecordNotFound     = errs.New(errs.NotFound, "record_not_found", "The table has no such record.")
	ErrConnectionNotFound = errs.New(errs.NotFound, "connection_not_found", "The tenant has no such connection.")
	ErrFileNotFound       = errs.New(errs.NotFound, "file_not_found", "The link leads to no file.")
	ErrFileExpired        = errs.New(errs.Forbidden, "file_link_expired", "The link has expired. Reading the record again gives a new one.")
	ErrFileNotYet         = errs.New(errs.Unavailable, "file_not_here_yet", "The file is being fetched.")

	ErrUnknownField       = errs.New(errs.Invalid, "unknown_field_name", "The table has no such field.")
	ErrInvalidValue       = errs.New(errs.Invalid, "invalid_value_for_column", "A field cannot accept the value.")
	ErrInvalidRecord      = errs.New(errs.Invalid, "invalid_request", "Airtable refused the request.")
	ErrNotPermitted       = errs.New(errs.Forbidden, "invalid_permissions", "Airtable does not permit the operation.")
	ErrTokenRefused       = errs.New(errs.Invalid, "airtable_token_refused", "Airtable refused the token.")
	ErrURLNotAllowed      = errs.New(errs.Invalid, "api_url_not_allowed", "The address is not on the list of allowed Airtable addresses.")
	ErrLocalExists        = errs.New(errs.Conflict, "local_connection_exists", "The tenant has a local connection already; one is enough for any number of bases.")
	ErrTooManyConnections = errs.New(errs.Conflict, "too_many_connections", "The tenant has as many connections as it may.")
	ErrFixedKind          = errs.New(errs.Invalid, "connection_kind_fixed", "A local connection has no address and no token.")
	ErrAdminsOnly         = errs.New(errs.Forbidden, "admins_only", "Only an owner or admin of the tenant may do this.")
	ErrMembersOnly        = errs.New(errs.Forbidden, "members_only", "Guests of the tenant may not see this.")
	ErrConnectionRefused  = errs.New(errs.Forbidden, "connection_token_refused", "Airtable no longer accepts the token of the connection that the base belongs to.")
	ErrRateLimited        = errs.New(errs.TooMany, "airtable_rate_limited", "Airtable's rate limit is exhausted.").After(30 * time.Second)
	ErrUpstreamAway       = errs.New(errs.Unavailable, "airtable_unavailable", "Airtable gave no answer.").After(time.Second)
	ErrOutcomeUnknown     = errs.New(errs.Internal, "outcome_unknown", "Airtable gave no answer; the change may or may not have been made.")
)
