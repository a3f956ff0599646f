// Package config is what an operator may set of permission-service.
package config

import "github.com/pyairtable/pyairtable/pkg/config"

// Config is the service's configuration.
type Config struct {
	config.Base `mapstructure:",squash"`

	MaxItems int `env:"MAX_ITEMS" default:"1000" validate:"min=1" doc:"items that a tenant may have"`
}
