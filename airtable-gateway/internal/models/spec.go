package models

import (
	"strings"
	"unicode/utf8"
)

// Airtable's limits of a schema.
const (
	maxName        = 255
	maxDescription = 20_000
	MaxFields      = 500
	MaxTables      = 1_000
)

// BaseSpec asks for a base. Ids are chosen by the caller or, if "", by the store.
type BaseSpec struct {
	ID        BaseID
	Name      string
	Workspace string
	Tables    []TableSpec
}

// TableSpec asks for a table; its first field becomes the primary one.
type TableSpec struct {
	ID          TableID
	Name        string
	Description string
	Fields      []FieldSpec
	View        ViewID // of its grid view
}

// FieldSpec asks for a field. Options are in Airtable's form. A link field may
// name the id of its mirror as inverseLinkFieldId, and a table that the same
// BaseSpec asks for. Derived fields may name fields that the same request asks for,
// by name or id.
type FieldSpec struct {
	ID          FieldID
	Name        string
	Description string
	Type        FieldType
	Options     map[string]any
}

// Change is what an update of a table or field asks for; nil leaves as it is.
type Change struct{ Name, Description *string }

// ParseBaseSpec reads the body of creating a base.
func ParseBaseSpec(body []byte) (BaseSpec, error) {
	in, err := DecodeObject(body)
	if err != nil {
		return BaseSpec{}, err
	}
	workspace, _ := in["workspaceId"].(string)
	if workspace == "" {
		return BaseSpec{}, ErrNoWorkspace
	}
	r := &paramReader{in: in}
	spec := BaseSpec{Name: r.text("name"), Workspace: clean(clip(workspace))}
	tables, ok := in["tables"].([]any)
	if r.err != nil || !ok || len(tables) == 0 || len(tables) > MaxTables {
		return BaseSpec{}, ErrInvalidRequest
	}
	for _, t := range tables {
		object, ok := t.(map[string]any)
		if !ok {
			return BaseSpec{}, ErrInvalidRequest
		}
		table, err := tableSpec(object)
		if err != nil {
			return BaseSpec{}, err
		}
		spec.Tables = append(spec.Tables, table)
	}
	return spec, nil
}

// ParseTableSpec reads the body of creating a table.
func ParseTableSpec(body []byte) (TableSpec, error) {
	in, err := DecodeObject(body)
	if err != nil {
		return TableSpec{}, err
	}
	return tableSpec(in)
}

func tableSpec(in map[string]any) (TableSpec, error) {
	r := &paramReader{in: in}
	spec := TableSpec{Name: r.text("name"), Description: r.text("description")}
	fields, ok := in["fields"].([]any)
	if r.err != nil || !ok || len(fields) == 0 || len(fields) > MaxFields {
		return TableSpec{}, ErrInvalidRequest
	}
	for _, f := range fields {
		object, ok := f.(map[string]any)
		if !ok {
			return TableSpec{}, ErrInvalidRequest
		}
		field, err := fieldSpec(object)
		if err != nil {
			return TableSpec{}, err
		}
		spec.Fields = append(spec.Fields, field)
	}
	return spec, nil
}

// ParseFieldSpec reads the body of creating a field.
func ParseFieldSpec(body []byte) (FieldSpec, error) {
	in, err := DecodeObject(body)
	if err != nil {
		return FieldSpec{}, err
	}
	return fieldSpec(in)
}

func fieldSpec(in map[string]any) (FieldSpec, error) {
	r := &paramReader{in: in}
	spec := FieldSpec{Name: r.text("name"), Description: r.text("description"), Type: FieldType(r.text("type"))}
	options, ok := in["options"].(map[string]any)
	if r.err != nil || !ok && in["options"] != nil || spec.Type == "" {
		return FieldSpec{}, ErrInvalidRequest
	}
	if spec.Type.Known() && !spec.Type.Creatable() {
		return FieldSpec{}, UnsupportedType(spec.Type)
	}
	if err := refuseDecided(spec, options); err != nil {
		return FieldSpec{}, err
	}
	for _, c := range anyList(options["choices"]) {
		if choice, ok := c.(map[string]any); ok {
			delete(choice, "id")
		}
	}
	spec.Options = options
	return spec, nil
}

func anyList(v any) []any { list, _ := v.([]any); return list }

// ParseChange reads the body of updating a table or field.
func ParseChange(body []byte) (Change, error) {
	in, err := DecodeObject(body)
	if err != nil {
		return Change{}, err
	}
	var c Change
	for key, target := range map[string]**string{"name": &c.Name, "description": &c.Description} {
		v, given := in[key]
		s, isText := v.(string)
		if given && !isText && (v != nil || key == "name") {
			return Change{}, ErrInvalidRequest
		}
		if given {
			*target = &s
		}
	}
	if c == (Change{}) {
		return Change{}, ErrInvalidRequest
	}
	for _, fixed := range []string{"type", "options"} {
		if _, given := in[fixed]; given {
			return Change{}, ErrInvalidRequest
		}
	}
	return c, nil
}

// CheckName returns a name as it is kept: without blanks around it. taken says
// whether its NameKey is used already; refusal is what to answer then, and for
// an empty name.
func CheckName(name string, refusal *Error, taken func(key string) bool) (string, error) {
	name = strings.TrimSpace(clean(name))
	switch {
	case name == "":
		return "", refusal
	case utf8.RuneCountInString(name) > maxName:
		return "", BadRequest("A name cannot be longer than %d characters.", maxName)
	case taken != nil && taken(NameKey(name)):
		return "", refusal
	}
	return name, nil
}

// CheckDescription returns a description as it is kept.
func CheckDescription(s string) (string, error) {
	if utf8.RuneCountInString(s) > maxDescription {
		return "", BadRequest("A description cannot be longer than %d characters.", maxDescription)
	}
	return clean(s), nil
}

