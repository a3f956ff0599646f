// Package config is what an operator may set of tenant-service.
package config

import (
	"errors"
	"time"

	"github.com/pyairtable/pyairtable/pkg/config"
)

// Config is the service's configuration.
type Config struct {
	config.Base `mapstructure:",squash"`

	DeletionGrace time.Duration `env:"DELETION_GRACE" default:"720h" validate:"min=1s" doc:"how long the deletion of an organisation can be undone"`
	PublicURL     string        `env:"PUBLIC_URL" default:"http://localhost:8080" validate:"required,http_url" doc:"address under which clients reach the gateway; mails and sign-in providers point to it"`
	MailFrom      string        `env:"MAIL_FROM" default:"PyAirtable <no-reply@localhost>" validate:"required" doc:"sender of mails"`
	DNSAddress    string        `env:"DNS_ADDRESS" validate:"omitempty,hostname_port" doc:"host:port of the DNS server that is asked for the records of domains; unset for the machine's"`
	DevInbox      bool          `env:"DEV_INBOX" default:"false" doc:"serve sent mails at /api/v1/auth/dev/inbox and /api/v1/invitations/dev/inbox, to everybody; production refuses it"`
}

// Check finds what single variables cannot tell.
func (c Config) Check() error {
	if c.Production() && c.DevInbox {
		return errors.New("DEV_INBOX: production refuses it")
	}
	return nil
}
