package tenantapi

import (
	"net/http"
	"slices"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

const (
	tenants = "/api/v1/tenants"
	tenant  = tenants + "/{tenant_id}"
	members = tenant + "/members"
	member  = members + "/{member_id}"
)

// Tenants.
var (
	CreateTenant = api.Op[NewTenant, TenantMade]{
		Name: "createTenant", Method: http.MethodPost, Path: tenants, Status: http.StatusCreated, Idempotent: true,
		Summary: "Make an organisation", Description: "The caller is its owner. Switch to it at auth-service for a token that opens it.",
		Errors: []*errs.Error{ErrBadTenant, ErrSlugTaken},
	}
	ListTenants = api.Op[api.PageQuery, MembershipPage]{
		Name: "listTenants", Method: http.MethodGet, Path: tenants,
		Summary: "List the tenants that the caller is a member of", Description: "Oldest first, whichever of them the token is for.",
	}
	GetTenant = api.Op[TenantRef, TenantAnswer]{
		Name: "getTenant", Method: http.MethodGet, Path: tenant,
		Summary: "Show a tenant", Errors: []*errs.Error{ErrTenantNotFound},
	}
	UpdateTenant = api.Op[TenantUpdate, TenantAnswer]{
		Name: "updateTenant", Method: http.MethodPatch, Path: tenant,
		Summary: "Change a tenant's name, settings and rules for signing in", Description: "A JSON merge patch, by owners, admins and who has settings.manage.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrAdminsOnly, ErrBadTenant, ErrSlugTaken, ErrPersonalTenant, ErrTenantDeleting, errs.ErrPreconditionFailed},
	}
	SuspendTenant = api.Op[TenantRef, TenantAnswer]{
		Name: "suspendTenant", Method: http.MethodPost, Path: tenant + "/suspend",
		Summary: "Suspend an organisation", Description: "By an owner. The sessions of everybody else in it end, and only owners may enter it. Suspending again changes nothing.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrOwnersOnly, ErrPersonalTenant, ErrTenantDeleting},
	}
	ResumeTenant = api.Op[TenantRef, TenantAnswer]{
		Name: "resumeTenant", Method: http.MethodPost, Path: tenant + "/resume",
		Summary: "End a suspension", Description: "By an owner. Resuming again changes nothing.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrOwnersOnly, ErrPersonalTenant, ErrTenantDeleting},
	}
	DeleteTenant = api.Op[TenantRef, TenantAnswer]{
		Name: "deleteTenant", Method: http.MethodDelete, Path: tenant, Status: http.StatusAccepted,
		Summary: "Delete an organisation", Description: "By an owner. It is gone for good at delete_at, and can be kept until then. Deleting again changes nothing.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrOwnersOnly, ErrPersonalTenant},
	}
	KeepTenant = api.Op[TenantRef, TenantAnswer]{
		Name: "keepTenant", Method: http.MethodPost, Path: tenant + "/keep",
		Summary: "Undo the deletion of an organisation", Errors: []*errs.Error{ErrTenantNotFound, ErrOwnersOnly, ErrNotDeleting},
	}
	TransferTenant = api.Op[TenantTransfer, TenantAnswer]{
		Name: "transferTenant", Method: http.MethodPost, Path: tenant + "/transfer",
		Summary: "Hand an organisation over", Description: "By an owner, to another member, who becomes its owner; the one who answered for it until now becomes an admin.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrOwnersOnly, ErrPersonalTenant, ErrTenantDeleting, ErrMemberNotFound, ErrBadRole},
	}
)

// Members.
var (
	ListMembers = api.Op[MembersQuery, MemberPage]{
		Name: "listMembers", Method: http.MethodGet, Path: members,
		Summary: "List a tenant's members", Description: "In the order in which they joined. A guest sees himself only.",
		Errors: []*errs.Error{ErrTenantNotFound},
	}
	GetMember = api.Op[MemberRef, MemberAnswer]{
		Name: "getMember", Method: http.MethodGet, Path: member,
		Summary: "Show a member", Errors: []*errs.Error{ErrTenantNotFound, ErrMemberNotFound},
	}
	UpdateMember = api.Op[MemberUpdate, MemberAnswer]{
		Name: "updateMember", Method: http.MethodPatch, Path: member,
		Summary: "Change a member's roles, suspend him, rename a service account", Description: "By owners and admins; only an owner makes owners and changes them. An owner cannot be suspended. " +
			"Who has members.manage, or service_accounts.manage, changes those who are no stronger than he is, and gives and takes what he could grant himself.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrMemberNotFound, ErrAdminsOnly, ErrOwnersOnly, ErrTooStrong, ErrLastOwner, ErrBadRole, ErrOwnerSuspended, ErrTenantDeleting, errs.ErrPreconditionFailed},
	}
	RemoveMember = api.Op[MemberRef, struct{}]{
		Name: "removeMember", Method: http.MethodDelete, Path: member, Status: http.StatusNoContent,
		Summary: "Remove a member", Description: "By owners, admins and, those who are no stronger than he is, who has members.manage or service_accounts.manage; only an owner removes owners. The member's sessions and tokens for the tenant end within a second.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrMemberNotFound, ErrAdminsOnly, ErrOwnersOnly, ErrTooStrong, ErrLastOwner, ErrPersonalTenant},
	}
	LeaveTenant = api.Op[TenantRef, struct{}]{
		Name: "leaveTenant", Method: http.MethodPost, Path: tenant + "/leave", Status: http.StatusNoContent,
		Summary: "Leave a tenant", Errors: []*errs.Error{ErrTenantNotFound, ErrLastOwner, ErrPersonalTenant},
	}
)

// Service is tenant-service.
var Service = api.Service{
	Name: "tenant-service", Title: "Tenants", Port: 8004, Database: "pyairtable_tenants", Phase: 2, Needs: []string{"auth-service", "permission-service"},
	Streams: []string{stream},
	Raw:     []api.RawRoute{SCIM},
	Ops: slices.Concat([]api.Spec{
		CreateTenant.Spec(), ListTenants.Spec(), GetTenant.Spec(), UpdateTenant.Spec(), SuspendTenant.Spec(), ResumeTenant.Spec(),
		DeleteTenant.Spec(), KeepTenant.Spec(), TransferTenant.Spec(),
		ListMembers.Spec(), GetMember.Spec(), UpdateMember.Spec(), RemoveMember.Spec(), LeaveTenant.Spec(),
		CreateServiceAccount.Spec(), CreateSCIMToken.Spec(), ListSCIMTokens.Spec(), RotateSCIMToken.Spec(), RevokeSCIMToken.Spec(),
		CreateGroup.Spec(), ListGroups.Spec(), GetGroup.Spec(), UpdateGroup.Spec(), DeleteGroup.Spec(), ListGroupMembers.Spec(), ChangeGroupMembers.Spec(),
		CreateInvitation.Spec(), ListInvitations.Spec(), ResendInvitation.Spec(), RevokeInvitation.Spec(), AcceptInvitation.Spec(), InvitationInbox.Spec(),
	}, limitOps, domainOps),
}
