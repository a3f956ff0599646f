package models

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
)

// Transaction is what one transaction did to a base, as far as webhooks may tell.
type Transaction struct {
	User    *Person // nil: nobody
	Records []RecordChange
	// Before and After are the schema; both zero if it did not change.
	Before, After Snapshot
	Titles        map[RecordID]string          // what linked records are called
	Lookups       map[FieldID]map[RecordID]any // cells of lookups as webhooks show them
}

// RecordChange is what became of one record. Old is nil for a new one, New for a
// deleted one.
type RecordChange struct {
	Table    *Table
	Old, New *Record
	Changed  map[FieldID]bool
	Views    map[ViewID]Membership // of the views that webhooks are scoped to
}

// Membership tells whether a view showed a record, and whether it does now.
type Membership struct{ Before, After bool }

// Snapshot is a base's schema at one moment.
type Snapshot struct {
	Tables map[TableID]Table
	Fields map[FieldID]Field
}

// Snapshot copies the base's tables and fields, which may be changed afterwards.
func (b *Base) Snapshot() Snapshot {
	s := Snapshot{map[TableID]Table{}, map[FieldID]Field{}}
	for _, t := range b.Tables {
		s.Tables[t.ID] = *t
		for _, f := range t.Fields {
			s.Fields[f.ID] = *f
		}
	}
	return s
}

// Airtable's payload, less what Stamp adds.
type wirePayload struct {
	Format    string                       `json:"payloadFormat"`
	Action    wireAction                   `json:"actionMetadata"`
	Changed   map[TableID]*wireTableChange `json:"changedTablesById,omitempty"`
	Created   map[TableID]*wireNewTable    `json:"createdTablesById,omitempty"`
	Destroyed []TableID                    `json:"destroyedTableIds,omitempty"`
	Error     bool                         `json:"error,omitempty"`
	Code      string                       `json:"code,omitempty"`
}

type wireAction struct {
	Source   string          `json:"source"`
	Metadata *wireSourceData `json:"sourceMetadata,omitempty"`
}

type wireSourceData struct {
	User wireActor `json:"user"`
}

type wireActor struct {
	ID              PersonID `json:"id"`
	Email           string   `json:"email,omitempty"`
	PermissionLevel string   `json:"permissionLevel"`
	Name            string   `json:"name,omitempty"`
}

type wireTableChange struct {
	Metadata        *wireMetadataChange          `json:"changedMetadata,omitempty"`
	CreatedFields   map[FieldID]wireFieldInfo    `json:"createdFieldsById,omitempty"`
	ChangedFields   map[FieldID]*wireFieldChange `json:"changedFieldsById,omitempty"`
	DestroyedFields []FieldID                    `json:"destroyedFieldIds,omitempty"`
	wireRecordChanges
	Views map[ViewID]*wireRecordChanges `json:"changedViewsById,omitempty"`
}

type wireRecordChanges struct {
	Created   map[RecordID]wireNewRecord     `json:"createdRecordsById,omitempty"`
	Changed   map[RecordID]*wireRecordChange `json:"changedRecordsById,omitempty"`
	Destroyed []RecordID                     `json:"destroyedRecordIds,omitempty"`
}

type wireMetadataChange struct {
	Current  wireMetadata `json:"current"`
	Previous wireMetadata `json:"previous"`
}

// wireMetadata leaves out what did not change.
type wireMetadata struct {
	Name        *string `json:"name,omitempty"`
	Description *string `json:"description,omitempty"`
}

type wireFieldInfo struct {
	Name string    `json:"name,omitempty"`
	Type FieldType `json:"type,omitempty"`
}

type wireFieldChange struct {
	Current  wireFieldInfo  `json:"current"`
	Previous *wireFieldInfo `json:"previous,omitempty"`
}

type wireCells struct {
	Cells map[FieldID]any `json:"cellValuesByFieldId"`
}

type wireNewRecord struct {
	CreatedTime string `json:"createdTime"`
	wireCells
}

type wireRecordChange struct {
	Current   wireCells  `json:"current"`
	Previous  *wireCells `json:"previous,omitempty"`
	Unchanged *wireCells `json:"unchanged,omitempty"`
}

type wireNewTable struct {
	Metadata *wireNewMetadata          `json:"metadata,omitempty"`
	Fields   map[FieldID]wireFieldInfo `json:"fieldsById,omitempty"`
}

type wireNewMetadata struct {
	Name        string  `json:"name"`
	Description *string `json:"description"`
}

