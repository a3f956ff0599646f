package formula_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/formula"
)

// inlineSchema has the fields a (text), n (number), b (box) and d (day), and formula
// fields f and g of any type.
func inlineSchema(f, g formula.Type) formula.Schema {
	return formula.Schema{Fields: []formula.Field{
		{ID: "fldA", Name: "a", Type: formula.Type{Kind: formula.KindText}}, {ID: "fldN", Name: "n", Type: formula.Type{Kind: formula.KindNumber}},
		{ID: "fldB", Name: "b", Type: formula.Type{Kind: formula.KindBool}}, {ID: "fldD", Name: "d", Type: formula.Type{Kind: formula.KindDate, Day: true}},
		{ID: "fldF", Name: "f", Type: f}, {ID: "fldG", Name: "g", Type: g},
	}}
}

func mustCompile(t *testing.T, src string, schema formula.Schema) *formula.Formula {
	t.Helper()
	f, err := formula.Compile(src, schema, formula.Limits{})
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return f
}

func TestInline_YieldsWhatTheFieldsWouldHold(t *testing.T) {
	t.Parallel()
	cells := map[string]formula.Value{"fldA": formula.Text("x"), "fldN": formula.Number(0), "fldB": formula.Bool(true)}
	for _, tt := range []struct{ f, src, want string }{
		{`n + 2`, `{f} * 3`, `6`},
		{`IF(b, n, a)`, `"<" & {f} & ">"`, `<>`},   // 0 in a field of texts is blank
		{`IF(b, n, a)`, `ISERROR({f} + 1)`, `0`},   // and blank is 0 again
		{`IF(b, n, a) & ""`, `"<" & {f}`, `<0`},    // unless it was made a text
		{`IF(n, n, b)`, `{f} & "|" & {f}`, `1|1`},  // a number, not an answer
		{`REGEX_REPLACE(a, "x", "y")`, `{f}`, `y`}, // what was prepared comes along
		{`DATETIME_FORMAT(SET_TIMEZONE("2024-05-01T00:00:00Z", "Asia/Tokyo"), "HH")`, `{f}`, `09`},
		{`LAST_MODIFIED_TIME({f})`, `{f} = BLANK()`, `1`},
		{`1`, `LAST_MODIFIED_TIME({f}) = BLANK()`, `1`}, // the field is meant, not its value
		{`ERROR()`, `ISERROR({f})`, `1`},
		{`n`, `a`, `x`},
	} {
		f := mustCompile(t, tt.f, inlineSchema(formula.Type{}, formula.Type{}))
		whole := mustCompile(t, tt.src, inlineSchema(f.Type(), formula.Type{}))
		inlined := whole.Inline(func(field string) *formula.Formula {
			if field == "fldF" {
				return f
			}
			return nil
		})
		env := &formula.Env{Cell: func(field string) formula.Value { return cells[field] }}
		if got := inlined.Result(inlined.Eval(env)).String(); got != tt.want {
			t.Errorf("%s with f %s: %q, want %q", tt.src, tt.f, got, tt.want)
		}
		if diff := cmp.Diff(whole.Type(), inlined.Type()); diff != "" {
			t.Errorf("%s with f %s: %s", tt.src, tt.f, diff)
		}
		if got := inlined.Source(func(f formula.Field) string { return f.Name }); !cmp.Equal(got, whole.Source(func(f formula.Field) string { return f.Name })) {
			t.Errorf("the source became %s", got)
		}
	}
}

func TestInline_NamesTheFieldsThatAreLeft(t *testing.T) {
	t.Parallel()
	schema := inlineSchema(formula.Type{}, formula.Type{})
	f, g := mustCompile(t, `{n} + LEN({a})`, schema), mustCompile(t, `{f} * {d}`, schema)
	of := map[string]*formula.Formula{"fldF": f, "fldG": g}
	inner := g.Inline(func(id string) *formula.Formula { return of[id] })
	whole := mustCompile(t, `AND({g} > 1, {g} < 9, {b})`, schema).Inline(func(id string) *formula.Formula {
		if id == "fldG" {
			return inner
		}
		return nil
	})
	if diff := cmp.Diff([]string{"fldA", "fldB", "fldD", "fldN"}, whole.Fields()); diff != "" {
		t.Error(diff)
	}
	if plain := mustCompile(t, `{a}`, schema); plain.Inline(func(string) *formula.Formula { return nil }) != plain {
		t.Error("a formula that names no such field is another afterwards")
	}
}

func TestInline_DoesNotGrowBeyondBounds(t *testing.T) {
	t.Parallel()
	schema := inlineSchema(formula.Type{Kind: formula.KindText}, formula.Type{})
	f := mustCompile(t, `{a} & {a}`, schema)
	for range 60 { // 2^60 nodes
		last := f
		f = mustCompile(t, `{f} & {f}`, schema).Inline(func(id string) *formula.Formula {
			if id == "fldF" {
				return last
			}
			return nil
		})
	}
	nodes := 0
	formula.Walk(f.Root(), func(formula.Node) { nodes++ })
	if nodes > 10_000 {
		t.Errorf("%d nodes", nodes)
	}
}

func TestNames_AreTheWordsOfFields(t *testing.T) {
	t.Parallel()
	e, err := formula.Parse(`IF({A b}, values, SUM(c, {A b}, {c}, NOW(), TRUE)) & "d"`, formula.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("A b|values|c", strings.Join(e.Names(), "|")); diff != "" {
		t.Error(diff)
	}
}
