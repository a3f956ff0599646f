package local_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// stock fills the shop with records numbered from 1 on that differ in every field.
func (b *bench) stock() *bench {
	b.t.Helper()
	for _, f := range []string{
		`{"No":"x","Qty":1,"Paid":true,"State":"Done","Tags":["a","b"],"Due":"2026-02-01","At":"2026-05-01T09:00:00Z","Buyer":["Ann","Zoe"]}`,
		`{"No":"x","Qty":2,"State":"Todo","Tags":["b"],"Due":"2025-12-31","At":"2026-05-02T00:00:00Z","Buyer":["Bob"]}`,
		`{"No":"X Ray","Qty":1,"Paid":true,"Tags":["a"]}`,
		`{"No":"it's \"q\" \\ {b}","Qty":0}`,
		`{}`,
	} {
		b.made("Orders", f)
	}
	return b
}

// numbers returns the autonumbers of records, in their order.
func numbers(recs []object) string {
	var out []string
	for _, r := range recs {
		out = append(out, fmt.Sprint(fields(r)["Auto"]))
	}
	return strings.Join(out, " ")
}

// listBody is the POST form of a list.
func listBody(t testing.TB, table string, params object) upstream.Call {
	t.Helper()
	body, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	return upstream.Call{Op: upstream.ListRecords, Method: "POST", Table: table, Body: body}
}

func TestFilter_FindsWhatClientsAskFor(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop().stock()
	first := records(b.ok(list("Orders")))[0]["id"].(string)
	for _, tt := range []struct{ formula, want string }{
		{"", "1 2 3 4 5"},
		{`{No}='x'`, "1 2"},
		{`{fldNo}='x'`, "1 2"},
		{`{no}='x'`, "1 2"},
		{`AND({No}='x',{Qty}=1)`, "1"},
		{`OR({No}='X Ray',{Qty}=2)`, "2 3"},
		{`{No}='it\'s "q" \\ {b}'`, "4"},
		{`{a/b "c" 🚀}=BLANK()`, "1 2 3 4 5"},
		{`RECORD_ID()='` + first + `'`, "1"},
		{`OR(RECORD_ID()='` + first + `',RECORD_ID()='recNobody000000')`, "1"},
		{`FIND('Ray', {No})`, "3"},
		{`SEARCH('Ray', {No})`, "3"},
		{`SEARCH('ray', LOWER({No}))`, "3"},
		{`FIND('b', {Tags})`, "1 2"},
		{`LOWER({No})='x ray'`, "3"},
		{`LOWER({No})=LOWER('X')`, "1 2"},
		{`{No}=BLANK()`, "5"},
		{`NOT({No}=BLANK())`, "1 2 3 4"},
		{`{No}`, "1 2 3 4"},
		{`{Qty}=0`, "4 5"},
		{`AND({Qty}=0,{Qty}&''!='')`, "4"},
		{`{Qty}>=1`, "1 2 3"},
		{`{Paid}=TRUE()`, "1 3"},
		{`{Paid}=1`, "1 3"},
		{`{Paid}`, "1 3"},
		{`NOT({Paid})`, "2 4 5"},
		{`{State}='Done'`, "1"},
		{`{State}!='Done'`, "2 3 4 5"},
		{`{Tags}='a, b'`, "1"},
		{`IS_AFTER({Due}, '2026-01-01')`, "1"},
		{`IS_BEFORE({Due}, DATETIME_PARSE('2026-01-01'))`, "2"},
		{`IS_SAME({Due}, '2026-02-01', 'day')`, "1"},
		{`IS_BEFORE({At}, NOW())`, "1"},
		{`IS_AFTER({At}, TODAY())`, "1 2"},
		{`DATETIME_FORMAT({At}, 'YYYY-MM-DD')='2026-05-01'`, "1"},
		{`{Buyer}='Ann, Zoe'`, "1"},
		{`FIND('Zoe', ARRAYJOIN({Buyer}))`, "1"},
		{`{Buyer}=''`, "3 4 5"},
		{`{Buyer}`, "1 2"},
		{`AND({No}='x', SEARCH('Bob', {Buyer}))`, "2"},
		{`{Auto}>3`, "4 5"},
		{`YEAR({Made})=2026`, "1 2 3 4 5"},
		{`CREATED_TIME()=NOW()`, ""},
		{`REGEX_MATCH({No}, '^[xX]')`, "1 2 3"},
		{`LEN({No})>1`, "3 4"},
		{`TRUE()`, "1 2 3 4 5"},
		{`1`, "1 2 3 4 5"},
		{`0`, ""},
		{`1/0`, "1 2 3 4 5"},
		{`ERROR()`, ""},
		{`{No}+1`, "5"},
	} {
		for how, c := range map[string]upstream.Call{
			"GET": list("Orders", "filterByFormula", tt.formula), "POST": listBody(t, "Orders", object{"filterByFormula": tt.formula})} {
			if diff := cmp.Diff(tt.want, numbers(records(b.ok(c)))); diff != "" {
				t.Errorf("%s %s: %s", how, tt.formula, diff)
			}
		}
		sorted := strings.Fields(numbers(records(b.ok(list("Orders", "filterByFormula", tt.formula, "sort[0][field]", "Auto", "sort[0][direction]", "desc")))))
		slices.Reverse(sorted)
		if diff := cmp.Diff(tt.want, strings.Join(sorted, " ")); diff != "" {
			t.Errorf("%s sorted: %s", tt.formula, diff)
		}
	}
}

