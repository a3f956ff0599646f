package permissionapi

import (
	"net/http"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

const root = "/api/v1/permissions"

// Grants. Who may share an object gives and takes roles up to his own strength on it;
// who may manage it denies; owners and admins of the tenant may all of that on every
// object.
var (
	CreateGrant = api.Op[Grant, CreatedGrant]{
		Name: "createGrant", Method: http.MethodPost, Path: root + "/grants", Status: http.StatusCreated, Idempotent: true,
		Summary: "Give a role on an object", Description: "The same subject, object, role and deny again changes expiry and networks. " +
			"Who is no owner or admin of the tenant gives for no longer than he has himself, and not what he has from some networks alone.",
		Errors: []*errs.Error{errs.ErrNotFound, ErrBadSubject, ErrBadObject, ErrBadRole, ErrBadGrant, ErrTooStrong, ErrOwnersOwner},
	}
	GetGrant = api.Op[GrantRef, GrantRecord]{
		Name: "getGrant", Method: http.MethodGet, Path: root + "/grants/{id}",
		Summary: "Show a grant", Errors: []*errs.Error{errs.ErrNotFound},
	}
	ListGrants = api.Op[GrantQuery, GrantPage]{
		Name: "listGrants", Method: http.MethodGet, Path: root + "/grants", Summary: "List grants",
		Description: "Oldest first: those on an object that the caller may share, his own, or all for owners and admins of the tenant.",
		Errors:      []*errs.Error{errs.ErrNotFound},
	}
	RevokeGrant = api.Op[GrantRef, Changed]{
		Name: "revokeGrant", Method: http.MethodDelete, Path: root + "/grants/{id}", Status: http.StatusNoContent,
		Summary: "Take a grant back", Errors: []*errs.Error{errs.ErrNotFound, ErrTooStrong, ErrOwnersOwner},
	}
)

// Roles of the tenant's own. Owners and admins of the tenant make them, its people see them.
var (
	CreateRole = api.Op[NewRole, CreatedRole]{
		Name: "createRole", Method: http.MethodPost, Path: root + "/roles", Status: http.StatusCreated, Idempotent: true,
		Summary: "Make a role", Errors: []*errs.Error{ErrRoleTaken},
	}
	GetRole = api.Op[RoleRef, RoleAnswer]{
		Name: "getRole", Method: http.MethodGet, Path: root + "/roles/{id}",
		Summary: "Show a role", Errors: []*errs.Error{errs.ErrNotFound},
	}
	ListRoles = api.Op[api.PageQuery, RolePage]{
		Name: "listRoles", Method: http.MethodGet, Path: root + "/roles", Summary: "List the tenant's own roles", Description: "Oldest first.",
	}
	UpdateRole = api.Op[RolePatch, RoleAnswer]{
		Name: "updateRole", Method: http.MethodPatch, Path: root + "/roles/{id}",
		Summary: "Change a role", Description: "Everybody who has it has the new actions at once.", Errors: []*errs.Error{errs.ErrNotFound, ErrRoleTaken, errs.ErrPreconditionFailed},
	}
	DeleteRole = api.Op[RoleDeletion, Changed]{
		Name: "deleteRole", Method: http.MethodDelete, Path: root + "/roles/{id}", Status: http.StatusNoContent,
		Summary: "Delete a role that nobody has", Errors: []*errs.Error{errs.ErrNotFound, ErrRoleInUse, errs.ErrPreconditionFailed},
	}
)

// Policies: field masks, read-only fields and row rules. Owners and admins of the tenant
// see and make them.
var (
	CreatePolicy = api.Op[Rule, CreatedRule]{
		Name: "createPolicy", Method: http.MethodPost, Path: root + "/policies", Status: http.StatusCreated, Idempotent: true,
		Summary: "Make a policy", Errors: []*errs.Error{ErrBadRule, ErrBadSubject},
	}
	GetPolicy = api.Op[RuleRef, RuleAnswer]{
		Name: "getPolicy", Method: http.MethodGet, Path: root + "/policies/{id}",
		Summary: "Show a policy", Errors: []*errs.Error{errs.ErrNotFound},
	}
	ListPolicies = api.Op[RuleQuery, RulePage]{
		Name: "listPolicies", Method: http.MethodGet, Path: root + "/policies", Summary: "List policies", Description: "Oldest first.",
	}
	UpdatePolicy = api.Op[RuleUpdate, RuleAnswer]{
		Name: "updatePolicy", Method: http.MethodPut, Path: root + "/policies/{id}",
		Summary: "Replace a policy", Errors: []*errs.Error{errs.ErrNotFound, ErrBadRule, ErrBadSubject, errs.ErrPreconditionFailed},
	}
	DeletePolicy = api.Op[RuleDeletion, Changed]{
		Name: "deletePolicy", Method: http.MethodDelete, Path: root + "/policies/{id}", Status: http.StatusNoContent,
		Summary: "Delete a policy", Errors: []*errs.Error{errs.ErrNotFound, errs.ErrPreconditionFailed},
	}
)

// Questions. Everybody asks about himself; who may share an object asks about others on
// it; owners and admins of the tenant ask about all.
var (
	CheckMine = api.Op[MyQuestions, CheckAnswer]{
		Name: "checkMyPermissions", Method: http.MethodPost, Path: root + "/check",
		Summary: "What may I do?", Errors: []*errs.Error{ErrBadToken},
	}
	Explain = api.Op[ExplainQuery, Explanation]{
		Name: "explainPermission", Method: http.MethodGet, Path: root + "/explain",
		Summary: "Why may somebody do something, or not?", Errors: []*errs.Error{errs.ErrNotFound, ErrBadSubject, ErrBadObject, ErrBadIP},
	}
	ListObjects = api.Op[ObjectQuery, ObjectPage]{
		Name: "listPermittedObjects", Method: http.MethodGet, Path: root + "/objects", Summary: "On what may somebody do something?",
		Description: "Objects that permission-service has heard of, in the order of their names.", Errors: []*errs.Error{ErrBadSubject},
	}
	ListSubjects = api.Op[AccessQuery, AccessPage]{
		Name: "listObjectAccess", Method: http.MethodGet, Path: root + "/subjects", Summary: "Who has access to an object?",
		Description: "Users in the order of their ids, each with the strongest action and what gives it.",
		Errors:      []*errs.Error{errs.ErrNotFound, ErrBadObject},
	}
	DryRun = api.Op[DryRunRequest, DryRunAnswer]{
		Name: "dryRunPermissions", Method: http.MethodPost, Path: root + "/dry-run", Summary: "What would a change change?",
		Errors: []*errs.Error{ErrBadSubject, ErrBadObject, ErrBadRole, ErrBadGrant, ErrBadRule, ErrBadIP},
	}
	Watch = api.Op[WatchQuery, ChangePage]{
		Name: "watchPermissions", Method: http.MethodGet, Path: root + "/changes", Timeout: 30 * time.Second,
		Summary: "What has changed?", Description: "Oldest first. Changes are kept for 30 days.",
	}
)

// Service is permission-service.
var Service = api.Service{
	Name: "permission-service", Title: "Permission", Port: 8006, Database: "pyairtable_permissions", Phase: 2, Needs: []string{"auth-service"},
	Streams: []string{stream},
	Ops: []api.Spec{
		CreateGrant.Spec(), GetGrant.Spec(), ListGrants.Spec(), RevokeGrant.Spec(),
		CreateRole.Spec(), GetRole.Spec(), ListRoles.Spec(), UpdateRole.Spec(), DeleteRole.Spec(),
		CreatePolicy.Spec(), GetPolicy.Spec(), ListPolicies.Spec(), UpdatePolicy.Spec(), DeletePolicy.Spec(),
		CheckMine.Spec(), Explain.Spec(), ListObjects.Spec(), ListSubjects.Spec(), DryRun.Spec(), Watch.Spec(),
		Check.Spec(), Write.Spec(), FetchPolicy.Spec(), HandOn.Spec(),
	},
}
