// Package config is what an operator may set of airtable-gateway.
package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/egress"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Config is the service's configuration.
type Config struct {
	config.Base `mapstructure:",squash"`

	APIURL        string        `env:"AIRTABLE_API_URL" default:"https://api.airtable.com" validate:"required,url" doc:"root of the Airtable API, without /v0, that connections use unless they say otherwise"`
	AllowedURLs   string        `env:"AIRTABLE_ALLOWED_URLS" doc:"further roots that a connection may name, comma-separated, each as scheme://host[:port]"`
	Timeout       time.Duration `env:"AIRTABLE_TIMEOUT" default:"60s" validate:"min=1s,max=10m" doc:"how long one call to Airtable may take"`
	QueueWait     time.Duration `env:"AIRTABLE_QUEUE_WAIT" default:"60s" validate:"min=1s,max=10m" doc:"how long a call may wait for Airtable's rate limit before it is refused"`
	EgressAllowed string        `env:"AIRTABLE_EGRESS_ALLOWED" doc:"networks that are not public and to which webhook pings may go and attachments be fetched from all the same, comma-separated, as in 10.0.0.0/8"`
	PublicURL     string        `env:"PUBLIC_URL" default:"http://localhost:8080" validate:"required,http_url" doc:"address under which clients reach the gateway; links to attachments begin with it"`
	BlobURL       string        `env:"AIRTABLE_BLOB_URL" default:"file:///var/tmp/pyairtable/airtable-files" validate:"required,url" doc:"where attachments are kept: a directory as file:///path, or s3://bucket?region=... (further parameters: endpoint, use_path_style; credentials from AWS's own variables)"`
	Webhooks      string        `env:"AIRTABLE_WEBHOOKS" default:"auto" validate:"oneof=auto on off" doc:"whether Airtable is asked to tell of changes by webhooks that call PUBLIC_URL; auto: if that begins with https"`
	Weights       string        `env:"AIRTABLE_TENANT_WEIGHTS" doc:"shares of tenants in a base that several use, as tenant=weight, comma-separated; others have 1"`
	HistoryDays   int           `env:"AIRTABLE_HISTORY_DAYS" default:"730" validate:"min=0,max=36500" doc:"how many days the changes of local bases' records are kept; 0: for ever"`

	CacheMemory int64 `env:"AIRTABLE_CACHE_MEMORY_MB" default:"64" validate:"min=1,max=65536" doc:"MiB of this process's memory for answers of Airtable that are asked for most"`
	CacheBase   int64 `env:"AIRTABLE_CACHE_BASE_MB" default:"64" validate:"min=1,max=65536" doc:"MiB of Redis for the cached answers about one base"`
}

// HistoryKept is HistoryDays as a time.
func (c Config) HistoryKept() time.Duration { return time.Duration(c.HistoryDays) * 24 * time.Hour }

// TenantWeights reads Weights.
func (c Config) TenantWeights() (map[id.TenantID]float64, error) {
	out := map[id.TenantID]float64{}
	for entry := range strings.SplitSeq(c.Weights, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		name, text, _ := strings.Cut(entry, "=")
		tenant, err := id.Parse[id.Tenant](strings.TrimSpace(name))
		weight, numErr := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil || numErr != nil || !(weight >= 0.01 && weight <= 1_000) {
			return nil, fmt.Errorf("AIRTABLE_TENANT_WEIGHTS: %q is not tenant=weight with a weight from 0.01 to 1000", entry)
		}
		out[tenant] = weight
	}
	return out, nil
}

// PingURL is where Airtable is asked to tell of changes, without a slash at its end; ""
// if it is not to be asked.
func (c Config) PingURL() string {
	if c.Webhooks == "off" || c.Webhooks == "auto" && !strings.HasPrefix(c.PublicURL, "https://") {
		return ""
	}
	return strings.TrimSuffix(c.PublicURL, "/") + strings.TrimSuffix(airtableapi.Pings.Prefix, "/")
}

// Egress reads EgressAllowed.
func (c Config) Egress() (egress.Guard, error) {
	guard, err := egress.Parse(c.EgressAllowed)
	if err != nil {
		return guard, fmt.Errorf("AIRTABLE_EGRESS_ALLOWED: %w", err)
	}
	return guard, nil
}
