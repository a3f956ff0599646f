// Package setting reads what people choose for themselves and their organisations. Each
// function returns the value as it is stored, or says what is wrong with it.
package setting

import (
	"net/url"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // containers have no time zone database
	"unicode"

	"golang.org/x/text/language"
)

// What is chosen by choosing nothing.
const (
	DefaultLocale   = "en"
	DefaultTimeZone = "UTC"
)

// maxURL is in bytes.
const maxURL = 2048

// URL admits what a browser may load, and no address that carries somebody's password.
// The empty string is none.
func URL(s string) (value, fault string) {
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

// Locale admits language tags (BCP 47). The empty string is DefaultLocale.
func Locale(s string) (value, fault string) {
	if s == "" {
		return DefaultLocale, ""
	}
	tag, err := language.Parse(s)
	if err != nil || tag == language.Und {
		return "", "must be a language tag such as en-GB (BCP 47)"
	}
	return tag.String(), ""
}

// Zone admits the names of the IANA database, and not what else time.LoadLocation takes:
// the zone of the machine, and files beside the database. The empty string is
// DefaultTimeZone.
func Zone(s string) (value, fault string) {
	if s == "" {
		return DefaultTimeZone, ""
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
