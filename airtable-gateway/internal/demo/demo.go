// Package demo holds the demo base "World Atlas": real data from GeoNames (see
// NOTICE), written by gen/atlas.py. All its ids are the same for everybody, since
// the base store's ids are unique within a tenant only: examples may quote them.
package demo

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the data
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
)

//go:embed atlas.json.gz
var packed []byte

// BaseID is the demo base's id.
const BaseID models.BaseID = "appWorldAtlas0001"

// Atlas is the demo base.
type Atlas struct {
	Name   string  `json:"name"`
	Tables []Table `json:"tables"`
}

// Table is a table of the demo base with its records; tables come after those that
// they link to.
type Table struct {
	Name        string  `json:"name"`
	Description string  `json:"description"`
	Fields      []Field `json:"fields"`
	Rows        [][]any `json:"rows"`
}

// Field is a field. A link field has the name of the linked table, and the name
// that its mirror gets there.
type Field struct {
	Name    string           `json:"name"`
	Type    models.FieldType `json:"type"`
	Options map[string]any   `json:"options"`
	Table   string           `json:"table"`
	Inverse string           `json:"inverse"`
}

// Load unpacks the demo base.
func Load() (Atlas, error) {
	var a Atlas
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err == nil {
		err = json.NewDecoder(z).Decode(&a)
	}
	if err != nil {
		return a, fmt.Errorf("unpack the demo base: %w", err)
	}
	return a, nil
}

func tableID(name string) models.TableID { return models.TableID(models.DerivedID("tbl", name)) }

func fieldID(table, name string) models.FieldID {
	return models.FieldID(models.DerivedID("fld", table, name))
}

func recordID(table string, row int) models.RecordID {
	return models.RecordID(models.DerivedID("rec", table, strconv.Itoa(row)))
}

// Spec is the schema of the demo base.
func (a Atlas) Spec(workspace string) models.BaseSpec {
	spec := models.BaseSpec{ID: BaseID, Name: a.Name, Workspace: workspace}
	for _, t := range a.Tables {
		table := models.TableSpec{
			ID: tableID(t.Name), Name: t.Name, Description: t.Description,
			View: models.ViewID(models.DerivedID("viw", t.Name)),
		}
		for _, f := range t.Fields {
			table.Fields = append(table.Fields, models.FieldSpec{
				ID: fieldID(t.Name, f.Name), Name: f.Name, Type: f.Type, Options: f.options(t.Name),
			})
		}
		spec.Tables = append(spec.Tables, table)
	}
	return spec
}

// options are the field's options with every id chosen.
func (f Field) options(table string) map[string]any {
	if f.Type == models.MultipleRecordLinks {
		return map[string]any{
			"linkedTableId":      string(tableID(f.Table)),
			"inverseLinkFieldId": string(fieldID(f.Table, f.Inverse)),
		}
	}
	choices, _ := f.Options["choices"].([]any)
	for _, c := range choices {
		choice := c.(map[string]any)
		choice["id"] = models.DerivedID("sel", table, f.Name, choice["name"].(string))
	}
	return f.Options
}

// Records are the table's records, as a client would send them.
func (t Table) Records() []local.ImportRecord {
	out := make([]local.ImportRecord, len(t.Rows))
	for i, row := range t.Rows {
		cells := make(map[string]any, len(row))
		for j, f := range t.Fields {
			if v := f.cell(row[j]); v != nil {
				cells[f.Name] = v
			}
		}
		out[i] = local.ImportRecord{ID: recordID(t.Name, i), Fields: cells}
	}
	return out
}

// cell turns the numbers of linked rows into their records' ids.
func (f Field) cell(v any) any {
	rows, ok := v.([]any)
	if !ok || f.Type != models.MultipleRecordLinks {
		return v
	}
	ids := make([]any, len(rows))
	for i, row := range rows {
		ids[i] = string(recordID(f.Table, int(row.(float64))))
	}
	return ids
}
