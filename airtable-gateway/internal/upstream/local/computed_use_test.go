package local_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/id"
)

func TestComputed_WritingIsRefusedAndPUTLeavesThemAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t).trade()
	recID := b.made("Orders", `{"No":"7","Lines":"pen"}`)
	for _, field := range []string{"Title", "Sums", "Total", "Count"} {
		for _, call := range []upstream.Call{
			create("Orders", `{"fields":{"`+field+`":"x"},"typecast":true}`), patch("Orders", recID, `{"fields":{"`+field+`":null}}`),
		} {
			status, body := b.do(call)
			if want := `Field \"` + field + `\" cannot accept a value because the field is computed`; status != 422 || !strings.Contains(body, want) {
				t.Errorf("%d %s, want %s", status, body, want)
			}
		}
		b.refused(upstream.Call{Op: upstream.UpdateRecords, Method: "PATCH", Table: "Orders",
			Body: []byte(`{"performUpsert":{"fieldsToMergeOn":["` + field + `"]},"records":[{"fields":{"` + field + `":"x"}}]}`)}, 422, "INVALID_REQUEST_UNKNOWN")
	}
	got := fields(b.ok(put("Orders", recID, `{"fields":{"No":"8"}}`)))
	if diff := cmp.Diff(object{"Title": "#8", "No": "8", "Total": 0.0, "Gross": 0.0, "Count": 0.0, "Text": " of : ", "Auto": 1.0}, got); diff != "" {
		t.Error(diff)
	}
	upsert := b.ok(upstream.Call{Op: upstream.UpdateRecords, Method: "PATCH", Table: "Orders",
		Body: []byte(`{"performUpsert":{"fieldsToMergeOn":["No"]},"records":[{"fields":{"No":"8"}},{"fields":{"No":"9"}}]}`)})
	if got := records(upsert); fields(got[0])["Title"] != "#8" || fields(got[1])["Title"] != "#9" {
		t.Errorf("an upsert answers %v", got)
	}
}

func TestComputed_ARecordIsLinkedByItsComputedName(t *testing.T) {
	t.Parallel()
	b := newBench(t).trade()
	first := b.made("Orders", `{"No":"7"}`)
	b.made("Orders", `{"No":"7"}`)
	other := b.made("Orders", `{"No":"a \"b\", \\c"}`)
	got := fields(b.ok(create("People", `{"fields":{"Name":"Ann","Orders":["#7","#a \"b\", \\c","#7"]},"typecast":true}`)))
	if diff := cmp.Diff([]any{first, other}, got["Orders"]); diff != "" {
		t.Error(diff)
	}
	status, body := b.do(create("People", `{"fields":{"Orders":["#7","#8"]},"typecast":true}`))
	if want := `Cannot parse value \"#8\" for field Orders`; status != 422 || !strings.Contains(body, want) {
		t.Errorf("%d %s, want %s", status, body, want)
	}
	b.refused(create("People", `{"fields":{"Orders":["`+strings.Repeat("x", 90_000)+`","`+strings.Repeat("y", 90_000)+`","`+strings.Repeat("z", 90_000)+`"]},"typecast":true}`), 422, "INVALID_VALUE_FOR_COLUMN")
	// A number is found as it is shown, and as it is.
	b.ok(createTable(`{"name":"Priced","fields":[{"name":"P","type":"formula","options":{"formula":"{N}*2","result":{"type":"currency","options":{"precision":2,"symbol":"€"}}}},{"name":"N","type":"number","options":{"precision":0}}]}`))
	three := b.made("Priced", `{"N":1.5}`)
	tableID := ""
	for _, tb := range b.schema("") {
		if tb.(object)["name"] == "Priced" {
			tableID = tb.(object)["id"].(string)
		}
	}
	b.field("People", "Priced", "multipleRecordLinks", object{"linkedTableId": tableID})
	for _, text := range []string{"€3.00", "3"} {
		if got := fields(b.ok(create("People", `{"fields":{"Priced":"`+text+`"},"typecast":true}`)))["Priced"]; !cmp.Equal(got, []any{three}) {
			t.Errorf("%s: %v", text, got)
		}
	}
	b.ok(createTable(`{"name":"Numbered","fields":[{"name":"Auto","type":"autoNumber"},{"name":"T","type":"singleLineText"}]}`))
	b.made("Numbered", `{}`)
	two := b.made("Numbered", `{}`)
	for _, tb := range b.schema("") {
		if tb.(object)["name"] == "Numbered" {
			b.field("People", "Numbered", "multipleRecordLinks", object{"linkedTableId": tb.(object)["id"]})
		}
	}
	if got := fields(b.ok(create("People", `{"fields":{"Numbered":"2"},"typecast":true}`)))["Numbered"]; !cmp.Equal(got, []any{two}) {
		t.Errorf("by autonumber: %v", got)
	}
}

