package emulator

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
)

//go:embed sample.json
var sample []byte

// SampleSeed is a small base, and an example of the format.
func SampleSeed() Seed {
	s, err := ReadSeed(bytes.NewReader(sample))
	if err != nil {
		panic(err)
	}
	return s
}

// Seed is what an emulator holds at its start. Ids are chosen by the seed, or made
// where it names none. Links between records may point forward.
type Seed struct {
	Tokens        []Token        `json:"tokens"`        // none: every token that begins with pat
	Collaborators []Collaborator `json:"collaborators"` // none: one owner
	Bases         []SeedBase     `json:"bases"`
}

// SeedBase is a base with its tables.
type SeedBase struct {
	ID     models.BaseID `json:"id"`
	Name   string        `json:"name"`
	Tables []SeedTable   `json:"tables"`
}

// SeedTable is a table with its records; the first field is the primary one.
type SeedTable struct {
	ID          models.TableID `json:"id"`
	Name        string         `json:"name"`
	Description string         `json:"description"`
	View        models.ViewID  `json:"view"` // of its Grid view
	Views       []SeedView     `json:"views"`
	Fields      []SeedField    `json:"fields"`
	Records     []SeedRecord   `json:"records"`
}

// SeedField is a field; its options are as in Airtable's model of fields.
type SeedField struct {
	ID          models.FieldID   `json:"id"`
	Name        string           `json:"name"`
	Type        models.FieldType `json:"type"`
	Description string           `json:"description"`
	Options     map[string]any   `json:"options"`
}

// SeedView is a further view; it names fields by name or id.
type SeedView struct {
	ID           models.ViewID   `json:"id"`
	Name         string          `json:"name"`
	Type         models.ViewType `json:"type"` // grid, if none is named
	Description  string          `json:"description"`
	Filter       string          `json:"filter"`
	Sort         []SeedSort      `json:"sort"`
	FieldOrder   []string        `json:"fieldOrder"`
	HiddenFields []string        `json:"hiddenFields"`
}

// SeedSort is a key of a view's order.
type SeedSort struct {
	Field string `json:"field"`
	Desc  bool   `json:"desc"`
}

// SeedRecord is a record; its fields are as in Airtable's API.
type SeedRecord struct {
	ID          models.RecordID `json:"id"`
	CreatedTime time.Time       `json:"createdTime"`
	Fields      map[string]any  `json:"fields"`
}

// ReadSeed reads a seed. A key that it does not know is an error: it is misspelt.
func ReadSeed(r io.Reader) (Seed, error) {
	var s Seed
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return s, fmt.Errorf("read seed: %w", err)
	}
	if err := s.check(); err != nil {
		return s, fmt.Errorf("read seed: %w", err)
	}
	return s, nil
}

// Plant stores the seed's collaborators and bases. Bases that are there already are
// left as they are.
func (s Seed) Plant(ctx context.Context, store *local.Store) error {
	if err := s.enter(ctx, store); err != nil {
		return err
	}
	for _, b := range s.Bases {
		_, err := store.CreateBase(ctx, owner, b.spec(store))
		if errors.Is(err, repository.ErrDuplicateID) {
			continue
		}
		if err != nil {
			return fmt.Errorf("seed base %s: %w", b.Name, err)
		}
		for _, t := range b.Tables {
			if err := t.define(ctx, store, b.ID); err != nil {
				return fmt.Errorf("seed views of %s of %s: %w", t.Name, b.Name, err)
			}
			if err := t.plant(ctx, store, b.ID); err != nil {
				return fmt.Errorf("seed table %s of %s: %w", t.Name, b.Name, err)
			}
		}
		for _, t := range b.Tables { // now that every record is there
			if err := t.link(ctx, store, b.ID); err != nil {
				return fmt.Errorf("seed links of %s of %s: %w", t.Name, b.Name, err)
			}
		}
	}
	return nil
}

func (b *SeedBase) spec(store *local.Store) models.BaseSpec {
	if b.ID == "" {
		b.ID = models.BaseID(store.NewID("app"))
	}
	spec := models.BaseSpec{ID: b.ID, Name: b.Name, Workspace: "wspEmulator000001"}
	for _, t := range b.Tables {
		table := models.TableSpec{ID: t.ID, Name: t.Name, Description: t.Description, View: t.View}
		for _, f := range t.Fields {
			table.Fields = append(table.Fields, models.FieldSpec{
				ID: f.ID, Name: f.Name, Description: f.Description, Type: f.Type, Options: f.Options,
			})
		}
		spec.Tables = append(spec.Tables, table)
	}
	return spec
}

// links reports whether the key, a name or an id, is a field that links records.
func (t SeedTable) links(key string) bool {
	return slices.ContainsFunc(t.Fields, func(f SeedField) bool {
		return f.Type == models.MultipleRecordLinks && (f.Name == key || string(f.ID) == key)
	})
}

// define makes the table's further views.
func (t SeedTable) define(ctx context.Context, store *local.Store, base models.BaseID) error {
	for _, v := range t.Views {
		draft := local.ViewDraft{ID: v.ID, Type: v.Type, Name: v.Name, ViewPatch: local.ViewPatch{
			Description: &v.Description, Filter: &v.Filter, Order: v.FieldOrder, Hidden: v.HiddenFields,
		}}
		for _, by := range v.Sort {
			draft.Sort = append(draft.Sort, models.SortBy{Field: by.Field, Desc: by.Desc})
		}
		if _, _, err := store.CreateView(ctx, owner, local.ViewAt{Base: base, Table: t.Name}, draft); err != nil {
			return fmt.Errorf("view %s: %w", v.Name, err)
		}
	}
	return nil
}

// plant stores the records without their links.
func (t SeedTable) plant(ctx context.Context, store *local.Store, base models.BaseID) error {
	records := make([]local.ImportRecord, len(t.Records))
	for i, r := range t.Records {
		cells := map[string]any{}
		for key, v := range r.Fields {
			if !t.links(key) {
				cells[key] = v
			}
		}
		if r.ID == "" {
			r.ID = models.RecordID(store.NewID("rec"))
			t.Records[i].ID = r.ID
		}
		records[i] = local.ImportRecord{ID: r.ID, CreatedAt: r.CreatedTime, Fields: cells}
	}
	_, err := store.ImportRecords(ctx, owner, base, t.Name, records, false)
	return err
}

// batch is how many records a call may change.
const batch = 10

// link stores the links of the records.
func (t SeedTable) link(ctx context.Context, store *local.Store, base models.BaseID) error {
	type change struct {
		ID     models.RecordID `json:"id"`
		Fields map[string]any  `json:"fields"`
	}
	var changes []change
	for _, r := range t.Records {
		cells := map[string]any{}
		for key, v := range r.Fields {
			if t.links(key) {
				cells[key] = v
			}
		}
		if len(cells) > 0 {
			changes = append(changes, change{r.ID, cells})
		}
	}
	for some := range slices.Chunk(changes, batch) {
		answer, err := store.Do(ctx, upstream.Call{
			Op: upstream.UpdateRecords, Caller: owner, Method: http.MethodPatch,
			Path: "/v0/" + string(base) + "/" + url.PathEscape(t.Name), Base: string(base), Table: t.Name,
			Body: models.Marshal(map[string]any{"records": some}),
		})
		if err != nil {
			return err
		}
		if answer.Status != http.StatusOK {
			return fmt.Errorf("refused with %d: %s", answer.Status, bytes.TrimSpace(answer.Body))
		}
	}
	return nil
}
