package models

import (
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// MemberKind names the ids of members.
type MemberKind struct{}

// MemberID identifies a membership. Who comes back has another one.
type MemberID = id.ID[MemberKind]

// Member is a user, or a service account, in a tenant.
type Member struct {
	ID                  MemberID
	Tenant              id.TenantID
	User                id.UserID
	Kind                string
	Role                string
	CustomRoles         []string
	Name                string // of a service account
	SuspendedAt         time.Time
	Version             int64
	JoinedAt, UpdatedAt time.Time
}

// NewMember returns a membership that begins now.
func NewMember(tenant id.TenantID, user id.UserID, role string, now time.Time) Member {
	return Member{
		ID: id.New[MemberKind](), Tenant: tenant, User: user, Kind: tenantapi.MemberUser, Role: role, CustomRoles: []string{},
		Version: 1, JoinedAt: now, UpdatedAt: now,
	}
}

// Suspended reports whether the member is shut out of the tenant.
func (m *Member) Suspended() bool { return !m.SuspendedAt.IsZero() }

// NewServiceAccount returns a member that is a program, with a user of its own.
func NewServiceAccount(tenant id.TenantID, name, role string, custom []string, now time.Time) Member {
	m := NewMember(tenant, id.New[id.User](), role, now)
	m.Kind, m.Name, m.CustomRoles = tenantapi.MemberServiceAccount, name, custom
	return m
}

// roles from the weakest to the strongest.
var roles = []string{tenantapi.RoleGuest, tenantapi.RoleMember, tenantapi.RoleAdmin, tenantapi.RoleOwner}

// rank is -1 for what is no role.
func rank(role string) int { return slices.Index(roles, role) }

// Weaker returns the role that may do less. What is no role may do nothing.
func Weaker(a, b string) string {
	if rank(a) < rank(b) {
		return a
	}
	return b
}

// IsAdmin reports whether the role manages the tenant.
func IsAdmin(role string) bool { return rank(role) >= rank(tenantapi.RoleAdmin) }

// SeesMembers reports whether the role sees who else is in the tenant.
func SeesMembers(role string) bool { return rank(role) >= rank(tenantapi.RoleMember) }
