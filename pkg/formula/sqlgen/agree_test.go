package sqlgen_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/formula"
	"github.com/pyairtable/pyairtable/pkg/formula/sqlgen"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
)

// The store's records, as far as the SQL knows them.
const recordsTable = `
	CREATE TABLE records (
		id text PRIMARY KEY, number bigint NOT NULL, cells jsonb NOT NULL,
		created_at timestamptz NOT NULL, modified_at timestamptz);
	CREATE INDEX records_cells ON records USING gin (cells jsonb_path_ops);`

var (
	text   = formula.Type{Kind: formula.KindText}
	number = formula.Type{Kind: formula.KindNumber}
	truth  = formula.Type{Kind: formula.KindBool}
	day    = formula.Type{Kind: formula.KindDate, Day: true}
	moment = formula.Type{Kind: formula.KindDate}
)

var schema = formula.Schema{Fields: []formula.Field{
	{ID: "fldT1", Name: "T1", Type: text}, {ID: "fldT2", Name: "T2", Type: text},
	{ID: "fldN1", Name: "N1", Type: number}, {ID: "fldN2", Name: "N2", Type: number}, {ID: "fldAuto", Name: "Auto", Type: number},
	{ID: "fldBox", Name: "Box", Type: truth}, {ID: "fldSel", Name: "Sel", Type: text},
	{ID: "fldDay", Name: "Day1", Type: day}, {ID: "fldAt", Name: "At", Type: moment}, {ID: "fldAt2", Name: "At2", Type: moment},
	{ID: "fldCreated", Name: "Created", Type: moment}, {ID: "fldCDay", Name: "CDay", Type: day},
	{ID: "fldMod", Name: "Modified", Type: moment}, {ID: "fldMDay", Name: "MDay", Type: day},
	{ID: "fldElse", Name: "Else", Type: formula.Type{Kind: formula.KindList, Elem: formula.KindText}},
}}

func contains(object string) string { return "r.cells @> " + object + "::jsonb" }

func table(indexed bool) sqlgen.Table {
	t := sqlgen.Table{Columns: map[string]sqlgen.Column{
		"fldT1": {Storage: sqlgen.AsText}, "fldT2": {Storage: sqlgen.AsText},
		"fldN1": {Storage: sqlgen.AsNumber}, "fldN2": {Storage: sqlgen.AsNumber}, "fldAuto": {Storage: sqlgen.RowNumber},
		"fldBox": {Storage: sqlgen.AsCheckbox},
		"fldSel": {Storage: sqlgen.AsChoice, Choices: []sqlgen.Choice{
			{ID: "sel1", Name: "Todo"}, {ID: "sel2", Name: "done"}, {ID: "sel3", Name: "5"}, {ID: "sel4", Name: "0"}, {ID: "sel5", Name: "Todo"}}},
		"fldDay": {Storage: sqlgen.AsDate}, "fldAt": {Storage: sqlgen.AsDateTime}, "fldAt2": {Storage: sqlgen.AsDateTime, Zone: time.FixedZone("far", 9*3600)},
		"fldCreated": {Storage: sqlgen.RowCreated}, "fldCDay": {Storage: sqlgen.RowCreatedDay},
		"fldMod": {Storage: sqlgen.RowModified}, "fldMDay": {Storage: sqlgen.RowModifiedDay},
	}}
	if indexed {
		t.Contains = contains
	}
	return t
}

