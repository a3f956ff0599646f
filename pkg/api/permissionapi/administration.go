package permissionapi

import (
	"net/http"
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
)

// What is done with a tenant itself, the object tenant:ID. Each is allowed by itself and
// includes no other. Owners and admins of the tenant may all of it, and no denial takes
// it from them; everybody else what his custom roles name. On other objects it means
// nothing.
const (
	ManageMembers         = "members.manage"          // members and invitations
	ManageGroups          = "groups.manage"           // groups and who is in them
	ManageServiceAccounts = "service_accounts.manage" // members that are programs
	ManageSettings        = "settings.manage"         // name, logo, rules for signing in; shows domains
	ManageDirectories     = "directories.manage"      // lists and revokes what directories provision with
	ReadBilling           = "billing.read"            // subscription, limits and what is used of them
	ReadAudit             = "audit.read"              // the audit log
)

// Administration is all that is done with a tenant itself, beside Actions.
var Administration = []string{
	ManageMembers, ManageGroups, ManageServiceAccounts, ManageSettings, ManageDirectories, ReadBilling, ReadAudit,
}

// IsAdministration reports whether the action is one of Administration.
func IsAdministration(action string) bool { return slices.Contains(Administration, action) }

// HandOn asks whether a caller may give and take all that the custom roles allow in the
// tenant, and all that was given to the groups: to change who is in a group is to give
// and to take that. He may what he could grant by himself, and of Administration what he
// has; in both cases without an end and from everywhere. Owners and admins may all.
var HandOn = api.Op[HandOnRequest, HandOnAnswer]{
	Name: "checkHandOn", Method: http.MethodPost, Path: "/internal/v1/permissions/hand-on",
	Access: api.Internal, Callers: enforcers, Summary: "May somebody hand on roles and what groups have?", Timeout: 5 * time.Second,
}

// HandOnRequest names the caller as Question does.
type HandOnRequest struct {
	TenantID string   `json:"tenant_id" format:"uuid"`
	Subject  string   `json:"subject" maxLength:"200" doc:"user:ID"`
	Role     string   `json:"role,omitempty" enum:"owner,admin,member,guest"`
	Roles    []string `json:"roles,omitempty" maxItems:"100" doc:"Ids of custom roles."`
	Groups   []string `json:"groups,omitempty" maxItems:"100" doc:"Ids of groups."`
}

// HandOnAnswer is one answer to all that was asked about.
type HandOnAnswer struct {
	Allowed bool `json:"allowed"`
}
