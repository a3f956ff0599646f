package models

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// InvitationKind names the ids of invitations.
type InvitationKind struct{}

// InvitationID identifies an invitation.
type InvitationID = id.ID[InvitationKind]

// Invitation asks somebody, by his address, into a tenant. It is gone when it was
// accepted or revoked.
type Invitation struct {
	ID        InvitationID
	Tenant    id.TenantID
	Email     string // in lower case
	Role      string
	Hash      []byte // of the token in the mail that was sent last
	InvitedBy id.UserID
	ExpiresAt time.Time
	Version   int64
	CreatedAt time.Time
}

// InvitationTTL is how long an invitation can be accepted after its last mail.
const InvitationTTL = 7 * 24 * time.Hour

// NewInvitationToken returns 256 random bits with a prefix that tells what they are, to
// people and to secret scanners.
func NewInvitationToken() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails: crypto/rand ends the process instead
	return "inv_" + base64.RawURLEncoding.EncodeToString(b)
}

// Hash is how tokens are stored. They are random, so that a fast hash without salt is
// enough.
func Hash(token string) []byte {
	h := sha256.Sum256([]byte(token))
	return h[:]
}

// Mail is a mail that is to be sent. It is kept sealed.
type Mail struct {
	ID        MailID
	Tenant    id.TenantID
	To        string
	Subject   string
	Text      string
	Token     string
	CreatedAt time.Time
	SentAt    time.Time
}

// MailKind names the ids of mails.
type MailKind struct{}

// MailID identifies a mail.
type MailID = id.ID[MailKind]

// SendMail is the job that sends a mail. The mail itself is not in it, since jobs are
// stored as they are.
type SendMail struct {
	Tenant id.TenantID `json:"tenant"`
	Mail   MailID      `json:"mail"`
}

// Kind implements river.JobArgs.
func (SendMail) Kind() string { return "send_mail" }

// MayInvite refuses callers and addresses that do not invite, or are not invited, and roles
// that are stronger than the caller's.
func (s *Scene) MayInvite(email, role string) error {
	if err := s.MayManageInvitation(role); err != nil {
		return err
	}
	switch {
	case s.Personal():
		return tenantapi.ErrPersonalTenant
	case s.Status() == tenantapi.StatusDeleting:
		return tenantapi.ErrTenantDeleting
	case !s.Security.AdmitsAddress(email):
		return tenantapi.ErrEmailDomain
	}
	return nil
}

// MayManageInvitation refuses callers who do not manage invitations to the role.
func (s *Scene) MayManageInvitation(role string) error {
	if err := s.mayManage(permissionapi.ManageMembers); err != nil {
		return err
	}
	return s.upTo(role)
}

// AdmitsAddress reports whether the tenant takes members with that address.
func (s Security) AdmitsAddress(email string) bool {
	_, domain, _ := strings.Cut(email, "@")
	return len(s.EmailDomains) == 0 || slices.Contains(s.EmailDomains, domain)
}