func TestFilter_LastModifiedAndZonesOfFields(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop().stock()
	b.ok(upstream.Call{Op: upstream.CreateField, Table: "tblOrders", Body: []byte(
		`{"name":"Tokyo","type":"dateTime","options":{"dateFormat":{"name":"iso"},"timeFormat":{"name":"24hour"},"timeZone":"Asia/Tokyo"}}`)})
	second := records(b.ok(list("Orders")))[1]["id"].(string)
	*b.clock = b.clock.Add(time.Hour)
	b.ok(patch("Orders", second, `{"fields":{"Tokyo":"2026-05-01T20:00:00Z"}}`))
	for formula, want := range map[string]string{
		`DAY({Tokyo})=2`:                    "2",
		`{Modified}`:                        "2",
		`IS_AFTER({Modified}, {Made})`:      "2",
		`LAST_MODIFIED_TIME()={Modified}`:   "1 2 3 4 5",
		`{Modified}=NOW()`:                  "2",
		`AND({No}='x', HOUR({Modified})=0)`: "",
	} {
		if got := numbers(records(b.ok(list("Orders", "filterByFormula", formula)))); got != want {
			t.Errorf("%s: %q, want %q", formula, got, want)
		}
	}
}

func TestFilter_LinksAreTheTextsOfTheLinkedRecords(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop().stock()
	for _, r := range records(b.ok(list("People", "filterByFormula", `{Name}='Zoe'`))) {
		b.ok(patch("People", r["id"].(string), `{"fields":{"Name":"Zora"}}`))
	}
	// fields[] shows none of what the formula asks for, and the other way round.
	page := records(b.ok(list("Orders", "filterByFormula", `FIND('Zora', {Buyer})`, "fields[]", "Auto")))
	if len(page) != 1 || fields(page[0])["Auto"] != 1.0 || len(fields(page[0])) != 1 {
		t.Errorf("found %v", page)
	}
	page = records(b.ok(list("Orders", "filterByFormula", `FIND('b', {Tags})`, "fields[]", "Buyer")))
	if len(page) != 2 || len(fields(page[0])["Buyer"].([]any)) != 2 {
		t.Errorf("found %v", page)
	}
}

func TestFilter_FindsHundredsOfRecordIDs(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	ids := b.seed(1200)
	var parts []string
	for _, recID := range ids[100:600] {
		parts = append(parts, "RECORD_ID()='"+string(recID)+"'")
	}
	formula := "OR(" + strings.Join(parts, ",") + ")"
	met := map[string]int{}
	params := object{"filterByFormula": formula}
	for {
		page := b.ok(listBody(t, "Orders", params))
		for _, r := range records(page) {
			met[r["id"].(string)]++
		}
		if page["offset"] == nil {
			break
		}
		params["offset"] = page["offset"]
	}
	for _, recID := range ids[100:600] {
		if met[string(recID)] != 1 {
			t.Errorf("record %s was met %d times", recID, met[string(recID)])
		}
	}
	if len(met) != 500 {
		t.Errorf("met %d records", len(met))
	}
}

