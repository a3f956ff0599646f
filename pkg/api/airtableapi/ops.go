package airtableapi

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// The scopes of personal access tokens that open the operations; the names are
// Airtable's.
const (
	scopeRead        = "data.records:read"
	scopeWrite       = "data.records:write"
	scopeSchemaRead  = "schema.bases:read"
	base             = "/api/v1/airtable"
	tables           = base + "/bases/{baseId}/tables"
	records          = tables + "/{tableId}/records"
	record           = records + "/{recordId}"
	connections      = base + "/connections"
	upstreamTimeout  = 90 * time.Second
	recordBodyLimit  = 4 << 20
	airtableBodySize = 8 << 20 // an attachment of 5 MB in base64
)

var (
	refusals = []*errs.Error{ErrBaseNotFound, ErrTableNotFound, ErrRecordNotFound, ErrNotPermitted,
		ErrUnknownField, ErrInvalidValue, ErrInvalidRecord, ErrConnectionRefused,
		ErrRateLimited, ErrQuotaSpent, ErrUpstreamAway, tenantapi.ErrQuotaExceeded}
	connectionRefusals = []*errs.Error{ErrAdminsOnly, ErrTokenRefused, ErrURLNotAllowed, ErrLocalExists,
		ErrTooManyConnections, ErrFixedKind}
)

// The nine operations on bases, tables and records.
var (
	ListBases = api.Op[BasesQuery, api.Page[Base]]{
		Name: "listBases", Method: "GET", Path: base + "/bases", Scope: scopeSchemaRead, Timeout: upstreamTimeout,
		Summary: "List the bases of all connections",
		Errors:  []*errs.Error{ErrUpstreamAway},
	}
	FetchBase = api.Op[BasePath, Base]{
		Name: "getBase", Method: "GET", Path: base + "/bases/{baseId}", Scope: scopeSchemaRead, Timeout: upstreamTimeout,
		Summary: "Show a base", Errors: []*errs.Error{ErrBaseNotFound, ErrUpstreamAway},
	}
	ListTables = api.Op[TablesQuery, api.Page[Table]]{
		Name: "listTables", Method: "GET", Path: tables, Scope: scopeSchemaRead, Timeout: upstreamTimeout,
		Summary: "List the tables of a base with their fields and views",
		Errors:  []*errs.Error{ErrBaseNotFound, ErrUpstreamAway, tenantapi.ErrQuotaExceeded},
	}
	FetchTable = api.Op[TablePath, Table]{
		Name: "getTable", Method: "GET", Path: tables + "/{tableId}", Scope: scopeSchemaRead, Timeout: upstreamTimeout,
		Summary: "Show a table with its fields and views",
		Errors:  []*errs.Error{ErrBaseNotFound, ErrTableNotFound, ErrUpstreamAway, tenantapi.ErrQuotaExceeded},
	}
	ListRecords = api.Op[RecordsQuery, RecordsAnswer]{
		Name: "listRecords", Method: "GET", Path: records, Scope: scopeRead, Timeout: upstreamTimeout,
		Summary: "List the records of a table", Errors: refusals,
	}
	CreateRecord = api.Op[RecordCreate, RecordMade]{
		Name: "createRecord", Method: "POST", Path: records, Status: 201, Scope: scopeWrite, Idempotent: true,
		Timeout: upstreamTimeout, BodyLimit: recordBodyLimit,
		Summary: "Create a record", Errors: append(refusals, ErrOutcomeUnknown),
	}
	FetchRecord = api.Op[RecordQuery, RecordAnswer]{
		Name: "getRecord", Method: "GET", Path: record, Scope: scopeRead, Timeout: upstreamTimeout,
		Summary: "Show a record", Errors: refusals,
	}
	UpdateRecord = api.Op[RecordUpdate, Record]{
		Name: "updateRecord", Method: "PATCH", Path: record, Scope: scopeWrite, Timeout: upstreamTimeout,
		BodyLimit: recordBodyLimit, Summary: "Change cells of a record", Errors: append(refusals, ErrOutcomeUnknown),
	}
	DeleteRecord = api.Op[RecordPath, struct{}]{
		Name: "deleteRecord", Method: "DELETE", Path: record, Status: 204, Scope: scopeWrite, Timeout: upstreamTimeout,
		Summary: "Delete a record", Errors: append(refusals, ErrOutcomeUnknown),
	}
)

