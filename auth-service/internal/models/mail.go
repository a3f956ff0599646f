package models

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/id"
)

// MailKind tells mails, and the tokens in them, apart.
type MailKind string

// The kinds of mail. Notices carry no token.
const (
	VerifyMail MailKind = "verify_email"
	ResetMail  MailKind = "reset_password"
	NoticeMail MailKind = "notice"
)

// mailTTL is how long the token of a mail lives.
var mailTTL = map[MailKind]time.Duration{VerifyMail: 72 * time.Hour, ResetMail: time.Hour}

// MailPause is how long an address is left in peace after a mail of one kind.
const MailPause = time.Minute

// MailName names the ids of mails.
type MailName struct{}

// MailID identifies a mail.
type MailID = id.ID[MailName]

// Mail is a mail to one user. Its text and token are kept sealed.
type Mail struct {
	ID        MailID
	User      id.UserID
	Tenant    id.TenantID
	Kind      MailKind
	To        string
	Subject   string
	Text      string
	Token     string // "" for none
	CreatedAt time.Time
	SentAt    time.Time
}

// TokenExpiresAt is when the mail's token stops working.
func (m Mail) TokenExpiresAt() time.Time { return m.CreatedAt.Add(mailTTL[m.Kind]) }

// Revocation of what access tokens name, remembered until the last of them has
// expired.
type Revocation struct {
	Kind  string // RevokedSession, RevokedToken or RevokedUser
	ID    string
	Until time.Time
}

// The kinds of Revocation, as they stand in announcements.
const (
	RevokedSession = "sid"
	RevokedToken   = "pat"
	RevokedUser    = "user"
)

// Member is the revocation's name in the set of all.
func (r Revocation) Member() string { return r.Kind + ":" + r.ID }

// Limits of the second step of signing in.
const (
	ChallengeTTL   = 5 * time.Minute
	ChallengeTries = 5
)

// Challenge is a sign-in whose password was right and whose code is awaited.
type Challenge struct {
	Hash      []byte // of the mfa_token
	User      id.UserID
	Tenant    id.TenantID
	Method    string
	Failures  int
	ExpiresAt time.Time
}

// Open reports whether a code may still be tried.
func (c *Challenge) Open(now time.Time) bool {
	return now.Before(c.ExpiresAt) && c.Failures < ChallengeTries
}

// SendMail is the job that sends a mail. The mail itself is not in it, since
// jobs are stored as they are.
type SendMail struct {
	Mail MailID `json:"mail"`
}

// Kind implements river.JobArgs.
func (SendMail) Kind() string { return "send_mail" }

// AskMail is the job that mails to an address if anybody has it. It is a job, and
// not a part of the request, so that the request does the same for every address.
type AskMail struct {
	MailKind MailKind `json:"kind"`
	Sealed   []byte   `json:"sealed"` // the address's key, which may be nobody's here
}

// Kind implements river.JobArgs.
func (AskMail) Kind() string { return "ask_mail" }
