package sqlgen_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/formula"
	"github.com/pyairtable/pyairtable/pkg/formula/sqlgen"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
)

func compile(t *testing.T, src string, tab sqlgen.Table) sqlgen.Filter {
	t.Helper()
	f, err := formula.Compile(src, schema, formula.Limits{})
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return sqlgen.Compile(f, now, tab, 3)
}

func TestCompile_WhatClientsSendNeedsNoEvaluator(t *testing.T) {
	t.Parallel()
	for _, src := range []string{
		`RECORD_ID()='rec00000000000001'`, `OR(RECORD_ID()='rec00000000000001',RECORD_ID()='rec00000000000002')`,
		`AND({T1}='x',{N1}=1)`, `{T1}='x'`, `'x'={T1}`, `FIND('x',{T1})`, `FIND('x',{T1})>0`, `SEARCH('x',{T1})`, `FIND('2024-05-01',{At})>0`,
		`IS_AFTER({Day1},'2024-05-01')`, `IS_BEFORE({At},DATEADD(TODAY(),-7,'days'))`, `IS_SAME({At},TODAY(),'month')`, `{At}=DATETIME_PARSE('2024-05-01T10:00:00.123Z')`,
		`NOT({T1}='')`, `{T1}!=''`, `{T1}`, `NOT({T1})`, `{N1}=BLANK()`, `{N1}&""=""`, `{N1}>=2.5`, `AND({N1}>1,{N1}<5)`, `{Box}`, `{Box}=TRUE()`, `NOT({Box})`,
		`{Sel}='Todo'`, `OR({Sel}='Todo',{Sel}='done')`, `LOWER({Sel})='todo'`, `REGEX_MATCH({Sel},'^T')`, `IF({Box},{N1}>1,{T1}='a')`, `{N1}>{N2}`, `{T1}={T2}`, `{At}={At2}`, `CREATED_TIME()=1=0`, `TRUE()`, `1=2`, `XOR({Box},{N1})`,
	} {
		if src == `CREATED_TIME()=1=0` { // stamps are asked for as fields, not as functions
			if filter := compile(t, src, table(false)); filter.Rest == nil {
				t.Errorf("%s became %s", src, filter.SQL)
			}
			continue
		}
		if filter := compile(t, src, table(false)); filter.Rest != nil || strings.Contains(filter.SQL, "\x00") {
			t.Errorf("%s is left to the evaluator: %s", src, filter.SQL)
		}
	}
}

func TestCompile_LeavesToTheEvaluatorWhatDiffers(t *testing.T) {
	t.Parallel()
	for _, src := range []string{
		`{N1}+1>2`, `{N1}&""="2.5"`, `LEN({T1})>3`, `{T1}<'` + "\uffff" + `'`, `{N1}<'a'`, `{N1}/{N2}>1`, `NOT(LOWER({T1})='a')`, `REGEX_MATCH({T1},'a')`, `{Else}='a'`, `OR({T1}='a',{Else})`, `IS_AFTER({T1},TODAY())`,
		`{At}={Day1}`, `ERROR()&{T1}`, `IS_SAME({At},'0001-01-01','week')`, `{T1}=ERROR()`, `IF({T1},ERROR(),1)`, `FIND({T1},{T2})`, `FIND('a',{T1},2)`, `FIND('a',{T1})=2`,
	} {
		if filter := compile(t, src, table(true)); filter.Rest == nil || filter.SQL != "TRUE" || filter.Args != nil {
			t.Errorf("%s became %s %v", src, filter.SQL, filter.Args)
		}
	}
}

func TestCompile_SplitsConjunctions(t *testing.T) {
	t.Parallel()
	filter := compile(t, `AND({N1}=1,AND(LEN({T1})>3,{T1}!=''),LOWER({T1})='abcd')`, table(false))
	if filter.Rest == nil || strings.Count(filter.SQL, " AND ") < 2 || !strings.Contains(filter.SQL, "octet_length") {
		t.Fatalf("filter %+v", filter)
	}
	if diff := cmp.Diff([]string{"fldN1", "fldT1"}, filter.Rest.Fields()); diff != "" {
		t.Error(diff)
	}
	tab := table(false)
	row := sqlgen.Row{Cells: map[string]any{"fldN1": 2.0, "fldT1": "ABCD"}}
	if !filter.Rest.Matches(tab.Env(&row, now, nil)) {
		t.Error("the rest asks again for what SQL has answered")
	}
}

