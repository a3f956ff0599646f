package handlers

import (
	"strconv"
	"strings"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/page"
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

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// match reads If-Match (RFC 9110, section 13.1.1). A weak tag, or one that is none of
// ours, matches nothing.
func match(h tenantapi.Precondition) models.Match {
	m := models.Match{Given: strings.TrimSpace(h.IfMatch) != ""}
	for tag := range strings.SplitSeq(h.IfMatch, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" {
			m.Any = true
		}
		if v, err := strconv.ParseInt(strings.Trim(tag, `"`), 10, 64); err == nil && tag == etag(v) {
			m.Versions = append(m.Versions, v)
		}
	}
	return m
}

// list answers one page: read gets one item more than asked for, to know whether there is
// another page; key is the cursor after an item.
func list[K, M, A any](q api.PageQuery, of []any, read func(after K, limit int) ([]M, error), key func(M) K, render func(M) A) (api.Page[A], error) {
	filters := page.Filters(of...)
	var after K
	if q.Cursor != "" {
		if err := page.Decode(q.Cursor, filters, &after); err != nil {
			return api.Page[A]{}, err
		}
	}
	items, err := read(after, q.Limit+1)
	if err != nil {
		return api.Page[A]{}, err
	}
	out := api.Page[A]{Items: []A{}}
	if len(items) > q.Limit {
		items = items[:q.Limit]
		out.NextCursor = page.Encode(filters, key(items[q.Limit-1]))
	}
	for _, item := range items {
		out.Items = append(out.Items, render(item))
	}
	return out, nil
}