// Draft grows a base's schema by tables and fields, and remembers what is new.
type Draft struct {
	Base   *Base
	IDs    *IDs     // of what has no chosen id
	Tables []*Table // new, with all their fields
	Fields []*Field // new, of tables that were there before
}

// AddTables adds tables that may link to each other and to the base's others.
func (d *Draft) AddTables(specs []TableSpec) error {
	for _, spec := range specs {
		if err := d.addTable(spec); err != nil {
			return err
		}
	}
	if len(d.Base.Tables) > MaxTables {
		return BadRequest("A base cannot have more than %d tables.", MaxTables)
	}
	d.Base.Index()
	for i, spec := range specs {
		table := d.Tables[len(d.Tables)-len(specs)+i]
		for _, f := range spec.Fields {
			if err := d.addField(table, f); err != nil {
				return err
			}
		}
		if !table.Fields[0].Type.CanBePrimary() {
			return BadRequest("Field type %s cannot be the type of a primary field.", table.Fields[0].Type)
		}
		table.Primary = table.Fields[0].ID
		for _, f := range table.Fields {
			if err := d.checkReferenced(table, f); err != nil {
				return err
			}
		}
	}
	return d.complete()
}

// AddField adds one field to a table of the base, and its mirror if it links.
func (d *Draft) AddField(table *Table, spec FieldSpec) (*Field, error) {
	if err := d.addField(table, spec); err != nil {
		return nil, err
	}
	f := table.Fields[len(table.Fields)-1]
	if err := d.checkReferenced(table, f); err != nil {
		return nil, err
	}
	return f, d.complete()
}

// complete binds what was added to the rest of the base.
func (d *Draft) complete() error {
	if err := d.mirror(); err != nil {
		return err
	}
	return d.derive()
}

func (d *Draft) addTable(spec TableSpec) error {
	name, err := CheckName(spec.Name, ErrTableName, func(key string) bool {
		for _, t := range d.Base.Tables {
			if NameKey(t.Name) == key {
				return true
			}
		}
		return false
	})
	if err != nil {
		return err
	}
	description, err := CheckDescription(spec.Description)
	if err != nil {
		return err
	}
	if len(spec.Fields) == 0 {
		return ErrInvalidRequest
	}
	t := &Table{ID: spec.ID, Name: name, Description: description}
	if t.ID == "" {
		t.ID = d.IDs.Table()
	}
	view := spec.View
	if view == "" {
		view = d.IDs.View()
	}
	t.Views = []View{newGridView(view, t.ID)}
	d.Base.Tables = append(d.Base.Tables, t)
	d.Tables = append(d.Tables, t)
	return nil
}

func (d *Draft) addField(t *Table, spec FieldSpec) error {
	name, err := CheckName(spec.Name, ErrFieldName, t.fieldTaken)
	if err != nil {
		return err
	}
	description, err := CheckDescription(spec.Description)
	if err != nil {
		return err
	}
	if !spec.Type.Known() {
		return ErrInvalidRequest
	}
	options, err := ParseOptions(spec.Type, name, spec.Options)
	if err != nil {
		return err
	}
	if spec.Type == MultipleRecordLinks && d.Base.Table(string(options.LinkedTable)) == nil {
		return invalidOptions("%s.options.linkedTableId is not a table of this base", name)
	}
	options.nameChoices(d.IDs)
	f := &Field{ID: spec.ID, Table: t.ID, Name: name, Description: description, Type: spec.Type, Options: options}
	if f.ID == "" {
		f.ID = d.IDs.Field()
	}
	return d.place(t, f)
}

func (d *Draft) place(t *Table, f *Field) error {
	if len(t.Fields) >= MaxFields {
		return BadRequest("A table cannot have more than %d fields.", MaxFields)
	}
	t.Fields = append(t.Fields, f)
	for _, isNew := range d.Tables {
		if isNew == t {
			return nil
		}
	}
	d.Fields = append(d.Fields, f)
	return nil
}

// mirror gives every new link field its other end, unless that was asked for too.
func (d *Draft) mirror() error {
	d.Base.Index()
	fields := d.added()
	for _, f := range fields {
		if f.Type != MultipleRecordLinks || d.Base.Field(f.Options.Inverse) != nil {
			continue
		}
		source, target := d.Base.Table(string(f.Table)), d.Base.Table(string(f.Options.LinkedTable))
		f.Options.LinkedTable = target.ID
		if f.Options.Inverse == "" {
			f.Options.Inverse = d.IDs.Field()
		}
		name := source.Name
		if source == target {
			name = "From field: " + f.Name
		}
		err := d.place(target, &Field{
			ID: f.Options.Inverse, Table: target.ID, Name: target.FreeFieldName(name), Type: MultipleRecordLinks,
			Options: Options{LinkedTable: source.ID, Inverse: f.ID, Reversed: true},
		})
		if err != nil {
			return err
		}
		d.Base.Index()
	}
	return d.checkMirrors(fields)
}

// checkMirrors refuses chosen ends that do not belong together.
func (d *Draft) checkMirrors(fields []*Field) error {
	for _, f := range fields {
		if f.Type != MultipleRecordLinks {
			continue
		}
		other := d.Base.Field(f.Options.Inverse)
		if other == f || other.Type != MultipleRecordLinks || other.Options.Inverse != f.ID ||
			other.Table != f.Options.LinkedTable || other.Options.LinkedTable != f.Table {
			return invalidOptions("%s.options.inverseLinkFieldId is not its other end", f.Name)
		}
	}
	return nil
}

func (t *Table) fieldTaken(key string) bool {
	for _, f := range t.Fields {
		if NameKey(f.Name) == key {
			return true
		}
	}
	return false
}
