package airtableapi

import "github.com/pyairtable/pyairtable/pkg/api"

// Reader is the user in whose name a service reads: it is shown what he may see, by what
// permission-service says of him at that moment.
type Reader struct {
	TenantID string `query:"tenant_id" format:"uuid" required:"true"`
	UserID   string `query:"user_id" format:"uuid" required:"true"`
	Role     string `query:"role" enum:"owner,admin,member,guest" doc:"As his token told it; it counts until permission-service has heard of him."`
}

// TablesRead is TablesQuery in a user's name.
type TablesRead struct {
	TablesQuery
	Reader
}

// RecordsRead is RecordsQuery in a user's name.
type RecordsRead struct {
	RecordsQuery
	Reader
}

var showBases = []string{"workspace-service"} // by share links

// For services that show a base to somebody who has no token of the tenant, in the name of
// the user who shared it.
var (
	ReadTables = api.Op[TablesRead, api.Page[Table]]{
		Name: "readTablesFor", Method: "GET", Path: "/internal/v1/airtable/bases/{baseId}/tables", Access: api.Internal, Callers: showBases, Timeout: upstreamTimeout,
		Summary: "List the tables of a base in a user's name", Errors: refusals,
	}
	ReadRecords = api.Op[RecordsRead, RecordsAnswer]{
		Name: "readRecordsFor", Method: "GET", Path: "/internal/v1/airtable/bases/{baseId}/tables/{tableId}/records", Access: api.Internal, Callers: showBases, Timeout: upstreamTimeout,
		Summary: "List the records of a table in a user's name", Errors: refusals,
	}
)