// market is trade with records to be sorted and filtered: their autonumbers are 1 to 6.
func (b *bench) market() *bench {
	b.t.Helper()
	b.trade()
	for _, l := range []string{`{"Line":"pen","Qty":2,"Price":3}`, `{"Line":"ink","Qty":1,"Price":10}`, `{"Line":"cap","Qty":1,"Price":-1}`} {
		b.made("Lines", l)
	}
	for _, o := range []string{
		`{"No":"10","Lines":"pen","Buyer":"Ann"}`, `{"No":"9","Lines":"ink, pen","Buyer":"bob"}`, `{"No":"b","Buyer":"Ann"}`,
		`{"No":"A","Lines":"cap"}`, `{"No":"a","Lines":"pen, ink, cap","Buyer":"Cy"}`, `{}`,
	} {
		b.made("Orders", o)
	}
	b.formula("Orders", "Big", `{Total} > 5`)
	b.formula("Orders", "Odd", `IF({Total}=6, 1/0, IF({Total}<0, ERROR(), {Total}))`)
	b.formula("Orders", "When", `IF({Total}, DATEADD("2026-01-01", {Total}, "days"))`)
	return b
}

func TestSort_ByComputedFields(t *testing.T) {
	t.Parallel()
	b := newBench(t).market()
	for _, tt := range []struct{ keys, want string }{
		{"Total", "4 3 6 1 5 2"}, {"-Total", "2 5 1 3 6 4"},
		{"Title", "6 2 1 4 5 3"}, // natural order, letter case ignored
		{"-Title", "3 4 5 1 2 6"},
		{"Sums", "3 6 4 1 5 2"}, // blanks, then texts "-1", "6", "6, 10, -1", "10, 6"
		{"Count", "3 6 1 4 2 5"}, {"Big", "3 4 6 1 2 5"}, {"-Big", "1 2 5 3 4 6"},
		{"Odd", "4 3 6 5 2 1"}, // an error is a blank, infinity is more than any number
		{"When", "3 6 4 1 5 2"},
		{"Big,Total", "4 3 6 1 5 2"}, {"Big,-Total", "3 6 4 2 5 1"},
		{"Buyer,-Total", "6 4 1 3 2 5"}, {"-Buyer,Total", "5 2 3 1 4 6"}, // beside a field that SQL sorts by
		{"Count,No", "6 3 1 4 2 5"},
	} {
		var params []string
		for i, key := range strings.Split(tt.keys, ",") {
			name, desc := strings.CutPrefix(key, "-")
			params = append(params, fmt.Sprintf("sort[%d][field]", i), name)
			if desc {
				params = append(params, fmt.Sprintf("sort[%d][direction]", i), "desc")
			}
		}
		if got := numbers(records(b.ok(list("Orders", params...)))); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.keys, got, tt.want)
		}
		if got := numbers(records(b.ok(list("Orders", append(params, "maxRecords", "4")...)))); got != tt.want[:7] {
			t.Errorf("%s, the first four: %s", tt.keys, got)
		}
		var paged []object
		for offset := ""; ; {
			page := b.ok(list("Orders", append(params, "pageSize", "2", "offset", offset)...))
			paged = append(paged, records(page)...)
			if page["offset"] == nil {
				break
			}
			offset = page["offset"].(string)
		}
		if got := numbers(paged); got != tt.want {
			t.Errorf("%s in pages: %s", tt.keys, got)
		}
	}
	filtered := list("Orders", "sort[0][field]", "Total", "filterByFormula", "{Count} > 0")
	if got := numbers(records(b.ok(filtered))); got != "4 1 5 2" {
		t.Errorf("filtered: %s", got)
	}
	if got := records(b.ok(list("People", "sort[0][field]", "Orders"))); fields(got[0])["Name"] != "bob" {
		t.Errorf("by links to records with a computed name: %v", got)
	}
	if got := records(b.ok(list("People", "sort[0][field]", "Name", "filterByFormula", "FALSE()"))); len(got) != 0 {
		t.Errorf("sorting nothing: %v", got)
	}
}

