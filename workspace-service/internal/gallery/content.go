package gallery

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"time"
)

// Content is the seed as a snapshot of now. Its ids are the same each time; dates that the
// seed counts in days are counted from now.
func (s Seed) Content(now time.Time) (string, error) {
	r := renderer{seed: s, now: now.UTC(), links: map[string]map[string][]string{}}
	text, err := r.render()
	if err != nil {
		return "", fmt.Errorf("seed %s: %w", s.Key, err)
	}
	return text, nil
}

// The lines of a snapshot.
type (
	header struct {
		Format  string    `json:"format"`
		Version int       `json:"version"`
		TakenAt time.Time `json:"taken_at"`
		Base    base      `json:"base"`
		Tables  []table   `json:"tables"`
	}
	base struct {
		Name string `json:"name"`
	}
	table struct {
		ID          string  `json:"id"`
		Name        string  `json:"name"`
		Description string  `json:"description,omitempty"`
		Primary     string  `json:"primary_field_id"`
		LastNumber  int     `json:"last_number"`
		Fields      []field `json:"fields"`
		Views       []view  `json:"views"`
	}
	field struct {
		ID          string         `json:"id"`
		Name        string         `json:"name"`
		Description string         `json:"description,omitempty"`
		Type        string         `json:"type"`
		Options     map[string]any `json:"options,omitempty"`
	}
	view struct {
		ID       string   `json:"id"`
		Name     string   `json:"name"`
		Type     string   `json:"type"`
		Position int      `json:"position"`
		Filter   string   `json:"filter,omitempty"`
		Sort     []sortBy `json:"sort,omitempty"`
		Order    []string `json:"field_order,omitempty"`
		Hidden   []string `json:"hidden_field_ids,omitempty"`
	}
	sortBy struct {
		Field string `json:"field_id"`
		Desc  bool   `json:"desc,omitempty"`
	}
	record struct {
		Table     string              `json:"table"`
		ID        string              `json:"id"`
		Number    int                 `json:"number"`
		CreatedAt time.Time           `json:"created_at"`
		Version   int                 `json:"version"`
		Cells     map[string]any      `json:"cells"`
		Links     map[string][]string `json:"links,omitempty"`
	}
	end struct {
		Records int64 `json:"records"`
	}
)

type renderer struct {
	seed  Seed
	now   time.Time
	links map[string]map[string][]string // records, by the record that links to them and its field
}

func (r *renderer) render() (string, error) {
	head := header{Format: "pyairtable-snapshot", Version: 1, TakenAt: r.now, Base: base{r.seed.Name}}
	var records []record
	for _, t := range r.seed.Tables {
		made, err := r.table(t)
		if err != nil {
			return "", fmt.Errorf("table %s: %w", t.Name, err)
		}
		head.Tables = append(head.Tables, made)
		for i, cells := range t.Records {
			rec, err := r.record(t, i, cells)
			if err != nil {
				return "", fmt.Errorf("table %s, record %d: %w", t.Name, i+1, err)
			}
			records = append(records, rec)
		}
	}
	var out bytes.Buffer
	lines := json.NewEncoder(&out)
	if err := lines.Encode(head); err != nil {
		return "", err
	}
	for _, rec := range records { // links from tables that came later are known by now
		rec.Links = r.links[rec.ID]
		if err := lines.Encode(map[string]record{"record": rec}); err != nil {
			return "", err
		}
	}
	if err := lines.Encode(map[string]end{"end": {int64(len(records))}}); err != nil {
		return "", err
	}
	return out.String(), nil
}