var (
	someTexts = []string{"a", "A", "b", "ab", "aB", "Todo", "done", "0", "5", " a ", "é", "É", "K", "k", "😀", "\uffff", "ß", "a'b", `a"b`, `a\b`, "2024-05-01",
		"2024-05-01T10:30:00.000Z", "İ", "i", "NaN", "z2", "z11", "[]", `{"fldT1":"a"}`}
	someNumbers = []float64{0, 1, -1, 2, 3.5, 0.1, 0.30000000000000004, 5, 1e21, 1e-7, 9007199254740993, -2.5, 1e300, 5e-324, 1234567.891}
	someDays    = []string{"2024-05-01", "2024-04-30", "2024-05-05", "2024-12-31", "2025-01-01", "0001-01-01", "9999-12-31"}
	someMoments = []string{"2024-05-01T10:30:00.000Z", "2024-05-01T00:00:00.000Z", "2024-05-01T10:30:00.123Z", "2024-04-30T23:59:59.999Z", "1969-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"}
	now         = time.Date(2024, 5, 2, 8, 0, 0, 0, time.UTC)
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// randomRow has cells that are absent, null, of the wrong form or right.
func randomRow(r *rand.Rand, n int) sqlgen.Row {
	row := sqlgen.Row{ID: fmt.Sprintf("rec%014d", n), Number: int64(n), Cells: map[string]any{}}
	put := func(field string, v any) {
		switch r.IntN(20) {
		case 0, 1, 2, 3, 4:
		case 5:
			row.Cells[field] = nil
		case 6:
			row.Cells[field] = pick(r, []any{"", 7.0, true, false, []any{"a"}, []any{}, map[string]any{}, "odd", "sel9"})
		default:
			row.Cells[field] = v
		}
	}
	put("fldT1", pick(r, someTexts))
	put("fldT2", pick(r, someTexts))
	put("fldN1", pick(r, someNumbers))
	put("fldN2", pick(r, someNumbers))
	put("fldBox", true)
	put("fldSel", fmt.Sprintf("sel%d", 1+r.IntN(5)))
	put("fldDay", pick(r, someDays))
	put("fldAt", pick(r, someMoments))
	put("fldAt2", pick(r, someMoments))
	stamps := []time.Time{now, time.Date(2024, 5, 1, 10, 30, 0, 999_999_000, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 999_501_000, time.UTC), time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)}
	row.Created = pick(r, stamps)
	if r.IntN(3) > 0 {
		row.Modified = pick(r, stamps)
	}
	return row
}

func insert(t *testing.T, pool *pgxpool.Pool, rows []sqlgen.Row) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), recordsTable); err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		r := &rows[i]
		cells, err := json.Marshal(r.Cells)
		if err != nil {
			t.Fatal(err)
		}
		var modified *time.Time
		if !r.Modified.IsZero() {
			modified = &r.Modified
		}
		if _, err := pool.Exec(t.Context(), `INSERT INTO records VALUES ($1, $2, $3, $4, $5)`, r.ID, r.Number, cells, r.Created, modified); err != nil {
			t.Fatal(err)
		}
		r.Cells = nil
		if err := json.Unmarshal(cells, &r.Cells); err != nil {
			t.Fatal(err)
		}
	}
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// writer writes random formulas, mostly of the kind that SQL can do.
type writer struct {
	*rand.Rand
	more []string // fields beside those of the schema
}

func (w writer) constant() string {
	switch w.IntN(12) {
	case 0, 1, 2:
		return quote(pick(w.Rand, someTexts))
	case 3, 4, 5:
		return fmt.Sprint(pick(w.Rand, someNumbers))
	case 6:
		return pick(w.Rand, []string{`""`, `BLANK()`, `TRUE()`, `FALSE()`, `0`})
	case 7, 8:
		return `DATETIME_PARSE("` + pick(w.Rand, someMoments) + `")`
	case 9:
		return pick(w.Rand, []string{`TODAY()`, `NOW()`, `DATEADD(TODAY(),-1,"days")`, `DATEADD(NOW(),-21.5,"hours")`})
	case 10:
		return pick(w.Rand, []string{`1/0`, `-1/0`, `0/0`, `ERROR()`, `1+1`, `"a"&"b"`, `DATEADD(TODAY(),1,"days")&""`, `ARRAYCOMPACT("a","b")`, `ARRAYCOMPACT("")`})
	}
	return `"` + pick(w.Rand, someDays) + `"`
}

func (w writer) field() string {
	if len(w.more) > 0 && w.IntN(3) > 0 {
		return pick(w.Rand, w.more)
	}
	return pick(w.Rand, []string{"T1", "T1", "T2", "N1", "N1", "N2", "Auto", "Box", "Sel", "Day1", "At", "At2", "Created", "CDay", "Modified", "MDay", "Else"})
}

func (w writer) operand() string {
	switch w.IntN(10) {
	case 0, 1, 2, 3:
		return w.field()
	case 4:
		return `RECORD_ID()`
	case 5:
		return pick(w.Rand, []string{"FIND", "SEARCH"}) + `(` + w.constant() + `,` + w.text() + `)`
	case 6:
		return w.text()
	case 7:
		return w.field() + `&` + pick(w.Rand, []string{`""`, w.field(), `"a"`, `BLANK()`})
	case 8:
		return `"rec` + fmt.Sprintf("%014d", w.IntN(300)) + `"`
	}
	return w.constant()
}

