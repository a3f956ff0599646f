package services

import (
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/setting"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
)

// Change is what a caller wants of a tenant's settings; nil leaves one as it is, and the
// empty string gives it its default.
type Change struct {
	Name, Slug, LogoURL, Locale, TimeZone *string
	RequireMFA                            *bool
	EmailDomains, IPRanges                *[]string
	SessionMinutes                        *int
}

const (
	maxName   = 200
	maxSlug   = 63
	maxDomain = 253
)

// apply returns the settings with the change. It refuses with tenantapi.ErrBadTenant,
// naming every faulty field.
func (c Change) apply(s models.Settings) (models.Settings, error) {
	var faults []errs.Field
	set := func(pointer string, given, into *string, parse func(string) (string, string)) {
		if given == nil {
			return
		}
		value, fault := parse(*given)
		if fault != "" {
			faults = append(faults, errs.Field{Pointer: pointer, Detail: fault})
		}
		*into = value
	}
	all := func(pointer string, given, into *[]string, parse func(string) (string, string)) {
		if given == nil {
			return
		}
		*into = []string{}
		for _, text := range *given {
			value, fault := parse(text)
			if fault != "" {
				faults = append(faults, errs.Field{Pointer: pointer, Detail: text + " " + fault})
			}
			*into = append(*into, value)
		}
		slices.Sort(*into)
		*into = slices.Compact(*into)
	}
	set("/name", c.Name, &s.Name, parseName)
	set("/slug", c.Slug, &s.Slug, parseSlug)
	set("/logo_url", c.LogoURL, &s.LogoURL, setting.URL)
	set("/locale", c.Locale, &s.Locale, setting.Locale)
	set("/time_zone", c.TimeZone, &s.TimeZone, setting.Zone)
	all("/security/email_domains", c.EmailDomains, &s.Security.EmailDomains, parseDomain)
	all("/security/ip_ranges", c.IPRanges, &s.Security.IPRanges, parseRange)
	if c.RequireMFA != nil {
		s.Security.RequireMFA = *c.RequireMFA
	}
	if c.SessionMinutes != nil {
		s.Security.SessionMinutes = *c.SessionMinutes
	}
	if len(faults) > 0 {
		return models.Settings{}, tenantapi.ErrBadTenant.With(faults...)
	}
	return s, nil
}

// The parsers return the value as it is stored, or what is wrong with it.

func parseName(s string) (value, fault string) {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return "", "must not be empty"
	case utf8.RuneCountInString(s) > maxName:
		return "", "is too long"
	case strings.ContainsFunc(s, unicode.IsControl):
		return "", "must not hold control characters"
	}
	return s, ""
}

// parseSlug refuses ids, too: they are the slugs of personal tenants.
func parseSlug(s string) (value, fault string) {
	if s == "" || len(s) > maxSlug || strings.ContainsFunc(s, oddInSlug) || s[0] == '-' || s[len(s)-1] == '-' {
		return "", "must be lower-case letters, digits and dashes between them, 63 at the most"
	}
	if _, err := id.Parse[id.Tenant](s); err == nil {
		return "", "must not be an id"
	}
	return s, ""
}

func oddInSlug(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-') }

// slugOf makes a slug of a name; it is "" for a name that has nothing of one.
func slugOf(name string) string {
	slug := strings.Join(strings.FieldsFunc(strings.ToLower(name), oddInSlug), "-")
	return strings.Trim(slug[:min(len(slug), maxSlug)], "-")
}

// parseDomain admits the names of hosts (RFC 1123) with a dot in them.
func parseDomain(s string) (value, fault string) {
	const wrong = "must be a domain such as example.com"
	s = strings.ToLower(strings.TrimSpace(s))
	if len(s) > maxDomain || !strings.Contains(s, ".") {
		return "", wrong
	}
	for label := range strings.SplitSeq(s, ".") {
		if _, fault := parseSlug(label); fault != "" {
			return "", wrong
		}
	}
	return s, ""
}

func parseRange(s string) (value, fault string) {
	p, err := netip.ParsePrefix(strings.TrimSpace(s))
	if err != nil {
		return "", "must be a range such as 192.0.2.0/24"
	}
	return p.Masked().String(), ""
}