func TestFilter_OnComputedFields(t *testing.T) {
	t.Parallel()
	b := newBench(t).market()
	for _, tt := range []struct{ formula, want string }{
		{`{Title}='#9'`, "2"}, {`OR({Title}='#9',{Title}='#a')`, "2 5"}, {`LOWER({Title})='#a'`, "4 5"}, {`{Title}='#'`, "6"}, {`FIND('0',{Title})`, "1"},
		{`{Total}=16`, "2"}, {`{Total}>0`, "1 2 5"}, {`{Total}=0`, "3 6"}, {`{Gross}=18`, "5"}, {`NOT({Count})`, "3 6"},
		{`{Big}`, "1 2 5"}, {`NOT({Big})`, "3 4 6"}, {`ISERROR({Odd})`, "1 4"}, {`{Odd}=16`, "2"},
		{`FIND('10',{Sums})`, "2 5"}, {`{Sums}='6'`, ""}, {`{Sums}=6`, "1"}, {`SUM({Sums})=15`, "5"}, {`{Sums}=BLANK()`, "3 6"},
		{`AND({No}='a',{Count}=3)`, "5"}, {`AND({Title}='#a',{Total}=15)`, "5"}, {`IS_AFTER({When},'2026-01-10')`, "2 5"},
		{`{Text}='ink, pen of bob: 10, 6'`, "2"}, {`{Buyer}&{Count}='Ann0'`, "3"},
	} {
		if got := numbers(records(b.ok(list("Orders", "filterByFormula", tt.formula)))); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.formula, got, tt.want)
		}
	}
	if got := records(b.ok(list("People", "filterByFormula", "FIND('#9',{Orders})"))); len(got) != 1 || fields(got[0])["Name"] != "bob" {
		t.Errorf("by links to records with a computed name: %v", got)
	}
	b.refused(list("Orders", "filterByFormula", "{Nope}=1"), 422, "INVALID_FILTER_BY_FORMULA")
}

func TestComputed_TimesAreThoseOfTheRequestAndTheRecord(t *testing.T) {
	t.Parallel()
	b := newBench(t).trade()
	for name, text := range map[string]string{
		"Now": `NOW()`, "Made": `CREATED_TIME()`, "Changed": `LAST_MODIFIED_TIME()`, "Me": `RECORD_ID()`, "Age": `DATETIME_DIFF(NOW(),CREATED_TIME(),"minutes")`,
		"Same": `{Now}=NOW()`,
	} {
		if name != "Same" {
			b.formula("Orders", name, text)
		}
	}
	b.formula("Orders", "Same", `{Now}=NOW()`)
	var moment atomic.Int64
	b.store = local.New(b.pool, local.Options{Now: func() time.Time { // a clock that never shows the same time twice
		return time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC).Add(time.Duration(moment.Add(1)) * time.Minute)
	}})
	made := b.ok(create("Orders", `{"fields":{"No":"7"}}`))
	got := fields(made)
	if got["Me"] != made["id"] || got["Made"] != made["createdTime"] || got["Changed"] != nil || got["Same"] != 1.0 {
		t.Errorf("created: %v", got)
	}
	b.ok(create("Orders", `{"records":[{"fields":{}},{"fields":{}}]}`))
	nows := map[any]bool{}
	for _, r := range records(b.ok(list("Orders", "filterByFormula", "{Now}=NOW()"))) {
		nows[fields(r)["Now"]] = true
		if fields(r)["Same"] != 1.0 {
			t.Errorf("another time within a request: %v", r)
		}
	}
	if len(nows) != 1 {
		t.Errorf("one list shows %v", nows)
	}
	changed := fields(b.ok(patch("Orders", made["id"].(string), `{"fields":{"No":"8"}}`)))
	if changed["Changed"] == nil || changed["Changed"] == changed["Made"] || changed["Age"] == 0.0 {
		t.Errorf("changed: %v", changed)
	}
}