func (w writer) text() string {
	f := w.field()
	return pick(w.Rand, []string{f, f, "LOWER(" + f + ")", "UPPER(" + f + ")", "TRIM(" + f + ")", "LOWER(UPPER(" + f + "))"})
}

func (w writer) condition(depth int) string {
	if depth > 0 {
		switch w.IntN(8) {
		case 0, 1:
			return pick(w.Rand, []string{"AND(", "AND(", "OR(", "OR(", "XOR("}) + w.list(depth) + ")"
		case 2:
			return "NOT(" + w.condition(depth-1) + ")"
		case 3:
			return "IF(" + w.condition(depth-1) + "," + w.condition(depth-1) + "," + w.condition(depth-1) + ")"
		case 4:
			return "IF(" + w.condition(depth-1) + "," + w.condition(depth-1) + ")"
		}
	}
	switch w.IntN(12) {
	case 0:
		return w.field()
	case 1:
		return w.operand()
	case 2, 3:
		unit := pick(w.Rand, []string{"", `,"day"`, `,"month"`, `,"weeks"`, `,"h"`, `,"year"`, `,"quarter"`, `,"nonsense"`})
		a, b := w.field(), w.constant()
		if w.IntN(3) == 0 {
			a, b = b, a
		}
		return pick(w.Rand, []string{"IS_SAME(", "IS_BEFORE(", "IS_AFTER("}) + a + "," + b + unit + ")"
	case 4:
		return "REGEX_MATCH(" + w.text() + `,"^[a-z]+$")`
	}
	op := pick(w.Rand, []string{"=", "=", "=", "!=", "<", "<=", ">", ">="})
	switch w.IntN(4) {
	case 0:
		return w.constant() + op + w.operand()
	case 1:
		return w.operand() + op + w.operand()
	}
	return w.operand() + op + w.constant()
}

func (w writer) list(depth int) string {
	out := make([]string, 1+w.IntN(4))
	for i := range out {
		out[i] = w.condition(depth - 1)
	}
	return strings.Join(out, ",")
}

func elsewhere(r *sqlgen.Row) func(string) formula.Value {
	return func(string) formula.Value {
		if r.Number%3 == 0 {
			return formula.Blank()
		}
		return formula.Texts("a", "b")
	}
}

// passing returns the ids of the rows that pass, by the evaluator alone.
func passing(f *formula.Formula, tab sqlgen.Table, rows []sqlgen.Row) []string {
	var ids []string
	for i := range rows {
		if f.Matches(tab.Env(&rows[i], now, elsewhere(&rows[i]))) {
			ids = append(ids, rows[i].ID)
		}
	}
	return ids
}

// filtered returns the ids of the rows that pass the filter.
func filtered(t *testing.T, pool *pgxpool.Pool, filter sqlgen.Filter, tab sqlgen.Table, rows []sqlgen.Row) ([]string, error) {
	t.Helper()
	result, err := pool.Query(t.Context(), `SELECT r.number FROM records r WHERE $1::text = 'x' AND `+filter.SQL+` ORDER BY r.number`, append([]any{"x"}, filter.Args...)...)
	if err != nil {
		return nil, err
	}
	numbers, err := pgx.CollectRows(result, pgx.RowTo[int64])
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, n := range numbers {
		row := &rows[n]
		if filter.Rest == nil || filter.Rest.Matches(tab.Env(row, now, elsewhere(row))) {
			ids = append(ids, row.ID)
		}
	}
	return ids, nil
}

const (
	agreeRows     = 250
	agreeFormulas = 4_000
)

func TestFilter_AgreesWithTheEvaluator(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, "formula", nil)
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	rows := make([]sqlgen.Row, agreeRows)
	for i := range rows {
		rows[i] = randomRow(r, i)
	}
	insert(t, pool, rows)
	w := writer{Rand: r}
	exact, partial, wrong := 0, 0, 0
	for i := range agreeFormulas {
		src := w.condition(r.IntN(4))
		f, err := formula.Compile(src, schema, formula.Limits{})
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		tab := table(i%2 == 0)
		filter := sqlgen.Compile(f, now, tab, 2)
		switch {
		case filter.Rest == nil:
			exact++
		case filter.SQL != "TRUE":
			partial++
		}
		want := passing(f, tab, rows)
		got, err := filtered(t, pool, filter, tab, rows)
		if err == nil && slices.Equal(got, want) {
			continue
		}
		t.Errorf("%s\nSQL %s %v\nerror %v, %d pass, want %d: %s", src, filter.SQL, filter.Args, err, len(got), len(want), firstDifference(got, want, rows))
		if wrong++; wrong == 8 {
			break
		}
	}
	t.Logf("%d formulas: %d in SQL alone, %d in part", agreeFormulas, exact, partial)
	if exact < agreeFormulas/4 {
		t.Errorf("only %d of %d formulas became SQL", exact, agreeFormulas)
	}
}

