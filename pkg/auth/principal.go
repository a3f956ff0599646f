// Package auth says who is asking. Every service verifies access tokens for
// itself with a Verifier; a Principal is what a verified token says.
package auth

import (
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pyairtable/pyairtable/pkg/id"
)

// The audiences of access tokens.
const (
	AudienceUser    = "pyairtable" // a user, or a service acting for one
	AudienceService = "internal"   // a service in its own name
)

// Any in a list of scopes or bases stands for all of them.
const Any = "*"

// servicePrefix begins the sub of a service's own token.
const servicePrefix = "service:"

// Claims is the payload of an access token, as auth-service signs it.
type Claims struct {
	jwt.RegisteredClaims
	Tenant  string   `json:"tid,omitempty"`
	Session string   `json:"sid,omitempty"`
	Role    string   `json:"role,omitempty"`  // in the tenant: owner, admin, member, guest
	Scope   string   `json:"scope,omitempty"` // space-separated (RFC 8693, section 4.2)
	PAT     string   `json:"pat,omitempty"`   // id of the personal access token that was exchanged
	Bases   []string `json:"bases,omitempty"` // that the personal access token opens
	Act     *Actor   `json:"act,omitempty"`   // who acts for sub (RFC 8693, section 4.1)
}

// Actor is the act claim. A token that was exchanged again names the earlier actor
// inside.
type Actor struct {
	Subject string `json:"sub"`
	Act     *Actor `json:"act,omitempty"`
}

// ServiceSubject is the sub of the named service's own token.
func ServiceSubject(service string) string { return servicePrefix + service }

// Principal is who is asking. The zero value is nobody.
type Principal struct {
	UserID    id.UserID // zero for a service in its own name
	TenantID  id.TenantID
	SessionID id.SessionID
	Role      string
	Scopes    []string
	Bases     []string
	PAT       string // id of the personal access token, "" for a session
	Service   string // name of the service whose own token this is
	Actor     *Actor // who acts for the user, nil if he does himself
	TokenID   string
	Token     string // as received, to be passed on; never logged
	ExpiresAt time.Time
}

// principal reads verified claims. Ids of a malformed token are zero, which
// opens nothing.
func principal(c *Claims, token string) Principal {
	p := Principal{
		Role: c.Role, Scopes: strings.Fields(c.Scope), Bases: c.Bases, PAT: c.PAT, Actor: c.Act, TokenID: c.ID, Token: token,
		ExpiresAt: c.ExpiresAt.Time,
	}
	if name, ok := strings.CutPrefix(c.Subject, servicePrefix); ok {
		if slices.Contains(c.Audience, AudienceService) {
			p.Service = name
		}
		return p
	}
	if !slices.Contains(c.Audience, AudienceUser) {
		return p
	}
	_ = p.UserID.UnmarshalText([]byte(c.Subject))
	_ = p.TenantID.UnmarshalText([]byte(c.Tenant))
	_ = p.SessionID.UnmarshalText([]byte(c.Session))
	return p
}

// IsZero reports whether nobody is asking.
func (p Principal) IsZero() bool { return p.UserID.IsZero() && p.Service == "" }

// IsService reports whether a service asks in its own name.
func (p Principal) IsService() bool { return p.Service != "" }

// HasScope reports whether the token opens what needs the scope.
func (p Principal) HasScope(scope string) bool {
	return slices.Contains(p.Scopes, Any) || slices.Contains(p.Scopes, scope)
}

// MaySeeBase reports whether the token may be used on the base. Sessions may be
// used on all; a personal access token on those that it lists.
func (p Principal) MaySeeBase(base string) bool {
	return p.PAT == "" || slices.Contains(p.Bases, Any) || slices.Contains(p.Bases, base)
}

// IsAdmin reports whether the principal administers its tenant.
func (p Principal) IsAdmin() bool { return p.Role == "owner" || p.Role == "admin" }

// IsGuest reports whether the principal is in its tenant for nothing but what it was given
// there.
func (p Principal) IsGuest() bool { return p.Role == "guest" }

// Subject is who to name in logs and as the owner of idempotency keys: the
// user's id, service:NAME, or "" for nobody.
func (p Principal) Subject() string {
	if p.IsService() {
		return ServiceSubject(p.Service)
	}
	return p.UserID.String()
}
