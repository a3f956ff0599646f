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
	meaning []string        // the formulas, with fields by id
}

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
	compiled := sqlgen.Compile(inlined(also, base), f.now, f.table, repository.FirstArg+len(f.where.Args))
	f.where = f.where.And(repository.Where{SQL: compiled.SQL, Args: compiled.Args})
	if compiled.Rest == nil {
		return nil
	}
	f.rest = append(f.rest, compiled.Rest)
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
		out.Fields[i] = formula.Field{ID: string(f.ID), Name: f.Name, Type: f.Yields()}
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

// inlined returns the formula with the formulas of the fields that it names in their
// place, where these need nothing but what SQL reads from the record's row: so SQL can
// do what these formulas say.
func inlined(f *formula.Formula, base *models.Base) *formula.Formula {
	known := map[string]*formula.Formula{}
	var of func(fieldID string) *formula.Formula
	of = func(fieldID string) *formula.Formula {
		if g, ok := known[fieldID]; ok {
			return g
		}
		known[fieldID] = nil
		c := base.Field(models.FieldID(fieldID)).Calculation()
		if c == nil || !c.Valid() || c.Via != nil {
			return nil
		}
		for _, ref := range c.Refs {
			if storage(ref) == sqlgen.Elsewhere && of(string(ref.ID)) == nil {
				return nil
			}
		}
		known[fieldID] = c.Formula.Inline(of)
		return known[fieldID]
	}
	return f.Inline(of)
}

// formulaTable says how the table's cells are stored.
func formulaTable(t *models.Table) sqlgen.Table {
	out := sqlgen.Table{Columns: make(map[string]sqlgen.Column, len(t.Fields)), Contains: repository.CellsContain}
	for _, f := range t.Fields {
		out.Columns[string(f.ID)] = formulaColumn(f)
	}
	return out
}

func formulaColumn(f *models.Field) sqlgen.Column {
	c := sqlgen.Column{Storage: storage(f)}
	if zone := f.Options.Zone(); zone != time.UTC {
		c.Zone = zone
	}
	for _, choice := range f.Options.Choices {
		c.Choices = append(c.Choices, sqlgen.Choice{ID: string(choice.ID), Name: choice.Name})
	}
	return c
}

func storage(f *models.Field) sqlgen.Storage {
	day := f.Options.ResultType == models.Date
	if len(f.Options.Referenced) > 0 { // a part of the changes, which SQL does not look at
		return sqlgen.Elsewhere
	}
	switch f.Type {
	case models.MultipleSelects, models.MultipleRecordLinks, models.Formula, models.Rollup, models.Lookup, models.Count,
		models.SingleCollaborator, models.MultipleCollaborators, models.CreatedBy, models.LastModifiedBy,
		models.Barcode, models.Button, models.AIText, models.MultipleAttachments:
		return sqlgen.Elsewhere
	case models.Number, models.Currency, models.Percent, models.Rating, models.Duration:
		return sqlgen.AsNumber
	case models.Checkbox:
		return sqlgen.AsCheckbox
	case models.Date:
		return sqlgen.AsDate
	case models.DateTime:
		return sqlgen.AsDateTime
	case models.SingleSelect, models.ExternalSyncSource:
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

// passingNumbers returns the numbers of the first records that the sorted walk shall
// meet, in its order: most of them or, if that is 0 or nothing is saved by it, all that
// maxRecords allows. all says that there are no others.
func (s *Store) passingNumbers(ctx context.Context, w *walk, most int) (numbers []int64, all bool, err error) {
	if slices.ContainsFunc(w.sort, func(k repository.SortKey) bool { return w.calc.byComputation(k.Field) }) {
		numbers, err = s.computedOrder(ctx, w)
		return numbers, true, err
	}
	if most == 0 || w.params.MaxRecords > 0 && w.params.MaxRecords <= most {
		most, all = w.params.MaxRecords, true
	}
	if len(w.filter.rest) == 0 {
		numbers, err = s.repo.SortedNumbers(ctx, w.tenant, w.base, w.table.ID, w.filter.where, w.sort, most)
		return numbers, all || len(numbers) < most, err
	}
	sorted, err := s.repo.SortedNumbers(ctx, w.tenant, w.base, w.table.ID, w.filter.where, w.sort, 0)
	if err != nil {
		return nil, false, err
	}
	if most == 0 {
		most = len(sorted)
	}
	for chunk := range slices.Chunk(sorted, maxLook) {
		recs, err := s.repo.RecordsByNumber(ctx, w.tenant, w.table.ID, chunk)
		if err != nil {
			return nil, false, err
		}
		passing, err := s.passing(ctx, w, recs, most-len(numbers))
		if err != nil {
			return nil, false, err
		}
		for _, r := range passing {
			numbers = append(numbers, r.Number)
		}
		if len(numbers) >= most {
			break
		}
	}
	return numbers, all || len(numbers) < most, nil
}

// computedOrder is passingNumbers for an order that must be computed: all records must
// be looked at before any order is.
func (s *Store) computedOrder(ctx context.Context, w *walk) ([]int64, error) {
	keys := slices.Clone(w.sort)
	var out []int64
	for after, more := int64(0), true; more; {
		recs, err := s.repo.RecordsAfter(ctx, w.tenant, w.table.ID, w.filter.where, after, maxLook)
		if err != nil {
			return nil, err
		}
		passing, err := s.passing(ctx, w, recs, len(recs))
		if err != nil {
			return nil, err
		}
		if err := w.calc.sortKeys(ctx, w.table, passing, keys); err != nil {
			return nil, err
		}
		if w.calc.spent {
			return nil, models.ErrTooDear
		}
		for _, r := range passing {
			out = append(out, r.Number)
		}
		if more = len(recs) == maxLook; more {
			after = recs[len(recs)-1].Number
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	return s.repo.SortNumbers(ctx, w.tenant, w.base, w.table.ID, out, keys, w.params.MaxRecords)
}

// passing returns the first of recs, which have passed the filter's SQL, that pass
// its rest too; most at the most.
func (s *Store) passing(ctx context.Context, w *walk, recs []*models.Record, most int) ([]*models.Record, error) {
	f := w.filter
	if len(f.rest) == 0 || len(recs) == 0 {
		return recs, nil
	}
	loaded, err := w.calc.load(ctx, w.table, recs, f.names, true)
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
		pass := f.passes(w.calc, loaded.env(r))
		switch {
		case loaded.err != nil:
			return nil, loaded.err
		case w.calc.spent:
			return nil, models.ErrFilterTooDear
		case pass:
			out = append(out, r)
		}
	}
	return out, nil
}

// passes evaluates what SQL left to do. A record that alone is more than one
// evaluation may cost does not pass; when the call's end cuts an evaluation short,
// calc is spent.
func (f *filter) passes(calc *calculator, env *formula.Env) bool {
	for _, rest := range f.rest {
		if !calc.evaluate(rest, env).Truthy() {
			return false
		}
	}
	return true
}
