package workspaceapi

import (
	"net/http"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

const (
	snapshotsOf  = base + "/snapshots"
	schedule     = base + "/snapshot-schedule"
	snapshot     = "/api/v1/snapshots/{snapshot_id}"
	restore      = "/api/v1/base-restores/{restore_id}"
	snapshotWait = 90 * time.Second
)

// What operations on snapshots answer beside the general errors.
var (
	ErrMasked   = errs.New(errs.Forbidden, "base_masked", "Part of the base is hidden from you; only those who may manage it copy all of it.")
	ErrSchedule = errs.New(errs.Invalid, "bad_schedule", "There is no such time zone.").With(errs.Field{Pointer: "/time_zone", Detail: "has to be an IANA name"})
	ErrRestore  = errs.New(errs.Invalid, "bad_restore", "The kind of restore needs other fields.")
)

// Snapshots of bases of the built-in store, what is restored of them, and copies of
// bases. Who may create in a base does all of this; a new base also takes that in its
// workspace. The work goes on after the answer: what is taking or running is asked for
// again.
var (
	TakeSnapshot = api.Op[SnapshotTake, SnapshotMade]{
		Name: "takeSnapshot", Scope: scopeWrite, Method: http.MethodPost, Path: snapshotsOf, Status: http.StatusAccepted, Idempotent: true, Timeout: snapshotWait,
		Summary: "Take a snapshot of a base", Errors: []*errs.Error{none, ErrNoBase, ErrMasked, ErrTrashed},
	}
	ListSnapshots = api.Op[SnapshotsQuery, api.Page[Snapshot]]{
		Name: "listSnapshots", Scope: scopeRead, Method: http.MethodGet, Path: snapshotsOf, Summary: "List the snapshots of a base",
		Description: "The newest first.", Errors: []*errs.Error{none},
	}
	GetSnapshot = api.Op[SnapshotRef, Snapshot]{
		Name: "getSnapshot", Scope: scopeRead, Method: http.MethodGet, Path: snapshot, Summary: "Show a snapshot", Errors: []*errs.Error{none},
	}
	DeleteSnapshot = api.Op[SnapshotRef, struct{}]{
		Name: "deleteSnapshot", Scope: scopeManage, Method: http.MethodDelete, Path: snapshot, Status: http.StatusNoContent, Timeout: snapshotWait,
		Summary: "Delete a snapshot", Description: "One that is being taken is abandoned.", Errors: []*errs.Error{none, airtableapi.ErrSnapshotInUse},
	}
	RestoreSnapshot = api.Op[SnapshotRestore, RestoreMade]{
		Name: "restoreSnapshot", Scope: scopeWrite, Method: http.MethodPost, Path: snapshot + "/restores", Status: http.StatusAccepted, Idempotent: true,
		Summary: "Restore a snapshot as a new base, a table of it, or a record",
		Description: "All of it is there at once, or nothing. base: a new base in workspace_id. table: table_id as one more table of the base. " +
			"contents: the records of table_id become again what they were. record: record_id of table_id does.",
		Errors: []*errs.Error{none, ErrMasked, ErrRestore, ErrArchived, ErrTrashed, ErrNoProject, airtableapi.ErrSnapshotNotReady},
	}
	DuplicateBase = api.Op[BaseCopy, RestoreMade]{
		Name: "duplicateBase", Scope: scopeWrite, Method: http.MethodPost, Path: base + "/duplicate", Status: http.StatusAccepted, Idempotent: true,
		Summary: "Copy a base into a workspace, with or without its records", Errors: []*errs.Error{none, ErrNoBase, ErrMasked, ErrArchived, ErrTrashed, ErrNoProject},
	}
	GetRestore = api.Op[RestoreRef, Restore]{
		Name: "getBaseRestoration", Scope: scopeRead, Method: http.MethodGet, Path: restore, Summary: "Show how far a restore or copy is",
		Description: "To who asked for it.", Errors: []*errs.Error{none},
	}
	GetSchedule = api.Op[BaseRef, Schedule]{
		Name: "getSnapshotSchedule", Scope: scopeRead, Method: http.MethodGet, Path: schedule, Summary: "Show when snapshots of a base are taken", Errors: []*errs.Error{none},
	}
	PutSchedule = api.Op[SchedulePut, Schedule]{
		Name: "putSnapshotSchedule", Scope: scopeWrite, Method: http.MethodPut, Path: schedule, Summary: "Have snapshots of a base taken again and again",
		Description: "Of the scheduled ones that are ready the newest are kept, as many as keep says.",
		Errors:      []*errs.Error{none, ErrNoBase, ErrMasked, ErrTrashed, ErrSchedule},
	}
	DeleteSchedule = api.Op[BaseRef, struct{}]{
		Name: "deleteSnapshotSchedule", Scope: scopeWrite, Method: http.MethodDelete, Path: schedule, Status: http.StatusNoContent,
		Summary: "Have no more snapshots of a base taken", Description: "Those there are stay.", Errors: []*errs.Error{none},
	}
)

// SnapshotTake asks for a snapshot.
type SnapshotTake struct {
	BaseRef
	Body struct {
		Label    string `json:"label,omitempty" maxLength:"255"`
		Comments bool   `json:"comments,omitempty" doc:"With the comments of records."`
	}
}

// SnapshotRef names a snapshot.
type SnapshotRef struct {
	SnapshotID string `path:"snapshot_id" format:"uuid"`
}

// SnapshotsQuery asks for a page of a base's snapshots.
type SnapshotsQuery struct {
	BaseRef
	api.PageQuery
}

// Snapshot is a base as it was at one moment.
type Snapshot struct {
	ID        string                      `json:"id" format:"uuid"`
	BaseID    string                      `json:"base_id"`
	Label     string                      `json:"label,omitempty"`
	Status    string                      `json:"status" enum:"taking,ready,failed"`
	Error     *airtableapi.JobError       `json:"error,omitempty"`
	Scheduled bool                        `json:"scheduled"`
	TakenBy   string                      `json:"taken_by" format:"uuid" doc:"Of a scheduled one: who made the schedule."`
	CreatedAt time.Time                   `json:"created_at"`
	TakenAt   time.Time                   `json:"taken_at,omitzero" doc:"The moment that it shows."`
	Records   int64                       `json:"records"`
	SizeBytes int64                       `json:"size_bytes" doc:"Compressed, without files."`
	Tables    []airtableapi.SnapshotTable `json:"tables" nullable:"false" doc:"Not told in lists."`
}

// SnapshotMade answers TakeSnapshot.
type SnapshotMade struct {
	Location string `header:"Location"`
	Body     Snapshot
}

// SnapshotRestore asks for a restore.
type SnapshotRestore struct {
	SnapshotRef
	Body struct {
		Kind        string `json:"kind" enum:"base,table,contents,record"`
		Name        string `json:"name,omitempty" maxLength:"255" doc:"Of the new base or table; absent: as it was called."`
		WorkspaceID string `json:"workspace_id,omitempty" format:"uuid" doc:"Where the new base goes."`
		ProjectID   string `json:"project_id,omitempty" format:"uuid"`
		TableID     string `json:"table_id,omitempty" maxLength:"64"`
		RecordID    string `json:"record_id,omitempty" maxLength:"64"`
		SkipRecords bool   `json:"skip_records,omitempty" doc:"The schema alone, of the kinds base and table."`
	}
}

// BaseCopy asks for a copy of a base.
type BaseCopy struct {
	BaseRef
	Body struct {
		Name        string `json:"name,omitempty" maxLength:"255"`
		WorkspaceID string `json:"workspace_id" format:"uuid"`
		ProjectID   string `json:"project_id,omitempty" format:"uuid"`
		SkipRecords bool   `json:"skip_records,omitempty"`
		Comments    bool   `json:"comments,omitempty"`
	}
}

// RestoreRef names a restore.
type RestoreRef struct {
	RestoreID string `path:"restore_id" format:"uuid"`
}

// RestoreMade answers RestoreSnapshot and DuplicateBase.
type RestoreMade struct {
	Location string `header:"Location"`
	Body     Restore
}

// Restore is a restore or copy.
type Restore struct {
	ID           string                `json:"id" format:"uuid"`
	Kind         string                `json:"kind" enum:"base,table,contents,record,copy,template"`
	Status       string                `json:"status" enum:"running,done,failed"`
	Error        *airtableapi.JobError `json:"error,omitempty" doc:"Of one that is done: why the new base is in no workspace."`
	BaseID       string                `json:"base_id,omitempty" doc:"The new base, or the one that is restored into."`
	TableID      string                `json:"table_id,omitempty"`
	Records      int64                 `json:"records"`
	DroppedLinks int64                 `json:"dropped_links" doc:"Links to records that are no longer there."`
	CreatedAt    time.Time             `json:"created_at"`
	FinishedAt   time.Time             `json:"finished_at,omitzero"`
}

// ScheduleBody says when snapshots are taken.
type ScheduleBody struct {
	Every    string `json:"every" enum:"hourly,daily,weekly"`
	Minute   int    `json:"minute,omitempty" minimum:"0" maximum:"59"`
	Hour     int    `json:"hour,omitempty" minimum:"0" maximum:"23"`
	Weekday  int    `json:"weekday,omitempty" minimum:"0" maximum:"6" doc:"0 is Sunday."`
	TimeZone string `json:"time_zone" maxLength:"64" example:"Europe/Berlin"`
	Keep     int    `json:"keep" minimum:"1" maximum:"1000"`
}

// SchedulePut sets a schedule.
type SchedulePut struct {
	BaseRef
	Body ScheduleBody
}

// Schedule is when snapshots of a base are taken.
type Schedule struct {
	ScheduleBody
	NextAt time.Time `json:"next_at"`
	SetBy  string    `json:"set_by" format:"uuid"`
}
