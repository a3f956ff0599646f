package sqlgen

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/formula"
)

// Storage is how the cells of a field lie in the store.
type Storage uint8

// The ways to store cells. In all of them an empty cell is absent or null, and a
// cell that is not of the given form counts as empty. A text that looks like a date
// but names none, such as 2024-02-31, must not occur.
const (
	Elsewhere  Storage = iota // not in the record's row: SQL does nothing with it
	AsText                    // a string
	AsNumber                  // a number that is a float64
	AsCheckbox                // true
	AsDate                    // a string "2006-01-02"
	AsDateTime                // a string "2006-01-02T15:04:05.000Z"
	AsChoice                  // a string: the id of a choice
	RowNumber                 // the row's number
	RowCreated                // the row's created_at
	RowCreatedDay
	RowModified // the row's modified_at; null: blank
	RowModifiedDay
)

// Choice is a choice of a select field.
type Choice struct{ ID, Name string }

// Column is how one field is stored.
type Column struct {
	Storage Storage
	Choices []Choice // of AsChoice; an id that is not among them is an empty cell

	// Zone is the fixed time zone of a field of moments: the parts of its dates are
	// those on this clock. nil: UTC.
	Zone *time.Location
}

// Table is what SQL knows about a table: its columns by field id. A field that it
// lacks is Elsewhere.
//
// The table or alias r has the columns id, number, cells, created_at and
// modified_at of the local store's records.
type Table struct {
	Columns map[string]Column

	// Contains returns the condition that the record's cells contain a jsonb object,
	// which the text given stands for (once or more), in a form that an index answers.
	// It is added where it follows from equality. nil: there is no such index.
	Contains func(object string) string
}

// Row is a stored record: cells as decoded by encoding/json.
type Row struct {
	ID                string
	Number            int64
	Cells             map[string]any
	Created, Modified time.Time // Modified is zero if the record never was
}

const (
	dayForm    = "2006-01-02"
	momentForm = "2006-01-02T15:04:05.000Z"
)

// Value returns what a formula sees of the row's field. It is the meaning that the
// generated SQL keeps to. Of a field that is Elsewhere it is blank.
func (t *Table) Value(r *Row, field string) formula.Value {
	c := t.Columns[field]
	return c.Value(r, r.Cells[field])
}

// Value is Table.Value of a field with this column and cell; of the row only number
// and stamps are looked at.
func (c *Column) Value(r *Row, cell any) formula.Value {
	switch c.Storage {
	case RowNumber:
		return formula.Number(float64(r.Number))
	case RowCreated:
		return formula.Moment(r.Created).In(c.Zone)
	case RowCreatedDay:
		return formula.Day(r.Created.UTC())
	case RowModified, RowModifiedDay:
		if r.Modified.IsZero() {
			return formula.Blank()
		}
		if c.Storage == RowModified {
			return formula.Moment(r.Modified).In(c.Zone)
		}
		return formula.Day(r.Modified.UTC())
	}
	return c.value(cell)
}

func (c *Column) value(cell any) formula.Value {
	switch v := cell.(type) {
	case bool:
		if c.Storage == AsCheckbox && v {
			return formula.Bool(true)
		}
	case float64:
		if c.Storage == AsNumber {
			return formula.Number(v)
		}
	case string:
		return c.text(v)
	}
	return formula.Blank()
}

func (c *Column) text(s string) formula.Value {
	switch c.Storage {
	case AsText:
		if s != "" {
			return formula.Text(s)
		}
	case AsDate:
		if t, err := time.Parse(dayForm, s); err == nil {
			return formula.Day(t)
		}
	case AsDateTime:
		if t, err := time.Parse(momentForm, s); err == nil {
			return formula.Moment(t).In(c.Zone)
		}
	case AsChoice:
		for _, choice := range c.Choices {
			if choice.ID == s && choice.Name != "" {
				return formula.Text(choice.Name)
			}
		}
	}
	return formula.Blank()
}

// Env returns the environment in which a formula is evaluated for the row.
// elsewhere gives the values of fields that are Elsewhere, by id; nil: they are
// blank. LAST_MODIFIED_TIME of certain fields is that of the row, unless the caller
// sets Modified of what is returned.
func (t *Table) Env(r *Row, now time.Time, elsewhere func(field string) formula.Value) *formula.Env {
	return &formula.Env{
		Now: now, RecordID: r.ID, Created: r.Created,
		Modified: func([]string) time.Time { return r.Modified },
		Cell: func(field string) formula.Value {
			if t.Columns[field].Storage == Elsewhere && elsewhere != nil {
				return elsewhere(field)
			}
			return t.Value(r, field)
		},
	}
}
