// Package config is what an operator may set of permission-service.
package config

import "github.com/pyairtable/pyairtable/pkg/config"

// Config is the service's configuration.
type Config struct {
	config.Base `mapstructure:",squash"`

	CacheSize int `env:"DECISION_CACHE_SIZE" default:"100000" validate:"min=1" doc:"answers that a replica of permission-service remembers"`
}
