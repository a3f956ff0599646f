package local_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

func TestUpsert_MatchesCreatesAndReports(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	byID, byKey := b.made("Orders", `{"No":"k1","Qty":1}`), b.made("Orders", `{"No":"k2","Qty":2,"State":"Todo"}`)
	got := b.ok(patch("Orders", "", `{"records":[{"id":"`+byID+`","fields":{"Qty":10}},{"fields":{"No":"k2","Qty":20}},{"fields":{"fldNo":"k3"}}],
		"performUpsert":{"fieldsToMergeOn":["No"]}}`))
	recs := records(got)
	if recs[0]["id"] != byID || recs[1]["id"] != byKey || fields(recs[1])["State"] != "Todo" || fields(recs[1])["Qty"] != 20.0 {
		t.Errorf("records: %v", recs)
	}
	if diff := cmp.Diff([]any{byID, byKey}, got["updatedRecords"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]any{recs[2]["id"]}, got["createdRecords"]); diff != "" {
		t.Error(diff)
	}
	// A null key matches nothing, though an item of the same request blanks its key.
	got = b.ok(put("Orders", "", `{"records":[{"id":"`+byID+`","fields":{"No":null}},{"fields":{"No":null,"Qty":7}}],"performUpsert":{"fieldsToMergeOn":["No"]}}`))
	if len(got["createdRecords"].([]any)) != 1 || len(got["updatedRecords"].([]any)) != 1 {
		t.Errorf("null key: %v", got)
	}
	// The second item with a new key updates what the first one created.
	got = b.ok(patch("Orders", "", `{"records":[{"fields":{"No":"k9","Qty":1,"State":"Todo"}},{"fields":{"No":"k9","Qty":2,"State":"Todo"}}],"performUpsert":{"fieldsToMergeOn":["No","State"]}}`))
	if recs = records(got); recs[0]["id"] != recs[1]["id"] || fields(recs[0])["Qty"] != 2.0 || len(got["createdRecords"].([]any)) != 1 {
		t.Errorf("same new key twice: %v", got)
	}
}

func TestUpsert_Refusals(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	b.made("Orders", `{"No":"dup"}`)
	b.made("Orders", `{"No":"dup"}`)
	for _, tt := range []struct{ merge, item, kind string }{
		{`["No"]`, `{"fields":{"No":"dup"}}`, "INVALID_REQUEST_UNKNOWN"},
		{`["No"]`, `{"fields":{"Qty":1}}`, "INVALID_REQUEST_UNKNOWN"},
		{`["No"]`, `{"id":"recAAAAAAAAAAAAAA","fields":{"No":"x"}}`, "ROW_DOES_NOT_EXIST"},
		{`["Nope"]`, `{"fields":{"No":"x"}}`, "UNKNOWN_FIELD_NAME"},
		{`["Auto"]`, `{"fields":{"No":"x"}}`, "INVALID_REQUEST_UNKNOWN"},
		{`["Paid"]`, `{"fields":{"Paid":true}}`, "INVALID_REQUEST_UNKNOWN"},
		{`[]`, `{"fields":{"No":"x"}}`, "INVALID_REQUEST_UNKNOWN"},
		{`["No","Qty","State","Tags"]`, `{"fields":{"No":"x"}}`, "INVALID_REQUEST_UNKNOWN"},
	} {
		b.refused(patch("Orders", "", `{"records":[`+tt.item+`],"performUpsert":{"fieldsToMergeOn":`+tt.merge+`}}`), 422, tt.kind)
	}
	if n := len(records(b.ok(list("Orders")))); n != 2 {
		t.Errorf("refused upserts left %d records", n)
	}
}

