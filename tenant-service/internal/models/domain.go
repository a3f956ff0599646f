package models

import (
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// DomainKind names the ids of domains.
type DomainKind struct{}

// DomainID identifies a domain.
type DomainID = id.ID[DomainKind]

// Domain is a domain of mail addresses that is, or is to be, a tenant's.
type Domain struct {
	ID         DomainID
	Tenant     id.TenantID
	Domain     string // in lower case
	Token      string
	Role       string // of who joins by it
	AutoJoin   bool
	VerifiedAt time.Time // zero: not proved
	MissedAt   time.Time // since when the proof has been missing
	Version    int64
	CreatedAt  time.Time
}

const (
	// MaxDomains is how many domains a tenant may have.
	MaxDomains = 50
	// DomainGrace is how long a verified domain may be without its record.
	DomainGrace = 72 * time.Hour
)

// NewDomain returns a domain that is to be proved.
func NewDomain(tenant id.TenantID, name, role string, autoJoin bool, now time.Time) Domain {
	return Domain{
		ID: id.New[DomainKind](), Tenant: tenant, Domain: name, Token: strings.ToLower(rand.Text()), Role: role, AutoJoin: autoJoin,
		Version: 1, CreatedAt: now,
	}
}

// Record is the TXT record that proves the domain to be the tenant's.
func (d *Domain) Record() (name, value string) {
	return "_pyairtable." + d.Domain, "pyairtable-verification=" + d.Token
}

// Proved reports whether the record is among those that were found.
func (d *Domain) Proved(found []string) bool {
	_, value := d.Record()
	return slices.ContainsFunc(found, func(s string) bool { return strings.TrimSpace(s) == value })
}

// Status is one of tenantapi's states.
func (d *Domain) Status() string {
	if d.VerifiedAt.IsZero() {
		return tenantapi.DomainPending
	}
	return tenantapi.DomainVerified
}

// Verify notes that the domain was proved.
func (d *Domain) Verify(now time.Time) {
	if d.VerifiedAt.IsZero() {
		d.VerifiedAt = now
	}
	d.MissedAt = time.Time{}
	d.Version++
}

// Check notes whether the record of a verified domain is still there. One that has been
// missing for DomainGrace is not verified any more. It reports whether anything changed.
func (d *Domain) Check(proved bool, now time.Time) bool {
	switch {
	case proved && d.MissedAt.IsZero():
		return false
	case proved:
		d.MissedAt = time.Time{}
	case d.MissedAt.IsZero():
		d.MissedAt = now
	case now.Sub(d.MissedAt) < DomainGrace:
		return false
	default:
		d.VerifiedAt, d.MissedAt = time.Time{}, time.Time{}
	}
	d.Version++
	return true
}

// MayManageDomains refuses callers who do not decide who may join.
func (s *Scene) MayManageDomains() error {
	if err := s.mayOwn(); err != nil {
		return err
	}
	if s.Status() == tenantapi.StatusDeleting {
		return tenantapi.ErrTenantDeleting
	}
	return nil
}

// Admission is what it is decided on whether a user may join a tenant by its domain.
type Admission struct {
	Tenant  Tenant
	Domain  Domain // that of his address
	Email   string
	Already bool // a member
}

// Admit returns the member that the user becomes, or why he does not.
func (a *Admission) Admit(user id.UserID, now time.Time) (Member, error) {
	switch {
	case a.Domain.VerifiedAt.IsZero(), a.Tenant.Personal(), a.Tenant.Status() != tenantapi.StatusActive, !a.Tenant.Security.AdmitsAddress(a.Email):
		return Member{}, tenantapi.ErrNotJoinable
	case a.Already:
		return Member{}, tenantapi.ErrAlreadyMember
	}
	return NewMember(a.Tenant.ID, user, a.Domain.Role, now), nil
}

// CheckDomains is the job that looks whether verified domains still have their records.
type CheckDomains struct{}

// Kind implements river.JobArgs.
func (CheckDomains) Kind() string { return "check_domains" }
