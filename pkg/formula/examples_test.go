package formula_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/formula"
)

// The record of the reference's worked examples (section 12.6).

var (
	typeText   = formula.Type{Kind: formula.KindText}
	typeNumber = formula.Type{Kind: formula.KindNumber}
	typeBool   = formula.Type{Kind: formula.KindBool}
	typeDay    = formula.Type{Kind: formula.KindDate, Day: true}
	typeMoment = formula.Type{Kind: formula.KindDate}
	typeList   = formula.Type{Kind: formula.KindList, Elem: formula.KindNumber}
)

var schema = formula.Schema{Fields: []formula.Field{
	{ID: "fldNAME", Name: "Name", Type: typeText},
	{ID: "fldQQQQQQQQQQQQQQ", Name: "Qty", Type: typeNumber},
	{ID: "fldZERO", Name: "Zero", Type: typeNumber},
	{ID: "fldEMPTY", Name: "Empty", Type: typeNumber},
	{ID: "fldNOTE", Name: "Note", Type: typeText},
	{ID: "fldDONE", Name: "Done", Type: typeBool},
	{ID: "fldDUE", Name: "Due", Type: typeDay},
	{ID: "fldNODATE", Name: "No Date", Type: typeDay},
	{ID: "fldAT", Name: "At", Type: typeMoment},
	{ID: "fldTAGS", Name: "Tags", Type: typeText},
	{ID: "fldLINK", Name: "Link", Type: typeText},
	{ID: "fldLOOK", Name: "Look", Type: typeList},
	{ID: "fldNOLOOK", Name: "No Look", Type: typeList},
	{ID: "fldEMOJI", Name: "Emoji", Type: typeText},
	{ID: "fldBRACE", Name: "a}b", Type: typeText},
}}

var cells = map[string]any{
	"fldNAME": "Ann O'Neil", "fldQQQQQQQQQQQQQQ": 3.0, "fldZERO": 0.0, "fldDONE": true,
	"fldDUE": "2024-05-01", "fldAT": "2024-05-01T10:30:00.000Z",
	"fldTAGS": []string{"red", "blue"}, "fldLINK": []string{"A-1", "A-2"},
	"fldLOOK": []any{1.0, nil, 2.5}, "fldEMOJI": "a😀b", "fldBRACE": "brace",
}

func env() *formula.Env {
	types := map[string]formula.Type{}
	for _, f := range schema.Fields {
		types[f.ID] = f.Type
	}
	return &formula.Env{
		Now:      time.Date(2024, 5, 2, 8, 0, 0, 0, time.UTC),
		Cell:     func(id string) formula.Value { return formula.FromCell(types[id], cells[id]) },
		RecordID: "recAAAAAAAAAAAAAA",
		Created:  time.Date(2024, 4, 1, 7, 0, 0, 0, time.UTC),
		Modified: func(fields []string) time.Time {
			if len(fields) == 1 && fields[0] == "fldNOTE" {
				return time.Time{}
			}
			return time.Date(2024, 4, 2, 7, 0, 0, 0, time.UTC)
		},
	}
}

func eval(t *testing.T, src string) formula.Value {
	t.Helper()
	f, err := formula.Compile(src, schema, formula.Limits{})
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return f.Eval(env())
}

type example struct {
	formula string
	want    any
}

func check(t *testing.T, examples []example) {
	t.Helper()
	for _, e := range examples {
		want := e.want
		if n, ok := want.(int); ok {
			want = float64(n)
		}
		v := eval(t, e.formula)
		if diff := cmp.Diff(want, v.JSON()); diff != "" {
			t.Errorf("%s (%s)\n%s", e.formula, v.Reason(), diff)
		}
	}
}

var (
	infinity = map[string]any{"specialValue": "Infinity"}
	nan      = map[string]any{"specialValue": "NaN"}
	failed   = map[string]any{"error": "#ERROR!"}
)