// counter counts queries and round trips.
type counter struct{ queries, trips atomic.Int64 }

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.queries.Add(1)
	c.trips.Add(1)
	return ctx
}
func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (c *counter) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	c.trips.Add(1)
	return ctx
}
func (c *counter) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {
	c.queries.Add(1)
}
func (c *counter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// counted is the bench with a store whose queries are counted.
func (b *bench) counted() (*bench, *counter) {
	b.t.Helper()
	c := &counter{}
	config := b.pool.Config()
	config.ConnConfig.Tracer = c
	pool, err := pgxpool.NewWithConfig(b.t.Context(), config)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(pool.Close)
	other := *b
	other.store = local.New(pool, local.Options{Now: b.now})
	return &other, c
}

// people makes n people with two orders each, of three lines each.
func (b *bench) people(n int) {
	b.t.Helper()
	load := func(table string, recs []local.ImportRecord) []models.RecordID {
		ids, err := b.store.ImportRecords(b.t.Context(), b.who, b.base.ID, table, recs, false)
		if err != nil {
			b.t.Fatal(err)
		}
		return ids
	}
	var lines, orders, people []local.ImportRecord
	for i := range 6 * n {
		lines = append(lines, local.ImportRecord{Fields: object{"Line": fmt.Sprintf("l%d", i), "Qty": i % 7, "Price": 1.5}})
	}
	lineIDs := load("Lines", lines)
	for i := range 2 * n {
		orders = append(orders, local.ImportRecord{Fields: object{"No": fmt.Sprint(i), "Lines": idTexts(lineIDs[3*i : 3*i+3])}})
	}
	orderIDs := load("Orders", orders)
	for i := range n {
		people = append(people, local.ImportRecord{Fields: object{"Name": fmt.Sprintf("p%d", i), "Orders": idTexts(orderIDs[2*i : 2*i+2])}})
	}
	load("People", people)
}

func idTexts(ids []models.RecordID) []string {
	out := make([]string, len(ids))
	for i, recID := range ids {
		out[i] = string(recID)
	}
	return out
}

func TestComputed_QueriesOfAPageDoNotGrowWithIt(t *testing.T) {
	t.Parallel()
	b := newBench(t).trade()
	b.people(120)
	counted, c := b.counted()
	for name, params := range map[string][]string{
		"cells": nil, "texts": {"cellFormat", "string", "timeZone", "utc", "userLocale", "en"}, "filtered": {"filterByFormula", "{Spent}>=0"},
	} {
		counts := map[string][2]int64{}
		for _, size := range []string{"1", "100"} {
			call := list("People", append(params, "pageSize", size)...)
			counted.ok(call) // the schema is in memory then
			queries, trips := c.queries.Load(), c.trips.Load()
			if n := len(records(counted.ok(call))); fmt.Sprint(n) != size {
				t.Fatalf("a page of %d", n)
			}
			counts[size] = [2]int64{c.queries.Load() - queries, c.trips.Load() - trips}
		}
		t.Logf("%s: queries and round trips by size of the page: %v", name, counts)
		if counts["1"] != counts["100"] && name != "filtered" || counts["100"][1] > 12 {
			t.Errorf("%s: %v", name, counts)
		}
	}
}

func TestComputed_ManyPathsToOneTableAreFollowedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t).trade()
	b.people(2)
	// Each step looks up the last in two ways: 2^n paths, if they were walked apart.
	last := [2]string{"Sum", "Qty"}
	const steps = 16
	for i := range steps {
		table, via := "Orders", "Lines"
		if i%2 == 1 {
			table, via = "Lines", "Orders"
		}
		names := [2]string{fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i)}
		for j, name := range names {
			formula := "MAX(values)"
			b.field(table, fmt.Sprintf("%s of %s", name, last[j]), "rollup", object{"recordLinkFieldId": via, "fieldIdInLinkedTable": last[j], "formula": formula})
			b.field(table, fmt.Sprintf("%s of %s", name, last[1-j]), "rollup", object{"recordLinkFieldId": via, "fieldIdInLinkedTable": last[1-j], "formula": formula})
			b.formula(table, name, fmt.Sprintf("{%s of %s} + {%s of %s}", name, last[j], name, last[1-j]))
		}
		last = names
	}
	counted, c := b.counted()
	counted.ok(list("Orders", "pageSize", "1"))
	before := c.queries.Load()
	counted.ok(list("Lines", "pageSize", "1", "fields[]", last[0]))
	if n := c.queries.Load() - before; n > 3*steps {
		t.Errorf("%d queries for %d steps", n, steps)
	}
}

