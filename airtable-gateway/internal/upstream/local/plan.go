package local

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/snapfile"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// plan makes schemas and rows of those in a snapshot, by new ids.
type plan struct {
	head  snapfile.Header
	names *models.Renaming
	files map[models.FieldID]bool // fields of attachments, by the ids of the snapshot
}

func newPlan(head snapfile.Header, names *models.Renaming) *plan {
	p := &plan{head: head, names: names, files: map[models.FieldID]bool{}}
	for _, t := range head.Tables {
		for _, f := range t.Fields {
			if f.Type == models.MultipleAttachments {
				p.files[f.ID] = true
			}
		}
	}
	return p
}

// rename gives the table, its fields and views new ids.
func (p *plan) rename(t snapfile.Table) {
	p.names.Add(string(t.ID))
	for _, f := range t.Fields {
		p.names.Add(string(f.ID))
	}
	for _, v := range t.Views {
		p.names.Add(string(v.ID))
	}
}

func (p *plan) headOf(key models.TableID) (snapfile.Table, bool) {
	i := slices.IndexFunc(p.head.Tables, func(t snapfile.Table) bool { return t.ID == key })
	if i < 0 {
		return snapfile.Table{}, false
	}
	return p.head.Tables[i], true
}

// base is the whole schema by new ids.
func (p *plan) base(key models.BaseID, name string) (*models.Base, error) {
	if name == "" {
		name = p.head.Base.Name
	}
	name, err := models.CheckName(name, models.ErrInvalidRequest, nil)
	if err != nil {
		return nil, err
	}
	b := &models.Base{ID: key, Name: name}
	for _, t := range p.head.Tables {
		p.rename(t)
	}
	taken := map[string]bool{}
	for _, t := range p.head.Tables {
		table, err := p.table(t)
		if err != nil {
			return nil, err
		}
		if taken[models.NameKey(table.Name)] || table.Name == "" {
			return nil, fmt.Errorf("the name of table %s: %w", t.ID, snapfile.ErrBroken)
		}
		taken[models.NameKey(table.Name)] = true
		b.Tables = append(b.Tables, table)
	}
	b.Index()
	for _, t := range b.Tables {
		for _, f := range t.LinkFields() {
			if other := b.Field(f.Options.Inverse); other == nil || other.Options.Inverse != f.ID || other.Table != f.Options.LinkedTable {
				return nil, fmt.Errorf("field %s links to nothing: %w", f.Name, snapfile.ErrBroken)
			}
		}
	}
	return b, nil
}

// table is a table by new ids.
func (p *plan) table(t snapfile.Table) (*models.Table, error) {
	out := &models.Table{
		ID: models.TableID(p.names.Of(string(t.ID))), Name: t.Name, Description: t.Description,
		Primary: models.FieldID(p.names.Of(string(t.Primary))),
	}
	taken := map[string]bool{}
	for _, f := range t.Fields {
		field, err := p.field(out.ID, f)
		if err != nil {
			return nil, err
		}
		if taken[models.NameKey(f.Name)] || f.Name == "" {
			return nil, fmt.Errorf("the name of field %s: %w", f.ID, snapfile.ErrBroken)
		}
		taken[models.NameKey(f.Name)] = true
		out.Fields = append(out.Fields, field)
	}
	for _, v := range t.Views {
		view := models.View{
			ID: v.ID, Table: t.ID, Position: v.Position, Name: v.Name, Type: v.Type, Description: v.Description,
			Filter: v.Filter, Order: v.Order, Hidden: v.Hidden, Version: 1,
		}
		for _, by := range v.Sort {
			view.Sort = append(view.Sort, models.SortBy(by))
		}
		out.Views = append(out.Views, p.names.View(view))
	}
	return out, nil
}

func (p *plan) field(table models.TableID, f snapfile.Field) (*models.Field, error) {
	var options map[string]any
	if len(f.Options) > 0 {
		dec := json.NewDecoder(bytes.NewReader(f.Options))
		dec.UseNumber()
		if err := dec.Decode(&options); err != nil {
			return nil, fmt.Errorf("options of field %s: %w: %w", f.ID, snapfile.ErrBroken, err)
		}
	}
	read, err := models.ParseOptions(f.Type, f.Name, options)
	if err != nil {
		return nil, fmt.Errorf("options of field %s: %w: %w", f.ID, snapfile.ErrBroken, err)
	}
	return &models.Field{
		ID: models.FieldID(p.names.Of(string(f.ID))), Table: table, Name: f.Name, Description: f.Description, Type: f.Type,
		Options: p.names.Options(read),
	}, nil
}

// load is what some rows of a table become.
type load struct {
	rows     []repository.StoredRow
	edges    []repository.Edge
	files    []repository.CellFile
	comments []models.Comment
}