func TestCompile_HundredsOfIdsAreOneParameter(t *testing.T) {
	t.Parallel()
	terms := make([]string, 5_000)
	for i := range terms {
		terms[i] = fmt.Sprintf("RECORD_ID()='rec%014d'", i)
	}
	filter := compile(t, "OR("+strings.Join(terms, ",")+")", table(true))
	if diff := cmp.Diff("(r.id = ANY($3::text[]))", filter.SQL); diff != "" || len(filter.Args) != 1 {
		t.Errorf("%d parameters\n%s", len(filter.Args), diff)
	}
}

func TestCompile_EqualityAsksTheIndex(t *testing.T) {
	t.Parallel()
	for src, object := range map[string]string{
		`{T1}='x'`: `{"fldT1":"x"}`, `{N1}=2.5`: `{"fldN1":2.5}`, `{Sel}='done'`: `{"fldSel":"sel2"}`, `OR({T1}='x',{N1}=1)`: `{"fldT1":"x"}`,
	} {
		filter := compile(t, src, table(true))
		found := slices.ContainsFunc(filter.Args, func(v any) bool { b, _ := v.([]byte); return string(b) == object })
		if !found || !strings.Contains(filter.SQL, "r.cells @> $") {
			t.Errorf("%s: %s %s", src, filter.SQL, filter.Args)
		}
	}
}

func TestCompile_TooManyTermsAreLeftToTheEvaluator(t *testing.T) {
	t.Parallel()
	terms := make([]string, 9_000)
	for i := range terms {
		terms[i] = fmt.Sprintf("{N1}=%d,{N2}=-%d", i, i)
	}
	if filter := compile(t, "OR("+strings.Join(terms, ",")+")", table(false)); filter.SQL != "TRUE" || filter.Rest == nil {
		t.Errorf("%d bytes of SQL with %d parameters", len(filter.SQL), len(filter.Args))
	}
}

func TestCompile_CostlyConstantsAreLeftToTheEvaluator(t *testing.T) {
	t.Parallel()
	terms := make([]string, 5_000)
	for i := range terms {
		terms[i] = fmt.Sprintf(`{T1}=REPT("a",%d)`, 900_000+i)
	}
	if filter := compile(t, "OR("+strings.Join(terms, ",")+")", table(false)); filter.SQL != "TRUE" || filter.Rest == nil || filter.Args != nil {
		t.Errorf("%d bytes of SQL with %d parameters", len(filter.SQL), len(filter.Args))
	}
}

