package models

import (
	"net/netip"
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Standing is what a user is in a tenant, and what the tenant demands of him. The zero
// value is no member.
type Standing struct {
	Tenant         id.TenantID
	Kind           string
	Name, Slug     string
	Status         string
	Role           string
	Suspended      bool // the user, in this tenant
	RequireMFA     bool
	IPRanges       []string // none: any
	SessionMinutes int      // 0: no limit
}

// AtHome is a user's standing in the tenant of his account. It holds whether or not
// tenant-service runs, and demands nothing.
func AtHome(home id.TenantID) Standing {
	return Standing{Tenant: home, Kind: tenantapi.KindPersonal, Status: tenantapi.StatusActive, Role: RoleOwner}
}

// Open reports whether the tenant is open to the user: to all members, or, while it is
// suspended or about to be deleted, to its owners; never to a member who is suspended.
func (s Standing) Open() bool {
	return !s.Suspended && (s.Status == tenantapi.StatusActive || s.Role == RoleOwner)
}

// Admit refuses a session that the tenant does not let in from that address now:
// authapi.ErrNotMember, ErrMemberSuspended, ErrTenantSuspended, ErrMFARequired, ErrIPNotAllowed or
// ErrSignInAgain. One that it lets in ends when the tenant wants it to.
func (s Standing) Admit(session *Session, ip string, now time.Time) error {
	switch {
	case s.Role == "":
		return authapi.ErrNotMember
	case s.Suspended:
		return authapi.ErrMemberSuspended
	case !s.Open():
		return authapi.ErrTenantSuspended
	case s.RequireMFA && session.MFAAt.IsZero():
		return authapi.ErrMFARequired
	case len(s.IPRanges) > 0 && !within(s.IPRanges, ip):
		return authapi.ErrIPNotAllowed
	}
	if s.SessionMinutes > 0 {
		session.ExpiresAt = earlier(session.ExpiresAt, session.CreatedAt.Add(time.Duration(s.SessionMinutes)*time.Minute))
		if !now.Before(session.ExpiresAt) {
			return authapi.ErrSignInAgain
		}
	}
	return nil
}

// AdmitToken refuses a personal access token that the tenant does not let in:
// authapi.ErrBadToken or ErrMFARequired. Secured says that its user has a second factor, or
// is a service account, which never signs in.
func (s Standing) AdmitToken(secured bool) error {
	switch {
	case s.Role == "" || !s.Open():
		return authapi.ErrBadToken
	case s.RequireMFA && !secured:
		return authapi.ErrMFARequired
	}
	return nil
}

// within reports whether the address is in one of the ranges; one that is unknown is in
// none.
func within(ranges []string, ip string) bool {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(ranges, func(text string) bool {
		r, err := netip.ParsePrefix(text)
		return err == nil && r.Contains(address.Unmap())
	})
}

// Manages reports whether both roles, of a token and of a membership, manage the tenant.
func Manages(token, membership string) bool {
	return !Lowered(tenantapi.RoleAdmin, token) && !Lowered(tenantapi.RoleAdmin, membership)
}

// roles from the weakest to the strongest.
var roles = []string{tenantapi.RoleGuest, tenantapi.RoleMember, tenantapi.RoleAdmin, tenantapi.RoleOwner}

// Lowered reports whether a role may do less than the one before.
func Lowered(before, now string) bool { return slices.Index(roles, now) < slices.Index(roles, before) }
