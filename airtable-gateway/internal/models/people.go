package models

import (
	"slices"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/id"
)

// PersonID is the id by which a base names a person: usr…
type PersonID string

// Person is somebody who may be named in a tenant's bases. Of a person whom the
// directory does not know, or no longer, there is the id alone.
type Person struct {
	ID    PersonID
	User  id.UserID
	Email string
	Name  string
}

// Wire is the person as a cell or a comment shows him.
//
// What Airtable shows of a user who is gone is unconfirmed; here it is the id.
func (p Person) Wire() map[string]any {
	out := map[string]any{"id": string(p.ID)}
	if p.Email != "" {
		out["email"] = p.Email
	}
	if p.Name != "" {
		out["name"] = p.Name
	}
	return out
}

// Called is what people call the person.
func (p Person) Called() string {
	switch {
	case p.Name != "":
		return p.Name
	case p.Email != "":
		return p.Email
	}
	return string(p.ID)
}

// People are some of a tenant's people. The nil *People is none of them.
type People struct {
	byID   map[PersonID]Person
	byUser map[id.UserID]Person
}

// NewPeople returns the list, to be looked up.
func NewPeople(list []Person) *People {
	p := &People{byID: make(map[PersonID]Person, len(list)), byUser: make(map[id.UserID]Person, len(list))}
	for _, person := range list {
		p.byID[person.ID], p.byUser[person.User] = person, person
	}
	return p
}

// Named returns the person with the id.
func (p *People) Named(who PersonID) Person {
	if p != nil {
		if known, ok := p.byID[who]; ok {
			return known
		}
	}
	return Person{ID: who}
}

// Of returns the person whom the user is.
func (p *People) Of(user id.UserID) Person {
	if p != nil {
		if known, ok := p.byUser[user]; ok {
			return known
		}
	}
	return Person{ID: PersonID(UserIDOf(user)), User: user}
}

// PersonRef names a person in a written cell: by id, by address or (typecast) by
// any of id, address and name.
type PersonRef struct {
	ID    PersonID
	Email string
	Text  string
}

// NamesPeople reports whether such fields show people.
func (t FieldType) NamesPeople() bool {
	switch t {
	case SingleCollaborator, MultipleCollaborators, CreatedBy, LastModifiedBy:
		return true
	}
	return false
}