func TestFilter_RefusalsSpeakAirtablesWords(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop().stock()
	for formula, message := range map[string]string{
		`{Nope}=1`:              "Unknown field names: nope",
		`AND({Nope}, {Nada}=1)`: "Unknown field names: nope, nada",
		`(`:                     "Invalid formula. Please check your formula text.",
		`NOPE(1)`:               "Invalid formula. Please check your formula text.",
	} {
		want := `{"error":{"type":"INVALID_FILTER_BY_FORMULA","message":"The formula for filtering records is invalid: ` + message + `"}}`
		for _, c := range []upstream.Call{list("Orders", "filterByFormula", formula), listBody(t, "Orders", object{"filterByFormula": formula})} {
			if status, body := b.do(c); status != 422 || body != want {
				t.Errorf("%s: %d %s, want %s", formula, status, body, want)
			}
		}
	}
	b.refused(listBody(t, "Orders", object{"filterByFormula": 1}), 422, "INVALID_REQUEST_UNKNOWN")
}

// filtered walks are those that PostgreSQL filters alone, in part, and not at all.
var filteredWalks = []string{`{Qty}>=300`, `AND({Qty}>=300, LEN({No})>1)`, `VALUE({Qty}&"")>=300`}

func TestFilter_PagesAreFullAndEndWithTheLastHit(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	b.seed(1200)
	for _, formula := range append(filteredWalks, `MOD(VALUE(RIGHT({No}, 1)), 2)`) {
		for _, order := range [][]string{nil, {"sort[0][field]", "Qty"}} {
			for most, want := range map[string]int{"": len(b.walkAll("filterByFormula", formula)), "40": 40, "30": 30, "1": 1} {
				params := append([]string{"filterByFormula", formula, "maxRecords", most, "pageSize", "20"}, order...)
				var total, short int
				for offset := ""; ; {
					page := b.ok(list("Orders", append(params, "offset", offset)...))
					n := len(records(page))
					total += n
					if n < 20 {
						short++
					}
					if page["offset"] == nil {
						break
					}
					offset = page["offset"].(string)
				}
				if total != want || short > 1 {
					t.Errorf("%v: %d records, want %d, with %d pages not full", params, total, want, short)
				}
			}
		}
	}
}

func TestFilter_OffsetBelongsToItsFormula(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	b.seed(30)
	for _, order := range []string{"", "Qty"} {
		with := func(formula, offset string) upstream.Call {
			params := []string{"pageSize", "5", "filterByFormula", formula, "offset", offset}
			if order != "" {
				params = append(params, "sort[0][field]", order)
			}
			return list("Orders", params...)
		}
		offset := b.ok(with("{Qty}>3", ""))["offset"].(string)
		b.ok(with("{Qty}>3", offset))
		b.refused(with("{Qty}>4", offset), 422, "LIST_RECORDS_ITERATOR_NOT_AVAILABLE")
		b.refused(with("", offset), 422, "LIST_RECORDS_ITERATOR_NOT_AVAILABLE")
	}
}

func TestFilter_WalkMeetsEveryHitThatStayedOnceWhileOthersDelete(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	ids := b.seed(900)
	var stay []string
	for i, recID := range ids {
		if i%3 > 0 && (i*7919)%900 >= 300 {
			stay = append(stay, string(recID))
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; i < len(ids); i += 3 {
			c := remove("Orders", string(ids[i]))
			c.Base, c.Caller = string(b.base.ID), b.who
			if a, err := b.store.Do(t.Context(), c); err != nil || a.Status != 200 {
				t.Errorf("%s: %d %s %v", c.Op, a.Status, a.Body, err)
				return
			}
		}
	})
	for _, formula := range filteredWalks {
		for _, order := range [][]string{nil, {"sort[0][field]", "Qty", "sort[0][direction]", "desc"}} {
			met := b.walkAll(append([]string{"pageSize", "13", "filterByFormula", formula}, order...)...)
			for _, recID := range stay {
				if met[recID] != 1 {
					t.Errorf("%s %v: record %s was met %d times", formula, order, recID, met[recID])
				}
			}
		}
	}
	wg.Wait()
}

