package models

import (
	"regexp"
	"time"

	"github.com/pyairtable/pyairtable/pkg/id"
)

// What names snapshots and restores; those who ask for them choose the ids.
type (
	snapshotKind struct{}
	restoreKind  struct{}

	SnapshotID = id.ID[snapshotKind]
	RestoreID  = id.ID[restoreKind]
)

// Fault says why a snapshot or restore failed for good: a code and a sentence.
type Fault struct{ Code, Text string }

// BaseSnapshot is a snapshot of a base.
type BaseSnapshot struct {
	Tenant      id.TenantID
	ID          SnapshotID
	Base        BaseID // "": it came from elsewhere
	BaseName    string
	Status      string // as in airtableapi
	Comments    bool
	SkipRecords bool // the schema alone
	Fault       Fault
	RequestedBy id.UserID
	CreatedAt   time.Time
	TakenAt     time.Time // the moment that it shows; zero: not yet
	Records     int64
	Tables      []SnapshotTable
	Size        int64
	Sum         string // of what it is kept as, "" until it is ready
}

// SnapshotTable is a table in a snapshot.
type SnapshotTable struct {
	ID      TableID
	Name    string
	Records int64
}

// Table finds a table of the snapshot by id.
func (s BaseSnapshot) Table(key TableID) (SnapshotTable, bool) {
	for _, t := range s.Tables {
		if t.ID == key {
			return t, true
		}
	}
	return SnapshotTable{}, false
}

// BaseRestore is something that is made of a snapshot.
type BaseRestore struct {
	Tenant       id.TenantID
	ID           RestoreID
	Kind         string // as in airtableapi
	Snapshot     SnapshotID
	Status       string
	Fault        Fault
	Base         BaseID // that is made or restored into
	Source       BaseID // that is copied
	Name         string
	Table        TableID // in the snapshot
	NewTable     TableID
	Record       RecordID
	SkipRecords  bool
	Comments     bool
	Fresh        bool // records are the requester's, made when they are restored
	Records      int64
	DroppedLinks int64
	RequestedBy  id.UserID
	CreatedAt    time.Time
	FinishedAt   time.Time
}

// Renaming gives what a restore makes ids of its own: the same in every try, and
// others in every other restore.
type Renaming struct {
	key    string
	schema map[string]bool // what has a new id, beside records and what is in them
}

// NewRenaming renames what the restore makes new of tables, fields and views.
func NewRenaming(restore RestoreID) *Renaming {
	return &Renaming{key: restore.String(), schema: map[string]bool{}}
}

// Add has the table, field or view renamed.
func (r *Renaming) Add(old string) { r.schema[old] = true }

// prefixLength is that of all ids.
const prefixLength = 3

// Fresh is the new id of what was called old.
func (r *Renaming) Fresh(old string) string {
	return DerivedID(old[:min(prefixLength, len(old))], r.key, old)
}

// Of is the new id of a table, field or view, or old itself if that was not added.
func (r *Renaming) Of(old string) string {
	if r.schema[old] {
		return r.Fresh(old)
	}
	return old
}

func (r *Renaming) field(f FieldID) FieldID { return FieldID(r.Of(string(f))) }

var fieldInFormula = regexp.MustCompile(`\{fld[A-Za-z0-9]+\}`)

// Formula is a formula with its fields by their new ids.
func (r *Renaming) Formula(src string) string {
	return fieldInFormula.ReplaceAllStringFunc(src, func(s string) string { return "{" + r.Of(s[1:len(s)-1]) + "}" })
}

// Options are the options of a field with all that they name by the new ids.
func (r *Renaming) Options(o Options) Options {
	o.LinkedTable = TableID(r.Of(string(o.LinkedTable)))
	o.Inverse, o.Via, o.Target = r.field(o.Inverse), r.field(o.Via), r.field(o.Target)
	o.PickView = ViewID(r.Of(string(o.PickView)))
	o.Formula = r.Formula(o.Formula)
	if o.Referenced != nil {
		o.Referenced = r.Fields(o.Referenced)
	}
	if o.Prompt != nil {
		prompt := make([]PromptPart, len(o.Prompt))
		for i, p := range o.Prompt {
			prompt[i] = PromptPart{Text: p.Text, Field: r.field(p.Field)}
		}
		o.Prompt = prompt
	}
	return o
}

// View is a view by new ids.
func (r *Renaming) View(v View) View {
	v.ID, v.Table = ViewID(r.Of(string(v.ID))), TableID(r.Of(string(v.Table)))
	v.Filter = r.Formula(v.Filter)
	sort := make([]SortBy, len(v.Sort))
	for i, s := range v.Sort {
		sort[i] = SortBy{Field: r.Of(s.Field), Desc: s.Desc}
	}
	v.Sort, v.Order, v.Hidden = sort, r.Fields(v.Order), r.Fields(v.Hidden)
	return v
}

// Fields are the new ids of fields.
func (r *Renaming) Fields(list []FieldID) []FieldID {
	out := make([]FieldID, len(list))
	for i, f := range list {
		out[i] = r.field(f)
	}
	return out
}
