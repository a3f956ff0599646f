package permissionapi

import (
	"net/http"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
)

// Actions that are asked about. Each includes those before it in the same line:
//
//	read < comment < edit < create < share < manage
//
// create is Airtable's creator: schema and views. share grants roles up to one's own.
// manage renames, moves, archives and deletes the object itself.
const (
	Read    = "read"
	Comment = "comment"
	Edit    = "edit"
	Create  = "create"
	Share   = "share"
	Manage  = "manage"
)

// Roles on workspaces, bases and tables, named as Airtable names them, with the
// strongest action of each: owner manage, creator share, editor edit, commenter
// comment, viewer read. A tenant's owners and admins have owner on all its objects;
// its members and guests have what they are given.
const (
	RoleOwner     = "owner"
	RoleCreator   = "creator"
	RoleEditor    = "editor"
	RoleCommenter = "commenter"
	RoleViewer    = "viewer"
)

// Question asks whether subject may do action on object.
type Question struct {
	Subject string `json:"subject" maxLength:"200" doc:"user:ID"`
	Action  string `json:"action" enum:"read,comment,edit,create,share,manage,members.manage,groups.manage,service_accounts.manage,settings.manage,directories.manage,billing.read,audit.read"`
	Object  string `json:"object" maxLength:"300"`
	// Role is the subject's role in the tenant as his verified token tells it. It counts
	// until permission-service has heard of the member itself.
	Role string `json:"role,omitempty" enum:"owner,admin,member,guest"`
	// Parents place an object that permission-service may not have heard of, from the
	// object's own parent upward: a base that is in no workspace belongs to its tenant.
	Parents []string `json:"parents,omitempty" maxItems:"4" doc:"What the object lies in, the nearest first."`
}

// CheckRequest asks questions of one tenant in one go. Answers come in their order.
type CheckRequest struct {
	TenantID  string     `json:"tenant_id" format:"uuid"`
	Questions []Question `json:"questions" minItems:"1" maxItems:"100"`
	// IP and Time are what conditions look at. Time zero is now.
	IP   string    `json:"ip,omitempty" maxLength:"64"`
	Time time.Time `json:"time,omitzero"`
	// AtLeast is the token of a write that the answer must have seen.
	AtLeast string `json:"at_least,omitempty" maxLength:"100"`
}

// CheckAnswer answers each question. Until says how long the answers hold unless
// permissions change: a grant may end by itself.
type CheckAnswer struct {
	Allowed []bool    `json:"allowed" nullable:"false"`
	Until   time.Time `json:"until,omitzero"`
	Token   string    `json:"token" doc:"What the answers have seen; give it as at_least to see no less."`
}

// Grant gives a subject a role on an object.
type Grant struct {
	Subject   string    `json:"subject" maxLength:"200" doc:"user:ID or group:ID"`
	Object    string    `json:"object" maxLength:"300"`
	Role      string    `json:"role" maxLength:"100" doc:"A built-in role, or the id of a custom one."`
	Deny      bool      `json:"deny,omitempty" doc:"Takes the role's actions away, whatever else grants them."`
	ExpiresAt time.Time `json:"expires_at,omitzero" doc:"When it ends by itself; absent: never."`
	IPRanges  []string  `json:"ip_ranges,omitempty" maxItems:"50" doc:"Holds for requests from these networks (CIDR) only."`
}

// WriteRequest changes grants and places of objects, all of it or nothing. What is
// there already, or gone already, is no error.
type WriteRequest struct {
	TenantID string  `json:"tenant_id" format:"uuid"`
	Grants   []Grant `json:"grants,omitempty" maxItems:"100"`
	Revokes  []Grant `json:"revokes,omitempty" maxItems:"100" doc:"By subject, object, role and deny."`
	Places   []Place `json:"places,omitempty" maxItems:"100"`
	// IfUnchanged refuses the write if grants of Object changed since this token.
	IfUnchanged string `json:"if_unchanged,omitempty" maxLength:"100"`
	Object      string `json:"object,omitempty" maxLength:"300"`
	ActorID     string `json:"actor_id,omitempty" maxLength:"100"`
}

// Place puts an object under its parent; an empty parent takes it out of the tree,
// with the grants on it.
type Place struct {
	Object string `json:"object" maxLength:"300"`
	Parent string `json:"parent,omitempty" maxLength:"300"`
	// Version drops what is older: the version of the event that tells of the place.
	Version int64 `json:"version"`
}

// WriteAnswer carries the token by which a check sees the write.
type WriteAnswer struct {
	Token string `json:"token"`
}

var (
	// enforcers may ask: every service, before it shows or changes anything. The answer is
	// yes or no.
	enforcers = []string{api.AnyService}
	// keepers have the objects that are placed and shared.
	keepers = []string{"airtable-gateway", "workspace-service"}
)

// For other services.
var (
	Check = api.Op[CheckRequest, CheckAnswer]{
		Name: "checkPermissions", Method: http.MethodPost, Path: "/internal/v1/permissions/check",
		Access: api.Internal, Callers: enforcers, Summary: "May these subjects do this?", Timeout: 5 * time.Second,
	}
	Write = api.Op[WriteRequest, WriteAnswer]{
		Name: "writePermissions", Method: http.MethodPost, Path: "/internal/v1/permissions/write",
		Access: api.Internal, Callers: keepers, Summary: "Grant, revoke and place", Timeout: 10 * time.Second,
	}
	FetchPolicy = api.Op[PolicyQuery, Policy]{
		Name: "fetchPolicy", Method: http.MethodGet, Path: "/internal/v1/permissions/policy",
		Access: api.Internal, Callers: keepers, Summary: "What a subject may see of a base", Timeout: 5 * time.Second,
	}
)

// PolicyQuery asks for the policy of a subject in a base.
type PolicyQuery struct {
	TenantID string `query:"tenant_id" format:"uuid" required:"true"`
	Subject  string `query:"subject" required:"true"`
	BaseID   string `query:"base_id" required:"true"`
	// Role is as in Question: it counts until permission-service has heard of the member.
	Role string `query:"role" enum:"owner,admin,member,guest,"`
}

// Policy is what a subject may see and write of a base's tables beyond its role: rules
// that name him, one of his groups or one of his roles. Several add up: a field is
// masked if one masks it, a row is visible if all let it through.
type Policy struct {
	Version string        `json:"version"`
	Tables  []TablePolicy `json:"tables" nullable:"false"` // that have any
	// Granted are the tables of the base on which anybody has a grant or a denial of its
	// own. What is allowed on any other table of it is what is allowed on the base.
	Granted []string `json:"granted" nullable:"false"`
}

// TablePolicy holds for one table.
type TablePolicy struct {
	TableID string `json:"table_id"`
	// Hidden fields are absent: they can be neither read, written, filtered nor sorted
	// by. ReadOnly ones can be seen and not written.
	Hidden   []string `json:"hidden" nullable:"false"`
	ReadOnly []string `json:"read_only" nullable:"false"`
	// Rows are formulas over the record, in Airtable's language with field ids in braces
	// ({fldX}); USER_ID() and USER_EMAIL() are not in the language: $user stands for
	// the subject's usr… id as a text.
	Rows []string `json:"rows" nullable:"false"`
}
