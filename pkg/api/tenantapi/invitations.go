package tenantapi

import (
	"net/http"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// Errors of invitations.
var (
	ErrInvitationNotFound = errs.New(errs.NotFound, "invitation_not_found", "There is no such invitation.")
	// ErrBadInvitation is the answer to a token that is unknown, expired, used or void.
	ErrBadInvitation  = errs.New(errs.Invalid, "bad_invitation", "The invitation is not valid any more; ask for a new one.")
	ErrAlreadyInvited = errs.New(errs.Conflict, "already_invited", "The address is invited already; send that invitation again.")
	ErrAlreadyMember  = errs.New(errs.Conflict, "already_member", "The user is a member already.")
	ErrEmailDomain    = errs.New(errs.Conflict, "email_domain", "The tenant takes members of other domains only.")
	ErrOtherAddress   = errs.New(errs.Forbidden, "other_address", "The invitation is for another address than that of your account.")
	// ErrAccountUnknown is the answer for the moment after a registration in which
	// tenant-service has not heard of it yet.
	ErrAccountUnknown = errs.New(errs.Unavailable, "account_unknown", "The account is not known here yet; try again.").After(time.Second)
)

const (
	invitations = tenant + "/invitations"
	invitation  = invitations + "/{invitation_id}"
)

// Invitations.
var (
	CreateInvitation = api.Op[NewInvitation, InvitationMade]{
		Name: "createInvitation", Method: http.MethodPost, Path: invitations, Status: http.StatusCreated, Idempotent: true, Rate: api.RateAuth,
		Summary: "Invite somebody by mail", Description: "By owners, admins and who has members.manage, up to his own role. The invitation can be accepted once, within a week, by the account with that address.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrAdminsOnly, ErrTooStrong, ErrPersonalTenant, ErrTenantDeleting, ErrTenantSuspended, ErrEmailDomain, ErrAlreadyInvited, ErrAlreadyMember},
	}
	ListInvitations = api.Op[InvitationsQuery, InvitationPage]{
		Name: "listInvitations", Method: http.MethodGet, Path: invitations,
		Summary: "List the invitations that were not accepted", Description: "By owners, admins and who has members.manage; oldest first.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrAdminsOnly},
	}
	ResendInvitation = api.Op[InvitationRef, Invitation]{
		Name: "resendInvitation", Method: http.MethodPost, Path: invitation + "/resend", Rate: api.RateAuth,
		Summary: "Mail an invitation again", Description: "The mail before is void, and the week begins anew.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrAdminsOnly, ErrTooStrong, ErrInvitationNotFound, ErrTenantDeleting, ErrTenantSuspended, ErrEmailDomain},
	}
	RevokeInvitation = api.Op[InvitationRef, struct{}]{
		Name: "revokeInvitation", Method: http.MethodDelete, Path: invitation, Status: http.StatusNoContent,
		Summary: "Take an invitation back", Errors: []*errs.Error{ErrTenantNotFound, ErrAdminsOnly, ErrTooStrong, ErrInvitationNotFound},
	}
	AcceptInvitation = api.Op[Acceptance, Accepted]{
		Name: "acceptInvitation", Method: http.MethodPost, Path: "/api/v1/invitations/accept", Rate: api.RateAuth,
		Summary: "Accept an invitation", Description: "With a token for any tenant. Who has no account registers first, with the address that was invited.",
		Errors: []*errs.Error{ErrBadInvitation, ErrOtherAddress, ErrAlreadyMember, ErrEmailDomain, ErrAccountUnknown, ErrLimitReached},
	}
	InvitationInbox = api.Op[InboxQuery, Inbox]{
		Name: "invitationInbox", Method: http.MethodGet, Path: "/api/v1/invitations/dev/inbox", Access: api.Public,
		Summary: "Read what was mailed, in development", Description: "404 unless DEV_INBOX is true, which production refuses.",
		Errors: []*errs.Error{errs.ErrNotFound},
	}
)

// NewInvitation invites an address.
type NewInvitation struct {
	TenantRef
	Body Invitee
}

// Invitee is who is invited as what.
type Invitee struct {
	Email string `json:"email" format:"email" maxLength:"254"`
	Role  string `json:"role" enum:"admin,member,guest"`
}

// Invitation was mailed, and not accepted yet.
type Invitation struct {
	ID        string    `json:"id" format:"uuid"`
	Email     string    `json:"email"`
	Role      string    `json:"role" enum:"admin,member,guest"`
	InvitedBy string    `json:"invited_by" format:"uuid"`
	ExpiresAt time.Time `json:"expires_at"`
	CreatedAt time.Time `json:"created_at"`
}

// InvitationMade is the answer of CreateInvitation.
type InvitationMade struct {
	Location string `header:"Location"`
	Body     Invitation
}

// InvitationRef names an invitation.
type InvitationRef struct {
	TenantRef
	InvitationID string `path:"invitation_id" format:"uuid"`
}

// InvitationsQuery lists invitations.
type InvitationsQuery struct {
	TenantRef
	api.PageQuery
}

// InvitationPage is the answer of ListInvitations.
type InvitationPage = api.Page[Invitation]

// Acceptance carries the token of an invitation's mail.
type Acceptance struct {
	Token string `json:"token" maxLength:"100"`
}

// Accepted says what the caller is a member of now.
type Accepted struct {
	TenantID string `json:"tenant_id" format:"uuid"`
	Member   Member `json:"member"`
}

// InboxQuery bounds the dev inbox.
type InboxQuery struct {
	Limit int `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

// Inbox is what was mailed, newest first.
type Inbox struct {
	Items []Mail `json:"items" nullable:"false"`
}

// Mail is one mail of the dev inbox.
type Mail struct {
	ID      string    `json:"id" format:"uuid"`
	To      string    `json:"to"`
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
	Token   string    `json:"token" doc:"The token that the mail carries."`
	At      time.Time `json:"at"`
}
