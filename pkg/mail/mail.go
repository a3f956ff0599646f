// Package mail is how services send mails. A service stores a mail with what causes it,
// sealed, and a job sends it.
package mail

import (
	"context"

	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/id"
)

// Mail is a mail to one address.
type Mail struct {
	ID      string
	Tenant  id.TenantID
	User    id.UserID // whom it is for; zero if he may have no account
	Kind    string
	To      string
	Subject string
	Text    string
}

// Sender sends mails. One that was sent may be sent again, when the note of it was lost.
type Sender interface {
	Send(ctx context.Context, m Mail) error
}

// Log writes mails to the log instead of sending them, until notification-service does.
type Log struct {
	From string
	Log  *zap.Logger
	// Secrets lets the text be logged, which holds links that open accounts.
	Secrets bool
}

// Send implements Sender.
func (l Log) Send(_ context.Context, m Mail) error {
	fields := []zap.Field{
		zap.String("mail", m.ID), zap.Stringer("tenant", m.Tenant), zap.Stringer("user", m.User),
		zap.String("kind", m.Kind), zap.String("from", l.From), zap.String("subject", m.Subject),
	}
	if l.Secrets {
		fields = append(fields, zap.String("to", m.To), zap.String("text", m.Text))
	}
	l.Log.Info("mail", fields...)
	return nil
}
