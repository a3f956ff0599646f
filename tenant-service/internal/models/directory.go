package models

import (
	"crypto/rand"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/id"
)

// SCIMTokenKind names the ids of SCIM tokens.
type SCIMTokenKind struct{}

// SCIMTokenID identifies a SCIM token.
type SCIMTokenID = id.ID[SCIMTokenKind]

// MaxSCIMTokens is how many a tenant may have.
const MaxSCIMTokens = 10

// SCIMToken opens a tenant to a directory. Of its text only the hash is kept.
type SCIMToken struct {
	ID         SCIMTokenID
	Tenant     id.TenantID
	Name       string
	Hash       []byte
	CreatedBy  id.UserID
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	LastUsedAt time.Time
	Version    int64
}

// Live reports whether the token opens anything.
func (t *SCIMToken) Live(now time.Time) bool { return t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt) }

const scimPrefix = "scim_"

// NewSCIMTokenText returns the text of a new token of the tenant: a prefix for people and
// secret scanners, the tenant's id, and 256 random bits.
func NewSCIMTokenText(tenant id.TenantID) string {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails: crypto/rand ends the process instead
	return scimPrefix + tenant.String() + "_" + base64.RawURLEncoding.EncodeToString(secret)
}

// SCIMTokenTenant is the tenant whose token the text may be; false if it is none.
func SCIMTokenTenant(text string) (id.TenantID, bool) {
	body, ok := strings.CutPrefix(text, scimPrefix)
	name, _, parted := strings.Cut(body, "_")
	tenant, err := id.Parse[id.Tenant](name)
	return tenant, ok && parted && err == nil
}

// Person is a member as a directory sees him.
type Person struct {
	Member
	Told       bool   // a directory has said something of him
	UserName   string // until a directory says another, the address of his account, or else his id
	Email      string // that a directory knows him by, in lower case
	ExternalID string
	Attributes map[string]any // the rest of the SCIM resource
	Revision   int64          // of what was told
	ToldAt     time.Time
	Groups     []Group // that he is in; without versions and times
}

// ETagVersion is what the resource's ETag is made of.
func (p *Person) ETagVersion() string {
	return strconv.FormatInt(p.Version, 10) + "." + strconv.FormatInt(p.Revision, 10)
}

// Modified is when the resource was changed last.
func (p *Person) Modified() time.Time {
	if p.ToldAt.After(p.UpdatedAt) {
		return p.ToldAt
	}
	return p.UpdatedAt
}

// Vouches reports whether the tenant has named the domain of that address, in lower case,
// as one of those that its members have.
func (s Security) Vouches(address string) bool {
	_, domain, _ := strings.Cut(address, "@")
	return slices.Contains(s.EmailDomains, domain)
}

// Mate is a member in a group as a directory sees him.
type Mate struct {
	ID   MemberID
	Name string
}

// People selects users of a tenant. The zero value is all.
type People struct {
	ID         *MemberID
	NameKey    *string
	ExternalID *string
	EmailKey   *string
	Listing
}

// Listing is which resources of a directory's are wanted, in which order, and what is cut
// out of them. Where and By are paths of SQL/JSON into an object of the resource, "e", and
// the same in lower case, "l". The zero value is all of them, in the order of their ids.
type Listing struct {
	Base   string   // address under which the resources lie
	Where  string   // a predicate; "" for all
	By     []string // the first that leads to anything counts; what has nothing comes last
	Exact  bool     // the case counts in By
	Down   bool
	Offset int
	Limit  int // 0: no limit
}

// Version is what a group's ETag is made of.
func Version(n int64) string { return strconv.FormatInt(n, 10) }
