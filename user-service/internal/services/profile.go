package services

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/setting"
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
	set("The address", "/avatar_url", ch.AvatarURL, &p.AvatarURL, setting.URL)
	set("The locale", "/locale", ch.Locale, &p.Locale, setting.Locale)
	set("The time zone", "/time_zone", ch.TimeZone, &p.TimeZone, setting.Zone)
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
