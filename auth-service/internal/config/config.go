// Package config is what auth-service can be told.
package config

import (
	"errors"
	"time"

	"github.com/pyairtable/pyairtable/pkg/config"
)

// Config is the service's configuration.
type Config struct {
	config.Base `mapstructure:",squash"`

	PublicURL   string        `env:"PUBLIC_URL" default:"http://localhost:8080" validate:"required,http_url" doc:"address under which clients reach the gateway; mails and sign-in providers point to it"`
	BcryptCost  int           `env:"BCRYPT_COST" default:"11" validate:"min=4,max=15" doc:"work of hashing a password; each step doubles it (11 is about 0.1 s; below 10 is for tests)"`
	SessionIdle time.Duration `env:"SESSION_IDLE" default:"720h" validate:"min=1h" doc:"a session ends when it was not refreshed for so long"`
	SessionMax  time.Duration `env:"SESSION_MAX" default:"4320h" validate:"min=1h" doc:"a session ends so long after its sign-in, however much it is used"`
	KeyPeriod   time.Duration `env:"KEY_PERIOD" default:"720h" validate:"min=3h" doc:"how long one key signs access tokens"`
	VerifyFirst bool          `env:"VERIFY_EMAIL_FIRST" default:"false" doc:"refuse sign-ins before the email address is verified; registration then does not tell whether an address is known"`
	MailFrom    string        `env:"MAIL_FROM" default:"PyAirtable <no-reply@localhost>" validate:"required" doc:"sender of mails"`
	DevInbox    bool          `env:"DEV_INBOX" default:"false" doc:"serve sent mails at /api/v1/auth/dev/inbox and /api/v1/invitations/dev/inbox, to everybody; production refuses it"`
	// Providers is JSON, since it is a list: see provider.Config.
	Providers config.Secret `env:"OIDC_PROVIDERS" doc:"sign-in providers, as JSON: [{\"name\":\"google\",\"issuer\":\"https://accounts.google.com\",\"client_id\":\"...\",\"client_secret\":\"...\"}]"`
}

const (
	minSecret = 32 // bytes
	minCost   = 10 // of bcrypt (OWASP)
)

// Check finds what single variables cannot tell.
func (c Config) Check() error {
	var faults []error
	if len(c.ServiceSecret.Reveal()) < minSecret {
		faults = append(faults, errors.New("SERVICE_SECRET: has to have 32 bytes or more"))
	}
	if c.Production() && c.DevInbox {
		faults = append(faults, errors.New("DEV_INBOX: production refuses it"))
	}
	if c.Production() && c.BcryptCost < minCost {
		faults = append(faults, errors.New("BCRYPT_COST: production wants 10 or more"))
	}
	return errors.Join(faults...)
}
