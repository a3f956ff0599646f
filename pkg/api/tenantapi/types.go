package tenantapi

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
)

// NewTenant is what an organisation is made of.
type NewTenant struct {
	Name     string `json:"name" minLength:"1" maxLength:"200" example:"Analytical Engines"`
	Slug     string `json:"slug,omitempty" maxLength:"63" example:"analytical-engines" doc:"Lower-case letters, digits and dashes, unique; made of the name if absent."`
	LogoURL  string `json:"logo_url,omitempty" maxLength:"2048" doc:"http or https."`
	Locale   string `json:"locale,omitempty" maxLength:"64" example:"en-GB" doc:"A language tag (BCP 47); en by default."`
	TimeZone string `json:"time_zone,omitempty" maxLength:"64" example:"Europe/London" doc:"A name of the IANA time zone database; UTC by default."`
}

// Tenant is an organisation, or the tenant that a user has to himself.
type Tenant struct {
	ID        string    `json:"id" format:"uuid"`
	Kind      string    `json:"kind" enum:"personal,organisation"`
	Name      string    `json:"name"`
	Slug      string    `json:"slug"`
	LogoURL   string    `json:"logo_url"`
	Locale    string    `json:"locale"`
	TimeZone  string    `json:"time_zone"`
	Status    string    `json:"status" enum:"active,suspended,deleting"`
	DeleteAt  time.Time `json:"delete_at,omitzero" doc:"When a deletion becomes final."`
	OwnerID   string    `json:"owner_id" format:"uuid" doc:"The user who answers for it."`
	Security  Security  `json:"security"`
	Version   int64     `json:"version" doc:"Rises with every change; the ETag is made of it."`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// TenantMade is the answer of CreateTenant.
type TenantMade struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     Tenant
}

// TenantAnswer is a tenant with its ETag, to be sent as If-Match with an update.
type TenantAnswer struct {
	ETag string `header:"ETag"`
	Body Tenant
}

// TenantRef names a tenant.
type TenantRef struct {
	TenantID string `path:"tenant_id" format:"uuid"`
}

// Precondition makes an update fail if the object is not the one that was read.
type Precondition struct {
	IfMatch string `header:"If-Match" required:"false" maxLength:"1000" doc:"An ETag; without it the last update wins."`
}

// TenantUpdate changes some of a tenant.
type TenantUpdate struct {
	TenantRef
	Precondition
	Body TenantPatch
}

// TenantPatch is a JSON merge patch (RFC 7396) of a tenant: what is absent stays.
type TenantPatch struct {
	Name     *string        `json:"name,omitempty" maxLength:"200"`
	Slug     *string        `json:"slug,omitempty" maxLength:"63"`
	LogoURL  *string        `json:"logo_url,omitempty" maxLength:"2048" doc:"Empty for none."`
	Locale   *string        `json:"locale,omitempty" maxLength:"64"`
	TimeZone *string        `json:"time_zone,omitempty" maxLength:"64"`
	Security *SecurityPatch `json:"security,omitempty"`
}

// SecurityPatch is a merge patch of Security. Lists are replaced as a whole.
type SecurityPatch struct {
	RequireMFA     *bool     `json:"require_mfa,omitempty" doc:"Of sessions that enter or are refreshed, and of whoever has personal access tokens; service accounts are exempt."`
	EmailDomains   *[]string `json:"email_domains,omitempty" maxItems:"100" doc:"Who may be invited or join; empty for anybody."`
	IPRanges       *[]string `json:"ip_ranges,omitempty" maxItems:"100" doc:"CIDR; empty for any."`
	SessionMinutes *int      `json:"session_minutes,omitempty" minimum:"0" maximum:"525600" doc:"After signing in; 0 for no limit of the tenant's own."`
}

// TenantTransfer names who will answer for a tenant.
type TenantTransfer struct {
	TenantRef
	Body Transfer
}

// Transfer names a member by his user id.
type Transfer struct {
	UserID string `json:"user_id" format:"uuid"`
}

// Membership is a tenant as one of its members sees it in his list.
type Membership struct {
	TenantID string `json:"tenant_id" format:"uuid"`
	MemberID string `json:"member_id" format:"uuid"`
	Kind     string `json:"kind" enum:"personal,organisation"`
	Name     string `json:"name"`
	Slug     string `json:"slug"`
	LogoURL  string `json:"logo_url"`
	Status   string `json:"status" enum:"active,suspended,deleting"`
	Role     string `json:"role" enum:"owner,admin,member,guest"`
}

// MembershipPage is the answer of ListTenants.
type MembershipPage = api.Page[Membership]

// Member is a user, or a service account, in a tenant.
type Member struct {
	ID          string    `json:"id" format:"uuid"`
	UserID      string    `json:"user_id" format:"uuid"`
	Kind        string    `json:"kind" enum:"user,service_account"`
	Name        string    `json:"name,omitempty" doc:"Of a service account; those of users are user-service's."`
	Role        string    `json:"role" enum:"owner,admin,member,guest"`
	CustomRoles []string  `json:"custom_roles" nullable:"false" doc:"Ids of roles that permission-service keeps."`
	Suspended   bool      `json:"suspended" doc:"Shut out of the tenant until an owner or admin, or the directory, lets him in again."`
	Version     int64     `json:"version"`
	JoinedAt    time.Time `json:"joined_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// MemberAnswer is a member with its ETag.
type MemberAnswer struct {
	ETag string `header:"ETag"`
	Body Member
}

// MemberRef names a member.
type MemberRef struct {
	TenantRef
	MemberID string `path:"member_id" format:"uuid"`
}

// MembersQuery lists members.
type MembersQuery struct {
	TenantRef
	api.PageQuery
	Kind string `query:"kind" enum:"user,service_account" doc:"Only members of this kind."`
}

// MemberPage is the answer of ListMembers.
type MemberPage = api.Page[Member]

// MemberUpdate changes a member.
type MemberUpdate struct {
	MemberRef
	Precondition
	Body MemberPatch
}

// MemberPatch is a merge patch of a member.
type MemberPatch struct {
	Role        *string   `json:"role,omitempty" enum:"owner,admin,member,guest"`
	CustomRoles *[]string `json:"custom_roles,omitempty" maxItems:"50" doc:"Ids of roles that permission-service keeps."`
	Suspended   *bool     `json:"suspended,omitempty" doc:"Ends the member's sessions in the tenant within a second, and lets no new ones begin."`
	Name        *string   `json:"name,omitempty" maxLength:"200" doc:"Of a service account."`
}