func TestUpsert_RaceCreatesOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 10 {
				c := patch("Orders", "", fmt.Sprintf(`{"typecast":true,"records":[{"fields":{"No":"key%d","Qty":%d,"Tags":["t%d"]}},{"fields":{"No":"key%d","Qty":1}}],
					"performUpsert":{"fieldsToMergeOn":["No"]}}`, k, i, k, 9-k))
				c.Base, c.Caller = string(b.base.ID), b.who
				if a, err := b.store.Do(t.Context(), c); err != nil || a.Status != 200 {
					t.Errorf("%d %s %v", a.Status, a.Body, err)
				}
			}
		})
	}
	wg.Wait()
	count := map[any]int{}
	for _, r := range records(b.ok(list("Orders"))) {
		count[fields(r)["No"]]++
	}
	for k, n := range count {
		if n != 1 {
			t.Errorf("%v exists %d times", k, n)
		}
	}
	if len(count) != 10 {
		t.Errorf("%d keys", len(count))
	}
	var choices []string
	for _, tb := range b.ok(upstream.Call{Op: upstream.BaseSchema})["tables"].([]any) {
		for _, f := range tb.(object)["fields"].([]any) {
			if f.(object)["id"] == "fldTags" {
				for _, c := range f.(object)["options"].(object)["choices"].([]any) {
					choices = append(choices, c.(object)["name"].(string))
				}
			}
		}
	}
	slices.Sort(choices)
	if diff := cmp.Diff([]string{"a", "b", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9"}, choices); diff != "" {
		t.Error(diff)
	}
}

