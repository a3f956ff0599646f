package airtableapi

import (
	"encoding/json"

	"github.com/pyairtable/pyairtable/pkg/events"
)

const (
	eventSource = "/airtable-gateway"
	eventStream = "airtable"
)

// The events of records. Each is about one record: the subject is its id, the
// version rises with every change of it, so that a consumer can drop what is older.
var (
	RecordCreated = events.Type[RecordChanged]{Name: "com.pyairtable.record.created.v1", Source: eventSource, Stream: eventStream}
	RecordUpdated = events.Type[RecordChanged]{Name: "com.pyairtable.record.updated.v1", Source: eventSource, Stream: eventStream}
	RecordDeleted = events.Type[RecordChanged]{Name: "com.pyairtable.record.deleted.v1", Source: eventSource, Stream: eventStream}
)

// RecordChanged says what happened to one record. Cells are keyed by field id and
// hold what Airtable's API shows, but of people in the base store the ids alone; an
// empty cell is absent. For a created record OldCells is empty, for a deleted one
// NewCells.
//
// A link is a cell of both records: linking A to B is an update of B too, in the
// mirror field. Computed cells are not listed.
//
// Of a write that passed to an Airtable account less may be known. Its mirror fields
// are not told. OldCellsUnknown says that OldCells is empty for want of knowledge;
// ChangedFieldIDs are then the fields that were written. NewCellsUnknown says the same of
// NewCells, and that ChangedFieldIDs is incomplete; TableID is then what the call named the
// table by. The version rises with the writes that pass through one process.
type RecordChanged struct {
	BaseID          string                     `json:"base_id"`
	TableID         string                     `json:"table_id"`
	RecordID        string                     `json:"record_id"`
	ChangedFieldIDs []string                   `json:"changed_field_ids"`
	OldCells        map[string]json.RawMessage `json:"old_cells"`
	NewCells        map[string]json.RawMessage `json:"new_cells"`
	ActorID         string                     `json:"actor_id,omitempty"` // the user; empty for the system
	OldCellsUnknown bool                       `json:"old_cells_unknown,omitempty"`
	NewCellsUnknown bool                       `json:"new_cells_unknown,omitempty"`
}

// The events of comments. The subject is the comment's id. Comments that go with
// their record are not told of one by one: the record's deletion tells it.
var (
	CommentCreated = events.Type[CommentChanged]{Name: "com.pyairtable.comment.created.v1", Source: eventSource, Stream: eventStream}
	CommentUpdated = events.Type[CommentChanged]{Name: "com.pyairtable.comment.updated.v1", Source: eventSource, Stream: eventStream}
	CommentDeleted = events.Type[CommentChanged]{Name: "com.pyairtable.comment.deleted.v1", Source: eventSource, Stream: eventStream}
)

// CommentChanged says what became of a comment in the base store. Its author, who
// alone may change it, is who acted.
type CommentChanged struct {
	BaseID          string `json:"base_id"`
	TableID         string `json:"table_id"`
	RecordID        string `json:"record_id"`
	CommentID       string `json:"comment_id"`
	ParentCommentID string `json:"parent_comment_id,omitempty"`
	AuthorID        string `json:"author_id"`
	// Text is the comment as it is written, people as @[usr…]; empty once it is deleted.
	Text string `json:"text,omitempty"`
	// MentionedUserIDs are the users whom the text names.
	MentionedUserIDs []string `json:"mentioned_user_ids"`
}
