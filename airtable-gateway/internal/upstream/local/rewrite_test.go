package local_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

func TestSchema_NoChangeOfItRewritesRecords(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	b.seed(200)
	state := func() (out []string) {
		t.Helper()
		rows, err := postgres.ForEveryTenant(b.pool).Query(t.Context(), `
			SELECT pg_relation_filenode('record_rows') || ' ' || ctid || ' ' || xmin || ' ' || cells FROM records ORDER BY number`)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			out = append(out, line)
		}
		return out
	}
	before := state()
	b.ok(createField("Orders", `{"name":"Text","type":"singleLineText"}`))
	b.ok(createField("Orders", `{"name":"Price","type":"currency","options":{"precision":2,"symbol":"€"}}`))
	b.ok(createField("Orders", `{"name":"Packer","type":"multipleRecordLinks","options":{"linkedTableId":"tblPeople"}}`))
	b.ok(rename("Orders", "Qty", "Amount"))
	b.ok(rename("Orders", "No", "Number"))
	b.ok(upstream.Call{Op: upstream.UpdateTable, Method: "PATCH", Table: "Orders", Body: []byte(`{"name":"Sales"}`)})
	b.ok(createTable(`{"name":"More","fields":[{"name":"a","type":"singleLineText"}]}`))
	if diff := cmp.Diff(before, state()); diff != "" || len(before) != 200 {
		t.Errorf("%d records, (-before +after):\n%s", len(before), diff)
	}
	if got := fields(records(b.ok(list("Sales")))[7]); got["Number"] != "n7" {
		t.Errorf("a record after the changes: %v", got)
	}
}