func (r *renderer) table(t Table) (out table, err error) {
	if len(t.Fields) == 0 || len(t.Views) == 0 || t.Views[0].Type != "grid" {
		return out, fmt.Errorf("it needs fields, and a grid as its first view")
	}
	out = table{
		ID: r.seed.id("tbl", t.Name), Name: t.Name, Description: t.Description, Primary: r.seed.id("fld", t.Name, t.Fields[0].Name), LastNumber: len(t.Records),
	}
	for _, f := range t.Fields {
		options, err := r.options(t, f)
		if err != nil {
			return out, fmt.Errorf("field %s: %w", f.Name, err)
		}
		out.Fields = append(out.Fields, field{ID: r.seed.id("fld", t.Name, f.Name), Name: f.Name, Description: f.Description, Type: f.Type, Options: options})
	}
	for i, v := range t.Views {
		made := view{ID: r.seed.id("viw", t.Name, v.Name), Name: v.Name, Type: v.Type, Position: i}
		if made.Filter, err = r.formula(t, v.Filter); err == nil {
			made.Order, err = r.fields(t, v.Order)
		}
		if err == nil {
			made.Hidden, err = r.fields(t, v.Hidden)
		}
		for _, by := range v.Sort {
			if err == nil {
				_, err = t.field(by.Field)
			}
			made.Sort = append(made.Sort, sortBy{r.seed.id("fld", t.Name, by.Field), by.Desc})
		}
		if err != nil {
			return out, fmt.Errorf("view %s: %w", v.Name, err)
		}
		out.Views = append(out.Views, made)
	}
	return out, nil
}

func (t Table) field(name string) (Field, error) {
	i := slices.IndexFunc(t.Fields, func(f Field) bool { return f.Name == name })
	if i < 0 {
		return Field{}, fmt.Errorf("there is no field %q", name)
	}
	return t.Fields[i], nil
}

func (r *renderer) tableNamed(name string) (Table, error) {
	i := slices.IndexFunc(r.seed.Tables, func(t Table) bool { return t.Name == name })
	if i < 0 {
		return Table{}, fmt.Errorf("there is no table %q", name)
	}
	return r.seed.Tables[i], nil
}

func (r *renderer) fields(t Table, names []string) (ids []string, err error) {
	for _, name := range names {
		if _, err := t.field(name); err != nil {
			return nil, err
		}
		ids = append(ids, r.seed.id("fld", t.Name, name))
	}
	return ids, nil
}

var named = regexp.MustCompile(`\{[^{}]+\}`)

// formula is the formula with its fields by their ids.
func (r *renderer) formula(t Table, src string) (out string, err error) {
	out = named.ReplaceAllStringFunc(src, func(s string) string {
		name := s[1 : len(s)-1]
		if _, missing := t.field(name); missing != nil {
			err = missing
		}
		return "{" + r.seed.id("fld", t.Name, name) + "}"
	})
	return out, err
}

// options are the field's, in Airtable's form.
func (r *renderer) options(t Table, f Field) (map[string]any, error) {
	out := maps.Clone(f.Options)
	set := func(key string, value any) {
		if out == nil {
			out = map[string]any{}
		}
		out[key] = value
	}
	if len(f.Choices) > 0 {
		var choices []map[string]string
		for _, name := range f.Choices {
			choices = append(choices, map[string]string{"id": r.seed.id("sel", t.Name, f.Name, name), "name": name})
		}
		set("choices", choices)
	}
	if f.Formula != "" {
		text, err := r.formula(t, f.Formula)
		if err != nil {
			return nil, err
		}
		set("formula", text)
	}
	if f.Table != "" {
		other, err := r.inverse(t, f)
		if err != nil {
			return nil, err
		}
		set("linkedTableId", r.seed.id("tbl", f.Table))
		set("inverseLinkFieldId", r.seed.id("fld", f.Table, other.Name))
	}
	if f.Via == "" {
		return out, nil
	}
	via, err := t.field(f.Via)
	if err != nil {
		return nil, err
	}
	set("recordLinkFieldId", r.seed.id("fld", t.Name, f.Via))
	if f.Target == "" {
		return out, nil
	}
	linked, err := r.tableNamed(via.Table)
	if err == nil {
		_, err = linked.field(f.Target)
	}
	set("fieldIdInLinkedTable", r.seed.id("fld", via.Table, f.Target))
	return out, err
}

