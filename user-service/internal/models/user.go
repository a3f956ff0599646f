// Package models holds user-service's rules that need no I/O.
package models

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/setting"
)

// User is a profile and what is known of its account.
type User struct {
	ID     id.UserID
	Tenant id.TenantID // that the account was made in
	Email  string
	Profile
	// AccountVersion is the version of the account that Tenant, Email and the first
	// name were taken from; 0 while only a token has told of the user.
	AccountVersion int64
	Named          bool // the name is the user's own word: no event replaces it
	Version        int64
	CreatedAt      time.Time
	UpdatedAt      time.Time
	DeletedAt      time.Time // zero: alive
}

// Profile is what a user may change.
type Profile struct {
	Name        string
	AvatarURL   string
	Locale      string
	TimeZone    string
	Preferences Preferences
}

// Account is what auth-service says about a user.
type Account struct {
	User    id.UserID
	Tenant  id.TenantID
	Email   string
	Name    string
	Version int64
}

// New is the profile of a user of whom nothing but his token is known.
func New(user id.UserID, tenant id.TenantID, now time.Time) User {
	return User{
		ID: user, Tenant: tenant, Version: 1, CreatedAt: now, UpdatedAt: now,
		Profile: Profile{Locale: setting.DefaultLocale, TimeZone: setting.DefaultTimeZone, Preferences: Preferences{}},
	}
}

// Deleted reports whether only the tombstone is left.
func (u *User) Deleted() bool { return !u.DeletedAt.IsZero() }

// Learn takes over what auth-service says, unless it is older than what is known
// already or the user is deleted, and returns the names of the fields that changed.
func (u *User) Learn(a Account, now time.Time) []string {
	if u.Deleted() || a.Version <= u.AccountVersion {
		return nil
	}
	u.AccountVersion, u.Tenant = a.Version, a.Tenant
	next := u.Profile
	if !u.Named && a.Name != "" {
		next.Name = a.Name
	}
	changed := u.replace(next)
	if u.Email != a.Email {
		u.Email = a.Email
		changed = append(changed, "email")
	}
	u.touch(changed, now)
	return changed
}

// Edit makes next the profile, by the user's own or his admin's wish, and returns
// the names of the fields that changed.
func (u *User) Edit(next Profile, now time.Time) []string {
	u.Named = u.Named || next.Name != u.Name
	changed := u.replace(next)
	u.touch(changed, now)
	return changed
}

func (u *User) touch(changed []string, now time.Time) {
	if len(changed) > 0 {
		u.Version++
		u.UpdatedAt = now
	}
}

// replace makes next the profile and names what differs.
func (u *User) replace(next Profile) (changed []string) {
	for _, f := range []struct {
		name     string
		old, new string
	}{
		{"name", u.Name, next.Name}, {"avatar_url", u.AvatarURL, next.AvatarURL},
		{"locale", u.Locale, next.Locale}, {"time_zone", u.TimeZone, next.TimeZone},
	} {
		if f.old != f.new {
			changed = append(changed, f.name)
		}
	}
	if !maps.EqualFunc(u.Preferences, next.Preferences, slices.Equal) {
		changed = append(changed, "preferences")
	}
	u.Profile = next
	return changed
}

// Erase leaves of the user what keeps him deleted, and nothing that says who he
// was. It reports false if he was deleted before.
func (u *User) Erase(now time.Time) bool {
	if u.Deleted() {
		return false
	}
	*u = User{
		ID: u.ID, Tenant: u.Tenant, AccountVersion: u.AccountVersion, Version: u.Version + 1,
		CreatedAt: u.CreatedAt, UpdatedAt: now, DeletedAt: now,
	}
	return true
}

// SearchText is what a search looks in. Case is folded here and not by the
// database, whose idea of it depends on its locale.
func (u *User) SearchText() string { return Fold(u.Name + "\n" + u.Email) }

// Fold makes texts that differ in case only equal.
func Fold(s string) string { return strings.ToLower(s) }
