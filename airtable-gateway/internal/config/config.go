// Package config is what an operator may set of airtable-gateway.
package config

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/config"
)

// Config is the service's configuration.
type Config struct {
	config.Base `mapstructure:",squash"`

	APIURL      string        `env:"AIRTABLE_API_URL" default:"https://api.airtable.com" validate:"required,url" doc:"root of the Airtable API, without /v0, that connections use unless they say otherwise"`
	AllowedURLs string        `env:"AIRTABLE_ALLOWED_URLS" doc:"further roots that a connection may name, comma-separated, each as scheme://host[:port]"`
	Timeout     time.Duration `env:"AIRTABLE_TIMEOUT" default:"60s" validate:"min=1s,max=10m" doc:"how long one call to Airtable may take"`
}
