// Package config is what can be set about the gateway.
package config

import "github.com/pyairtable/pyairtable/pkg/config"

// Config is read from the environment.
type Config struct {
	config.Base `mapstructure:",squash"`

	CORSOrigins    []string `env:"CORS_ORIGINS" default:"http://localhost:3000,http://localhost:5173" doc:"origins whose pages may call /api, comma-separated; * for any (/v0 is open to all, as Airtable's API is)"`
	TrustedProxies []string `env:"TRUSTED_PROXIES" doc:"networks or addresses of proxies in front of the gateway, whose X-Forwarded-* headers are believed"`
	RateLimit      string   `env:"RATE_LIMIT" default:"6000/1m" doc:"requests that one client address (IPv6: one /64) may make in a time; all replicas count together"`
	RateLimitAuth  string   `env:"RATE_LIMIT_AUTH" default:"60/1m" doc:"the same for registration, login, password reset and the like"`
	AccessLog      bool     `env:"ACCESS_LOG" default:"true" doc:"write one line per request"`
}
