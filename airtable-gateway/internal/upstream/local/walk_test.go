package local_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

func (b *bench) seed(n int) []models.RecordID {
	b.t.Helper()
	recs := make([]local.ImportRecord, n)
	for i := range recs {
		recs[i].Fields = object{"No": fmt.Sprintf("n%d", i), "Qty": (i * 7919) % n}
	}
	ids, err := b.store.ImportRecords(b.t.Context(), b.who, b.base.ID, "Orders", recs, false)
	if err != nil {
		b.t.Fatal(err)
	}
	return ids
}

// walkAll returns how often each record was met.
func (b *bench) walkAll(kv ...string) map[string]int {
	b.t.Helper()
	met := map[string]int{}
	offset := ""
	for {
		page := b.ok(list("Orders", append(kv, "offset", offset)...))
		for _, r := range records(page) {
			met[r["id"].(string)]++
		}
		if page["offset"] == nil {
			return met
		}
		offset = page["offset"].(string)
	}
}

func TestWalk_MeetsEveryRecordThatStayedOnceWhileOthersWrite(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	ids := b.seed(600)
	stay, doomed := ids[:400], ids[400:]
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	write := func(next func(r *rand.Rand) (upstream.Call, bool)) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, 2))
			for ctx.Err() == nil {
				c, more := next(r)
				if !more {
					return
				}
				c.Base, c.Caller = string(b.base.ID), b.who
				if a, err := b.store.Do(context.WithoutCancel(ctx), c); err != nil || a.Status != 200 {
					t.Errorf("%s: %d %s %v", c.Op, a.Status, a.Body, err)
					return
				}
			}
		})
	}
	write(func(*rand.Rand) (upstream.Call, bool) {
		return create("Orders", `{"fields":{"No":"new","Qty":3}}`), true
	})
	write(func(*rand.Rand) (upstream.Call, bool) {
		if len(doomed) == 0 {
			return upstream.Call{}, false
		}
		c := remove("Orders", string(doomed[0]))
		doomed = doomed[1:]
		return c, true
	})
	write(func(r *rand.Rand) (upstream.Call, bool) { // moves records within the sorted order
		return patch("Orders", string(stay[r.IntN(len(stay))]), fmt.Sprintf(`{"fields":{"Qty":%d}}`, r.IntN(600))), true
	})
	b.view("Everything", `{Qty} >= 0`)
	b.view("Sorted", `FIND("n", {No})`, models.SortBy{Field: "Qty", Desc: true})
	for _, params := range [][]string{
		{"pageSize", "17"}, {"pageSize", "17", "filterByFormula", `FIND("n", {No})`}, {"pageSize", "17", "view", "Everything"},
		{"pageSize", "17", "sort[0][field]", "Qty"}, {"pageSize", "17", "sort[0][field]", "Qty", "sort[0][direction]", "desc"},
		{"pageSize", "17", "view", "Sorted"},
	} {
		met := b.walkAll(params...)
		for _, recID := range stay {
			if met[string(recID)] != 1 {
				t.Errorf("%v: record %s was met %d times", params, recID, met[string(recID)])
			}
		}
	}
	stop()
	wg.Wait()
}

