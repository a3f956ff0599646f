package userapi

import (
	"net/http"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// ScopeUsers in a token opens the users of all tenants. It has to be named: the
// scope "*" of a session is everything that the user may do, and this is more.
const ScopeUsers = "admin:users"

// scopeProfile opens the caller's own profile to a personal access token; the
// name is Airtable's.
const scopeProfile = "user.email:read"

const (
	me        = "/api/v1/users/me"
	user      = "/api/v1/users/{id}"
	bodyLimit = 64 << 10
)

var changeErrors = []*errs.Error{ErrUserNotFound, ErrBadProfile, errs.ErrPreconditionFailed}

// The caller's own profile.
var (
	GetMe = api.Op[struct{}, UserAnswer]{
		Name: "getMe", Method: http.MethodGet, Path: me, Scope: scopeProfile,
		Summary: "Show the signed-in user", Errors: []*errs.Error{ErrUserNotFound},
	}
	ReplaceMe = api.Op[MeUpdate, UserAnswer]{
		Name: "replaceMe", Method: http.MethodPut, Path: me, BodyLimit: bodyLimit,
		Summary: "Replace the signed-in user's profile", Errors: changeErrors,
	}
	PatchMe = api.Op[MePatch, UserAnswer]{
		Name: "patchMe", Method: http.MethodPatch, Path: me, BodyLimit: bodyLimit,
		Summary: "Change some of the signed-in user's profile", Errors: changeErrors,
	}
)

// The users of the caller's tenant. Everybody in it but guests sees the others;
// owners, admins and who has members.manage change them.
var (
	ListUsers = api.Op[UsersQuery, UserPage]{
		Name: "listUsers", Method: http.MethodGet, Path: "/api/v1/users",
		Summary: "List the users of the tenant", Description: "In the order of their registration.",
	}
	GetUser = api.Op[UserRef, UserAnswer]{
		Name: "getUser", Method: http.MethodGet, Path: user,
		Summary: "Show a user", Errors: []*errs.Error{ErrUserNotFound},
	}
	ReplaceUser = api.Op[UserUpdate, UserAnswer]{
		Name: "replaceUser", Method: http.MethodPut, Path: user, BodyLimit: bodyLimit,
		Summary: "Replace a user's profile", Errors: append(changeErrors, ErrMayNotEdit),
	}
	PatchUser = api.Op[UserPatch, UserAnswer]{
		Name: "patchUser", Method: http.MethodPatch, Path: user, BodyLimit: bodyLimit,
		Summary: "Change some of a user's profile", Errors: append(changeErrors, ErrMayNotEdit),
	}
	DeleteUser = api.Op[UserDelete, struct{}]{
		Name: "deleteUser", Method: http.MethodDelete, Path: user, Status: http.StatusNoContent,
		Summary:     "Delete a user for good",
		Description: "The personal data is erased at once, the sessions end, and nobody can sign in to the account again. Deleting again changes nothing.",
		Errors:      []*errs.Error{ErrUserNotFound, ErrMayNotEdit, ErrNotManaged, errs.ErrPreconditionFailed},
	}
)

// LookUpUsers is for other services.
var LookUpUsers = api.Op[UserIDs, UserCards]{
	Name: "lookUpUsers", Method: http.MethodPost, Path: "/internal/v1/users/lookup",
	Access: api.Internal, Callers: []string{"airtable-gateway"}, Summary: "Say who users are",
	Description: "For a service that was told of a change and keeps names. Users whom the service has not heard of are left out; the erased are told of.",
}

// Service is user-service.
var Service = api.Service{
	Name: "user-service", Title: "Users", Port: 8002, Database: "pyairtable_users", Phase: 1,
	Needs:   []string{"auth-service", "permission-service"},
	Streams: []string{stream},
	Ops: []api.Spec{
		GetMe.Spec(), ReplaceMe.Spec(), PatchMe.Spec(),
		ListUsers.Spec(), GetUser.Spec(), ReplaceUser.Spec(), PatchUser.Spec(), DeleteUser.Spec(),
		LookUpUsers.Spec(),
	},
}
