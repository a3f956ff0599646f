package models

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/id"
)

type connection struct{}

// ConnectionID names a connection. Ids ascend with the time of creation.
type ConnectionID = id.ID[connection]

// ConnectionKind is what stands behind a connection.
type ConnectionKind string

const (
	LocalConnection    ConnectionKind = "local"    // the base store in this service's database
	AirtableConnection ConnectionKind = "airtable" // an account of the Airtable Web API
)

// ConnectionStatus says whether the upstream accepted the token when it was
// asked last.
type ConnectionStatus string

const (
	ConnectionActive    ConnectionStatus = "active"
	ConnectionRefused   ConnectionStatus = "refused"
	ConnectionUnchecked ConnectionStatus = "unchecked" // it could not be asked yet
)

// Connection is a tenant's way to bases.
type Connection struct {
	ID        ConnectionID
	Tenant    id.TenantID
	Name      string
	Kind      ConnectionKind
	APIURL    string // without /v0; "" for a local one
	Token     []byte // sealed; nil for a local one
	Status    ConnectionStatus
	Version   int64
	CheckedAt time.Time // zero: never
	CreatedAt time.Time
	UpdatedAt time.Time
	Settings  ConnectionSettings
}

// ConnectionSettings are how the calls of an Airtable account are treated on their
// way. A local connection has no use for them.
type ConnectionSettings struct {
	// Freshness is how old a cached answer may be, in whole seconds; 0: nothing is
	// cached.
	Freshness time.Duration
	// StableAttachments copies attachments and has answers link to the copies, whose
	// addresses do not expire.
	StableAttachments bool
	// BeforeImages reads records before they are changed or deleted, so that events
	// can tell the old cells. That costs a call a write.
	BeforeImages bool
	// Watch has Airtable tell of changes by a webhook in each base that is read, so that
	// cached answers need not age first.
	Watch bool
}

// DefaultSettings are those of a connection of which nothing else was said.
var DefaultSettings = ConnectionSettings{Freshness: 30 * time.Second, BeforeImages: true, Watch: true}

// NewConnection is a connection without a token, made now.
func NewConnection(tenant id.TenantID, kind ConnectionKind, name string, now time.Time) Connection {
	c := Connection{
		ID: id.New[connection](), Tenant: tenant, Name: name, Kind: kind, Status: ConnectionUnchecked,
		Version: 1, CreatedAt: now, UpdatedAt: now, Settings: DefaultSettings,
	}
	if kind == LocalConnection {
		c.Status = ConnectionActive
	}
	return c
}

// SealContext binds the sealed token to this connection: it opens nowhere else.
func (c Connection) SealContext() []byte {
	return []byte("airtable-gateway/connection/" + c.Tenant.String() + "/" + c.ID.String())
}

// WorkspaceID is the workspaceId that stands for a local connection, "" for
// others, whose workspaces are Airtable's.
func (c Connection) WorkspaceID() string {
	if c.Kind != LocalConnection {
		return ""
	}
	return DerivedID("wsp", c.ID.String())
}

// UserIDOf is the id by which the Airtable surface knows a user.
func UserIDOf(user id.UserID) string { return DerivedID("usr", user.String()) }

// DerivedID is an id of Airtable's shape that is always the same for the same
// words.
func DerivedID(prefix string, words ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(words, "\x00")))
	out := []byte(prefix)
	for _, b := range sum[:idLength] {
		out = append(out, alphabet[int(b)%len(alphabet)])
	}
	return string(out)
}

// OfferedBase is a base as a connection lists it.
type OfferedBase struct {
	Connection      ConnectionID
	ID              string
	Name            string
	PermissionLevel string
}

// AllowedURLs are the addresses that connections may point at: a tenant must not
// be able to make this service call other machines.
type AllowedURLs []string

// ParseAllowedURLs reads a comma-separated list of origins, each such as
// https://api.airtable.com.
func ParseAllowedURLs(list string) (AllowedURLs, error) {
	var out AllowedURLs
	for entry := range strings.SplitSeq(list, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		origin, err := origin(entry)
		if err != nil {
			return nil, err
		}
		out = append(out, origin)
	}
	return out, nil
}

// Admit returns the address in its canonical form, and whether it may be called.
func (a AllowedURLs) Admit(address string) (string, bool) {
	o, err := origin(address)
	return o, err == nil && slices.Contains(a, o)
}

// origin reduces an address to scheme and host. Anything more than that in it is
// an error: it could only be meant to mislead.
func origin(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("address: %w", err)
	}
	bare := u.User == nil && (u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == "" && u.Opaque == ""
	if !bare || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return "", fmt.Errorf("address %q: want http(s)://host[:port] and nothing else", u.Redacted())
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), nil
}