func TestCompile_NeverTrustsTextsOfClients(t *testing.T) {
	t.Parallel()
	const evil = `'; DROP TABLE records; --`
	s := formula.Schema{Fields: []formula.Field{{ID: evil, Name: "f", Type: text}}}
	f, err := formula.Compile(`AND({f}="`+evil+`",FIND("`+evil+`",{f}),{f}<"`+evil+`")`, s, formula.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	filter := sqlgen.Compile(f, now, sqlgen.Table{Columns: map[string]sqlgen.Column{evil: {Storage: sqlgen.AsText}}}, 1)
	if filter.Rest != nil || strings.Contains(filter.SQL, "DROP") {
		t.Error(filter.SQL)
	}
}

// TestFilter_OfExamplesAgrees runs chosen filters whose random forms are rare.
func TestFilter_OfExamplesAgrees(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, "formula", nil)
	r := rand.New(rand.NewPCG(7, 7))
	rows := make([]sqlgen.Row, agreeRows)
	for i := range rows {
		rows[i] = randomRow(r, i)
	}
	insert(t, pool, rows)
	for _, src := range []string{
		`XOR(OR(RECORD_ID()="rec00000000000003"),{Box})`, `{T1}="{\"fldT1\":\"a\"}"`, `OR({T1}="a",{T1}="{\"fldT1\":\"a\"}",{T2}="a")`, `{N1}=1e21`, `{N1}=0.30000000000000004`, `{N1}=9007199254740992`, `{N1}=5e-324`, `{N1}=-0`, `{N1}>1/0`, `{N1}<1/0`,
		`LOWER({T1})="k"`, `UPPER({T1})="É"`, `FIND("i",LOWER({T1}))`, `AND(SEARCH("k",LOWER({T1}))>0,{Box})`, `{T1}>"` + "\ud7ff" + `"`, `{T1}>"z"`, `{T1}="a` + "\x00" + `"`, `FIND("` + "\x00" + `",{T1})`,
		`{Created}>=DATETIME_PARSE("2024-05-01T10:30:00.999Z")`, `{Created}=DATETIME_PARSE("1969-12-31T23:59:59.999Z")`, `{Modified}=BLANK()`, `NOT({MDay})`, `IS_SAME({CDay},"1969-12-31")`, `{Day1}="2024-05-01"`, `{Day1}<"2024-05"`, `{At}>="2024-05-01"`,
		`{Sel}=""`, `{Sel}=0`, `{Sel}="0"`, `{Sel}>"T"`, `NOT({Sel})`, `LEN({Sel})=4`, `{Box}&""=""`, `{Box}=0`, `{N1}=""`, `{N1}="a"`, `{Auto}=7`, `{Auto}<BLANK()`, `{T1}=5`, `{T1}=0`, `{Else}`, `AND({Else})`,
	} {
		for _, indexed := range []bool{false, true} {
			f, err := formula.Compile(src, schema, formula.Limits{})
			if err != nil {
				t.Fatalf("%s: %v", src, err)
			}
			tab := table(indexed)
			filter := sqlgen.Compile(f, now, tab, 2)
			got, err := filtered(t, pool, filter, tab, rows)
			if diff := cmp.Diff(passing(f, tab, rows), got); diff != "" || err != nil {
				t.Errorf("%s: %s %v: %v\n%s", src, filter.SQL, filter.Args, err, diff)
			}
		}
	}
}

// BenchmarkFilter sets the evaluator beside SQL on 100,000 records.
func BenchmarkFilter(b *testing.B) {
	const n = 100_000
	pool := pgtest.New(b, "formula", nil)
	if _, err := pool.Exec(b.Context(), recordsTable+`
		INSERT INTO records SELECT 'rec' || lpad(i::text, 14, '0'), i,
			jsonb_build_object('fldT1', 'name ' || i, 'fldN1', i % 1000, 'fldSel', 'sel' || i % 5 + 1, 'fldDay', to_char(date '2024-01-01' + i % 400, 'YYYY-MM-DD')), now(), NULL
		FROM generate_series(1, 100000) AS i;
		ANALYZE records`); err != nil {
		b.Fatal(err)
	}
	for name, src := range map[string]string{
		"equal": `{T1}='name 777'`, "range": `AND({N1}>500,{N1}<503)`, "find": `FIND('e 777',{T1})`, "select": `AND({Sel}='done',IS_AFTER({Day1},'2025-01-30'))`, "id": `RECORD_ID()='rec00000000000777'`,
	} {
		f, err := formula.Compile(src, schema, formula.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		tab := table(true)
		b.Run(name+"/sql", func(b *testing.B) {
			for b.Loop() {
				filter := sqlgen.Compile(f, now, tab, 1)
				var count int
				if err := pool.QueryRow(b.Context(), `SELECT count(*) FROM records r WHERE `+filter.SQL, filter.Args...).Scan(&count); err != nil || count == 0 || filter.Rest != nil {
					b.Fatal(count, err, filter.SQL)
				}
			}
		})
		b.Run(name+"/evaluator", func(b *testing.B) {
			row := sqlgen.Row{ID: "rec00000000000001", Created: time.Now(), Cells: map[string]any{"fldT1": "name 1", "fldN1": 1.0, "fldSel": "sel2", "fldDay": "2024-01-02"}}
			for b.Loop() {
				for range n {
					f.Matches(tab.Env(&row, now, nil))
				}
			}
		})
	}
}
