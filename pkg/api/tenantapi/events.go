package tenantapi

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/events"
)

const (
	source = "/tenant-service"
	stream = "tenants"
)

// The events of tenants. The subject is the tenant's id, the version the tenant's.
var (
	TenantCreated = events.Type[TenantChanged]{Name: "com.pyairtable.tenant.created.v1", Source: source, Stream: stream}
	// TenantUpdated tells of a change of name, settings, owner or status: a suspension,
	// its end, the beginning of a deletion's grace period, its undoing.
	TenantUpdated = events.Type[TenantChanged]{Name: "com.pyairtable.tenant.updated.v1", Source: source, Stream: stream}
	// TenantDeleted says that the grace period is over. Every service that hears it
	// erases what the tenant owns. Nothing comes after it.
	TenantDeleted = events.Type[TenantChanged]{Name: "com.pyairtable.tenant.deleted.v1", Source: source, Stream: stream}
)

// States of a tenant.
const (
	StatusActive    = "active"
	StatusSuspended = "suspended" // nobody but its owners may do anything in it
	StatusDeleting  = "deleting"  // it will be gone when its grace period ends
	StatusDeleted   = "deleted"
)

// Kinds of tenants.
const (
	KindPersonal     = "personal" // comes with a user's account, and has one member
	KindOrganisation = "organisation"
)

// TenantChanged says how a tenant is now.
type TenantChanged struct {
	TenantID string   `json:"tenant_id"`
	Kind     string   `json:"kind"`
	Name     string   `json:"name"`
	Slug     string   `json:"slug"`
	Status   string   `json:"status"`
	OwnerID  string   `json:"owner_id"` // the user who answers for it
	Security Security `json:"security"`
	// Changed names the fields as in Tenant; empty for a new one.
	Changed []string `json:"changed"`
	ActorID string   `json:"actor_id,omitempty"`
}

// Security is what a tenant demands of those who sign in to it.
type Security struct {
	RequireMFA     bool     `json:"require_mfa"`
	EmailDomains   []string `json:"email_domains" nullable:"false"` // none: any
	IPRanges       []string `json:"ip_ranges" nullable:"false"`     // CIDR; none: any
	SessionMinutes int      `json:"session_minutes"`                // 0: as long as sessions last anyway
}

// The events of members. The subject is the member's id, the version the member's.
var (
	MemberAdded   = events.Type[MemberChanged]{Name: "com.pyairtable.member.added.v1", Source: source, Stream: stream}
	MemberUpdated = events.Type[MemberChanged]{Name: "com.pyairtable.member.updated.v1", Source: source, Stream: stream}
	MemberRemoved = events.Type[MemberChanged]{Name: "com.pyairtable.member.removed.v1", Source: source, Stream: stream}
)

// Kinds of members.
const (
	MemberUser           = "user"
	MemberServiceAccount = "service_account"
)

// Roles of members. A custom role stands beside one of them.
const (
	RoleOwner  = "owner"
	RoleAdmin  = "admin"
	RoleMember = "member"
	RoleGuest  = "guest"
)

// MemberChanged says how a membership is now, or was when it ended.
type MemberChanged struct {
	MemberID string `json:"member_id"`
	TenantID string `json:"tenant_id"`
	UserID   string `json:"user_id"` // of a service account too: it is a user without a password
	Kind     string `json:"kind"`
	Role     string `json:"role"`
	// CustomRoles are ids of roles that permission-service keeps.
	CustomRoles []string `json:"custom_roles"`
	// Name is what a service account is called; users' names are user-service's.
	Name string `json:"name,omitempty"`
	// Suspended members have no sessions in the tenant, and tokens of theirs open nothing.
	Suspended bool   `json:"suspended,omitempty"`
	ActorID   string `json:"actor_id,omitempty"`
}

// The events of groups. The subject is the group's id, the version the group's.
var (
	GroupChangedEvent = events.Type[GroupChanged]{Name: "com.pyairtable.group.changed.v1", Source: source, Stream: stream}
	GroupDeletedEvent = events.Type[GroupChanged]{Name: "com.pyairtable.group.deleted.v1", Source: source, Stream: stream}
)

// GroupChanged says what a group is called and who came into it or left it. Added and
// Removed are users; a new group's first members are added.
type GroupChanged struct {
	GroupID  string   `json:"group_id"`
	TenantID string   `json:"tenant_id"`
	Name     string   `json:"name"`
	Added    []string `json:"added"`
	Removed  []string `json:"removed"`
	ActorID  string   `json:"actor_id,omitempty"`
}

// The events of invitations. The subject is the invitation's id.
var (
	InvitationSent     = events.Type[InvitationChanged]{Name: "com.pyairtable.invitation.sent.v1", Source: source, Stream: stream}
	InvitationRevoked  = events.Type[InvitationChanged]{Name: "com.pyairtable.invitation.revoked.v1", Source: source, Stream: stream}
	InvitationAccepted = events.Type[InvitationChanged]{Name: "com.pyairtable.invitation.accepted.v1", Source: source, Stream: stream}
)

// InvitationChanged names an invitation and never its secret nor its address.
type InvitationChanged struct {
	InvitationID string    `json:"invitation_id"`
	TenantID     string    `json:"tenant_id"`
	Role         string    `json:"role"`
	UserID       string    `json:"user_id,omitempty"` // who accepted it
	ExpiresAt    time.Time `json:"expires_at"`
	ActorID      string    `json:"actor_id,omitempty"`
}

// PlanChanged says what a tenant's plan is now. Its subject is the tenant.
var PlanChanged = events.Type[PlanChangedData]{Name: "com.pyairtable.plan.changed.v1", Source: source, Stream: stream}

// PlanChangedData is the data of PlanChanged. A limit of -1 is none.
type PlanChangedData struct {
	TenantID string           `json:"tenant_id"`
	Plan     string           `json:"plan"`
	Limits   map[string]int64 `json:"limits"`
}
