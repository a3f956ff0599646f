// Package models holds auth-service's rules that need no I/O.
package models

import (
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/id"
)

// RoleOwner is every user's role in the personal tenant, the only one there is
// until tenant-service knows others.
const RoleOwner = "owner"

const maxEmail = 254 // RFC 5321, section 4.5.3.1.3

// User is an account.
type User struct {
	ID           id.UserID
	Tenant       id.TenantID
	Email        string // as typed
	Name         string
	PasswordHash string    // "" if only a provider signs the user in
	VerifiedAt   time.Time // zero: the address is not proved
	TOTP         TOTP
	Recovery     [][]byte // hashes of the recovery codes that are left
	Version      int64
	CreatedAt    time.Time
}

// Verified reports whether the user has proved to read the address's mail.
func (u *User) Verified() bool { return !u.VerifiedAt.IsZero() }

// Verify notes the proof; it reports whether that is news.
func (u *User) Verify(now time.Time) bool {
	if u.Verified() {
		return false
	}
	u.VerifiedAt = now
	return true
}

// DropSecondFactor forgets the authenticator and the recovery codes.
func (u *User) DropSecondFactor() { u.TOTP, u.Recovery = TOTP{}, nil }

// UseRecovery takes the code with that hash away; false if there is none.
func (u *User) UseRecovery(hash []byte) bool {
	i := slices.IndexFunc(u.Recovery, func(h []byte) bool { return equal(h, hash) })
	if i < 0 {
		return false
	}
	u.Recovery = slices.Delete(u.Recovery, i, i+1)
	return true
}

// TOTP is a second factor (RFC 6238). It is pending until ConfirmedAt.
type TOTP struct {
	Secret      string // base32
	ConfirmedAt time.Time
	Step        int64 // of the last code that was accepted
}

// Enabled reports whether signing in takes a code.
func (t TOTP) Enabled() bool { return !t.ConfirmedAt.IsZero() }

// Accept takes the code of a time step, unless one of that step or of a later
// one was accepted before: a code that was looked at over a shoulder is worthless.
func (t *TOTP) Accept(step int64) bool {
	if step <= t.Step {
		return false
	}
	t.Step = step
	return true
}

// EmailKey is what makes two spellings of an address the same account, and
// whether s is an address at all.
func EmailKey(s string) (string, bool) {
	s = strings.TrimSpace(s)
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || len(s) > maxEmail || strings.ContainsAny(s, " \"\r\n") {
		return "", false
	}
	return strings.ToLower(s), true
}

// Identity is an account at a sign-in provider.
type Identity struct {
	Provider string
	Subject  string // sub of the ID token: the only stable name there
	Email    string
	Verified bool // whether the provider vouches for the address
	Name     string
}

// ServiceAccountKey stands where a user has the key of his address. It is not one, so
// that nobody can register it, sign in with it, or have mail sent to it.
func ServiceAccountKey(user id.UserID) string { return "service_account:" + user.String() }
