package formula_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pyairtable/pyairtable/pkg/formula"
)

var seeds = []string{
	`1+2*3`, `AND({Qty}>2,FIND("red",{Tags}))`, `IF(Zero&"","y",'n')`, `{a\}b}&"\d\"\n"`, `((((1))))`, `--1`, `OR(RECORD_ID()='rec1',TRUE)`, `DATETIME_FORMAT(SET_TIMEZONE(At,"Asia/Tokyo"),"[x]LLLL \\Y SSS")`,
	`DATETIME_PARSE("4 Mar 2017 23:00 +01:00","D MMM YYYY HH:mm Z","de")`, `WORKDAY(Due,-40,"2024-05-02,x")`, `REGEX_REPLACE(Name,"(a*)|\\b","$1$2")`, `ARRAYSLICE(ARRAYFLATTEN(Look,1,"a"),-2,9)`, `MID(Emoji,2,1)&REPLACE(Emoji,2,1,"x")`,
	`SWITCH(Qty,1,"one",3,"three","many")`, `ROUND(-2.5,1e9)`, `REPT("ab",3)`, `DATEADD(At,1e18,"months")`, `DATETIME_DIFF("0001-01-01","9999-12-31","months")`, `WEEKNUM("9999-12-31","Monday")`, `IS_SAME("0001-01-01",Due,"week")`, `SUBSTITUTE("aaa","a","b",-1)`,
	`{`, `"`, `AND(`, `1e999`, "\xff", `=1`, `VALUE("--.1")`, `LOG(0,0)`, `MOD(-1,1/0)`, `TONOW("0001-01-01")`, `ENCODE_URL_COMPONENT("\u")`,
}

// FuzzParse: any text is a formula or an *Error that points into it, soon.
func FuzzParse(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		begin := time.Now()
		_, err := formula.Compile(src, schema, formula.Limits{})
		if took := time.Since(begin); took > 2*time.Second {
			t.Fatalf("took %v", took)
		}
		var e *formula.Error
		if err != nil && (!errors.As(err, &e) || e.Pos < 0 || e.Pos > len(src) || e.Error() == "" || formula.FilterMessage(err) == "") {
			t.Fatalf("error %#v", err)
		}
	})
}

// FuzzEval: any formula has a value, within the limits, that fits its type and JSON.
func FuzzEval(f *testing.F) {
	for _, s := range seeds {
		f.Add(s, "2024-05-01", 1.5)
	}
	limits := formula.Limits{Text: 10_000, Items: 1_000, Work: 1 << 20}
	f.Fuzz(func(t *testing.T, src, text string, number float64) {
		compiled, err := formula.Compile(src, schema, limits)
		if err != nil || !utf8.ValidString(text) {
			return
		}
		e := env()
		e.Values = []formula.Value{formula.Text(text), formula.Number(number), formula.Blank()}
		cell := e.Cell
		e.Cell = func(id string) formula.Value {
			switch id {
			case "fldNAME", "fldNOTE":
				return formula.Text(text)
			case "fldQQQQQQQQQQQQQQ":
				return formula.Number(number)
			case "fldNODATE":
				return formula.Text(text).Date()
			}
			return cell(id)
		}
		begin := time.Now()
		v := compiled.Eval(e)
		if took := time.Since(begin); took > 3*time.Second {
			t.Fatalf("took %v", took)
		}
		if again := compiled.Eval(e); again.String() != v.String() || again.Kind() != v.Kind() {
			t.Fatalf("%v, then %v", v, again)
		}
		if len(v.String()) > 100_000+len(text)*10 || !utf8.ValidString(v.String()) {
			t.Fatalf("%d bytes: %.100q", len(v.String()), v.String())
		}
		if v.Kind() == formula.KindError && v.Truthy() {
			t.Fatal("an error is true")
		}
		if _, err := json.Marshal(compiled.Result(v).JSON()); err != nil {
			t.Fatal(err)
		}
	})
}