func TestBatch_IsAtomicAndLimited(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	recID := b.made("Orders", `{"No":"1"}`)
	eleven := strings.TrimSuffix(strings.Repeat(`{"fields":{}},`, 11), ",")
	const gone = "recZZZZZZZZZZZZZZ"
	for _, tt := range []struct {
		call   upstream.Call
		status int
		kind   string
	}{
		{create("Orders", `{"records":[{"fields":{"No":"ok"}},{"fields":{"Qty":"x"}}]}`), 422, "INVALID_VALUE_FOR_COLUMN"},
		{create("Orders", `{"records":[{"fields":{"No":"ok"}},{"fields":{"Nope":1}}]}`), 422, "UNKNOWN_FIELD_NAME"},
		{create("Orders", `{"records":[`+eleven+`]}`), 422, "INVALID_RECORDS"},
		{create("Orders", `{"records":[]}`), 422, "INVALID_RECORDS"},
		{create("Orders", `{"records":[{}]}`), 422, "INVALID_RECORDS"},
		{create("Orders", `{}`), 422, "INVALID_REQUEST_MISSING_FIELDS"},
		{create("Orders", `{`), 422, "INVALID_REQUEST_BODY"},
		{create("Orders", ``), 422, "INVALID_REQUEST_BODY"},
		{create("Orders", `{"fields":{"Auto":1}}`), 422, "INVALID_VALUE_FOR_COLUMN"},
		{create("Orders", `{"fields":{"State":"New"}}`), 422, "INVALID_MULTIPLE_CHOICE_OPTIONS"},
		{create("Orders", `{"fields":{"Buyer":["`+gone+`"]}}`), 422, "ROW_DOES_NOT_EXIST"},
		{create("Orders", `{"fields":{"Buyer":"Ann"}}`), 422, "INVALID_VALUE_FOR_COLUMN"},
		{create("Nope", `{"fields":{}}`), 403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND"},
		{patch("Orders", "", `{"records":[{"id":"`+recID+`","fields":{"No":"2"}},{"id":"`+gone+`","fields":{"Qty":"x"}}]}`), 422, "ROW_DOES_NOT_EXIST"},
		{patch("Orders", "", `{"records":[{"fields":{}}]}`), 422, "INVALID_RECORDS"},
		{patch("Orders", gone, `{"fields":{}}`), 404, "MODEL_ID_NOT_FOUND"},
		{get("Orders", gone), 404, "MODEL_ID_NOT_FOUND"},
		{get("Orders", "junk"), 404, "NOT_FOUND"},
		{remove("Orders", gone), 404, "MODEL_ID_NOT_FOUND"},
		{remove("Orders", "", recID, gone), 422, "ROW_DOES_NOT_EXIST"},
		{remove("Orders", ""), 422, "INVALID_RECORDS"},
		{list("Orders", "pageSize", "101"), 422, "INVALID_REQUEST_UNKNOWN"},
		{list("Orders", "maxRecords", "0"), 422, "INVALID_REQUEST_UNKNOWN"},
		{list("Orders", "fields[]", "Nope"), 422, "UNKNOWN_FIELD_NAME"},
		{list("Orders", "sort[0][field]", "Nope"), 422, "UNKNOWN_FIELD_NAME"},
		{list("Orders", "sort[0][field]", "No", "sort[0][direction]", "up"), 422, "INVALID_REQUEST_UNKNOWN"},
		{list("Orders", "view", "Nope"), 422, "VIEW_NAME_NOT_FOUND"},
		{list("Orders", "view", string(b.base.Tables[1].Views[0].ID)), 422, "FAILED_STATE_CHECK"},
		{list("Orders", "cellFormat", "string"), 422, "INVALID_REQUEST_UNKNOWN"},
		{list("Orders", "filterByFormula", "("), 422, "INVALID_FILTER_BY_FORMULA"},
	} {
		b.refused(tt.call, tt.status, tt.kind)
	}
	recs := records(b.ok(list("Orders")))
	if len(recs) != 1 || fields(recs[0])["No"] != "1" {
		t.Errorf("refused writes left %v", recs)
	}
}

func TestBatch_SameRecordTwiceLaterItemWins(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	recID := b.made("Orders", `{"No":"1"}`)
	got := records(b.ok(patch("Orders", "", `{"records":[{"id":"`+recID+`","fields":{"No":"2","Qty":1}},{"id":"`+recID+`","fields":{"No":"3"}}]}`)))
	for _, r := range got {
		if fields(r)["No"] != "3" || fields(r)["Qty"] != 1.0 {
			t.Errorf("answered %v", r)
		}
	}
	batch := b.ok(remove("Orders", "", recID, recID))["records"].([]any)
	if diff := cmp.Diff([]any{object{"id": recID, "deleted": true}, object{"id": recID, "deleted": true}}, batch); diff != "" {
		t.Error(diff)
	}
}

func TestTypecast_MakesChoicesAndLinkedRecords(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	ann := b.made("People", `{"Name":"Ann"}`)
	got := b.ok(create("Orders", `{"typecast":true,"records":[
		{"fields":{"No":12.5,"Qty":"1,234.5","Paid":"checked","State":"New","Tags":"c","Due":"May 3, 2026","Buyer":"Ann, Bob"}},
		{"fields":{"No":true,"State":"New","Buyer":["Bob","`+ann+`"]}}]}`))
	first, second := fields(records(got)[0]), fields(records(got)[1])
	if first["No"] != "12.5" || first["Qty"] != 1234.5 || first["Paid"] != true || first["State"] != "New" || first["Due"] != "2026-05-03" || second["No"] != "true" {
		t.Errorf("typecast gave %v and %v", first, second)
	}
	buyers := first["Buyer"].([]any)
	if buyers[0] != ann || !cmp.Equal(second["Buyer"], []any{buyers[1], ann}) {
		t.Errorf("links %v and %v", buyers, second["Buyer"])
	}
	if n := len(records(b.ok(list("People")))); n != 2 {
		t.Errorf("%d people, want Ann and Bob", n)
	}
	b.refused(create("Orders", `{"typecast":true,"fields":{"Qty":"many"}}`), 422, "INVALID_VALUE_FOR_COLUMN")
}

func TestCellFormatString_ShowsWhatPeopleSee(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	recID := b.made("Orders", `{"Qty":3.7,"Paid":true,"Tags":["b","a"],"At":"2026-05-01T10:30:00Z","Buyer":"Ann, Bob"}`)
	c := get("Orders", recID)
	c.RawQuery = "cellFormat=string&timeZone=Europe/Berlin&userLocale=de"
	got := fields(b.ok(c))
	want := object{"Qty": "4", "Paid": "checked", "Tags": "b, a", "At": "2026-05-01 12:30", "Buyer": "Ann, Bob", "Auto": "1", "Made": "2026-05-01 12:00"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Whatever is done to them, both sides of every link agree, in the answers and in
// the table, and no link leads to a record that is gone.
func TestLinks_BothSidesAgreeAfterRandomOperations(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	b.ok(upstream.Call{Op: upstream.CreateField, Table: "Orders", Body: []byte(`{"name":"Next","type":"multipleRecordLinks","options":{"linkedTableId":"tblOrders"}}`)})
	r := rand.New(rand.NewPCG(7, 7))
	alive := map[string][]string{}
	pick := func(table string, n int) string {
		var ids []string
		for range n {
			if len(alive[table]) > 0 {
				if recID := alive[table][r.IntN(len(alive[table]))]; !slices.Contains(ids, recID) {
					ids = append(ids, recID)
				}
			}
		}
		return `["` + strings.Join(ids, `","`) + `"]`
	}
	cell := func(table string) string {
		if table == "People" {
			return `"Orders":` + strings.ReplaceAll(pick("Orders", r.IntN(4)), `[""]`, `null`)
		}
		name, other := "Buyer", "People"
		if f := r.IntN(3); f > 0 {
			name, other = []string{"Next", "From field: Next"}[f-1], "Orders"
		}
		return `"` + name + `":` + strings.ReplaceAll(pick(other, r.IntN(4)), `[""]`, `null`)
	}
	for range 250 {
		table := []string{"Orders", "People"}[r.IntN(2)]
		switch ids := alive[table]; {
		case len(ids) < 4 || r.IntN(4) == 0:
			alive[table] = append(ids, b.ok(create(table, `{"fields":{`+cell(table)+`}}`))["id"].(string))
		case r.IntN(6) == 0:
			i := r.IntN(len(ids))
			b.ok(remove(table, ids[i]))
			alive[table] = slices.Delete(ids, i, i+1)
		case r.IntN(6) == 0:
			b.ok(put(table, ids[r.IntN(len(ids))], `{"fields":{`+cell(table)+`}}`))
		default:
			b.ok(patch(table, ids[r.IntN(len(ids))], `{"fields":{`+cell(table)+`}}`))
		}
	}
	b.checkLinks("Orders", "Buyer", "People", "Orders")
	b.checkLinks("Orders", "Next", "Orders", "From field: Next")
	var loose int
	err := postgres.ForEveryTenant(b.pool).QueryRow(t.Context(), `
		SELECT count(*) FROM links l JOIN fields f ON f.tenant_id = l.tenant_id AND f.id = l.field_id
		WHERE NOT EXISTS (SELECT FROM links m WHERE m.tenant_id = l.tenant_id AND m.field_id = f.options ->> 'inverseLinkFieldId'
			AND m.record_id = l.target_id AND m.target_id = l.record_id)
		   OR NOT EXISTS (SELECT FROM records r WHERE r.tenant_id = l.tenant_id AND r.table_id = f.table_id AND r.id = l.record_id)`).Scan(&loose)
	if err != nil || loose != 0 {
		t.Errorf("%d loose links, %v", loose, err)
	}
}

func (b *bench) checkLinks(table, field, other, mirror string) {
	b.t.Helper()
	pairs := func(table, field string, flip bool) map[[2]any]bool {
		out := map[[2]any]bool{}
		for _, r := range records(b.ok(list(table))) {
			links, _ := fields(r)[field].([]any)
			for _, l := range links {
				if flip {
					out[[2]any{l, r["id"]}] = true
				} else {
					out[[2]any{r["id"], l}] = true
				}
			}
		}
		return out
	}
	if diff := cmp.Diff(pairs(table, field, false), pairs(other, mirror, true)); diff != "" {
		b.t.Errorf("%s.%s and %s.%s differ: %s", table, field, other, mirror, diff)
	}
}

func TestLinks_ConcurrentWritersOfBothSidesDoNotDeadlock(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	var orders, people []string
	for range 4 {
		orders = append(orders, b.made("Orders", `{}`))
		people = append(people, b.made("People", `{}`))
	}
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for range 30 {
				c := patch("Orders", orders[r.IntN(4)], `{"fields":{"Qty":1,"Buyer":["`+people[r.IntN(4)]+`"]}}`)
				if i%2 == 0 {
					c = patch("People", people[r.IntN(4)], `{"fields":{"Orders":["`+orders[r.IntN(4)]+`"]}}`)
				}
				c.Base, c.Caller = string(b.base.ID), b.who
				if a, err := b.store.Do(t.Context(), c); err != nil || a.Status != 200 {
					t.Errorf("%d %s %v", a.Status, a.Body, err)
				}
			}
		})
	}
	wg.Wait()
	b.checkLinks("Orders", "Buyer", "People", "Orders")
}