// The operations on connections. No personal access token opens them.
var (
	ListConnections = api.Op[ConnectionsQuery, api.Page[Connection]]{
		Name: "listAirtableConnections", Method: "GET", Path: connections,
		Summary: "List the tenant's connections", Errors: []*errs.Error{ErrMembersOnly},
		Description: "A tenant without any is given a local one by the first call that needs one.",
	}
	CreateConnection = api.Op[ConnectionCreate, ConnectionMade]{
		Name: "createAirtableConnection", Method: "POST", Path: connections, Status: 201, Idempotent: true,
		Timeout: upstreamTimeout, Summary: "Connect an Airtable account, or the local base store",
		Description: "The token is tried before it is kept: a refused one is an error at /token. If Airtable cannot be asked, " +
			"the connection is kept with the status unchecked. A base that two connections offer is reached through the older one.",
		Errors: connectionRefusals,
	}
	FetchConnection = api.Op[ConnectionPath, ConnectionAnswer]{
		Name: "getAirtableConnection", Method: "GET", Path: connections + "/{id}",
		Summary: "Show a connection", Errors: []*errs.Error{ErrMembersOnly, ErrConnectionNotFound},
	}
	UpdateConnection = api.Op[ConnectionUpdate, ConnectionAnswer]{
		Name: "updateAirtableConnection", Method: "PATCH", Path: connections + "/{id}", Timeout: upstreamTimeout,
		Summary: "Rename a connection, or renew its token",
		Errors:  append(connectionRefusals, ErrConnectionNotFound),
	}
	DeleteConnection = api.Op[ConnectionDelete, struct{}]{
		Name: "deleteAirtableConnection", Method: "DELETE", Path: connections + "/{id}", Status: 204,
		Summary:     "Remove a connection",
		Description: "No base is deleted. The bases of a local connection come back with the next local connection.",
		Errors:      []*errs.Error{ErrAdminsOnly, ErrConnectionNotFound},
	}
	LoadDemo = api.Op[struct{}, Demo]{
		Name: "loadAirtableDemo", Method: "POST", Path: base + "/demo", Timeout: upstreamTimeout,
		Summary:     "Give the tenant the demo base",
		Description: "World Atlas: continents, countries, languages, currencies and cities from GeoNames (CC BY 4.0). A second call finds the base of the first.",
		Errors:      []*errs.Error{ErrAdminsOnly, ErrTooManyConnections, tenantapi.ErrLimitReached},
	}
)

// Files is where attachments are downloaded. It is public: an address carries a
// signature over what it opens, and until when. Large files take long.
var Files = api.RawRoute{
	Prefix: base + "/files/", Access: api.Public, Timeout: time.Hour, BodyLimit: 1,
	Summary: "Files of attachments, by signed links",
}

// Pings is where Airtable tells that something changed in a base. It is public: a ping
// carries a MAC under the secret of its webhook.
var Pings = api.RawRoute{
	Prefix: base + "/pings/", Access: api.Public, BodyLimit: 64 << 10,
	Summary: "Pings of Airtable's webhooks",
}

// Service is airtable-gateway.
var Service = api.Service{
	Name: "airtable-gateway", Title: "Airtable Gateway", Port: 8003, Database: "pyairtable_airtable", Phase: 1,
	Needs:   []string{"auth-service", "user-service", "permission-service", "tenant-service"},
	Streams: []string{eventStream},
	Ops: []api.Spec{
		ListBases.Spec(), FetchBase.Spec(), ListTables.Spec(), FetchTable.Spec(),
		ListRecords.Spec(), CreateRecord.Spec(), FetchRecord.Spec(), UpdateRecord.Spec(), DeleteRecord.Spec(),
		ListConnections.Spec(), CreateConnection.Spec(), FetchConnection.Spec(), UpdateConnection.Spec(),
		DeleteConnection.Spec(), ListWatches.Spec(), LoadDemo.Spec(),
		ListViews.Spec(), CreateView.Spec(), FetchView.Spec(), UpdateView.Spec(), DeleteView.Spec(), ListHistory.Spec(), ListUsage.Spec(), FetchQuota.Spec(), SetQuota.Spec(),
		TakeSnapshot.Spec(), FetchSnapshot.Spec(), DeleteSnapshot.Spec(), RestoreSnapshot.Spec(), FetchRestore.Spec(),
		ReadTables.Spec(), ReadRecords.Spec(),
	},
	Raw: []api.RawRoute{AirtableSurface, Files, Pings},
}