// result is the source of a formula field: of any type, and often of a mixed one.
func (w writer) result() string {
	switch w.IntN(6) {
	case 0:
		return w.condition(2)
	case 1:
		return w.operand()
	case 2:
		return "SWITCH(" + w.field() + "," + w.constant() + "," + w.operand() + "," + w.constant() + "," + w.operand() + ")"
	case 3:
		return pick(w.Rand, []string{"DATEADD(", "MAX(", "ROUND(", "CONCATENATE("}) + w.field() + "," + pick(w.Rand, []string{`1,"day")`, `1,"hour")`, w.operand() + ")", w.field() + ")"})
	}
	return "IF(" + w.condition(1) + "," + w.operand() + "," + w.operand() + ")"
}

func TestInline_FilterOfFormulaFieldsAgreesWithTheirResults(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, "formula", nil)
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	rows := make([]sqlgen.Row, agreeRows)
	for i := range rows {
		rows[i] = randomRow(r, i)
	}
	insert(t, pool, rows)
	exact, changed, wrong := 0, 0, 0
	for i := range agreeFormulas {
		w := writer{Rand: r}
		known, fields := schema, map[string]*formula.Formula{}
		compile := func(src string) *formula.Formula {
			f, err := formula.Compile(src, known, formula.Limits{})
			if err != nil { // what was written has the wrong number of arguments
				f, _ = formula.Compile(w.constant(), known, formula.Limits{})
			}
			return f
		}
		for _, name := range []string{"F1", "F2"} {
			f := compile(w.result())
			fields["fld"+name] = f
			known.Fields = append(slices.Clip(known.Fields), formula.Field{ID: "fld" + name, Name: name, Type: f.Type()})
			w.more = append(w.more, name)
		}
		f, tab := compile(w.condition(r.IntN(3))), table(i%2 == 0)
		inlined := f.Inline(func(field string) *formula.Formula {
			if g := fields[field]; g != nil {
				return g.Inline(func(field string) *formula.Formula { return fields[field] })
			}
			return nil
		})
		if inlined != f {
			changed++
		}
		filter := sqlgen.Compile(inlined, now, tab, 2)
		if filter.Rest == nil && inlined != f {
			exact++
		}
		var want []string
		for i := range rows {
			env := tab.Env(&rows[i], now, elsewhere(&rows[i]))
			plain := env.Cell
			env.Cell = func(field string) formula.Value {
				if g := fields[field]; g != nil {
					return g.Result(g.Eval(env))
				}
				return plain(field)
			}
			if f.Matches(env) {
				want = append(want, rows[i].ID)
			}
		}
		got, err := filtered(t, pool, filter, tab, rows)
		if err == nil && slices.Equal(got, want) {
			continue
		}
		name := func(f formula.Field) string { return f.Name }
		t.Errorf("%s with F1 %s and F2 %s\nSQL %s %v\nerror %v, %d pass, want %d: %s", f.Source(name), fields["fldF1"].Source(name), fields["fldF2"].Source(name),
			filter.SQL, filter.Args, err, len(got), len(want), firstDifference(got, want, rows))
		if wrong++; wrong == 8 {
			break
		}
	}
	t.Logf("%d formulas: %d with fields' formulas in them, of these %d in SQL alone", agreeFormulas, changed, exact)
	if exact < changed/20 {
		t.Errorf("only %d of %d formulas became SQL", exact, changed)
	}
}

func firstDifference(got, want []string, rows []sqlgen.Row) string {
	for i := range rows {
		id := rows[i].ID
		if slices.Contains(got, id) != slices.Contains(want, id) {
			cells, _ := json.Marshal(rows[i].Cells)
			return fmt.Sprintf("%s %s %v %v", id, cells, rows[i].Created, rows[i].Modified)
		}
	}
	return ""
}
