package auditapi

import (
	"net/http"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

const base = "/api/v1/audit"

// Reading the log. Owners and admins may; others get ErrAdminsOnly.
var (
	ListEntries = api.Op[EntryQuery, EntryPage]{
		Name: "listAuditEntries", Method: http.MethodGet, Path: base + "/entries",
		Summary: "Search the tenant's log", Description: "Newest first.", Errors: []*errs.Error{ErrAdminsOnly},
	}
	GetEntry = api.Op[EntryRef, Entry]{
		Name: "getAuditEntry", Method: http.MethodGet, Path: base + "/entries/{seq}",
		Summary: "Show an entry", Errors: []*errs.Error{errs.ErrNotFound, ErrAdminsOnly},
	}
	ListHistory = api.Op[HistoryQuery, EntryPage]{
		Name: "listAuditHistory", Method: http.MethodGet, Path: base + "/history",
		Summary: "What became of a record or a cell", Description: "Newest first. With a field, before and after are those of its cell.",
		Errors: []*errs.Error{ErrAdminsOnly},
	}
	// ListUnowned is for operators, who have the service's own credentials: what belongs to
	// no tenant, such as requests that were refused since nobody known asked.
	ListUnowned = api.Op[EntryQuery, EntryPage]{
		Name: "listUnownedAuditEntries", Method: http.MethodGet, Path: "/internal/v1/audit/entries",
		Access: api.Internal, Callers: []string{"audit-service"}, Summary: "Search the log of what belongs to no tenant",
	}
)

// Proving it.
var (
	GetHead = api.Op[struct{}, Head]{
		Name: "getAuditHead", Method: http.MethodGet, Path: base + "/head",
		Summary: "Show the signed head of the tenant's log", Description: "It is signed now if entries were recorded since the last one.",
		Errors: []*errs.Error{errs.ErrNotFound, ErrAdminsOnly, ErrTampered},
	}
	ProveInclusion = api.Op[InclusionQuery, Proof]{
		Name: "proveAuditInclusion", Method: http.MethodGet, Path: base + "/proofs/inclusion",
		Summary: "Prove that an entry is in the log", Errors: []*errs.Error{errs.ErrNotFound, ErrAdminsOnly, ErrBadSize, ErrPruned},
	}
	ProveConsistency = api.Op[ConsistencyQuery, Proof]{
		Name: "proveAuditConsistency", Method: http.MethodGet, Path: base + "/proofs/consistency",
		Summary: "Prove that the log was only appended to", Errors: []*errs.Error{errs.ErrNotFound, ErrAdminsOnly, ErrBadSize, ErrPruned},
	}
	Verify = api.Op[struct{}, Report]{
		Name: "verifyAuditLog", Method: http.MethodGet, Path: base + "/verify", Timeout: 10 * time.Minute,
		Summary: "Recompute the tenant's log", Description: "Hashes every entry, the chain and the tree, and compares them with the signed heads.",
		Errors: []*errs.Error{ErrAdminsOnly},
	}
	ListKeys = api.Op[struct{}, KeyList]{
		Name: "listAuditKeys", Method: http.MethodGet, Path: base + "/keys", Access: api.Public,
		Summary: "Show the public keys of signed heads",
	}
)

// Keeping and forwarding it.
var (
	GetSettings = api.Op[struct{}, Settings]{
		Name: "getAuditSettings", Method: http.MethodGet, Path: base + "/settings",
		Summary: "Show the retention", Errors: []*errs.Error{ErrAdminsOnly},
	}
	SetSettings = api.Op[Settings, Settings]{
		Name: "setAuditSettings", Method: http.MethodPut, Path: base + "/settings",
		Summary: "Set the retention", Errors: []*errs.Error{ErrAdminsOnly},
	}
	CreateSink = api.Op[NewSink, CreatedSink]{
		Name: "createAuditSink", Method: http.MethodPost, Path: base + "/sinks", Status: http.StatusCreated, Idempotent: true,
		Summary: "Forward the log to a collector", Errors: []*errs.Error{ErrAdminsOnly, ErrBadSink, ErrTooMany},
	}
	ListSinks = api.Op[struct{}, SinkList]{
		Name: "listAuditSinks", Method: http.MethodGet, Path: base + "/sinks",
		Summary: "List the collectors", Errors: []*errs.Error{ErrAdminsOnly},
	}
	UpdateSink = api.Op[SinkEdit, Sink]{
		Name: "updateAuditSink", Method: http.MethodPatch, Path: base + "/sinks/{id}",
		Summary: "Change a collector", Errors: []*errs.Error{errs.ErrNotFound, ErrAdminsOnly},
	}
	DeleteSink = api.Op[SinkRef, struct{}]{
		Name: "deleteAuditSink", Method: http.MethodDelete, Path: base + "/sinks/{id}", Status: http.StatusNoContent,
		Summary: "Stop forwarding to a collector", Errors: []*errs.Error{errs.ErrNotFound, ErrAdminsOnly},
	}
)

// Export streams the log: ?format=ndjson (the default) or csv, and ?from=<seq>. The
// NDJSON begins with an ExportStart, has an ExportLine for each entry and ends with an
// ExportEnd; audit-verify needs nothing else but the public key.
var Export = api.RawRoute{
	Prefix: base + "/export", Access: api.User, Timeout: 6 * time.Hour,
	Summary: "Export the tenant's log as NDJSON or CSV",
}

// Service is audit-service.
var Service = api.Service{
	Name: "audit-service", Title: "Audit", Port: 8017, Database: "pyairtable_audit", Phase: 3, Needs: []string{"auth-service", "permission-service"},
	Streams: []string{stream, requests},
	Ops: []api.Spec{
		ListEntries.Spec(), GetEntry.Spec(), ListHistory.Spec(), ListUnowned.Spec(),
		GetHead.Spec(), ProveInclusion.Spec(), ProveConsistency.Spec(), Verify.Spec(), ListKeys.Spec(),
		GetSettings.Spec(), SetSettings.Spec(),
		CreateSink.Spec(), ListSinks.Spec(), UpdateSink.Spec(), DeleteSink.Spec(),
	},
	Raw: []api.RawRoute{Export},
}
