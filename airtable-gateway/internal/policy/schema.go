package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
)

// schema is a base as its schema call tells of it. It is shared and must not be changed.
type schema struct {
	tables []*table
	byID   map[string]*table
}

type table struct {
	id, name, primary string
	fields            []*field
	byID              map[string]*field
	views             []view
	shadowed          bool // a field is called like the id of one
	members           []v0.Member
}

type field struct {
	id, name, typ string
	table         *table
	linked        string   // of a link: the table that it goes to
	via           string   // of what follows a link: the link
	refs          []string // the other fields that its options name
	formula       string   // of a formula
	opaque        bool     // what it is made of is not told
	members       []v0.Member
}

type view struct {
	id, name string
	raw      json.RawMessage
}

// fieldID finds ids of fields wherever they stand: alone, in formulas, in prompts.
var fieldID = regexp.MustCompile(`fld[A-Za-z0-9]+`)

// readSchema reads the answer to a schema call.
func readSchema(a upstream.Answer) (*schema, error) {
	var body struct {
		Tables []json.RawMessage `json:"tables"`
	}
	if err := json.Unmarshal(a.Body, &body); err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	s := &schema{byID: map[string]*table{}}
	for _, raw := range body.Tables {
		t, err := readTable(raw)
		if err != nil {
			return nil, fmt.Errorf("read schema: %w", err)
		}
		s.tables = append(s.tables, t)
		s.byID[t.id] = t
	}
	return s, nil
}

func readTable(raw json.RawMessage) (*table, error) {
	var body struct {
		ID      string            `json:"id"`
		Name    string            `json:"name"`
		Primary string            `json:"primaryFieldId"`
		Fields  []json.RawMessage `json:"fields"`
		Views   []json.RawMessage `json:"views"`
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return nil, err
	}
	members, err := v0.Members(raw)
	if err != nil {
		return nil, err
	}
	t := &table{id: body.ID, name: body.Name, primary: body.Primary, byID: map[string]*field{}, members: members}
	for _, raw := range body.Fields {
		f, err := readField(raw)
		if err != nil {
			return nil, err
		}
		f.table = t
		t.fields = append(t.fields, f)
		t.byID[f.id] = f
	}
	for _, f := range t.fields {
		if f.tellsAll() {
			f.refs = slices.DeleteFunc(slices.Collect(maps.Keys(t.byID)), func(id string) bool { return id == f.id })
		}
	}
	for _, raw := range body.Views {
		var v struct{ ID, Name string }
		if err := json.Unmarshal(raw, &v); err != nil {
			return nil, err
		}
		t.views = append(t.views, view{v.ID, v.Name, raw})
	}
	for _, f := range t.fields {
		for known := range t.byID {
			t.shadowed = t.shadowed || strings.EqualFold(strings.TrimSpace(f.name), known)
		}
	}
	return t, nil
}

func readField(raw json.RawMessage) (*field, error) {
	var body struct {
		ID      string          `json:"id"`
		Name    string          `json:"name"`
		Type    string          `json:"type"`
		Options json.RawMessage `json:"options"`
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return nil, err
	}
	members, err := v0.Members(raw)
	if err != nil {
		return nil, err
	}
	f := &field{id: body.ID, name: body.Name, typ: body.Type, members: members}
	return f, f.readOptions(body.Options)
}

// readOptions finds out what the field is made of.
func (f *field) readOptions(raw json.RawMessage) error {
	var o struct {
		Linked  string           `json:"linkedTableId"`
		Via     string           `json:"recordLinkFieldId"`
		Refs    *json.RawMessage `json:"referencedFieldIds"`
		Formula *string          `json:"formula"`
	}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &o); err != nil {
			return err
		}
	}
	switch models.FieldType(f.typ) {
	case models.MultipleRecordLinks:
		f.linked = o.Linked
		return nil // its mirror makes nothing of it
	case models.Button:
		f.opaque = true
	case models.Formula, models.AIText:
		if f.opaque = o.Refs == nil && o.Formula == nil; o.Formula != nil {
			f.formula = *o.Formula
		}
	case models.Rollup, models.Lookup, models.Count:
		f.opaque = o.Via == ""
	}
	f.via = o.Via
	for _, id := range fieldID.FindAllString(string(raw), -1) {
		if id != f.via && !slices.Contains(f.refs, id) {
			f.refs = append(f.refs, id)
		}
	}
	return nil
}

// timeOfAll finds what in a formula tells when any field of the record was changed last.
var timeOfAll = regexp.MustCompile(`(?i)LAST_MODIFIED_TIME\s*\(\s*\)`)

// tellsAll reports whether the field shows something of every field of its table: who
// changed the record last, or when, if it names no fields.
func (f *field) tellsAll() bool {
	switch models.FieldType(f.typ) {
	case models.LastModifiedTime, models.LastModifiedBy:
		return len(f.refs) == 0
	case models.Formula:
		return timeOfAll.MatchString(f.formula)
	}
	return false
}

// find returns the table by id or name, as Airtable and the base store resolve them.
func (s *schema) find(idOrName string) *table {
	if t := s.byID[idOrName]; t != nil {
		return t
	}
	for _, t := range s.tables {
		if t.name == idOrName {
			return t
		}
	}
	return nil
}

// find returns the field by id or name.
func (t *table) find(idOrName string) *field {
	if f := t.byID[idOrName]; f != nil {
		return f
	}
	for _, f := range t.fields {
		if f.name == idOrName {
			return f
		}
	}
	return nil
}

// field returns a field of any table by id; nil if there is none.
func (s *schema) field(id string) *field {
	for _, t := range s.tables {
		if f := t.byID[id]; f != nil {
			return f
		}
	}
	return nil
}

// computed reports whether nobody writes the field's cells.
func (f *field) computed() bool {
	switch models.FieldType(f.typ) {
	case models.Formula, models.Rollup, models.Lookup, models.Count, models.AutoNumber, models.CreatedTime,
		models.LastModifiedTime, models.CreatedBy, models.LastModifiedBy, models.Button, models.AIText,
		models.ExternalSyncSource, models.ManualSort:
		return true
	}
	return false
}
