package airtableapi

import (
	"net/http"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// What the operations on snapshots answer beside the general errors. The codes also
// stand in the error of a snapshot or restore that failed.
var (
	ErrNotLocal          = errs.New(errs.Conflict, "base_not_local", "The base belongs to an Airtable account; snapshots are of bases of the built-in store.")
	ErrSnapshotNotFound  = errs.New(errs.NotFound, "snapshot_not_found", "The tenant has no such snapshot.")
	ErrRestoreNotFound   = errs.New(errs.NotFound, "restore_not_found", "The tenant has no such restore.")
	ErrSnapshotNotReady  = errs.New(errs.Conflict, "snapshot_not_ready", "The snapshot is not complete.")
	ErrSnapshotInUse     = errs.New(errs.Conflict, "snapshot_in_use", "The snapshot is being restored.")
	ErrSnapshotUnusable  = errs.New(errs.Invalid, "snapshot_unusable", "The content is not that of a snapshot.")
	ErrNotInSnapshot     = errs.New(errs.NotFound, "not_in_snapshot", "The snapshot has no such table or record.")
	ErrRestoreImpossible = errs.New(errs.Conflict, "restore_impossible", "The base as it is now has no room for what is to be restored.")
	// ErrWorkLost is why something failed whose job was killed at its last try.
	ErrWorkLost = errs.New(errs.Internal, "work_lost", "The work was interrupted too often and given up.")
	ErrIDTaken  = errs.New(errs.Conflict, "snapshot_id_taken", "The id names something else already.")
)

const (
	snapshots     = "/internal/v1/airtable/snapshots"
	restores      = "/internal/v1/airtable/restores"
	seedBodyLimit = 8 << 20
)

var keepSnapshots = []string{"workspace-service"}

// The operations on snapshots of bases of the built-in store, for other services. The
// work is done by a job: what is answered first is running, and is asked for again
// until it is ready or done, or failed. The caller chooses the ids, and the same
// request again finds what the first one began.
var (
	TakeSnapshot = api.Op[SnapshotTake, BaseSnapshot]{
		Name: "takeBaseSnapshot", Method: http.MethodPost, Path: snapshots, Status: http.StatusAccepted,
		Access: api.Internal, Callers: keepSnapshots, Timeout: upstreamTimeout, BodyLimit: seedBodyLimit, Summary: "Take a snapshot of a base",
		Description: "Of one consistent moment, which is the beginning of the work. With content, the snapshot is that and of no base.",
		Errors:      []*errs.Error{ErrBaseNotFound, ErrNotLocal, ErrSnapshotUnusable, ErrIDTaken, tenantapi.ErrLimitReached},
	}
	FetchSnapshot = api.Op[SnapshotRef, BaseSnapshot]{
		Name: "getBaseSnapshot", Method: http.MethodGet, Path: snapshots + "/{id}",
		Access: api.Internal, Callers: keepSnapshots, Summary: "Show a snapshot", Errors: []*errs.Error{ErrSnapshotNotFound},
	}
	DeleteSnapshot = api.Op[SnapshotRef, struct{}]{
		Name: "deleteBaseSnapshot", Method: http.MethodDelete, Path: snapshots + "/{id}", Status: http.StatusNoContent,
		Access: api.Internal, Callers: keepSnapshots, Summary: "Delete a snapshot",
		Description: "One that is being taken is abandoned. Files that nothing else refers to go within days.",
		Errors:      []*errs.Error{ErrSnapshotNotFound, ErrSnapshotInUse},
	}
	RestoreSnapshot = api.Op[RestoreStart, BaseRestore]{
		Name: "restoreBaseSnapshot", Method: http.MethodPost, Path: restores, Status: http.StatusAccepted,
		Access: api.Internal, Callers: keepSnapshots, Timeout: upstreamTimeout, Summary: "Restore a snapshot, or copy a base",
		Description: "All of it is there at once, or nothing. A new base, and a table restored as a new one, has ids of its own throughout.",
		Errors:      []*errs.Error{ErrSnapshotNotFound, ErrSnapshotNotReady, ErrNotInSnapshot, ErrBaseNotFound, ErrNotLocal, ErrIDTaken, tenantapi.ErrLimitReached},
	}
	FetchRestore = api.Op[SnapshotRef, BaseRestore]{
		Name: "getBaseRestore", Method: http.MethodGet, Path: restores + "/{id}",
		Access: api.Internal, Callers: keepSnapshots, Summary: "Show how far a restore is", Errors: []*errs.Error{ErrRestoreNotFound},
	}
)

// Statuses of snapshots and restores.
const (
	SnapshotTaking = "taking"
	SnapshotReady  = "ready"
	RestoreRunning = "running"
	RestoreDone    = "done"
	SnapshotFailed = "failed" // also of restores
)

// Kinds of restores.
const (
	RestoreBase     = "base"     // a new base out of the snapshot
	RestoreTable    = "table"    // a table of the snapshot, as a new one in the base it was taken of
	RestoreContents = "contents" // the records of a table become again what they were
	RestoreRecord   = "record"   // one record becomes again what it was
	CopyBase        = "copy"     // a new base out of another one as it is now
)

// SnapshotTake asks for a snapshot.
type SnapshotTake struct{ Body SnapshotTakeBody }

// SnapshotTakeBody names what the snapshot is of.
type SnapshotTakeBody struct {
	ID          string `json:"id" format:"uuid" doc:"Chosen by the caller."`
	TenantID    string `json:"tenant_id" format:"uuid"`
	UserID      string `json:"user_id,omitempty" format:"uuid" doc:"On whose behalf."`
	BaseID      string `json:"base_id,omitempty" maxLength:"64" doc:"app…; absent with content."`
	Comments    bool   `json:"comments,omitempty" doc:"With the comments of records."`
	SkipRecords bool   `json:"skip_records,omitempty" doc:"The schema alone."`
	Content     string `json:"content,omitempty" doc:"The snapshot itself, in the form that docs/snapshots.md describes, not compressed."`
}

// SnapshotRef names a snapshot or restore.
type SnapshotRef struct {
	ID       string `path:"id" format:"uuid"`
	TenantID string `query:"tenant_id" format:"uuid"`
}

// BaseSnapshot is a snapshot. While it is taken, Records grows.
type BaseSnapshot struct {
	ID        string          `json:"id" format:"uuid"`
	BaseID    string          `json:"base_id,omitempty"`
	BaseName  string          `json:"base_name,omitempty"`
	Status    string          `json:"status" enum:"taking,ready,failed"`
	Error     *JobError       `json:"error,omitempty"`
	TakenAt   time.Time       `json:"taken_at,omitzero" doc:"The moment that it shows."`
	Records   int64           `json:"records"`
	SizeBytes int64           `json:"size_bytes" doc:"Compressed, without files."`
	Tables    []SnapshotTable `json:"tables" nullable:"false"`
}

// SnapshotTable is a table in a snapshot.
type SnapshotTable struct {
	ID      string `json:"id" doc:"tbl…"`
	Name    string `json:"name"`
	Records int64  `json:"records"`
}

// JobError says why something failed for good.
type JobError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// RestoreStart asks for a restore.
type RestoreStart struct{ Body RestoreStartBody }

// RestoreStartBody says what of a snapshot becomes what.
type RestoreStartBody struct {
	ID          string `json:"id" format:"uuid" doc:"Chosen by the caller. Ids of what is new are derived from it."`
	TenantID    string `json:"tenant_id" format:"uuid"`
	UserID      string `json:"user_id,omitempty" format:"uuid" doc:"On whose behalf."`
	Kind        string `json:"kind" enum:"base,table,contents,record,copy"`
	SnapshotID  string `json:"snapshot_id,omitempty" format:"uuid" doc:"Of all kinds but copy."`
	BaseID      string `json:"base_id,omitempty" maxLength:"64" doc:"Of the kind copy: the base to copy."`
	Name        string `json:"name,omitempty" maxLength:"255" doc:"Of the new base or table; absent: as it was called."`
	TableID     string `json:"table_id,omitempty" maxLength:"64" doc:"tbl…, of the kinds table, contents and record."`
	RecordID    string `json:"record_id,omitempty" maxLength:"64" doc:"rec…, of the kind record."`
	SkipRecords bool   `json:"skip_records,omitempty" doc:"Of the kinds base, table and copy: the schema alone."`
	Comments    bool   `json:"comments,omitempty" doc:"Of the kind copy: with comments."`
	Fresh       bool   `json:"fresh,omitempty" doc:"Of the kind base: the records are new ones that the user has just made, without comments."`
}

// BaseRestore is a restore.
type BaseRestore struct {
	ID           string    `json:"id" format:"uuid"`
	Kind         string    `json:"kind" enum:"base,table,contents,record,copy"`
	SnapshotID   string    `json:"snapshot_id,omitempty" format:"uuid"`
	Status       string    `json:"status" enum:"running,done,failed"`
	Error        *JobError `json:"error,omitempty"`
	BaseID       string    `json:"base_id" doc:"The new base, or the one that is restored into."`
	BaseName     string    `json:"base_name,omitempty"`
	ConnectionID string    `json:"connection_id" format:"uuid" doc:"Of the built-in store."`
	TableID      string    `json:"table_id,omitempty" doc:"The new table, or the one that is restored into."`
	Records      int64     `json:"records" doc:"Read so far."`
	DroppedLinks int64     `json:"dropped_links" doc:"Links to records that are no longer there."`
	FinishedAt   time.Time `json:"finished_at,omitzero"`
}
