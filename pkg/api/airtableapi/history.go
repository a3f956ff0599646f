package airtableapi

import (
	"encoding/json"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// ErrHistoryElsewhere is about bases of Airtable accounts: what others do there is not
// known here.
var ErrHistoryElsewhere = errs.New(errs.Conflict, "history_not_kept",
	"The base belongs to an Airtable account, and the history of its records is not kept here.")

// ListHistory tells how a record of a local base became what it is.
var ListHistory = api.Op[HistoryQuery, api.Page[Revision]]{
	Name: "listRecordHistory", Method: "GET", Path: record + "/history", Scope: scopeRead, Timeout: upstreamTimeout,
	Summary: "Tell who changed which cells of a record, the newest change first",
	Description: "Also of a deleted record. A link is a cell of both records: linking A to B is a change of B too. " +
		"Computed cells have no history. Changes are kept for AIRTABLE_HISTORY_DAYS.",
	Errors: []*errs.Error{ErrBaseNotFound, ErrTableNotFound, ErrRecordNotFound, ErrUnknownField, ErrHistoryElsewhere, ErrUpstreamAway},
}

// HistoryQuery asks for a page of a record's changes.
type HistoryQuery struct {
	RecordPath
	api.PageQuery
	Field string `query:"field" maxLength:"255" required:"false" doc:"Only changes of this field (id or name), and of each change only its cell."`
}

// Kinds of changes.
const (
	RevisionCreated = "created"
	RevisionUpdated = "updated"
	RevisionDeleted = "deleted"
)

// Revision is what one write did to a record.
type Revision struct {
	Kind    string                `json:"kind" enum:"created,updated,deleted"`
	Version int64                 `json:"version" doc:"The record's, as in its events. It begins anew if a deleted record's id is used again."`
	At      time.Time             `json:"at"`
	ActorID string                `json:"actor_id,omitempty" format:"uuid" doc:"The user; absent for the system."`
	Cells   map[string]CellChange `json:"cells" nullable:"false" doc:"By field id, the changed ones; of a new record all that are not empty."`
}

// CellChange is a cell before and after, as the API shows it; an empty one is absent.
type CellChange struct {
	Old json.RawMessage `json:"old,omitempty"`
	New json.RawMessage `json:"new,omitempty"`
}
