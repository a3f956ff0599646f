// Package config is what an operator may set of workspace-service.
package config

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/config"
)

// Config is the service's configuration.
type Config struct {
	config.Base `mapstructure:",squash"`

	MaxWorkspaces     int           `env:"MAX_WORKSPACES" default:"1000" validate:"min=1,max=100000" doc:"workspaces that a tenant may have"`
	TrashRetention    time.Duration `env:"TRASH_RETENTION" default:"720h" validate:"min=1s" doc:"how long workspaces, projects and links of bases stay in the trash before they are purged"`
	ActivityRetention time.Duration `env:"ACTIVITY_RETENTION" default:"2160h" validate:"min=1h" doc:"how long the feed tells what happened in workspaces"`
	SweepInterval     time.Duration `env:"SWEEP_INTERVAL" default:"1h" validate:"min=1s,max=24h" doc:"how often workspace-service looks for what is to be purged"`
}