// add makes a record of a new table of row. Its links are the caller's to add.
func (p *plan) add(to *load, base models.BaseID, row snapfile.Row) error {
	record := models.RecordID(p.names.Fresh(string(row.ID)))
	table := models.TableID(p.names.Of(string(row.Table)))
	cells := make(map[models.FieldID]json.RawMessage, len(row.Cells))
	for field, raw := range row.Cells {
		key := models.FieldID(p.names.Of(string(field)))
		if !p.files[field] {
			cells[key] = raw
			continue
		}
		list, err := attachmentsIn(raw)
		if err != nil {
			return err
		}
		var kept []models.Attachment
		for _, a := range list {
			file := repository.CellFile{Base: base, Table: table, Record: record, Field: key, Source: row.Sources[a.ID]}
			if a.Sum == "" && file.Source == "" {
				continue // never to arrive
			}
			a.ID = models.AttachmentID(p.names.Fresh(string(a.ID)))
			file.Attachment = a
			kept, to.files = append(kept, a), append(to.files, file)
		}
		if len(kept) > 0 {
			cells[key] = models.Marshal(models.StoredAttachments(kept))
		}
	}
	stored := storedRow(row)
	stored.ID, stored.Cells = record, models.Marshal(cells)
	if len(row.Touched) > 0 {
		touched := make(map[string]json.RawMessage, len(row.Touched))
		for field, raw := range row.Touched {
			touched[p.names.Of(string(field))] = raw
		}
		stored.Touched = models.Marshal(touched)
	}
	to.rows = append(to.rows, stored)
	for _, c := range row.Comments {
		to.comments = append(to.comments, p.comment(table, record, c))
	}
	return nil
}

func (p *plan) comment(table models.TableID, record models.RecordID, c snapfile.Comment) models.Comment {
	out := commentOf(table, record, c)
	out.ID = models.CommentID(p.names.Fresh(string(c.ID)))
	if c.Parent != "" {
		out.Parent = models.CommentID(p.names.Fresh(string(c.Parent)))
	}
	return out
}

func commentOf(table models.TableID, record models.RecordID, c snapfile.Comment) models.Comment {
	out := models.Comment{
		ID: c.ID, Table: table, Record: record, Text: c.Text, Parent: c.Parent, Version: c.Version, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
	}
	if by := userOf(c.Author); by != nil {
		out.Author = *by
	}
	return out
}

// storedRow is the row but for its id and cells.
func storedRow(row snapfile.Row) repository.StoredRow {
	out := repository.StoredRow{
		Number: row.Number, Version: max(row.Version, 1), CreatedAt: row.CreatedAt, CreatedBy: userOf(row.CreatedBy), ModifiedBy: userOf(row.ModifiedBy),
	}
	if !row.ModifiedAt.IsZero() {
		out.ModifiedAt = &row.ModifiedAt
	}
	return out
}

func attachmentsIn(raw json.RawMessage) ([]models.Attachment, error) {
	var stored any
	if err := json.Unmarshal(raw, &stored); err != nil {
		return nil, fmt.Errorf("a cell of attachments: %w: %w", snapfile.ErrBroken, err)
	}
	return models.Attachments(stored), nil
}

// linkCells are the row's link cells in the order of their fields.
func linkCells(row snapfile.Row) []models.FieldID { return slices.Sorted(maps.Keys(row.Links)) }

// edgesOf are the row's links, where all ends have new ids. The record at the other end
// tells of its end by itself.
func (p *plan) edgesOf(row snapfile.Row, fields ...models.FieldID) []repository.Edge {
	var out []repository.Edge
	for _, field := range fields {
		for i, to := range row.Links[field] {
			out = append(out, repository.Edge{
				Field: models.FieldID(p.names.Of(string(field))), Record: models.RecordID(p.names.Fresh(string(row.ID))),
				Target: models.RecordID(p.names.Fresh(string(to))), Position: i,
			})
		}
	}
	return out
}

// newTable is a table of the snapshot as one more of base, and the fields of other
// tables that are the other ends of its links. base has all of them then.
func (p *plan) newTable(base *models.Base, t snapfile.Table, name string) (*models.Table, []*models.Field, error) {
	p.rename(t)
	for _, f := range t.Fields {
		if f.Type == models.MultipleRecordLinks {
			p.names.Add(string(inverseOf(f)))
		}
	}
	out, err := p.table(t)
	if err != nil {
		return nil, nil, err
	}
	if name == "" {
		name = t.Name
	}
	if out.Name, err = models.CheckName(freeTableName(base, name), models.ErrTableName, nil); err != nil {
		return nil, nil, err
	}
	base.Tables = append(base.Tables, out)
	base.Index()
	var mirrors []*models.Field
	for _, f := range out.LinkFields() {
		other := base.Table(string(f.Options.LinkedTable))
		switch {
		case other == nil || len(base.Tables) > models.MaxTables:
			return nil, nil, airtableapi.ErrRestoreImpossible
		case other == out:
			continue
		case len(other.Fields) >= models.MaxFields:
			return nil, nil, airtableapi.ErrRestoreImpossible.Saying("The table %s has as many fields as it may.", other.Name)
		}
		mirror := &models.Field{
			ID: f.Options.Inverse, Table: other.ID, Name: other.FreeFieldName(out.Name), Type: models.MultipleRecordLinks,
			Options: models.Options{LinkedTable: out.ID, Inverse: f.ID, Reversed: true},
		}
		other.Fields, mirrors = append(other.Fields, mirror), append(mirrors, mirror)
	}
	base.Index()
	base.Bind()
	return out, mirrors, nil
}

// inverseOf reads the other end of a link field.
func inverseOf(f snapfile.Field) models.FieldID {
	var o struct {
		Inverse models.FieldID `json:"inverseLinkFieldId"`
	}
	_ = json.Unmarshal(f.Options, &o) // what is no object has none
	return o.Inverse
}

func freeTableName(base *models.Base, name string) string {
	taken := map[string]bool{}
	for _, t := range base.Tables {
		taken[models.NameKey(t.Name)] = true
	}
	free := name
	for n := 2; taken[models.NameKey(free)]; n++ {
		free = fmt.Sprintf("%s %d", name, n)
	}
	return free
}

// userOrNobody is the user, zero for nobody.
func userOrNobody(u *id.UserID) id.UserID {
	if u == nil {
		return id.UserID{}
	}
	return *u
}
