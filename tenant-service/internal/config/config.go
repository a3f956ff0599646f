// Package config is what an operator may set of tenant-service.
package config

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/config"
)

// Config is the service's configuration.
type Config struct {
	config.Base `mapstructure:",squash"`

	DeletionGrace time.Duration `env:"DELETION_GRACE" default:"720h" validate:"min=1s" doc:"how long the deletion of an organisation can be undone"`
}
