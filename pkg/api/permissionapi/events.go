package permissionapi

import "github.com/pyairtable/pyairtable/pkg/events"

const (
	source = "/permission-service"
	stream = "permissions"
)

// PermissionsChanged says that answers about objects of the tenant may be other ones
// now: caches of decisions and policies drop what they hold of it. The subject is the
// tenant, the version rises with every change.
var PermissionsChanged = events.Type[Change]{Name: "com.pyairtable.permission.changed.v1", Source: source, Stream: stream}

// Change tells what was changed. Lists are for those who record it.
type Change struct {
	TenantID string   `json:"tenant_id"`
	What     string   `json:"what"` // granted, revoked, expired, role_changed, placed, policy_changed, tenant_status, tenant_deleted
	Object   string   `json:"object,omitempty"`
	Subject  string   `json:"subject,omitempty"`
	Role     string   `json:"role,omitempty"`
	Old      string   `json:"old,omitempty"`
	New      string   `json:"new,omitempty"`
	ActorID  string   `json:"actor_id,omitempty"`
	Objects  []string `json:"objects"` // all that it touches, if few; empty: any
}
