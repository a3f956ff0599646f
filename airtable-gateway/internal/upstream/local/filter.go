package local

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/formula"
	"github.com/pyairtable/pyairtable/pkg/formula/sqlgen"
)

// filter is what the records of one call must pass: the formula of its view and its
// filterByFormula. The zero filter lets all pass.
type filter struct {
	where   repository.Where
	rest    []*formula.Formula // what SQL leaves to do
	now     time.Time          // NOW(), the same for all records of the call
	table   sqlgen.Table
	names   []*models.Field // the fields that rest may ask for
	work    int             // that evaluating may still take, of all records together
	meaning []string        // the formulas, with fields by id
}

// callWork is what evaluating may cost in one call, in times of what one evaluation
// may. Honest formulas look at some hundred bytes of a record.
const callWork = 32

// and has records pass the text too, a filterByFormula of a client's; "" is none. The
// error is a *models.Error.
func (f *filter) and(base *models.Base, t *models.Table, text string) error {
	return f.compile(base, t, text, formulaSchema(t))
}

// andKept is and for a text that names fields by id, as byIDs writes it.
func (f *filter) andKept(base *models.Base, t *models.Table, text string) error {
	return f.compile(base, t, text, keptSchema(t))
}

func (f *filter) compile(base *models.Base, t *models.Table, text string, schema formula.Schema) error {
	if text == "" {
		return nil
	}
	also, err := formula.Compile(text, schema, formula.Limits{})
	if err != nil {
		return models.InvalidFilter(formula.FilterMessage(err))
	}
	if f.table.Columns == nil {
		f.table = formulaTable(t)
	}
	f.meaning = append(f.meaning, byIDs(also))
	compiled := sqlgen.Compile(also, f.now, f.table, repository.FirstArg+len(f.where.Args))
	f.where = f.where.And(repository.Where{SQL: compiled.SQL, Args: compiled.Args})
	if compiled.Rest == nil {
		return nil
	}
	f.rest = append(f.rest, compiled.Rest)
	f.work = callWork * compiled.Rest.Limits().Work
	for _, fieldID := range compiled.Rest.Fields() {
		if field := base.Field(models.FieldID(fieldID)); !slices.Contains(f.names, field) {
			f.names = append(f.names, field)
		}
	}
	return nil
}

// byIDs writes the formula such that it survives the renaming of fields.
func byIDs(f *formula.Formula) string {
	return f.Source(func(field formula.Field) string { return field.ID })
}

// formulaSchema is what formulas may name of the table.
func formulaSchema(t *models.Table) formula.Schema {
	out := formula.Schema{Fields: make([]formula.Field, len(t.Fields))}
	for i, f := range t.Fields {
		out.Fields[i] = formula.Field{ID: string(f.ID), Name: f.Name, Type: formulaType(f)}
	}
	return out
}

// keptSchema is formulaSchema for formulas that name fields by id: a field that has
// been called like another's id does not hide that one.
func keptSchema(t *models.Table) formula.Schema {
	out := formulaSchema(t)
	for i := range out.Fields {
		out.Fields[i].Name = out.Fields[i].ID
	}
	return out
}

func formulaType(f *models.Field) formula.Type {
	if f.Type == models.CreatedTime || f.Type == models.LastModifiedTime {
		return formula.Type{Kind: formula.KindDate, Day: f.Options.ResultType == models.Date}
	}
	t, _ := formula.FieldType(string(f.Type))
	return t
}

// formulaTable says how the table's cells are stored.
func formulaTable(t *models.Table) sqlgen.Table {
	out := sqlgen.Table{Columns: make(map[string]sqlgen.Column, len(t.Fields)), Contains: repository.CellsContain}
	for _, f := range t.Fields {
		c := sqlgen.Column{Storage: storage(f)}
		if zone := f.Options.Zone(); zone != time.UTC {
			c.Zone = zone
		}
		for _, choice := range f.Options.Choices {
			c.Choices = append(c.Choices, sqlgen.Choice{ID: string(choice.ID), Name: choice.Name})
		}
		out.Columns[string(f.ID)] = c
	}
	return out
}

func storage(f *models.Field) sqlgen.Storage {
	day := f.Options.ResultType == models.Date
	switch f.Type {
	case models.MultipleSelects, models.MultipleRecordLinks:
		return sqlgen.Elsewhere
	case models.Number, models.Currency, models.Percent, models.Rating, models.Duration:
		return sqlgen.AsNumber
	case models.Checkbox:
		return sqlgen.AsCheckbox
	case models.Date:
		return sqlgen.AsDate
	case models.DateTime:
		return sqlgen.AsDateTime
	case models.SingleSelect:
		return sqlgen.AsChoice
	case models.AutoNumber:
		return sqlgen.RowNumber
	case models.CreatedTime:
		if day {
			return sqlgen.RowCreatedDay
		}
		return sqlgen.RowCreated
	case models.LastModifiedTime:
		if day {
			return sqlgen.RowModifiedDay
		}
		return sqlgen.RowModified
	}
	return sqlgen.AsText
}

