package models

import (
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/id"
)

type shareLink struct{}

// ShareLinkID names a share link.
type ShareLinkID = id.ID[shareLink]

// ShareLink opens a workspace's bases, or one base, to everybody who has its secret.
type ShareLink struct {
	Tenant       id.TenantID
	ID           ShareLinkID
	Kind, Object string
	Role         string
	Hash         []byte // of the secret
	Secret       []byte // sealed
	Password     []byte // hashed; none: nil
	ExpiresAt    time.Time
	Maker        id.UserID
	MakerRole    string // in the tenant, as his token told it
	Opened       int64
	LastOpenedAt time.Time
	Version      int64
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// NewShareLink is a link that the user makes, and its secret.
func NewShareLink(tenant id.TenantID, user id.UserID, userRole, kind, object, role string, now time.Time) (ShareLink, string) {
	secret := tenant.String() + "." + rand.Text()
	return ShareLink{
		Tenant: tenant, ID: id.New[shareLink](), Kind: kind, Object: object, Role: role, Hash: HashSecret(secret), Maker: user, MakerRole: userRole,
		Version: 1, CreatedAt: now, UpdatedAt: now,
	}, secret
}

// Redemption is the role that a user has on a link's object by the link.
type Redemption struct {
	Tenant       id.TenantID
	Link         ShareLinkID
	User         id.UserID
	Kind, Object string
	Role         string
	Until        time.Time // zero: he had as much without the link
}

// HashSecret is what a secret is found by. It is random enough not to be guessed from
// its hash.
func HashSecret(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// TenantOfSecret is the tenant that a secret belongs to.
func TenantOfSecret(secret string) (id.TenantID, error) {
	tenant, _, _ := strings.Cut(secret, ".")
	return id.Parse[id.Tenant](tenant)
}

// Ended reports whether the link has ended by itself.
func (l ShareLink) Ended(now time.Time) bool {
	return !l.ExpiresAt.IsZero() && !now.Before(l.ExpiresAt)
}

// The wrong passwords that a link takes before it makes everybody wait, and how long it
// does at the most.
const (
	freeFailures = 5
	longestBlock = 15 * time.Minute
)

// BlockAfter is how long nobody may try a password after so many wrong ones: the sixth
// costs two seconds, each further one twice as much.
func BlockAfter(failures int) time.Duration {
	if failures < freeFailures {
		return 0
	}
	return min(time.Second<<min(failures-freeFailures+1, 20), longestBlock)
}

type activity struct{}

// ActivityID names an entry of the feed.
type ActivityID = id.ID[activity]

// NewActivityID names a new entry.
func NewActivityID() ActivityID { return id.New[activity]() }

// Who sees an entry of the feed.
const (
	Readers = "read"   // of what it is about
	Sharers = "share"  // who may share what it is about
	Admins  = "admin"  // of the tenant
	Members = "member" // of the tenant, guests excepted
)

// Activity is something that happened.
type Activity struct {
	ID                              ActivityID
	At, LastAt                      time.Time
	Kind, Audience, Actor           string
	Workspace, Project, Base, Table string
	Subject, Name, Role             string
	Changed                         []string
	Count                           int
}