// Payload is what a webhook with the specification is told of the transaction, a
// JSON object that Stamp completes; nil if it is none of its business.
func (t Transaction) Payload(s WebhookSpec) ([]byte, error) {
	p := wirePayload{Format: "v0", Action: t.action(), Changed: map[TableID]*wireTableChange{}}
	b := payloadBuilder{t, s, &p}
	if t.After.Tables != nil {
		b.tables()
		b.fields()
	}
	for _, r := range t.Records {
		if err := b.record(r); err != nil {
			return nil, err
		}
	}
	if len(p.Changed) == 0 && len(p.Created) == 0 && len(p.Destroyed) == 0 {
		return nil, nil
	}
	return Marshal(p), nil
}

// BrokenPayload is the last thing that a webhook is told whose specification names
// what this transaction took away.
func (t Transaction) BrokenPayload() []byte {
	return Marshal(wirePayload{Format: "v0", Action: t.action(), Error: true, Code: "INVALID_HOOK"})
}

func (t Transaction) action() wireAction {
	a := wireAction{Source: SourcePublicAPI}
	if p := t.User; p != nil {
		a.Metadata = &wireSourceData{wireActor{p.ID, p.Email, permissionLevel, p.Name}}
	}
	return a
}

// permissionLevel is that of everybody in a local base.
const permissionLevel = "create"

type payloadBuilder struct {
	Transaction
	spec    WebhookSpec
	payload *wirePayload
}

// table is the entry of a table that existed before; it is made on first use.
func (b payloadBuilder) table(id TableID) *wireTableChange {
	c := b.payload.Changed[id]
	if c == nil {
		c = &wireTableChange{}
		b.payload.Changed[id] = c
	}
	return c
}