// PeopleOf returns whom the records show in the fields.
func PeopleOf(fields []*Field, recs []*Record) (ids []PersonID, users []id.UserID) {
	for _, f := range fields {
		for _, r := range recs {
			switch f.Type {
			case SingleCollaborator, MultipleCollaborators:
				for _, who := range peopleIn(r.Cells[f.ID]) {
					ids = append(ids, PersonID(who))
				}
			case CreatedBy:
				users = append(users, r.CreatedBy)
			case LastModifiedBy:
				users = append(users, r.lastTouch(f).By)
			}
		}
	}
	slices.Sort(ids)
	slices.SortFunc(users, func(a, b id.UserID) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(ids), slices.Compact(users)
}

// peopleIn returns the ids in a stored cell of one person or of several.
func peopleIn(cell any) []string {
	if one, ok := cell.(string); ok {
		return []string{one}
	}
	return Strings(cell)
}

func writePerson(f *Field, v any, typecast bool) (Written, error) {
	ref, err := personRef(f, v, typecast)
	if err != nil {
		return Written{}, err
	}
	return Written{People: []PersonRef{ref}}, nil
}

func writePeople(f *Field, v any, typecast bool) (Written, error) {
	list, ok := v.([]any)
	if s, isText := v.(string); isText && typecast {
		list, ok = splitLinks(s), true // that commas divide names is unconfirmed
	}
	if !ok || len(list) > maxCellLinks {
		return Written{}, InvalidValue(f.Name)
	}
	var w Written
	for _, item := range list {
		ref, err := personRef(f, item, typecast)
		if err != nil {
			return Written{}, err
		}
		w.People = append(w.People, ref)
	}
	return w, nil
}

// personRef reads {"id":…}, {"email":…} or a bare id, which is unconfirmed for
// fields of one person. Other keys, as read values have, do not matter.
func personRef(f *Field, v any, typecast bool) (PersonRef, error) {
	switch v := v.(type) {
	case map[string]any:
		who, hasID := v["id"].(string)
		email, hasEmail := v["email"].(string)
		switch {
		case hasID && IsID("usr", who):
			return PersonRef{ID: PersonID(who)}, nil
		case !hasID && hasEmail && email != "" && !tooLong(email):
			return PersonRef{Email: clean(email)}, nil
		}
	case string:
		s := strings.TrimSpace(clean(v))
		switch {
		case s == "" || tooLong(s):
		case typecast:
			return PersonRef{Text: s}, nil
		case IsID("usr", s):
			return PersonRef{ID: PersonID(s)}, nil
		}
	}
	return PersonRef{}, InvalidValue(f.Name)
}

// Resolve turns the references of a written cell into its value. find returns the
// person that is meant; not ok if there is none. Nobody is in a cell twice.
func (w *CellWrite) Resolve(find func(PersonRef) (PersonID, bool)) error {
	var found []string
	for _, ref := range w.People {
		who, ok := find(ref)
		switch {
		case ok && !slices.Contains(found, string(who)):
			found = append(found, string(who))
		case ok:
		case ref.Text != "":
			return Unparsable(ref.Text, w.Field.Name)
		default:
			return InvalidValue(w.Field.Name)
		}
	}
	w.Value = found
	if w.Field.Type == SingleCollaborator {
		w.Value = found[0]
	}
	return nil
}

func readPerson(f *Field, r *Record) (any, error) {
	who, ok := r.Cells[f.ID].(string)
	if !ok {
		return nil, nil
	}
	return r.People.Named(PersonID(who)).Wire(), nil
}

func readPeople(f *Field, r *Record) (any, error) {
	ids := peopleIn(r.Cells[f.ID])
	if len(ids) == 0 {
		return nil, nil
	}
	out := make([]any, len(ids))
	for i, who := range ids {
		out[i] = r.People.Named(PersonID(who)).Wire()
	}
	return out, nil
}

func readCreatedBy(_ *Field, r *Record) (any, error) { return wireUser(r, r.CreatedBy), nil }

func readModifiedBy(f *Field, r *Record) (any, error) { return wireUser(r, r.lastTouch(f).By), nil }

func wireUser(r *Record, user id.UserID) any {
	if user.IsZero() { // the system itself
		return nil
	}
	return r.People.Of(user).Wire()
}

func textPerson(_ *Field, v any, _ Display) string { return calledOf(v) }

func textPeople(_ *Field, v any, _ Display) string {
	list, ok := v.([]any)
	if !ok { // one of them, in a lookup
		return calledOf(v)
	}
	names := make([]string, len(list))
	for i, item := range list {
		names[i] = calledOf(item)
	}
	return strings.Join(names, ", ")
}

func calledOf(wire any) string {
	o, _ := wire.(map[string]any)
	who, _ := o["id"].(string)
	email, _ := o["email"].(string)
	name, _ := o["name"].(string)
	return Person{ID: PersonID(who), Email: email, Name: name}.Called()
}

// Touch says who changed something last, and when. Zero: nobody since its creation.
type Touch struct {
	At time.Time
	By id.UserID
}

// lastTouch is the last change that a field of the types lastModifiedTime and
// lastModifiedBy shows: of the fields that it refers to, or of all.
func (r *Record) lastTouch(f *Field) Touch {
	if len(f.Options.Referenced) == 0 {
		return Touch{r.ModifiedAt, r.ModifiedBy}
	}
	return r.LastTouch(f.Options.Referenced)
}

// LastTouch is the last change of any of the fields.
func (r *Record) LastTouch(fields []FieldID) Touch {
	var last Touch
	for _, f := range fields {
		if t := r.Touched[f]; t.At.After(last.At) {
			last = t
		}
	}
	return last
}

// Touch notes a change of the fields.
func (r *Record) Touch(fields []FieldID, t Touch) {
	touched := make(map[FieldID]Touch, len(r.Touched)+len(fields))
	for f, old := range r.Touched { // the record as it was shares the map
		touched[f] = old
	}
	for _, f := range fields {
		touched[f] = t
	}
	r.Touched, r.ModifiedAt, r.ModifiedBy = touched, t.At, t.By
}

// readReferenced reads the fields that a field of change looks at; none are all.
func readReferenced(r *optionReader) []FieldID {
	if r.in["referencedFieldIds"] == nil {
		return nil
	}
	list, ok := r.in["referencedFieldIds"].([]any)
	if !ok || len(list) > MaxFields {
		r.fail("referencedFieldIds", "must be an array of field ids")
		return nil
	}
	var out []FieldID
	for _, item := range list {
		s, ok := item.(string)
		if !ok || !IsID("fld", s) {
			r.fail("referencedFieldIds", "must be an array of field ids")
			return nil
		}
		if !slices.Contains(out, FieldID(s)) {
			out = append(out, FieldID(s))
		}
	}
	return out
}

func wireReferenced(o Options) []any {
	out := make([]any, len(o.Referenced))
	for i, f := range o.Referenced {
		out[i] = string(f)
	}
	return out
}

func readModifiedTime(r *optionReader) Options {
	o := readResult(r)
	o.Referenced = readReferenced(r)
	return o
}

func wireModifiedTime(o Options) map[string]any {
	m := wireResult(o)
	m["isValid"], m["referencedFieldIds"] = true, wireReferenced(o)
	return m
}

func readModifier(r *optionReader) Options { return Options{Referenced: readReferenced(r)} }

// wireModifier has options only where the field is restricted: Airtable documents
// none for the type.
func wireModifier(o Options) map[string]any {
	if len(o.Referenced) == 0 {
		return nil
	}
	return map[string]any{"referencedFieldIds": wireReferenced(o)}
}

// checkReferenced refuses a field that looks at changes of what cannot be changed,
// or is not there.
func (d *Draft) checkReferenced(t *Table, f *Field) error {
	if f.Type != LastModifiedTime && f.Type != LastModifiedBy {
		return nil
	}
	for _, fieldID := range f.Options.Referenced {
		at := slices.IndexFunc(t.Fields, func(other *Field) bool { return other.ID == fieldID })
		if at < 0 || t.Fields[at].Type.Computed() {
			return invalidOptions("%s.options.referencedFieldIds names %s, which is no editable field of the table", f.Name, fieldID)
		}
	}
	return nil
}
