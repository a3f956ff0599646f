package formula_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/formula"
)

func TestParse_RefusesWithPositionAndReason(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ src, want string }{
		{``, `value expected, found end of formula at 0`},
		{`  `, `value expected, found end of formula at 2`},
		{`1+`, `value expected, found end of formula at 2`},
		{`1 2`, `unexpected number at 2`},
		{`(1`, `")" expected, found end of formula at 2`},
		{`1)`, `unexpected ")" at 1`},
		{`=1`, `value expected, found "=" at 0`},
		{`AND(1,)`, `value expected, found ")" at 6`},
		{`AND(,1)`, `value expected, found "," at 4`},
		{`AND()`, `AND needs at least 1 arguments at 0`},
		{`1+NOPE(1)`, `unknown function NOPE at 2`},
		{`IFERROR(1,2)`, `unknown function IFERROR at 0`},
		{`LEFT("a")`, `LEFT needs at least 2 arguments at 0`},
		{`NOT(1,2)`, `NOT takes at most 1 arguments at 0`},
		{`"abc`, `text without an end at 0`},
		{`"abc\`, `text without an end at 0`},
		{`{abc`, `field name without an end at 0`},
		{`{ }`, `field without a name at 0`},
		{`1 == 2`, `value expected, found "=" at 3`},
		{`1 <> 2`, `value expected, found ">" at 3`},
		{`1 % 2`, `unexpected character '%' at 2`},
		{`“a”`, `unexpected character '“' at 0`},
		{`a && b`, `value expected, found "&" at 3`},
		{`1.2.3`, `malformed number at 0`},
		{`1a`, `malformed number at 0`},
		{`1e999`, `number out of range at 0`},
		{"\"\xff\"", `not UTF-8 at 0`},
		{strings.Repeat("(", 101) + "1" + strings.Repeat(")", 101), `nested deeper than 100 at 100`},
		{strings.Repeat("NOT(", 101) + "1" + strings.Repeat(")", 101), `nested deeper than 100 at 400`},
		{strings.Repeat("1", 300<<10), `formula longer than 262144 bytes at 262144`},
	} {
		_, err := formula.Parse(c.src, formula.Limits{})
		var e *formula.Error
		if !errors.As(err, &e) {
			t.Errorf("%.40s: error %v is no *Error", c.src, err)
			continue
		}
		if diff := cmp.Diff(c.want, e.Error()); diff != "" {
			t.Errorf("%.40s\n%s", c.src, diff)
		}
		if got, want := formula.FilterMessage(err), "The formula for filtering records is invalid: Invalid formula. Please check your formula text."; got != want {
			t.Errorf("message %q", got)
		}
	}
}

func TestParse_LongChainsAreNotDeep(t *testing.T) {
	t.Parallel()
	src := strings.Repeat("1+", 50_000) + "1"
	if got := eval(t, src).JSON(); got != 50_001.0 {
		t.Errorf("got %v", got)
	}
	terms := strings.Repeat("RECORD_ID()='recBBBBBBBBBBBBBB',", 5_000)
	if !eval(t, "OR("+terms+"RECORD_ID()='recAAAAAAAAAAAAAA')").Truthy() {
		t.Error("an OR of thousands of ids is wrong")
	}
	if got := eval(t, strings.Repeat("-", 100_001)+"1").JSON(); got != -1.0 {
		t.Errorf("signs gave %v", got)
	}
}

func TestCheck_NamesAllUnknownFieldsInLowerCase(t *testing.T) {
	t.Parallel()
	_, err := formula.Compile(`AND({Foo}=1, Bär, {foo}, Qty, {Two Words}, values)`, schema, formula.Limits{})
	want := "The formula for filtering records is invalid: Unknown field names: foo, bär, two words, values"
	if got := formula.FilterMessage(err); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var e *formula.Error
	if !errors.As(err, &e) || e.Pos != 4 {
		t.Errorf("error %#v does not say where", err)
	}
}

func TestCheck_ResolvesNamesExactlyThenLoosely(t *testing.T) {
	t.Parallel()
	s := formula.Schema{Fields: []formula.Field{
		{ID: "fld1", Name: "name"}, {ID: "fld2", Name: "NAME"}, {ID: "fld3", Name: " padded "}, {ID: "fld4", Name: "x}y"},
		{ID: "fld5", Name: "a'\"b"}, {ID: "fld6", Name: "fld1x"},
	}}
	for src, want := range map[string]string{
		`name`: "fld1", `NAME`: "fld2", `Name`: "fld1", `{fld2}`: "fld2", `{padded}`: "fld3", `{ padded }`: "fld3",
		`{x\}y}`: "fld4", `{a'"b}`: "fld5", `fld1`: "fld1",
	} {
		f, err := formula.Compile(src, s, formula.Limits{})
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		if diff := cmp.Diff([]string{want}, f.Fields()); diff != "" {
			t.Errorf("%s\n%s", src, diff)
		}
	}
}

func TestSource_WritesFieldsByIdOrName(t *testing.T) {
	t.Parallel()
	const src = "IF( qty>1,{Name}&'Qty {Qty}' , {a\\}b} ) & TODAY"
	f, err := formula.Compile(src, schema, formula.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	byID := f.Source(func(f formula.Field) string { return f.ID })
	if diff := cmp.Diff("IF( {fldQQQQQQQQQQQQQQ}>1,{fldNAME}&'Qty {Qty}' , {fldBRACE} ) & TODAY", byID); diff != "" {
		t.Error(diff)
	}
	if f, err = formula.Compile(byID, schema, formula.Limits{}); err != nil {
		t.Fatal(err)
	}
	byName := f.Source(func(f formula.Field) string { return f.Name })
	if diff := cmp.Diff("IF( {Qty}>1,{Name}&'Qty {Qty}' , {a\\}b} ) & TODAY", byName); diff != "" {
		t.Error(diff)
	}
}

func TestCheck_FindsTheResultType(t *testing.T) {
	t.Parallel()
	list := func(e formula.Kind) formula.Type { return formula.Type{Kind: formula.KindList, Elem: e} }
	for src, want := range map[string]formula.Type{
		`Qty+1`: typeNumber, `Qty&1`: typeText, `Qty>1`: typeBool, `Due`: typeDay, `At`: typeMoment, `-Qty`: typeNumber,
		`IF(Qty,1,2)`: typeNumber, `IF(Qty,1,"a")`: typeText, `IF(Qty,Due)`: typeDay, `IF(Qty,Due,At)`: typeMoment,
		`IF(Qty,1,Done)`: typeNumber, `IF(Qty,BLANK(),ERROR())`: {}, `IF(Qty,Due,"")`: typeText,
		`SWITCH(Qty,1,"a",2)`: typeText, `SWITCH(Qty,1,5)`: typeNumber, `SWITCH(Qty,1,5,2,6,7)`: typeNumber,
		`MAX(Due,Due)`: typeDay, `MAX(Due,1)`: typeNumber, `MAX(Look)`: typeNumber, `ARRAYUNIQUE(Look)`: list(formula.KindNumber),
		`ARRAYSLICE(Tags,1)`: list(formula.KindText), `DATEADD(Due,1,"days")`: typeDay, `DATEADD(Due,1,"hours")`: typeMoment,
		`DATEADD(At,1,"days")`: typeMoment, `SET_TIMEZONE(Due,"UTC")`: typeDay, `TODAY()`: typeDay, `NOW`: typeMoment, `(1)`: typeNumber,
	} {
		f, err := formula.Compile(src, schema, formula.Limits{})
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		if diff := cmp.Diff(want, f.Type()); diff != "" {
			t.Errorf("%s\n%s", src, diff)
		}
	}
}

func TestResult_IsOfTheFormulasType(t *testing.T) {
	t.Parallel()
	for _, c := range []example{
		{`IF(Qty=3,0,"a")`, nil}, {`IF(Qty=3,7,"a")`, "7"}, {`IF(Qty=3,0&"","a")`, "0"}, {`IF(Qty=3,1=1,5)`, 1.0},
		{`IF(Qty=3,Due,At)`, "2024-05-01T00:00:00.000Z"}, {`DATEADD(Due,1,"da"&"ys")`, "2024-05-02T00:00:00.000Z"},
		{`IF(Qty=3,ERROR(),"a")`, failed}, {`IF(Qty=4,"a")`, nil}, {`Zero`, 0.0}, {`IF(Qty=3,Due,"")`, "2024-05-01"},
	} {
		f, err := formula.Compile(c.formula, schema, formula.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, f.Result(f.Eval(env())).JSON()); diff != "" {
			t.Errorf("%s\n%s", c.formula, diff)
		}
	}
}

func TestUses_TellsWhatAFormulaDependsOn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		src           string
		clock, record bool
	}{
		{`Qty`, false, false}, {`IF(Qty,NOW())`, true, false}, {`TODAY`, true, false}, {`"a"&RECORD_ID()`, false, true},
		{`CREATED_TIME()`, false, true}, {`DATETIME_PARSE("2024-05-01")`, false, false}, {`DATETIME_PARSE("1","D")`, true, false},
		{`FROMNOW(At)`, true, false}, {`-LAST_MODIFIED_TIME(Qty)`, false, true},
	} {
		f, err := formula.Compile(c.src, schema, formula.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if f.UsesClock() != c.clock || f.UsesRecord() != c.record {
			t.Errorf("%s: clock %v, record %v", c.src, f.UsesClock(), f.UsesRecord())
		}
	}
}

func TestOrder_ComputesNeedsFirstAndNamesCycles(t *testing.T) {
	t.Parallel()
	p := formula.Order(map[string][]string{
		"total": {"net", "tax", "net"}, "tax": {"net"}, "net": {"price", "qty"},
		"a": {"b"}, "b": {"c", "price"}, "c": {"a"}, "self": {"self"}, "victim": {"a", "price"},
	})
	if diff := cmp.Diff([]string{"net", "tax", "total"}, p.Order); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "self", "victim"}, p.Cyclic); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, p.Cycle); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"net", "tax", "total"}, p.After("qty")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"total"}, p.After("tax")); diff != "" {
		t.Error(diff)
	}
	if p.After("nothing") != nil {
		t.Error("what nobody needs changes nothing")
	}
}

func TestOrder_LongChainsAndWideSharing(t *testing.T) {
	t.Parallel()
	needs := map[string][]string{}
	name := func(i int) string { return time.Unix(int64(i), 0).UTC().Format("150405") }
	for i := 1; i < 20_000; i++ {
		needs[name(i)] = []string{name(i - 1), name(i / 2)}
	}
	p := formula.Order(needs)
	if len(p.Order) != len(needs) || p.Cyclic != nil || p.Cycle != nil {
		t.Errorf("%d of %d in order", len(p.Order), len(needs))
	}
}