// inverse is the field at the other end of a link.
func (r *renderer) inverse(t Table, f Field) (Field, error) {
	linked, err := r.tableNamed(f.Table)
	if err != nil {
		return Field{}, err
	}
	other, err := linked.field(f.Inverse)
	if err == nil && (other.Table != t.Name || other.Inverse != f.Name) {
		err = fmt.Errorf("%s of %s does not lead back", f.Inverse, f.Table)
	}
	return other, err
}

func (r *renderer) record(t Table, i int, cells map[string]any) (record, error) {
	out := record{Table: r.seed.id("tbl", t.Name), ID: r.rowID(t, i), Number: i + 1, CreatedAt: r.now, Version: 1, Cells: map[string]any{}}
	for _, name := range slices.Sorted(maps.Keys(cells)) {
		f, err := t.field(name)
		if err != nil {
			return out, err
		}
		if f.Table != "" {
			err = r.link(t, f, out.ID, cells[name])
		} else {
			out.Cells[r.seed.id("fld", t.Name, name)], err = r.cell(t, f, cells[name])
		}
		if err != nil {
			return out, fmt.Errorf("%s: %w", name, err)
		}
	}
	return out, nil
}

// cell is a value as it is stored: selects by the ids of their choices, dates as days from
// now.
func (r *renderer) cell(t Table, f Field, value any) (any, error) {
	choice := func(v any) (string, error) {
		name, _ := v.(string)
		if !slices.Contains(f.Choices, name) {
			return "", fmt.Errorf("%v is none of its choices", v)
		}
		return r.seed.id("sel", t.Name, f.Name, name), nil
	}
	switch f.Type {
	case "singleSelect":
		return choice(value)
	case "multipleSelects":
		list, ok := value.([]any)
		if !ok {
			return nil, fmt.Errorf("%v is no list", value)
		}
		ids := make([]string, len(list))
		for i, v := range list {
			var err error
			if ids[i], err = choice(v); err != nil {
				return nil, err
			}
		}
		return ids, nil
	case "date":
		days, ok := value.(float64)
		if !ok || days != math.Trunc(days) {
			return nil, fmt.Errorf("%v is no number of days from now", value)
		}
		return r.now.AddDate(0, 0, int(days)).Format(time.DateOnly), nil
	}
	return value, nil
}

// link notes both ends of the record's links, which are told at one of them.
func (r *renderer) link(t Table, f Field, from string, value any) error {
	list, _ := value.([]any)
	linked, err := r.tableNamed(f.Table)
	if err != nil {
		return err
	}
	for _, title := range list {
		i := slices.IndexFunc(linked.Records, func(cells map[string]any) bool { return cells[linked.Fields[0].Name] == title })
		if i < 0 {
			return fmt.Errorf("%s has no record %v", f.Table, title)
		}
		to := r.rowID(linked, i)
		r.edge(from, r.seed.id("fld", t.Name, f.Name), to)
		r.edge(to, r.seed.id("fld", f.Table, f.Inverse), from)
	}
	return nil
}

func (r *renderer) edge(from, by, to string) {
	if r.links[from] == nil {
		r.links[from] = map[string][]string{}
	}
	r.links[from][by] = append(r.links[from][by], to)
}

func (r *renderer) rowID(t Table, i int) string { return r.seed.id("rec", t.Name, fmt.Sprint(i)) }

const (
	alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	idLength = 14
)

// id is an id of Airtable's form for what the parts name.
func (s Seed) id(prefix string, parts ...string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q", s.Key, append([]string{prefix}, parts...)))
	out := []byte(prefix)
	for _, b := range sum[:idLength] {
		out = append(out, alphabet[int(b)%len(alphabet)])
	}
	return string(out)
}