func TestFilter_StaysWithinTheTenant(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop().stock()
	other := b.as(upstream.Caller{Tenant: id.New[id.Tenant](), User: id.New[id.User]()})
	other.shop()
	secret := other.made("Orders", `{"No":"x","Qty":1,"Paid":true,"State":"Done","Tags":["a"],"Buyer":["Ann"]}`)
	for _, formula := range []string{`{No}='x'`, `OR({No}='x', 1)`, `NOT({Paid}=5)`, `{State}='Done'`, `FIND('Ann', {Buyer})`, `OR(RECORD_ID()='` + secret + `', {Qty}=1)`, `LOWER({No})='x'`} {
		for _, order := range []string{"", "Qty"} {
			params := []string{"filterByFormula", formula}
			if order != "" {
				params = append(params, "sort[0][field]", order)
			}
			for _, r := range records(b.ok(list("Orders", params...))) {
				if r["id"] == secret {
					t.Errorf("%v shows another tenant's record", params)
				}
			}
			if got := records(other.ok(list("Orders", params...))); len(got) != 1 || got[0]["id"] != secret {
				t.Errorf("%v: the other tenant sees %v", params, got)
			}
		}
	}
}

func TestFilter_GarbageIsRefusedNotFailed(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop().stock()
	var mixed []string
	for i := range 3000 {
		mixed = append(mixed, fmt.Sprintf(`{No}='%d',{Qty}>%d`, i, i), fmt.Sprintf(`LEN({No})=%d`, i))
	}
	for _, formula := range []string{
		" ", "\x00", "\xff", "{", "}", "{}", "'", "\"", "((((", "))", "1=", "=1", "$1", "{No}='\x00'", "{No}='\xff\xfe'", "{No}=\"\\u0000\"", "'; DROP TABLE records; --",
		"{No}='$1'", "{Qty}=1e999", "{Qty}=-1e999", "{Qty}=1e-400", "{Qty}=0/0", "{Qty}=9007199254740993", "{Auto}=1e300", "{Auto}=1.5", "{Made}='x'", "{Due}='x'", "{Due}=1e300", "DATEADD({Due}, 1e300, 'years')",
		"IS_AFTER({At}, DATEADD(NOW(), 1e12, 'days'))", "REPT({No}, 1e12)", "REGEX_MATCH({No}, '(')", "{State}='sel'", "{State}={Tags}", "{Buyer}={Buyer}", "values", "SUM(values)",
		strings.Repeat("NOT(", 90) + "{No}" + strings.Repeat(")", 90), strings.Repeat("(", 5000), strings.Repeat("-", 5000) + "1", "OR(" + strings.Join(mixed, ",") + ")",
		"1" + strings.Repeat("+{Qty}", 5000), "{No}='" + strings.Repeat("x", 200_000) + "'", strings.Repeat("x", 300_000),
	} {
		for _, order := range []string{"", "&sort[0][field]=Buyer"} {
			b.survives(t, slices.Index(ops, upstream.ListRecords), "GET", "tblOrders", "", "", list("", "filterByFormula", formula).RawQuery+order, nil)
		}
		c := listBody(t, "Orders", object{"filterByFormula": formula})
		b.survives(t, slices.Index(ops, upstream.ListRecords), "POST", "tblOrders", "", "", "", c.Body)
	}
}

func TestFilter_TooDearForTheTableIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	b.seed(500)
	one := `LEN(SUBSTITUTE(REPT({No}&"0123456789", 60000), "9", "a"))=1`
	dear := "OR(" + strings.Repeat(one+",", 7) + one + ")"
	b.refused(list("Orders", "filterByFormula", dear), 422, "INVALID_FILTER_BY_FORMULA")
	b.refused(list("Orders", "filterByFormula", dear, "sort[0][field]", "Qty"), 422, "INVALID_FILTER_BY_FORMULA")
	if got := len(b.walkAll("filterByFormula", `LEN({No}&"")>0`)); got != 500 {
		t.Errorf("met %d records", got)
	}
}