// tables tells of tables that came, went, or got another name or description. That
// a new table shows its name to who hears of metadata, and its fields to who hears
// of fields, is unconfirmed.
func (b payloadBuilder) tables() {
	for id, after := range b.After.Tables {
		before, existed := b.Before.Tables[id]
		switch {
		case !b.spec.Concerns(id):
		case !existed:
			b.newTable(after)
		case b.spec.Hears(TableMetadata, Updated) && (before.Name != after.Name || before.Description != after.Description):
			b.table(id).Metadata = metadataChange(before, after)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(b.Before.Tables)) {
		if _, stays := b.After.Tables[id]; !stays && b.spec.Concerns(id) && b.spec.Hears(TableMetadata, Removed) {
			b.payload.Destroyed = append(b.payload.Destroyed, id)
		}
	}
}

func (b payloadBuilder) newTable(t Table) {
	var out wireNewTable
	if b.spec.Hears(TableMetadata, Added) {
		out.Metadata = &wireNewMetadata{Name: t.Name}
		if t.Description != "" {
			out.Metadata.Description = &t.Description
		}
	}
	for _, f := range t.Fields {
		if b.spec.Hears(TableFields, Added) && b.spec.WatchesSchema(f.ID) {
			put(&out.Fields, f.ID, wireFieldInfo{f.Name, f.Type})
		}
	}
	if out.Metadata == nil && out.Fields == nil {
		return
	}
	put(&b.payload.Created, t.ID, &out)
}

// put makes the map on first use.
func put[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[k] = v
}

func metadataChange(before, after Table) *wireMetadataChange {
	c := &wireMetadataChange{}
	if before.Name != after.Name {
		c.Current.Name, c.Previous.Name = &after.Name, &before.Name
	}
	if before.Description != after.Description {
		c.Current.Description, c.Previous.Description = &after.Description, &before.Description
	}
	return c
}

// fields tells of fields of tables that existed before.
func (b payloadBuilder) fields() {
	existed := func(t TableID) bool { _, ok := b.Before.Tables[t]; return ok && b.spec.Concerns(t) }
	for id, after := range b.After.Fields {
		before, known := b.Before.Fields[id]
		switch {
		case !existed(after.Table) || !b.spec.WatchesSchema(id):
		case !known && b.spec.Hears(TableFields, Added):
			put(&b.table(after.Table).CreatedFields, id, wireFieldInfo{after.Name, after.Type})
		case known && b.spec.Hears(TableFields, Updated) && !sameField(before, after):
			put(&b.table(after.Table).ChangedFields, id, b.fieldChange(before, after))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(b.Before.Fields)) {
		f := b.Before.Fields[id]
		_, stays := b.After.Fields[id]
		_, tableStays := b.After.Tables[f.Table]
		if !stays && tableStays && b.spec.Concerns(f.Table) && b.spec.WatchesSchema(id) && b.spec.Hears(TableFields, Removed) {
			t := b.table(f.Table)
			t.DestroyedFields = append(t.DestroyedFields, id)
		}
	}
}

func sameField(a, b Field) bool {
	return a.Name == b.Name && a.Type == b.Type && a.Description == b.Description && reflect.DeepEqual(a.Options, b.Options)
}

// fieldChange names what is other than it was. A change of options or description
// alone, which Airtable's form has no word for, shows the type: unconfirmed.
func (b payloadBuilder) fieldChange(before, after Field) *wireFieldChange {
	var current, previous wireFieldInfo
	if before.Name != after.Name {
		current.Name, previous.Name = after.Name, before.Name
	}
	if before.Type != after.Type || before.Name == after.Name {
		current.Type, previous.Type = after.Type, before.Type
	}
	c := &wireFieldChange{Current: current}
	if b.spec.IncludePreviousFields {
		c.Previous = &previous
	}
	return c
}

func (b payloadBuilder) record(r RecordChange) error {
	if !b.spec.Concerns(r.Table.ID) {
		return nil
	}
	was, is := r.Old != nil, r.New != nil
	if b.spec.View != "" { // a record that comes into a view is new to it, and one that leaves is gone
		m := r.Views[b.spec.View]
		was, is = was && m.Before, is && m.After
	}
	entry, err := b.entry(r, was, is)
	if err != nil || entry == nil {
		return err
	}
	t := b.table(r.Table.ID)
	if b.spec.View == "" {
		entry(&t.wireRecordChanges)
		return nil
	}
	if t.Views == nil {
		t.Views = map[ViewID]*wireRecordChanges{b.spec.View: {}}
	}
	entry(t.Views[b.spec.View])
	return nil
}

// entry returns what notes the change, nil if it is not to be told. A deletion
// is told whatever fields are watched: unconfirmed.
func (b payloadBuilder) entry(r RecordChange, was, is bool) (func(*wireRecordChanges), error) {
	recID := cmp.Or(r.New, r.Old).ID
	switch {
	case !was && is && b.spec.Hears(TableData, Added):
		return b.created(r)
	case was && !is && b.spec.Hears(TableData, Removed):
		return func(c *wireRecordChanges) { c.Destroyed = append(c.Destroyed, recID) }, nil
	case was && is && b.spec.Hears(TableData, Updated):
		return b.changed(r)
	}
	return nil, nil
}

func (b payloadBuilder) cell(f *Field, r *Record) (any, error) {
	if f.Type == Lookup {
		return b.Lookups[f.ID][r.ID], nil
	}
	return f.ReadV2(r, b.Titles)
}

// created shows the cells that have a value. A record without one in a watched
// field is not told: unconfirmed.
func (b payloadBuilder) created(r RecordChange) (func(*wireRecordChanges), error) {
	cells := wireCells{map[FieldID]any{}}
	for _, f := range r.Table.Fields {
		if f.Type.Computed() || !b.spec.WatchesCell(f.ID) {
			continue
		}
		v, err := b.cell(f, r.New)
		if err != nil {
			return nil, err
		}
		if v != nil {
			cells.Cells[f.ID] = v
		}
	}
	if len(b.spec.WatchData) > 0 && len(cells.Cells) == 0 {
		return nil, nil
	}
	return func(c *wireRecordChanges) {
		put(&c.Created, r.New.ID, wireNewRecord{Timestamp(r.New.CreatedAt), cells})
	}, nil
}

func (b payloadBuilder) changed(r RecordChange) (func(*wireRecordChanges), error) {
	current, previous, unchanged := map[FieldID]any{}, map[FieldID]any{}, map[FieldID]any{}
	for _, f := range r.Table.Fields {
		changed := r.Changed[f.ID] && b.spec.WatchesCell(f.ID)
		if !changed && (r.Changed[f.ID] || !b.spec.Includes(f.ID)) {
			continue
		}
		is, err := b.cell(f, r.New)
		if err != nil {
			return nil, err
		}
		if !changed {
			unchanged[f.ID] = is
			continue
		}
		was, err := b.cell(f, r.Old)
		if err != nil {
			return nil, err
		}
		current[f.ID], previous[f.ID] = is, was
	}
	if len(current) == 0 {
		return nil, nil
	}
	change := &wireRecordChange{Current: wireCells{current}}
	if b.spec.IncludePrevious {
		change.Previous = &wireCells{previous}
	}
	if len(unchanged) > 0 {
		change.Unchanged = &wireCells{unchanged}
	}
	return func(c *wireRecordChanges) {
		put(&c.Changed, r.New.ID, change)
	}, nil
}
