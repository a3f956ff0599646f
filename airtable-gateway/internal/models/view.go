package models

import "slices"

// View is a way to look at a table: which records, in which order, which fields.
// The formula and the lists name fields by id, so that renaming one changes nothing.
type View struct {
	ID          ViewID
	Table       TableID
	Position    int // among the table's views; it never changes
	Name        string
	Type        ViewType
	Description string
	Filter      string    // a formula; "": all records
	Sort        []SortBy  // none: the table's own order
	Order       []FieldID // the fields that come first; the others follow in the table's order
	Hidden      []FieldID
	Version     int64
}

// ViewType is Airtable's name of a kind of view. Records are the same through all.
type ViewType string

// GridType is the one kind of which each table has a view.
const GridType ViewType = "grid"

// ViewTypes are the kinds that can be made here.
var ViewTypes = []ViewType{GridType, "form", "gallery", "kanban", "calendar"}

// GridView is the name of the view that every new table gets.
const GridView = "Grid view"

// The limits of views, not Airtable's: a base's schema is read as a whole.
const (
	MaxViews    = 200
	MaxFilter   = 12_000 // bytes of a view's formula
	MaxSortKeys = 20
)

// newGridView is the view of a new table.
func newGridView(id ViewID, t TableID) View {
	return View{ID: id, Table: t, Name: GridView, Type: GridType, Version: 1}
}

// Visible returns what the view shows of its table: the primary field, the fields of
// Order, the others; but the hidden ones.
func (v View) Visible(t *Table) []FieldID {
	out := []FieldID{t.Primary}
	add := func(id FieldID) {
		if t.Field(string(id)) != nil && !slices.Contains(v.Hidden, id) && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	for _, id := range v.Order {
		add(id)
	}
	for _, f := range t.Fields {
		add(f.ID)
	}
	return out
}

// View finds a view of the table by id or exact name.
func (t *Table) View(idOrName string) (View, bool) {
	for _, same := range []func(v View) bool{
		func(v View) bool { return string(v.ID) == idOrName }, func(v View) bool { return v.Name == idOrName },
	} {
		if i := slices.IndexFunc(t.Views, same); i >= 0 {
			return t.Views[i], true
		}
	}
	return View{}, false
}

// View finds a view by id or exact name. A view of another table of the base
// is refused as Airtable refuses it.
func (b *Base) View(t *Table, idOrName string) (View, error) {
	for _, v := range t.Views {
		if string(v.ID) == idOrName || v.Name == idOrName {
			return v, nil
		}
	}
	if v, _ := b.ViewByID(ViewID(idOrName)); v != nil {
		return View{}, ErrViewElsewhere
	}
	return View{}, ViewNotFound(idOrName)
}

// ViewByID finds a view of any table of the base, and the table; nil if there is none.
func (b *Base) ViewByID(id ViewID) (*View, *Table) {
	for _, t := range b.Tables {
		for i := range t.Views {
			if t.Views[i].ID == id {
				return &t.Views[i], t
			}
		}
	}
	return nil, nil
}

// LastGrid reports whether v is the only grid view of the table.
func (t *Table) LastGrid(v View) bool {
	return v.Type == GridType && !slices.ContainsFunc(t.Views, func(o View) bool { return o.ID != v.ID && o.Type == GridType })
}

// BrokenView refuses a list by a view whose definition does not fit its table any
// more, as a field may have gone. The type is unconfirmed: Airtable mends such views.
func BrokenView(v View, why *Error) *Error {
	return invalid("INVALID_FILTER_BY_FORMULA", "The definition of the view %q no longer fits its table. %s",
		rawQuote(clip(v.Name)), why.Message)
}

// ErrNoView is the answer of the meta API for an unknown view: unconfirmed, it is that
// for an unknown table.
var ErrNoView = ErrModelNotFound

// ErrLastGridView refuses to leave a table without a grid view; type and text are
// unconfirmed.
var ErrLastGridView = invalid("INVALID_REQUEST_UNKNOWN", "The last grid view of a table cannot be deleted.")

// Texts turns ids into texts; the list is never nil.
func Texts[T ~string](ids []T) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = string(id)
	}
	return out
}