func TestWrite_EmitsOneEventForEachRecordThatChanged(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	ann := b.made("People", `{"Name":"Ann"}`)
	order := b.made("Orders", `{"No":"1","Buyer":["`+ann+`"]}`)
	b.ok(patch("Orders", order, `{"fields":{"No":"1"}}`)) // changes nothing
	b.ok(patch("Orders", order, `{"fields":{"Qty":0,"State":"Done"}}`))
	b.ok(remove("Orders", order))
	b.refused(create("Orders", `{"fields":{"Qty":"x"}}`), 422, "INVALID_VALUE_FOR_COLUMN")
	rows, err := b.pool.Query(t.Context(), `
		SELECT event ->> 'type', event ->> 'subject', event ->> 'version', event #>> '{data,old_cells}', event #>> '{data,new_cells}'
		FROM outbox WHERE tenant_id = $1 ORDER BY event ->> 'id'`, b.who.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var kind, subject, version, before, after string
		if err := rows.Scan(&kind, &subject, &version, &before, &after); err != nil {
			t.Fatal(err)
		}
		subject = strings.NewReplacer(ann, "ann", order, "order").Replace(subject + " " + version + " " + before + " " + after)
		got = append(got, strings.TrimSuffix(strings.TrimPrefix(kind, "com.pyairtable.record."), ".v1")+" "+subject)
	}
	want := []string{
		`created ann 1 {} {"fldName":"Ann"}`,
		`created order 1 {} {"fldBuyer":["ann"],"fldNo":"1"}`,
		`updated ann 2 {} {"fldOrders":["order"]}`,
		`updated order 2 {} {"fldQty":0,"fldState":"Done"}`,
		`deleted order 3 {"fldBuyer":["ann"],"fldNo":"1","fldQty":0,"fldState":"Done"} {}`,
		`updated ann 3 {"fldOrders":["order"]} {}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestImport_ChosenIDsAndDuplicatesRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	recs := []local.ImportRecord{{ID: "recOne", Fields: object{"No": "1", "Qty": 7, "Tags": []string{"b"}}}, {ID: "rec2", Fields: object{"No": "2"}}}
	if _, err := b.store.ImportRecords(t.Context(), b.who, b.base.ID, "Orders", recs, false); err != nil {
		t.Fatal(err)
	}
	if got := fields(b.ok(get("Orders", "recOne"))); got["Qty"] != 7.0 {
		t.Errorf("imported %v", got)
	}
	if _, err := b.store.ImportRecords(t.Context(), b.who, b.base.ID, "Orders", recs, false); err == nil {
		t.Error("the same ids were imported twice")
	}
	if _, err := b.store.ImportRecords(t.Context(), b.who, b.base.ID, "Orders", []local.ImportRecord{{ID: "recX"}, {ID: "recX"}}, false); err == nil {
		t.Error("an id was imported twice in one go")
	}
}