func TestComputed_TooMuchWorkIsRefusedOrShownAsAnError(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	b.formula("Orders", "Long", `REPT(LEFT({No}, 1), 399990)`)
	b.formula("Orders", "Longer", `REPT("x", 400010)`)
	b.formula("Orders", "Dear", `SUM(`+strings.TrimSuffix(strings.Repeat(`LEN(REPT(LEFT({No}, 1), 399990)), `, 100), ", ")+`)`)
	b.formula("Orders", "Also", `{Long}`)
	b.formula("Orders", "Too", `{Long}`)
	b.seed(200)
	b.refused(list("Orders", "sort[0][field]", "Dear", "fields[]", "No"), 422, "INVALID_REQUEST_UNKNOWN")
	b.refused(list("Orders", "filterByFormula", "{Dear}=1", "fields[]", "No"), 422, "INVALID_FILTER_BY_FORMULA")
	b.refused(list("Orders", "fields[]", "Long", "fields[]", "Also", "fields[]", "Too"), 422, "INVALID_REQUEST_UNKNOWN") // that would be 120 MB
	// Fewer fields are possible, and so is to read and write one record.
	recs := records(b.ok(list("Orders", "fields[]", "No", "fields[]", "Long", "fields[]", "Longer", "pageSize", "2")))
	if shown := fields(recs[1]); len(shown["Long"].(string)) != 399990 || !cmp.Equal(shown["Longer"], object{"error": "#ERROR!"}) {
		t.Errorf("a long text is %.20v, a longer one %.20v", shown["Long"], shown["Longer"])
	}
	got := fields(b.ok(patch("Orders", recs[0]["id"].(string), `{"fields":{"No":"new"}}`)))
	if got["No"] != "new" || got["Dear"] == nil {
		t.Errorf("an update answers %v", got["Dear"])
	}
}

func TestStranger_ComputesNothingOfOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t).trade()
	b.people(1)
	// The stranger has a base with the same ids, and links to the same record ids.
	stranger := b.as(upstream.Caller{Tenant: id.New[id.Tenant](), User: id.New[id.User]()})
	stranger.trade()
	ids := records(b.ok(list("Lines")))
	if _, err := stranger.store.ImportRecords(t.Context(), stranger.who, stranger.base.ID, "Lines",
		[]local.ImportRecord{{ID: models.RecordID(ids[5]["id"].(string)), Fields: object{"Line": "mine", "Qty": 1, "Price": 2}}}, false); err != nil {
		t.Fatal(err)
	}
	stranger.made("Orders", `{"No":"1","Lines":"mine","Buyer":"Me"}`)
	got := fields(records(stranger.ok(list("People")))[0])
	if got["Spent"] != 2.4 || !cmp.Equal(got["All"], []any{2.0}) {
		t.Errorf("the stranger sees %v", got)
	}
}

// naive is trade kept in Go, in the plainest way.
type naive struct {
	qty, price map[string]float64 // of lines
	no         map[string]string  // of orders
	lines      map[string][]string
	name       map[string]string // of people
	orders     map[string][]string
}

func (n *naive) order(o string) object {
	total, sums := 0.0, []any{}
	for _, l := range n.lines[o] {
		total += n.qty[l] * n.price[l]
		sums = append(sums, n.qty[l]*n.price[l])
	}
	out := object{"Title": "#" + n.no[o], "Total": total, "Gross": math.Floor(total*1.2*100+0.5) / 100, "Count": float64(len(sums))}
	if len(sums) > 0 {
		out["Sums"] = sums
	}
	return out
}

