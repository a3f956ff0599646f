// Package models holds the rules of tenant-service that need no I/O.
package models

import (
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/setting"
)

// Tenant is an organisation, or the tenant that a user has to himself.
type Tenant struct {
	ID                                    id.TenantID
	Kind                                  string
	Name, Slug, LogoURL, Locale, TimeZone string
	Owner                                 id.UserID // who answers for it: always one of its owners
	Security                              Security
	SuspendedAt                           time.Time
	DeleteAt                              time.Time // the end of a deletion's grace period
	Version                               int64
	CreatedAt, UpdatedAt                  time.Time
}

// Security is what the tenant demands of those who sign in to it.
type Security struct {
	RequireMFA     bool
	EmailDomains   []string // in lower case; none: any
	IPRanges       []string // CIDR; none: any
	SessionMinutes int      // 0: no limit
}

// Status is one of tenantapi's states.
func (t *Tenant) Status() string {
	switch {
	case !t.DeleteAt.IsZero():
		return tenantapi.StatusDeleting
	case !t.SuspendedAt.IsZero():
		return tenantapi.StatusSuspended
	}
	return tenantapi.StatusActive
}

// Admits reports whether the role may do anything in the tenant now.
func (t *Tenant) Admits(role string) bool {
	return t.Status() == tenantapi.StatusActive || role == tenantapi.RoleOwner
}

// Personal reports whether the tenant is a user's own.
func (t *Tenant) Personal() bool { return t.Kind == tenantapi.KindPersonal }

// Settings are what of a tenant may be edited.
type Settings struct {
	Name, Slug, LogoURL, Locale, TimeZone string
	Security                              Security
}

// Settings of the tenant now.
func (t *Tenant) Settings() Settings {
	return Settings{t.Name, t.Slug, t.LogoURL, t.Locale, t.TimeZone, t.Security}
}

// Edit gives the tenant other settings and returns the names of those that changed, as
// in tenantapi.Tenant; none leave it as it is.
func (t *Tenant) Edit(s Settings, now time.Time) (changed []string) {
	note := func(name string, differs bool) {
		if differs {
			changed = append(changed, name)
		}
	}
	note("name", t.Name != s.Name)
	note("slug", t.Slug != s.Slug)
	note("logo_url", t.LogoURL != s.LogoURL)
	note("locale", t.Locale != s.Locale)
	note("time_zone", t.TimeZone != s.TimeZone)
	note("security", !t.Security.equal(s.Security))
	if len(changed) == 0 {
		return nil
	}
	t.Name, t.Slug, t.LogoURL, t.Locale, t.TimeZone, t.Security = s.Name, s.Slug, s.LogoURL, s.Locale, s.TimeZone, s.Security
	t.touch(now)
	return changed
}

func (t *Tenant) touch(now time.Time) {
	t.Version++
	t.UpdatedAt = now
}

func (s Security) equal(o Security) bool {
	return s.RequireMFA == o.RequireMFA && s.SessionMinutes == o.SessionMinutes &&
		slices.Equal(s.EmailDomains, o.EmailDomains) && slices.Equal(s.IPRanges, o.IPRanges)
}

// PersonalTenant is the tenant that a user has to himself. Its slug is its id, which
// nobody else can want.
func PersonalTenant(tenant id.TenantID, user id.UserID, name string, now time.Time) Tenant {
	return Tenant{
		ID: tenant, Kind: tenantapi.KindPersonal, Name: name, Slug: tenant.String(), Locale: setting.DefaultLocale, TimeZone: setting.DefaultTimeZone,
		Owner: user, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
}

// Organisation is a tenant that the user makes.
func Organisation(s Settings, user id.UserID, now time.Time) Tenant {
	return Tenant{
		ID: id.New[id.Tenant](), Kind: tenantapi.KindOrganisation, Name: s.Name, Slug: s.Slug, LogoURL: s.LogoURL, Locale: s.Locale,
		TimeZone: s.TimeZone, Owner: user, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
}

// Bereavement is what becomes of a tenant when a user is erased.
type Bereavement struct {
	Tenant Tenant
	Over   bool    // the tenant ends
	Left   *Member // whose membership ends
	Heir   *Member // who is an owner now
}

// Bereave takes the user, who was erased, out of a tenant with all those members, who
// are in the order in which they joined.
func Bereave(t Tenant, all []Member, user id.UserID, now time.Time) Bereavement {
	b := Bereavement{Tenant: t}
	var heir *Member
	for i := range all {
		switch m := &all[i]; {
		case m.User == user:
			b.Left = m
		case m.Kind == tenantapi.MemberUser && (heir == nil || m.before(heir)):
			heir = m
		}
	}
	if heir == nil {
		b.Over = true
		return b
	}
	if b.Left != nil {
		b.Left.touch(now)
	}
	if t.Owner != user {
		return b
	}
	if heir.Role != tenantapi.RoleOwner {
		heir.SuspendedAt = time.Time{}
		heir.setRole(tenantapi.RoleOwner, now)
		b.Heir = heir
	}
	b.Tenant.Owner = heir.User
	b.Tenant.touch(now)
	return b
}

// before reports whether m inherits a tenant rather than other: who is suspended does so
// only if everybody is.
func (m *Member) before(other *Member) bool {
	if m.Suspended() != other.Suspended() {
		return other.Suspended()
	}
	return rank(m.Role) > rank(other.Role)
}

// EndTenant is the job that erases a tenant when its grace period is over.
type EndTenant struct {
	Tenant id.TenantID `json:"tenant"`
}

// Kind implements river.JobArgs.
func (EndTenant) Kind() string { return "end_tenant" }
