// Package gallery holds the templates that come with the product. Each is a seed: a base
// as one would describe it, by names. Content renders one in the form of a snapshot, which
// docs/snapshots.md describes.
package gallery

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"time"
)

//go:embed seeds/*.json
var embedded embed.FS

// Seed is a template that comes with the product.
type Seed struct {
	Key         string   `json:"key"` // names it for good
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Category    string   `json:"category"`
	Tags        []string `json:"tags"`
	Icon        string   `json:"icon"`
	Tables      []Table  `json:"tables"`
}

// Table is a table of a seed. The first field is the primary one, and what the records of
// the table are called by in links to them.
type Table struct {
	Name        string           `json:"name"`
	Description string           `json:"description,omitempty"`
	Fields      []Field          `json:"fields"`
	Views       []View           `json:"views"`
	Records     []map[string]any `json:"records"` // cells by the field's name
}

// Field is a field of a seed. Options are in Airtable's form, but for what the other
// members say, by names.
type Field struct {
	Name        string         `json:"name"`
	Description string         `json:"description,omitempty"`
	Type        string         `json:"type"`
	Options     map[string]any `json:"options,omitempty"`
	Choices     []string       `json:"choices,omitempty"` // of selects
	Table       string         `json:"table,omitempty"`   // that a link leads to
	Inverse     string         `json:"inverse,omitempty"` // the field at a link's other end, which says so too
	Via         string         `json:"via,omitempty"`     // the link that a rollup, lookup or count follows
	Target      string         `json:"target,omitempty"`  // what a rollup or lookup takes of the linked records
	Formula     string         `json:"formula,omitempty"` // of formulas and rollups
}

// View is a view of a seed.
type View struct {
	Name   string   `json:"name"`
	Type   string   `json:"type"`
	Filter string   `json:"filter,omitempty"` // a formula
	Sort   []Sort   `json:"sort,omitempty"`
	Order  []string `json:"order,omitempty"` // fields that come first
	Hidden []string `json:"hidden,omitempty"`
}

// Sort is one key of a view's order.
type Sort struct {
	Field string `json:"field"`
	Desc  bool   `json:"desc,omitempty"`
}

// Gallery is the templates that come with the product.
type Gallery struct{ seeds []Seed }

// Open reads the embedded seeds. It fails on one that does not make sense in itself.
func Open() (*Gallery, error) {
	seeds, err := fs.Sub(embedded, "seeds")
	if err != nil {
		return nil, fmt.Errorf("open gallery: %w", err)
	}
	return read(seeds)
}

func read(files fs.FS) (*Gallery, error) {
	names, err := fs.Glob(files, "*.json")
	if err != nil {
		return nil, fmt.Errorf("open gallery: %w", err)
	}
	g := &Gallery{}
	for _, name := range names {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("open gallery: %w", err)
		}
		var s Seed
		strict := json.NewDecoder(bytes.NewReader(data))
		strict.DisallowUnknownFields()
		if err := strict.Decode(&s); err != nil {
			return nil, fmt.Errorf("seed %s: %w", name, err)
		}
		if s.Key+".json" != name {
			return nil, fmt.Errorf("seed %s: the key is %q", name, s.Key)
		}
		if _, err := s.Content(time.Time{}); err != nil {
			return nil, err
		}
		g.seeds = append(g.seeds, s)
	}
	return g, nil
}

// Seeds are all, by their keys.
func (g *Gallery) Seeds() []Seed { return g.seeds }

// Seed finds a template by its key.
func (g *Gallery) Seed(key string) (Seed, bool) {
	for _, s := range g.seeds {
		if s.Key == key {
			return s, true
		}
	}
	return Seed{}, false
}

// Count is how many records the seed has.
func (s Seed) Count() (n int64) {
	for _, t := range s.Tables {
		n += int64(len(t.Records))
	}
	return n
}

// TableID is the id of the table in the content.
func (s Seed) TableID(t Table) string { return s.id("tbl", t.Name) }
