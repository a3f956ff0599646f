package policy

import (
	"slices"
	"strings"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/formula"
)

// nothing is the row rule that lets no record through.
const nothing = "FALSE()"

// Sight is what one caller sees of one base. A nil Sight sees all of it.
type Sight struct {
	schema *schema
	tables map[string]*seenTable // by id: those that he sees
	masks  bool                  // masks or rules hold for him, or he does not see all tables
}

// seenTable is a table as the caller sees it.
type seenTable struct {
	*table
	hidden   map[string]bool
	readOnly map[string]bool
	rule     string // true of the records that he sees; "": all
	edits    bool   // whether he may write records in it
	views    []view
}

// compile makes a Sight. reads and edits tell of tables by id; views tells which fields a
// view looks at, and is nil if nobody knows.
func compile(s *schema, p permissionapi.Policy, user string, reads, edits func(table string) bool, views func(view string) ([]string, bool)) *Sight {
	out := &Sight{schema: s, tables: map[string]*seenTable{}, masks: len(p.Tables) > 0}
	hidden := map[string]bool{}
	for _, t := range s.tables {
		if !reads(t.id) {
			out.masks = true
			for _, f := range t.fields {
				hidden[f.id] = true
			}
			continue
		}
		seen := &seenTable{table: t, hidden: map[string]bool{}, readOnly: map[string]bool{}, edits: edits(t.id)}
		out.tables[t.id] = seen
		for _, rules := range p.Tables {
			if rules.TableID == t.id {
				seen.restrict(rules, user, hidden)
			}
		}
	}
	out.spread(hidden)
	for _, t := range out.tables {
		for _, f := range t.fields {
			t.hidden[f.id] = hidden[f.id]
		}
		for _, v := range t.table.views {
			if out.shows(t, v, views) {
				t.views = append(t.views, v)
			}
		}
	}
	return out
}

// restrict applies what the policy says of the table.
func (t *seenTable) restrict(p permissionapi.TablePolicy, user string, hidden map[string]bool) {
	for _, id := range p.Hidden {
		hidden[id] = true
	}
	for _, id := range p.ReadOnly {
		t.readOnly[id] = true
	}
	kept := formula.Schema{}
	for _, f := range t.fields {
		kept.Fields = append(kept.Fields, formula.Field{ID: f.id, Name: f.id})
	}
	var rules []string
	for _, text := range p.Rows {
		compiled, err := formula.Compile(permissionapi.RowFormula(text, user), kept, formula.Limits{})
		if err != nil {
			t.rule = nothing
			return
		}
		rules = append(rules, source(compiled))
	}
	t.rule = all(rules...)
	if t.shadowed { // formulas would take the one field for the other
		t.rule = nothing
	}
}

// source writes the formula with fields by id.
func source(f *formula.Formula) string {
	return f.Source(func(field formula.Field) string { return field.ID })
}

// all is the conjunction of formulas; "" is true.
func all(formulas ...string) string {
	formulas = slices.DeleteFunc(formulas, func(f string) bool { return f == "" })
	switch len(formulas) {
	case 0:
		return ""
	case 1:
		return formulas[0]
	}
	return "AND(" + strings.Join(formulas, ",") + ")"
}

// spread hides what shows something of hidden fields, tables or records, until nothing
// new is hidden.
func (s *Sight) spread(hidden map[string]bool) {
	for grows := true; grows; {
		grows = false
		for _, t := range s.tables {
			for _, f := range t.fields {
				if !hidden[f.id] && s.reveals(f, hidden) {
					hidden[f.id], grows = true, true
				}
			}
		}
	}
}

// reveals reports whether f shows something of what is hidden.
func (s *Sight) reveals(f *field, hidden map[string]bool) bool {
	if f.opaque && s.masks || f.linked != "" && s.tables[f.linked] == nil {
		return true
	}
	if link := s.schema.field(f.via); link != nil && (hidden[link.id] || s.ruled(link)) {
		return true
	}
	for _, id := range f.refs {
		if ref := s.schema.field(id); ref != nil && (hidden[id] || s.limited(ref, hidden)) {
			return true
		}
	}
	return false
}

// ruled reports whether f links to records that are not all seen.
func (s *Sight) ruled(f *field) bool {
	return f.linked != "" && (s.tables[f.linked] == nil || s.tables[f.linked].rule != "")
}

// limited reports whether f is a link whose texts, what its records are called, are not
// all for the caller: such a field is not filtered or sorted by, and not shown as a text.
func (s *Sight) limited(f *field, hidden map[string]bool) bool {
	if f.linked == "" {
		return false
	}
	t := s.tables[f.linked]
	return t == nil || t.rule != "" || hidden[t.primary]
}

// limits is limited of a complete Sight.
func (s *Sight) limits(f *field) bool {
	if f.linked == "" {
		return false
	}
	t := s.tables[f.linked]
	return t == nil || t.rule != "" || t.hidden[t.primary]
}

// shows reports whether the view neither filters nor sorts by what is hidden. What views
// of an Airtable account look at is not known: a table with anything hidden has none.
func (s *Sight) shows(t *seenTable, v view, views func(view string) ([]string, bool)) bool {
	if views == nil {
		return !slices.ContainsFunc(t.fields, func(f *field) bool { return t.hidden[f.id] || s.limits(f) })
	}
	looks, known := views(v.id)
	if !known {
		return false
	}
	for _, id := range looks {
		if id == everyField && slices.ContainsFunc(t.fields, func(f *field) bool { return t.hidden[f.id] }) {
			return false
		}
		if f := t.byID[id]; f != nil && (t.hidden[id] || s.limits(f)) {
			return false
		}
	}
	return true
}

// find returns the table as the caller sees it, nil if he does not.
func (s *Sight) find(idOrName string) *seenTable {
	if t := s.schema.find(idOrName); t != nil {
		return s.tables[t.id]
	}
	return nil
}

// field returns a field that the caller sees, by id or name; nil if there is none.
func (t *seenTable) field(idOrName string) *field {
	if f := t.find(idOrName); f != nil && !t.hidden[f.id] {
		return f
	}
	return nil
}

// view returns a view that the caller sees, by id or name.
func (t *seenTable) view(idOrName string) (view, bool) {
	for _, v := range t.views {
		if v.id == idOrName || v.name == idOrName {
			return v, true
		}
	}
	return view{}, false
}

// everyField stands for all fields of a table among those that a view looks at.
const everyField = "*"

// fieldsOf returns the ids of fields that a view looks at.
func fieldsOf(v models.View) []string {
	out := fieldID.FindAllString(v.Filter, -1)
	if timeOfAll.MatchString(v.Filter) {
		out = append(out, everyField)
	}
	for _, by := range v.Sort {
		out = append(out, by.Field)
	}
	return out
}