func (n *naive) person(p string) object {
	spent, all, what := 0.0, []any{}, []any{}
	for _, o := range n.orders[p] {
		order := n.order(o)
		spent += order["Gross"].(float64)
		if sums, ok := order["Sums"]; ok {
			all = append(all, sums.([]any)...)
		}
		for _, l := range n.lines[o] {
			what = append(what, l)
		}
	}
	verdict := " saves"
	if spent > 100 {
		verdict = " is rich"
	}
	out := object{"Spent": spent, "Verdict": n.name[p] + verdict}
	if len(all) > 0 {
		out["All"] = all
	}
	if len(what) > 0 {
		out["What"] = what
	}
	return out
}

func TestComputed_RandomChangesGiveWhatANaiveRecomputationGives(t *testing.T) {
	t.Parallel()
	b := newBench(t).trade()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	n := &naive{map[string]float64{}, map[string]float64{}, map[string]string{}, map[string][]string{}, map[string]string{}, map[string][]string{}}
	ids := map[string][]string{}
	some := func(table string, most int) []string {
		out := slices.Clone(ids[table])
		r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
		return out[:min(len(out), r.IntN(most+1))]
	}
	quoted := func(list []string) string { return string(models.Marshal(append([]string{}, list...))) }
	// unlink takes records out of the lists of others: the other side of a link is set.
	without := func(lists map[string][]string, gone string) {
		for key := range lists {
			lists[key] = slices.DeleteFunc(slices.Clone(lists[key]), func(s string) bool { return s == gone })
		}
	}
	check := func(step int) {
		t.Helper()
		for table, want := range map[string]func(string) object{"Orders": n.order, "People": n.person} {
			for _, rec := range records(b.ok(list(table))) {
				got := object{}
				for key, wanted := range want(rec["id"].(string)) {
					if v, ok := fields(rec)[key]; ok || wanted != nil {
						got[key] = v
					}
				}
				for _, key := range []string{"Sums", "All", "What"} {
					if v, ok := fields(rec)[key]; ok {
						got[key] = v
					}
				}
				if diff := cmp.Diff(want(rec["id"].(string)), got, cmpopts.EquateApprox(0, 0.0051)); diff != "" {
					t.Fatalf("step %d, %s %s: %s", step, table, rec["id"], diff)
				}
			}
		}
	}
	for step := range 150 {
		switch table := []string{"Lines", "Orders", "People"}[r.IntN(3)]; {
		case len(ids[table]) < 6 || r.IntN(5) == 0 && len(ids[table]) < 30:
			recID := b.made(table, `{}`)
			ids[table] = append(ids[table], recID)
		case r.IntN(12) == 0:
			gone := ids[table][0]
			ids[table] = ids[table][1:]
			b.ok(remove(table, gone))
			without(n.lines, gone)
			without(n.orders, gone)
			delete(n.lines, gone)
			delete(n.orders, gone)
		case table == "Lines":
			l := ids[table][r.IntN(len(ids[table]))]
			n.qty[l], n.price[l] = float64(r.IntN(5)), float64(r.IntN(40))/4
			got := fields(b.ok(patch("Lines", l, fmt.Sprintf(`{"fields":{"Qty":%v,"Price":%v}}`, n.qty[l], n.price[l]))))
			if got["Sum"] != n.qty[l]*n.price[l] {
				t.Fatalf("step %d: the update answers %v", step, got)
			}
		case table == "Orders":
			o := ids[table][r.IntN(len(ids[table]))]
			n.no[o], n.lines[o] = fmt.Sprint(step), some("Lines", 4)
			got := fields(b.ok(patch("Orders", o, `{"fields":{"No":"`+n.no[o]+`","Lines":`+quoted(n.lines[o])+`}}`)))
			if want := n.order(o); got["Title"] != want["Title"] || got["Count"] != want["Count"] || got["Total"] != want["Total"] {
				t.Fatalf("step %d: the update answers %v, want %v", step, got, want)
			}
		default:
			p := ids[table][r.IntN(len(ids[table]))]
			n.name[p], n.orders[p] = fmt.Sprint("p", step), some("Orders", 3)
			b.ok(patch("People", p, `{"fields":{"Name":"`+n.name[p]+`","Orders":`+quoted(n.orders[p])+`}}`))
		}
		if step%10 == 9 {
			check(step)
		}
	}
}