func TestOffset_ExpiresAndIsBoundToItsList(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	b.seed(30)
	for _, params := range [][]string{{"pageSize", "10"}, {"pageSize", "10", "sort[0][field]", "No"}} {
		with := func(offset string, more ...string) upstream.Call {
			return list("Orders", append(append(params, more...), "offset", offset)...)
		}
		offset := b.ok(list("Orders", params...))["offset"].(string)
		if !models.IsID("itr", offset[:17]) || offset[17] != '/' || !models.IsID("rec", offset[18:]) {
			t.Errorf("offset %q has not Airtable's shape", offset)
		}
		b.refused(with(offset, "maxRecords", "29"), 422, "LIST_RECORDS_ITERATOR_NOT_AVAILABLE")
		b.refused(with("itrAAAAAAAAAAAAAA/recAAAAAAAAAAAAAA"), 422, "LIST_RECORDS_ITERATOR_NOT_AVAILABLE")
		for _, bad := range []string{"junk", "itr/rec", offset + "x", offset[:20], "itrAAAAAAAAAAAAAA/app" + offset[21:]} {
			b.refused(with(bad), 422, "INVALID_OFFSET_VALUE")
		}
		stranger := b.as(upstream.Caller{Tenant: id.New[id.Tenant]()})
		stranger.refused(with(offset), 403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND")
		if n := len(records(b.ok(with(offset)))); n != 10 {
			t.Errorf("second page has %d records", n)
		}
		*b.clock = b.clock.Add(9 * time.Minute)
		again := b.ok(with(offset))
		if n := len(records(again)); n != 10 {
			t.Errorf("second page read again has %d records", n)
		}
		*b.clock = b.clock.Add(9 * time.Minute)
		if next := again["offset"].(string); len(records(b.ok(with(next)))) != 10 {
			t.Error("a walk with short pauses ended early")
		}
		*b.clock = b.clock.Add(11 * time.Minute)
		b.refused(with(offset), 422, "LIST_RECORDS_ITERATOR_NOT_AVAILABLE")
	}
}

func TestSort_OrdersEveryTypeBlanksFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	for _, f := range []string{
		`{"No":"z11","Qty":10,"State":"Done","Tags":["b"],"Due":"2026-02-01","Buyer":["Zoe"]}`,
		`{"No":"Z2","Qty":9,"Paid":true,"State":"Todo","Tags":["a","b"],"Due":"2025-12-31","Buyer":["ann","Bob"]}`,
		`{"No":"a","Qty":-1.5,"Tags":["a"],"Due":"2026-01-15","At":"2026-01-01T00:00:00Z","Buyer":["ann"]}`,
		`{}`,
	} {
		b.made("Orders", f)
	}
	for _, tt := range []struct{ field, asc, desc string }{
		{"No", "4 3 2 1", "1 2 3 4"},
		{"Qty", "4 3 2 1", "1 2 3 4"},
		{"Paid", "1 3 4 2", "2 1 3 4"},
		{"State", "3 4 2 1", "1 2 3 4"},
		{"Tags", "4 3 2 1", "1 2 3 4"},
		{"Due", "4 2 3 1", "1 3 2 4"},
		{"At", "1 2 4 3", "3 1 2 4"},
		{"Buyer", "4 3 2 1", "1 2 3 4"},
		{"Auto", "1 2 3 4", "4 3 2 1"},
		{"Made", "1 2 3 4", "1 2 3 4"},
		{"Modified", "1 2 3 4", "1 2 3 4"},
	} {
		for direction, want := range map[string]string{"asc": tt.asc, "desc": tt.desc} {
			var got []string
			for _, r := range records(b.ok(list("Orders", "sort[0][direction]", direction, "sort[0][field]", tt.field))) {
				got = append(got, fmt.Sprint(fields(r)["Auto"]))
			}
			if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
				t.Errorf("sort by %s %s: %s", tt.field, direction, diff)
			}
		}
	}
}

func TestList_PageCostDoesNotGrowWithTheTable(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	b.seed(3000)
	plan := b.plan(`SELECT id FROM searched_records r
		WHERE r.tenant_id = $1 AND r.table_id = $2 AND r.number > $3 ORDER BY r.number LIMIT $4`, b.who.Tenant, "tblOrders", 1500, 101)
	if !strings.Contains(plan, "records_number_key") || strings.Contains(plan, "Sort") {
		t.Errorf("a page does not come straight off the index:\n%s", plan)
	}
}

// Row-level security keeps conditions from indexes that it does not trust.
func TestList_IsolationLeavesTheIndexOfCellsUsable(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	b.seed(3000)
	const contains = ` r WHERE r.tenant_id = $1 AND r.table_id = $2 AND ` +
		`cell_key(r.tenant_id, r.table_id, r.cells) @> cell_key($1, $2, $3::jsonb) ORDER BY r.number LIMIT 1 FOR NO KEY UPDATE OF r`
	args := []any{b.who.Tenant, "tblOrders", `{"fldNo":"none"}`}
	if plan := b.plan(`SELECT id FROM searched_records`+contains, args...); !strings.Contains(plan, "records_cells") {
		t.Errorf("the index of cells is not used:\n%s", plan)
	}
	if plan := b.plan(`SELECT id FROM records`+contains, args...); strings.Contains(plan, "records_cells") {
		t.Errorf("searched_records is not needed any more:\n%s", plan)
	}
}