// maxLook bounds how many records are read at once to be evaluated.
const maxLook = 1_000

// passingAfter returns the next records of the walk that pass its filter, in the
// table's order: n of them, or as many as there are.
func (s *Store) passingAfter(ctx context.Context, w *walk, n int) ([]*models.Record, error) {
	var out []*models.Record
	after := w.place.After
	for look := n; len(out) < n; look = min(2*look, maxLook) {
		recs, err := s.repo.RecordsAfter(ctx, w.tenant, w.table.ID, w.filter.where, after, look)
		if err != nil {
			return nil, err
		}
		passing, err := s.passing(ctx, w, recs, n-len(out))
		if err != nil {
			return nil, err
		}
		out = append(out, passing...)
		if len(w.filter.rest) == 0 || len(recs) < look {
			break
		}
		after = recs[look-1].Number
	}
	return out, nil
}

// passingNumbers returns the numbers of all records that the sorted walk shall
// meet, in its order.
func (s *Store) passingNumbers(ctx context.Context, w *walk) ([]int64, error) {
	most := w.params.MaxRecords
	if len(w.filter.rest) == 0 {
		return s.repo.SortedNumbers(ctx, w.tenant, w.base, w.table.ID, w.filter.where, w.sort, most)
	}
	numbers, err := s.repo.SortedNumbers(ctx, w.tenant, w.base, w.table.ID, w.filter.where, w.sort, 0)
	if err != nil {
		return nil, err
	}
	if most == 0 {
		most = len(numbers)
	}
	var out []int64
	for chunk := range slices.Chunk(numbers, maxLook) {
		recs, err := s.repo.RecordsByNumber(ctx, w.tenant, w.table.ID, chunk)
		if err != nil {
			return nil, err
		}
		passing, err := s.passing(ctx, w, recs, most-len(out))
		if err != nil {
			return nil, err
		}
		for _, r := range passing {
			out = append(out, r.Number)
		}
		if len(out) >= most {
			break
		}
	}
	return out, nil
}

// passing returns the first of recs, which have passed the filter's SQL, that pass
// its rest too; most at the most.
func (s *Store) passing(ctx context.Context, w *walk, recs []*models.Record, most int) ([]*models.Record, error) {
	f := w.filter
	if len(f.rest) == 0 || len(recs) == 0 {
		return recs, nil
	}
	// Texts of links as cellFormat=string shows them, but on nobody's clock.
	shown, err := s.printer(ctx, w.tenant, w.base, f.names, models.Output{AsText: true, Zone: time.UTC}, recs)
	if err != nil {
		return nil, err
	}
	var out []*models.Record
	for _, r := range recs {
		if len(out) == most {
			break
		}
		if err := ctx.Err(); err != nil { // an evaluation may take long, many may take ages
			return nil, fmt.Errorf("filter records: %w", err)
		}
		pass, err := f.passes(r, shown.display)
		if err != nil {
			return nil, err
		}
		if pass {
			out = append(out, r)
		}
	}
	return out, nil
}

// passes evaluates the filter's rest for a record whose links are loaded.
func (f *filter) passes(r *models.Record, display map[models.FieldID]models.Display) (bool, error) {
	row := sqlgen.Row{ID: string(r.ID), Number: r.Number, Cells: make(map[string]any, len(f.names)), Created: r.CreatedAt, Modified: r.ModifiedAt}
	elsewhere := map[string]formula.Value{}
	for _, field := range f.names {
		fieldID := string(field.ID)
		if f.table.Columns[fieldID].Storage != sqlgen.Elsewhere {
			row.Cells[fieldID] = r.Cells[field.ID]
			continue
		}
		v, err := field.Read(r)
		if err != nil {
			return false, fmt.Errorf("field %s of record %s: %w", field.ID, r.ID, err)
		}
		elsewhere[fieldID] = formula.FromCell(formulaType(field), field.Text(v, display[field.ID]))
	}
	env := f.table.Env(&row, f.now, func(fieldID string) formula.Value { return elsewhere[fieldID] })
	return f.evaluate(env)
}

// evaluate takes the work from what the call may do. A record that alone is more
// than one evaluation may cost does not pass; what the call's end cuts short is
// refused.
func (f *filter) evaluate(env *formula.Env) (bool, error) {
	for _, rest := range f.rest {
		limit := rest.Limits().Work
		granted := min(f.work, limit)
		left := granted
		pass := rest.EvalWithin(env, &left).Truthy()
		if left < 0 && granted < limit {
			return false, models.ErrFilterTooDear
		}
		f.work -= granted - max(left, 0)
		if !pass {
			return false, nil
		}
	}
	return true, nil
}
