package tenantapi

import (
	"net/http"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// Errors of groups.
var (
	ErrGroupNotFound  = errs.New(errs.NotFound, "group_not_found", "There is no such group.")
	ErrGroupNameTaken = errs.New(errs.Conflict, "group_name_taken", "Another group of the tenant has this name.")
	// ErrBadGroup names the faulty fields.
	ErrBadGroup = errs.New(errs.Invalid, "bad_group", "The group cannot be described like this.")
)

const (
	groups       = tenant + "/groups"
	group        = groups + "/{group_id}"
	groupMembers = group + "/members"
)

// Groups.
var (
	CreateGroup = api.Op[NewGroup, GroupMade]{
		Name: "createGroup", Method: http.MethodPost, Path: groups, Status: http.StatusCreated, Idempotent: true,
		Summary: "Make a group of members", Description: "By owners, admins and who has groups.manage. A name is taken whatever its case.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrAdminsOnly, ErrPersonalTenant, ErrTenantDeleting, ErrTenantSuspended, ErrBadGroup, ErrGroupNameTaken, ErrMemberNotFound},
	}
	ListGroups = api.Op[GroupsQuery, GroupPage]{
		Name: "listGroups", Method: http.MethodGet, Path: groups,
		Summary: "List a tenant's groups", Description: "Oldest first. A guest sees the groups that he is in.",
		Errors: []*errs.Error{ErrTenantNotFound},
	}
	GetGroup = api.Op[GroupRef, GroupAnswer]{
		Name: "getGroup", Method: http.MethodGet, Path: group,
		Summary: "Show a group", Errors: []*errs.Error{ErrTenantNotFound, ErrGroupNotFound},
	}
	UpdateGroup = api.Op[GroupUpdate, GroupAnswer]{
		Name: "updateGroup", Method: http.MethodPatch, Path: group,
		Summary: "Rename a group", Description: "By owners, admins and who has groups.manage.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrAdminsOnly, ErrGroupNotFound, ErrTenantDeleting, ErrBadGroup, ErrGroupNameTaken, errs.ErrPreconditionFailed},
	}
	DeleteGroup = api.Op[GroupRef, struct{}]{
		Name: "deleteGroup", Method: http.MethodDelete, Path: group, Status: http.StatusNoContent,
		Summary: "Delete a group", Description: "By owners, admins and, if he could grant it himself, who has groups.manage. What was granted to it ends.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrAdminsOnly, ErrTooStrong, ErrGroupNotFound, ErrTenantDeleting},
	}
	ListGroupMembers = api.Op[GroupMembersQuery, MemberPage]{
		Name: "listGroupMembers", Method: http.MethodGet, Path: groupMembers,
		Summary: "List who is in a group", Description: "In the order in which they joined the tenant. A guest sees himself only.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrGroupNotFound},
	}
	ChangeGroupMembers = api.Op[GroupMembersChange, GroupAnswer]{
		Name: "changeGroupMembers", Method: http.MethodPost, Path: groupMembers,
		Summary: "Take members into a group, and out of it", Description: "By owners, admins and, if he could grant what the group has, who has groups.manage; all of it or nothing. Who is in already, or was not in, stays so.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrAdminsOnly, ErrTooStrong, ErrGroupNotFound, ErrTenantDeleting, ErrMemberNotFound, errs.ErrPreconditionFailed},
	}
)

// NewGroup makes a group.
type NewGroup struct {
	TenantRef
	Body GroupDraft
}

// GroupDraft is what a group is made of.
type GroupDraft struct {
	Name      string   `json:"name" minLength:"1" maxLength:"200" example:"Finance"`
	MemberIDs []string `json:"member_ids,omitempty" maxItems:"1000" doc:"Ids of members, the group's first."`
}

// Group is a set of a tenant's members.
type Group struct {
	ID         string    `json:"id" format:"uuid"`
	Name       string    `json:"name"`
	ExternalID string    `json:"external_id,omitempty" doc:"What the directory calls it that keeps it, by SCIM."`
	Version    int64     `json:"version" doc:"Rises with every change of its name or members; the ETag is made of it."`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
}

// GroupMade is the answer of CreateGroup.
type GroupMade struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     Group
}

// GroupAnswer is a group with its ETag.
type GroupAnswer struct {
	ETag string `header:"ETag"`
	Body Group
}

// GroupRef names a group.
type GroupRef struct {
	TenantRef
	GroupID string `path:"group_id" format:"uuid"`
}

// GroupsQuery lists groups.
type GroupsQuery struct {
	TenantRef
	api.PageQuery
}

// GroupPage is the answer of ListGroups.
type GroupPage = api.Page[Group]

// GroupUpdate renames a group.
type GroupUpdate struct {
	GroupRef
	Precondition
	Body GroupPatch
}

// GroupPatch is a merge patch of a group.
type GroupPatch struct {
	Name *string `json:"name,omitempty" maxLength:"200"`
}

// GroupMembersQuery lists who is in a group.
type GroupMembersQuery struct {
	GroupRef
	api.PageQuery
}

// GroupMembersChange changes who is in a group.
type GroupMembersChange struct {
	GroupRef
	Precondition
	Body GroupMembersDelta
}

// GroupMembersDelta names members by their ids. Who is in both lists is taken in.
type GroupMembersDelta struct {
	Add    []string `json:"add,omitempty" maxItems:"1000"`
	Remove []string `json:"remove,omitempty" maxItems:"1000"`
}
