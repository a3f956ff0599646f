// Package config is what an operator may set of user-service.
package config

import "github.com/pyairtable/pyairtable/pkg/config"

// Config is the service's configuration.
type Config struct {
	config.Base `mapstructure:",squash"`
}
