package tenantapi

import (
	"net/http"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// CreateServiceAccount makes a member that is a program. It is renamed, suspended and
// given roles by UpdateMember and ends by RemoveMember; its tokens are made at
// auth-service.
var CreateServiceAccount = api.Op[NewServiceAccount, MemberMade]{
	Name: "createServiceAccount", Method: http.MethodPost, Path: tenant + "/service-accounts", Status: http.StatusCreated, Idempotent: true,
	Summary: "Make a service account",
	Description: "By owners, admins and, up to his own role, who has service_accounts.manage. It is a member, whose user cannot sign in: owners and admins make its access tokens at auth-service, " +
		"with its user_id as service_account_id. It is changed and removed as other members are.",
	Errors: []*errs.Error{ErrTenantNotFound, ErrAdminsOnly, ErrTooStrong, ErrPersonalTenant, ErrTenantDeleting, ErrTenantSuspended},
}

// NewServiceAccount makes a service account.
type NewServiceAccount struct {
	TenantRef
	Body ServiceAccountDraft
}

// ServiceAccountDraft is what a service account is made of.
type ServiceAccountDraft struct {
	Name        string   `json:"name" minLength:"1" maxLength:"200" example:"Nightly import"`
	Role        string   `json:"role" enum:"admin,member,guest"`
	CustomRoles []string `json:"custom_roles,omitempty" maxItems:"50" doc:"Ids of roles that permission-service keeps."`
}

// MemberMade is the answer of CreateServiceAccount.
type MemberMade struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     Member
}
