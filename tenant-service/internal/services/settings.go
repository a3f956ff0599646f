package services

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // the container has no time zone database
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
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
	maxURL    = 2048
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
	set("/logo_url", c.LogoURL, &s.LogoURL, parseURL)
	set("/locale", c.Locale, &s.Locale, parseLocale)
	set("/time_zone", c.TimeZone, &s.TimeZone, parseZone)
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

// parseURL admits what a browser may load, and no address that carries somebody's
// password.
func parseURL(s string) (value, fault string) {
	if s == "" {
		return "", ""
	}
	u, err := url.Parse(s)
	if err != nil || len(s) > maxURL || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
		strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return "", "must be an http or https URL without user and password"
	}
	return u.String(), ""
}

func parseLocale(s string) (value, fault string) {
	if s == "" {
		return models.DefaultLocale, ""
	}
	tag, err := language.Parse(s)
	if err != nil || tag == language.Und {
		return "", "must be a language tag such as en-GB (BCP 47)"
	}
	return tag.String(), ""
}

// parseZone admits the names of the IANA database, and not what else LoadLocation takes:
// the zone of the machine, and files beside the database.
func parseZone(s string) (value, fault string) {
	if s == "" {
		return models.DefaultTimeZone, ""
	}
	odd := slices.Contains([]string{"Local", "localtime", "posixrules", "Factory"}, s) ||
		strings.HasPrefix(s, "posix/") || strings.HasPrefix(s, "right/") || strings.ContainsFunc(s, oddInZone)
	if _, err := time.LoadLocation(s); err != nil || odd {
		return "", "must be a name of the IANA database such as Europe/London"
	}
	return s, ""
}

func oddInZone(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/_+-", r))
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
