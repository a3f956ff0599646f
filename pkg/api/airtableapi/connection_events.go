package airtableapi

import "github.com/pyairtable/pyairtable/pkg/events"

// The events of connections: the subject is the connection's id, the version its
// own.
var (
	ConnectionCreated = events.Type[ConnectionChanged]{Name: "com.pyairtable.connection.created.v1", Source: eventSource, Stream: eventStream}
	ConnectionUpdated = events.Type[ConnectionChanged]{Name: "com.pyairtable.connection.updated.v1", Source: eventSource, Stream: eventStream}
	ConnectionDeleted = events.Type[ConnectionChanged]{Name: "com.pyairtable.connection.deleted.v1", Source: eventSource, Stream: eventStream}
)

// ConnectionChanged says how a connection is now, or was when it was deleted.
type ConnectionChanged struct {
	ConnectionID string `json:"connection_id"`
	Name         string `json:"name"`
	Kind         string `json:"kind"`
	APIURL       string `json:"api_url,omitempty"`
	Status       string `json:"status"`
	ActorID      string `json:"actor_id,omitempty"` // the user; empty for the system
}
