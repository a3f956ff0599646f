package models

import (
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/id"
)

// Base is a base with its whole schema. A loaded Base is shared by many callers
// and must not be changed; its Version rises with every change of its schema.
type Base struct {
	ID        BaseID
	Name      string
	Workspace string
	Version   int64
	Tables    []*Table

	tables  map[string]*Table
	fields  map[FieldID]*Field
	derived []*Field
}

type Table struct {
	ID          TableID
	Name        string
	Description string
	Primary     FieldID
	Fields      []*Field
	Views       []View

	fields map[string]*Field
}

type Field struct {
	ID          FieldID
	Table       TableID
	Name        string
	Description string
	Type        FieldType
	Options     Options

	calc *Calculation // of derived fields, by Base.Bind
}

// Record is a row. Cells hold values in stored form (see FieldType), links are
// kept apart because they are edges that two records share.
type Record struct {
	ID         RecordID
	Number     int64 // position in the table, and the value of autoNumber fields
	Cells      map[FieldID]any
	Links      map[FieldID][]RecordID
	Computed   map[FieldID]Computed // of derived fields, where they were asked for
	CreatedAt  time.Time
	CreatedBy  id.UserID
	ModifiedAt time.Time // zero: never since its creation
	ModifiedBy id.UserID
	Touched    map[FieldID]Touch // by field that was changed since the record's creation
	Version    int64

	Comments int     // how many there are, if they were counted
	People   *People // whom the record names, as far as they were looked up
}

// Index prepares the look-ups by id and by name. Whoever builds a Base calls it
// once before sharing it.
func (b *Base) Index() {
	b.tables, b.fields = map[string]*Table{}, map[FieldID]*Field{}
	for _, t := range b.Tables {
		t.fields = map[string]*Field{}
		for _, f := range t.Fields {
			t.fields[f.Name] = f
			b.fields[f.ID] = f
		}
		b.tables[t.Name] = t
	}
	// Ids go last: a name that looks like another's id must not hide it.
	for _, t := range b.Tables {
		b.tables[string(t.ID)] = t
		for _, f := range t.Fields {
			t.fields[string(f.ID)] = f
		}
	}
}

// Table finds a table by id or exact name; nil if there is none.
func (b *Base) Table(idOrName string) *Table { return b.tables[idOrName] }

// Field finds a field of any table of the base by id; nil if there is none.
func (b *Base) Field(id FieldID) *Field { return b.fields[id] }

// Field finds a field by id or exact name; nil if there is none.
func (t *Table) Field(idOrName string) *Field { return t.fields[idOrName] }

// PrimaryField returns the field whose value names a record.
func (t *Table) PrimaryField() *Field { return t.fields[string(t.Primary)] }

// LinkFields returns the fields that link to other records.
func (t *Table) LinkFields() []*Field {
	var out []*Field
	for _, f := range t.Fields {
		if f.Type == MultipleRecordLinks {
			out = append(out, f)
		}
	}
	return out
}

// NameKey is a name as it is compared for uniqueness: without regard to case.
func NameKey(name string) string { return strings.ToLower(name) }

// FreeFieldName returns name, or name with a number behind it, such that the
// table has no field called so.
func (t *Table) FreeFieldName(name string) string {
	taken := map[string]bool{}
	for _, f := range t.Fields {
		taken[NameKey(f.Name)] = true
	}
	free := name
	for n := 2; taken[NameKey(free)]; n++ {
		free = name + " " + itoa(n)
	}
	return free
}