func TestEval_WorkedExamplesOfTheReference(t *testing.T) {
	t.Parallel()
	check(t, []example{
		{`1+2*3`, 7},
		{`(1+2)*3`, 9},
		{`7/2`, 3.5},
		{`"a"&1`, "a1"},
		{`Qty>2`, 1},
		{`{Name}='Ann O\'Neil'`, 1},
		{`"A"="a"`, 0},
		{`IF({Empty},"y","n")`, "n"},
		{`IF(Zero,"y","n")`, "n"},
		{`IF(Zero&"","y","n")`, "y"},
		{`IF({Empty}&"","y","n")`, "n"},
		{`BLANK()=0`, 1}, {`BLANK()=""`, 1},
		{`IF(Qty>5,"big")`, nil},
		{`AND(Qty>1,Done)`, 1},
		{`OR(0,"")`, 0},
		{`XOR(1,1,1)`, 1},
		{`NOT({Note})`, 1},
		{`{Done}=TRUE()`, 1},
		{`SWITCH(Qty,1,"one",3,"three","many")`, "three"},
		{`1/0`, infinity},
		{`0/0`, nan},
		{`ISERROR(Qty/0)`, 1},
		{`ERROR()`, failed},
		{`IF(ISERROR(Qty/Zero),"n/a",Qty/Zero)`, "n/a"},
		{`ROUND(2.456,2)`, 2.46}, {`ROUNDUP(1.01,0)`, 2}, {`ROUNDDOWN(-1.9,0)`, -1},
		{`INT(-1.5)`, -2},
		{`CEILING(12,5)`, 15}, {`FLOOR(12,5)`, 10},
		{`EVEN(3)`, 4}, {`ODD(2)`, 3}, {`EVEN(-3)`, -4},
		{`MOD(7,3)`, 1},
		{`LOG(1000)`, 3}, {`LOG(8,2)`, 3},
		{`SUM(1,Qty,{Empty})`, 4}, {`COUNTA(1,"",Qty)`, 2}, {`COUNTALL(1,"",Qty)`, 3},
		{`VALUE("$1,250.50")`, 1250.5},
		{`LEFT("planet",3)`, "pla"}, {`RIGHT("planet",2)`, "et"}, {`LEN("planet")`, 6},
		{`MID("planet",2,3)`, "lan"},
		{`FIND("n","planet")`, 4}, {`FIND("z","planet")`, 0},
		{`SEARCH("z","planet")`, nil},
		{`FIND("red",ARRAYJOIN(Tags))`, 1}, {`FIND("red",Tags)`, 1},
		{`FIND("A-2",ARRAYJOIN(Link,", "))`, 6},
		{`SUBSTITUTE("a-b-c","-","+")`, "a+b+c"}, {`SUBSTITUTE("a-b-c","-","+",2)`, "a-b+c"},
		{`REPLACE("planet",2,3,"X")`, "pXet"},
		{`REPT("ab",3)`, "ababab"}, {`TRIM("  x ")`, "x"}, {`T(5)`, nil},
		{`ENCODE_URL_COMPONENT("a b&c")`, "a%20b%26c"},
		{`YEAR(Due)`, 2024}, {`MONTH(Due)`, 5}, {`WEEKDAY(Due)`, 3},
		{`DATESTR(At)`, "2024-05-01"}, {`TIMESTR(At)`, "10:30:00"},
		{`DATEADD(Due,1,"months")`, "2024-06-01"},
		{`DATETIME_DIFF("2024-05-03",Due,"days")`, 2},
		{`DATETIME_DIFF(DATETIME_PARSE("2024-05-01T12:00:00.000Z"),At,"minutes")`, 90},
		{`DATETIME_FORMAT(At,"DD.MM.YYYY HH:mm")`, "01.05.2024 10:30"},
		{`DATETIME_FORMAT(SET_TIMEZONE(At,"Asia/Tokyo"),"HH:mm")`, "19:30"},
		{`IS_SAME(At,Due,"day")`, 1}, {`IS_BEFORE(Due,At)`, 1}, {`IS_AFTER(Due,At)`, 0},
		{`FIND("2024-05-01",At)>0`, 1},
		{`WORKDAY(Due,3)`, "2024-05-06"},
		{`REGEX_MATCH("ab12","[0-9]+")`, 1}, {`REGEX_EXTRACT("ab12","[0-9]+")`, "12"}, {`REGEX_REPLACE("ab12","[0-9]","#")`, "ab##"},
		{`RECORD_ID()='recAAAAAAAAAAAAAA'`, 1},
		{`{Qty}=3`, 1}, {`{fldQQQQQQQQQQQQQQ}=3`, 1},
	})
}
