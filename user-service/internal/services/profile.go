package services

import (
	"net/url"
	"strings"
	"time"
	_ "time/tzdata" // the container has no time zone database
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"

	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/user-service/internal/models"
)

// Change is what a caller wants of a profile; nil leaves a field as it is, and
// the empty string gives it its default.
type Change struct {
	Name, AvatarURL, Locale, TimeZone *string
	Preferences                       models.Preferences // nil leaves them
	// Replace makes Preferences the new ones, rather than a merge patch of the old.
	Replace bool
}

const (
	maxName = 200
	maxURL  = 2048
)

// apply returns the profile with the change. It refuses with
// userapi.ErrBadProfile, naming every faulty field.
func (ch Change) apply(p models.Profile) (models.Profile, error) {
	var faults []errs.Field
	set := func(field, pointer string, given *string, into *string, parse func(string) (string, string)) {
		if given == nil {
			return
		}
		value, fault := parse(*given)
		if fault != "" {
			faults = append(faults, errs.Field{Pointer: pointer, Detail: field + " " + fault})
		}
		*into = value
	}
	set("The name", "/name", ch.Name, &p.Name, parseName)
	set("The address", "/avatar_url", ch.AvatarURL, &p.AvatarURL, parseAvatar)
	set("The locale", "/locale", ch.Locale, &p.Locale, parseLocale)
	set("The time zone", "/time_zone", ch.TimeZone, &p.TimeZone, parseZone)
	if ch.Preferences != nil {
		next, err := ch.preferences(p.Preferences)
		if err != nil {
			faults = append(faults, errs.Field{Pointer: "/preferences", Detail: "The value " + err.Error()})
		}
		p.Preferences = next
	}
	if len(faults) > 0 {
		return models.Profile{}, userapi.ErrBadProfile.With(faults...)
	}
	return p, nil
}

func (ch Change) preferences(old models.Preferences) (models.Preferences, error) {
	if err := ch.Preferences.Check(); err != nil {
		return nil, err
	}
	if ch.Replace {
		return ch.Preferences.Canonical(), nil
	}
	next := old.Merge(ch.Preferences)
	if err := next.Check(); err != nil {
		return nil, err
	}
	return next.Canonical(), nil
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

// parseAvatar admits what a browser may load as an image, and no address that
// carries somebody's password.
func parseAvatar(s string) (value, fault string) {
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

// parseZone admits the names of the IANA database, and not what else LoadLocation
// takes: the zone of the machine, and files beside the database.
func parseZone(s string) (value, fault string) {
	const wrong = "must be a name of the IANA database such as Europe/London"
	if s == "" {
		return models.DefaultTimeZone, ""
	}
	for _, odd := range []string{"Local", "localtime", "posixrules", "Factory"} {
		if s == odd {
			return "", wrong
		}
	}
	if strings.HasPrefix(s, "posix/") || strings.HasPrefix(s, "right/") || strings.ContainsFunc(s, oddInZone) {
		return "", wrong
	}
	if _, err := time.LoadLocation(s); err != nil {
		return "", wrong
	}
	return s, ""
}

func oddInZone(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/_+-", r))
}
