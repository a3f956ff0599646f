package models

import (
	"crypto/rand"
	"encoding/hex"
	"regexp"
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/pkg/id"
)

// TokenKind names the ids of personal access tokens.
type TokenKind struct{}

// TokenID identifies a personal access token.
type TokenID = id.ID[TokenKind]

// MaxTokens is how many live tokens a user may have.
const MaxTokens = 200

// TokenAccess is how long what a token is exchanged for lives.
const TokenAccess = 5 * time.Minute

// AnyBase in a list of bases stands for all.
const AnyBase = "*"

// Scopes of personal access tokens, named as Airtable names them.
var Scopes = []string{
	"data.records:read", "data.records:write", "data.recordComments:read", "data.recordComments:write",
	"schema.bases:read", "schema.bases:write", "webhook:manage", "block:manage", "user.email:read",
	"workspacesAndBases:read", "workspacesAndBases:write", "workspacesAndBases:manage", "workspacesAndBases.shares:manage",
}

// Token is a personal access token. Of its text only the prefix and the hash of
// the whole are kept.
type Token struct {
	ID         TokenID
	User       id.UserID
	Tenant     id.TenantID // that it is for
	Home       id.TenantID // of the user's account
	Name       string
	Prefix     string // pat and 14 characters: unique
	Hash       []byte
	Scopes     []string
	Bases      []string
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	LastUsedAt time.Time
	RevokedAt  time.Time
}

// Live reports whether the token opens anything.
func (t *Token) Live(now time.Time) bool {
	return t.RevokedAt.IsZero() && (t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt))
}

// Matches reports whether text is the token.
func (t *Token) Matches(text string) bool { return equal(t.Hash, Hash(text)) }

// AccessUntil is when a JWT that is made from the token now expires.
func (t *Token) AccessUntil(ttl time.Duration, now time.Time) time.Time {
	until := now.Add(ttl)
	if t.ExpiresAt.IsZero() {
		return until
	}
	return earlier(until, t.ExpiresAt)
}

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

var (
	tokenForm = regexp.MustCompile(`^(pat[0-9A-Za-z]{14})\.[0-9a-f]{64}$`)
	baseForm  = regexp.MustCompile(`^app[0-9A-Za-z]{14}$`)
)

// NewTokenText returns the text of a new token in Airtable's form.
func NewTokenText() (prefix, text string) {
	p := []byte("pat")
	for len(p) < len("pat")+14 {
		var b [1]byte
		rand.Read(b[:])
		if b[0] < 248 { // the largest multiple of 62, so that no character is likelier
			p = append(p, base62[b[0]%62])
		}
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	return string(p), string(p) + "." + hex.EncodeToString(secret)
}

// TokenPrefix is the prefix of a token's text; false if it is none.
func TokenPrefix(text string) (string, bool) {
	m := tokenForm.FindStringSubmatch(text)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// BadScope returns the index of the first scope that does not exist, or -1.
func BadScope(scopes []string) int {
	return slices.IndexFunc(scopes, func(s string) bool { return !slices.Contains(Scopes, s) })
}

// BadBase returns the index of the first that is no base's id, or -1. The only
// other thing allowed is AnyBase alone.
func BadBase(bases []string) int {
	if len(bases) == 1 && bases[0] == AnyBase {
		return -1
	}
	return slices.IndexFunc(bases, func(s string) bool { return !baseForm.MatchString(s) })
}
