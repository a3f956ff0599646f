package auditapi

import "github.com/pyairtable/pyairtable/pkg/events"

const (
	source = "/audit-service"
	stream = "audit"
	// requests carries what services refuse. It is published without an outbox.
	requests = "requests"
)

// RequestRefused says that a service refused a request: nobody known asked (401), or he
// may not (403), or what he asked for is not there for him (404), or too often (429). It
// is published best effort, by the service that refused; that is its source. The subject
// is the operation. Its tenant is the caller's, and none if he is not known.
var RequestRefused = events.Type[RequestRefusedData]{Name: "com.pyairtable.request.refused.v1", Source: source, Stream: requests}

// RequestRefusedData is the data of RequestRefused. It has no bodies and no queries.
type RequestRefusedData struct {
	Service string `json:"service"`
	Op      string `json:"op"`
	Method  string `json:"method"`
	Path    string `json:"path"` // as declared: /api/v1/users/{id}
	Status  int    `json:"status"`
	Code    string `json:"code"` // of the error
}

// The events of audit-service's own. The subject is the tenant, or the sink's id.
var (
	SettingsChanged = events.Type[SettingsChangedData]{Name: "com.pyairtable.audit.settings_changed.v1", Source: source, Stream: stream}
	SinkCreated     = events.Type[SinkChanged]{Name: "com.pyairtable.audit.sink_created.v1", Source: source, Stream: stream}
	SinkUpdated     = events.Type[SinkChanged]{Name: "com.pyairtable.audit.sink_updated.v1", Source: source, Stream: stream}
	SinkDeleted     = events.Type[SinkChanged]{Name: "com.pyairtable.audit.sink_deleted.v1", Source: source, Stream: stream}
	Exported        = events.Type[ExportedData]{Name: "com.pyairtable.audit.exported.v1", Source: source, Stream: stream}
	Pruned          = events.Type[PrunedData]{Name: "com.pyairtable.audit.pruned.v1", Source: source, Stream: stream}
)

// SettingsChangedData is the data of SettingsChanged.
type SettingsChangedData struct {
	TenantID         string `json:"tenant_id"`
	OldRetentionDays int    `json:"old_retention_days"`
	RetentionDays    int    `json:"retention_days"`
	ActorID          string `json:"actor_id"`
}

// SinkChanged names a sink and never its secret.
type SinkChanged struct {
	SinkID  string `json:"sink_id"`
	URL     string `json:"url"`
	Format  string `json:"format"`
	Enabled bool   `json:"enabled"`
	ActorID string `json:"actor_id"`
}

// ExportedData is the data of Exported.
type ExportedData struct {
	TenantID string `json:"tenant_id"`
	Format   string `json:"format"`
	From     int64  `json:"from"`
	Size     int64  `json:"size"`
	ActorID  string `json:"actor_id"`
}

// PrunedData is the data of Pruned: entries below Pruned are gone. Chain is the chain's
// value there, with which what follows still verifies.
type PrunedData struct {
	TenantID string `json:"tenant_id"`
	Pruned   int64  `json:"pruned"`
	Chain    []byte `json:"chain"`
}
