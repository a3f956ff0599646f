// Package config is what an operator may set of audit-service.
package config

import (
	"fmt"
	"time"

	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/egress"
)

// Config is the service's configuration.
type Config struct {
	config.Base `mapstructure:",squash"`

	Batch         int           `env:"AUDIT_BATCH" default:"500" validate:"min=1,max=5000" doc:"events that are recorded in one transaction at the most"`
	SignEvery     time.Duration `env:"AUDIT_SIGN_EVERY" default:"5s" validate:"min=100ms,max=1h" doc:"how often the heads of logs that have grown are signed"`
	PruneEvery    time.Duration `env:"AUDIT_PRUNE_EVERY" default:"1h" validate:"min=1s,max=24h" doc:"how often entries that are older than a tenant's retention are pruned"`
	EgressAllowed string        `env:"AUDIT_EGRESS_ALLOWED" doc:"networks that are not public and in which collectors may be all the same, comma-separated, as in 10.0.0.0/8"`
}

// Egress is the guard of what leaves for collectors.
func (c Config) Egress() (egress.Guard, error) {
	guard, err := egress.Parse(c.EgressAllowed)
	if err != nil {
		return guard, fmt.Errorf("AUDIT_EGRESS_ALLOWED: %w", err)
	}
	return guard, nil
}
