package handlers

import (
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
	"github.com/pyairtable/pyairtable/tenant-service/internal/repository"
	"github.com/pyairtable/pyairtable/tenant-service/internal/services"
)

func tenant(t models.Tenant) tenantapi.Tenant {
	return tenantapi.Tenant{
		ID: t.ID.String(), Kind: t.Kind, Name: t.Name, Slug: t.Slug, LogoURL: t.LogoURL, Locale: t.Locale, TimeZone: t.TimeZone,
		Status: t.Status(), DeleteAt: t.DeleteAt, OwnerID: t.Owner.String(),
		Security: tenantapi.Security{
			RequireMFA: t.Security.RequireMFA, EmailDomains: texts(t.Security.EmailDomains), IPRanges: texts(t.Security.IPRanges),
			SessionMinutes: t.Security.SessionMinutes,
		},
		Version: t.Version, CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt,
	}
}

func membership(m repository.Membership) tenantapi.Membership {
	return tenantapi.Membership{
		TenantID: m.ID.String(), MemberID: m.Member.String(), Kind: m.Kind, Name: m.Name, Slug: m.Slug, LogoURL: m.LogoURL,
		Status: m.Status(), Role: m.Role,
	}
}

func member(m models.Member) tenantapi.Member {
	return tenantapi.Member{
		ID: m.ID.String(), UserID: m.User.String(), Kind: m.Kind, Name: m.Name, Role: m.Role, CustomRoles: texts(m.CustomRoles), Suspended: m.Suspended(),
		Version: m.Version, JoinedAt: m.JoinedAt, UpdatedAt: m.UpdatedAt,
	}
}

func change(p tenantapi.TenantPatch) services.Change {
	c := services.Change{Name: p.Name, Slug: p.Slug, LogoURL: p.LogoURL, Locale: p.Locale, TimeZone: p.TimeZone}
	if s := p.Security; s != nil {
		c.RequireMFA, c.EmailDomains, c.IPRanges, c.SessionMinutes = s.RequireMFA, s.EmailDomains, s.IPRanges, s.SessionMinutes
	}
	return c
}

// texts is a list as JSON has it, never null.
func texts(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// tenantID reads the id of a path. One that is no id names nothing.
func tenantID(ref tenantapi.TenantRef) (id.TenantID, error) {
	t, err := id.Parse[id.Tenant](ref.TenantID)
	if err != nil {
		return t, tenantapi.ErrTenantNotFound.Because(err)
	}
	return t, nil
}

func memberID(ref tenantapi.MemberRef) (id.TenantID, models.MemberID, error) {
	t, err := tenantID(ref.TenantRef)
	if err != nil {
		return t, models.MemberID{}, err
	}
	m, err := id.Parse[models.MemberKind](ref.MemberID)
	if err != nil {
		return t, m, tenantapi.ErrMemberNotFound.Because(err)
	}
	return t, m, nil
}
