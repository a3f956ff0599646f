package models

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"time"

	"github.com/pyairtable/pyairtable/pkg/id"
)

// Device is what is known of where a request came from.
type Device struct {
	UserAgent string
	IP        string
}

// Session is one signed-in device.
type Session struct {
	ID         id.SessionID
	User       id.UserID
	Tenant     id.TenantID // of the user's account
	In         id.TenantID // the tenant that the session is in, for good
	Method     string      // password, or oidc: and the provider
	Device     Device
	MFAAt      time.Time // when a second factor was given; zero for never
	CreatedAt  time.Time // the sign-in, whatever was switched to since
	LastUsedAt time.Time // when it was last given an access token
	ExpiresAt  time.Time
	RevokedAt  time.Time
}

// Lifetimes of sessions and of what they hand out.
type Lifetimes struct {
	Access time.Duration // of an access token
	Idle   time.Duration // a session ends when it was not refreshed for so long,
	Max    time.Duration // and at the latest so long after the sign-in
	Grace  time.Duration // in which a used refresh token still leads to its successor
}

// Live reports whether the session can be used.
func (s *Session) Live(now time.Time) bool { return s.RevokedAt.IsZero() && now.Before(s.ExpiresAt) }

// Use notes that the session is given an access token.
func (s *Session) Use(l Lifetimes, now time.Time) {
	s.LastUsedAt = now
	s.ExpiresAt = earlier(now.Add(l.Idle), s.CreatedAt.Add(l.Max))
}

// RefreshToken is one link of a session's chain. Of the token itself only the
// hash is kept.
type RefreshToken struct {
	Hash   []byte
	UsedAt time.Time
	Salt   []byte // with the token's text it gives the successor's; kept for the grace time only
}

// NewSecret returns 256 random bits with a prefix that tells what it is, to
// people and to secret scanners.
func NewSecret(prefix string) string {
	b := make([]byte, 32)
	rand.Read(b) // never fails: crypto/rand ends the process instead
	return prefix + base64.RawURLEncoding.EncodeToString(b)
}

// The prefixes of opaque tokens.
const (
	RefreshPrefix = "rt_"
	MFAPrefix     = "mfa_"
	MailPrefix    = "ml_"
)

// Hash is how opaque tokens are stored. They are random, so that a fast hash
// without salt is enough.
func Hash(token string) []byte {
	h := sha256.Sum256([]byte(token))
	return h[:]
}

// successor derives the next token of a chain. Whoever holds the old token and
// asks again within the grace time gets the same answer, though the server keeps
// neither token: a race of two tabs, or a lost answer, ends well, and there is
// still one chain only, so that a thief who took part in the race is found out
// at the next refresh.
func successor(token string, salt []byte) string {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write(salt)
	return RefreshPrefix + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Outcome of presenting a refresh token.
type Outcome string

// The outcomes. All but Rotated and Repeated are refusals.
const (
	Rotated  Outcome = "rotated"
	Repeated Outcome = "repeated" // a used one, within the grace time
	Reused   Outcome = "reused"   // a used one, after it: somebody has a copy
	Expired  Outcome = "expired"
	Revoked  Outcome = "revoked"
	Unknown  Outcome = "unknown"
)

// Family is a session with the links of its chain that matter: the one that was
// presented, the unused one, and those used within the grace time.
type Family struct {
	Session Session
	Tokens  []RefreshToken
	Issued  *RefreshToken // the new link, after Present
	Spent   *RefreshToken // the link that it follows
}

// Present decides what the token means for the family, and changes it
// accordingly: the chain grows by one, stays, or the session is revoked because
// the token was used before. It returns the token to hand out, "" on a refusal.
func (f *Family) Present(token string, l Lifetimes, salt []byte, now time.Time) (string, Outcome) {
	t := f.find(token)
	switch {
	case t == nil:
		return "", Unknown
	case !f.Session.RevokedAt.IsZero():
		return "", Revoked
	case !f.Session.Live(now):
		return "", Expired
	}
	outcome := Rotated
	for !t.UsedAt.IsZero() {
		next := successor(token, t.Salt)
		follow := f.find(next)
		if now.Sub(t.UsedAt) >= l.Grace || follow == nil {
			f.Session.RevokedAt = now
			return "", Reused
		}
		token, t, outcome = next, follow, Repeated
	}
	f.Session.Use(l, now)
	if outcome == Repeated {
		return token, Repeated
	}
	t.UsedAt, t.Salt = now, salt
	next := successor(token, salt)
	f.Spent, f.Issued = t, &RefreshToken{Hash: Hash(next)}
	return next, Rotated
}

func (f *Family) find(token string) *RefreshToken {
	hash := Hash(token)
	for i := range f.Tokens {
		if equal(f.Tokens[i].Hash, hash) {
			return &f.Tokens[i]
		}
	}
	return nil
}

func equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