// plan is what PostgreSQL would do, with fresh statistics.
func (b *bench) plan(sql string, args ...any) string {
	b.t.Helper()
	if _, err := b.pool.Exec(b.t.Context(), `ANALYZE record_rows`); err != nil {
		b.t.Fatal(err)
	}
	rows, err := postgres.ForTenant(b.pool, b.who.Tenant).Query(b.t.Context(), `EXPLAIN `+sql, args...)
	if err != nil {
		b.t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func TestWalk_TheSecondSortedPageIsOneForAllThatAskForIt(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	b.seed(300)
	params := []string{"pageSize", "50", "sort[0][field]", "Qty", "maxRecords", "180"}
	first := b.ok(list("Orders", params...))
	pages := make([]string, 6)
	var wg sync.WaitGroup
	for i := range pages {
		wg.Go(func() {
			c := list("Orders", append(params, "offset", first["offset"].(string))...)
			c.Base, c.Caller = string(b.base.ID), b.who
			a, err := b.store.Do(t.Context(), c)
			if err != nil || a.Status != 200 {
				t.Errorf("%d %s %v", a.Status, a.Body, err)
			}
			pages[i] = string(a.Body)
		})
		wg.Go(func() {
			c := create("Orders", `{"fields":{"No":"new","Qty":1}}`)
			c.Base, c.Caller = string(b.base.ID), b.who
			if _, err := b.store.Do(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, p := range pages {
		if p != pages[0] {
			t.Errorf("pages differ:\n%.300s\n%.300s", p, pages[0])
		}
	}
	met := b.walkAll(params...)
	if len(met) != 180 {
		t.Errorf("maxRecords 180 gave %d records", len(met))
	}
}

func TestWalk_EndsEmptyIfTheRestIsDeleted(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	ids := b.seed(20)
	for _, params := range [][]string{{"pageSize", "10"}, {"pageSize", "10", "sort[0][field]", "Auto"}} {
		offset := b.ok(list("Orders", params...))["offset"].(string)
		var rest []string
		for _, recID := range ids[10:] {
			rest = append(rest, string(recID))
		}
		b.ok(remove("Orders", "", rest...))
		if got := b.ok(list("Orders", append(params, "offset", offset)...)); len(records(got)) != 0 || got["offset"] != nil {
			t.Errorf("%v: %v", params, got)
		}
		ids = append(ids[:10], b.seed(10)...)
	}
}

func TestWalk_GoesOnThroughChangesOfTheSchemaThatDoNotChangeIt(t *testing.T) {
	t.Parallel()
	for _, sort := range []string{"", "fldQty"} {
		b := newBench(t).shop()
		b.seed(40)
		v := b.view("Some", `{Qty} >= 0`)
		next := func(offset, view string) (object, string) {
			t.Helper()
			page := b.ok(list("tblOrders", "pageSize", "10", "view", view, "sort[0][field]", sort, "offset", offset))
			return fields(records(page)[0]), page["offset"].(string)
		}
		if sort == "" {
			next = func(offset, view string) (object, string) {
				t.Helper()
				page := b.ok(list("tblOrders", "pageSize", "10", "view", view, "offset", offset))
				return fields(records(page)[0]), page["offset"].(string)
			}
		}
		_, offset := next("", string(v.ID))
		b.ok(createField("Orders", `{"name":"New","type":"singleLineText"}`))
		b.ok(rename("Orders", "Qty", "Amount"))
		b.ok(upstream.Call{Op: upstream.UpdateTable, Method: "PATCH", Table: "Orders", Body: []byte(`{"name":"Sales"}`)})
		cells, offset := next(offset, string(v.ID))
		if cells["Amount"] == nil || cells["Qty"] != nil {
			t.Errorf("the second page has the old names: %v", cells)
		}
		renamed := "Else"
		if _, _, err := b.store.UpdateView(t.Context(), b.who, local.ViewAt{Base: b.base.ID, Table: "Sales", View: "Some"}, 0, local.ViewPatch{Name: &renamed}); err != nil {
			t.Fatal(err)
		}
		if _, offset = next(offset, "Else"); offset == "" {
			t.Error("the third page is the last")
		}
	}
}

func TestWalk_EndsWhenWhatItListsIsAnother(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	b.seed(40)
	b.view("Some", `{Qty} >= 0`)
	filter, sort := `{Qty} < 100`, []models.SortBy{{Field: "No"}}
	change := func(p local.ViewPatch) func() {
		return func() {
			if _, _, err := b.store.UpdateView(t.Context(), b.who, b.at("Some"), 0, p); err != nil {
				t.Fatal(err)
			}
		}
	}
	swap := func() { // now the filter asks for another field
		b.ok(rename("Orders", "Qty", "was"))
		b.ok(rename("Orders", "fldAuto", "Qty"))
	}
	for _, tt := range []struct {
		params []string
		change func()
	}{
		{[]string{"view", "Some"}, change(local.ViewPatch{Filter: &filter})},
		{[]string{"view", "Some"}, change(local.ViewPatch{Sort: sort})},
		{[]string{"view", "Some"}, change(local.ViewPatch{Sort: []models.SortBy{{Field: "Qty"}}})},
		{[]string{"filterByFormula", `{Qty} >= 0`}, swap},
	} {
		params := append(tt.params, "pageSize", "10")
		offset := b.ok(list("Orders", params...))["offset"].(string)
		b.ok(list("Orders", append(params, "offset", offset)...))
		tt.change()
		b.refused(list("Orders", append(params, "offset", offset)...), 422, "LIST_RECORDS_ITERATOR_NOT_AVAILABLE")
	}
}

func TestOffset_LivesAsLongAsTheStoreIsTold(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	b.seed(30)
	b.store = local.New(b.pool, local.Options{Now: b.now, IteratorLife: 20 * time.Second})
	for _, params := range [][]string{{"pageSize", "10"}, {"pageSize", "10", "sort[0][field]", "No"}} {
		offset := b.ok(list("Orders", params...))["offset"].(string)
		*b.clock = b.clock.Add(19 * time.Second)
		offset = b.ok(list("Orders", append(params, "offset", offset)...))["offset"].(string)
		*b.clock = b.clock.Add(19 * time.Second)
		b.ok(list("Orders", append(params, "offset", offset)...))
		*b.clock = b.clock.Add(21 * time.Second)
		b.refused(list("Orders", append(params, "offset", offset)...), 422, "LIST_RECORDS_ITERATOR_NOT_AVAILABLE")
	}
}
