package local_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
)

const (
	fewRecords  = 10_000
	manyRecords = 1_000_000
	states      = 20 // choices of a select
)

// BenchmarkScale does the same to a table of 10,000 records and to one of 1,000,000, in
// databases of their own, and reports the medians and their ratio. make bench-store.
func BenchmarkScale(b *testing.B) {
	few, many := fill(b, fewRecords), fill(b, manyRecords)
	for _, op := range operations {
		b.Run(op.name, func(b *testing.B) {
			for range b.N {
				small, large := few.median(op), many.median(op)
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(milliseconds(small), "ms/10k")
				b.ReportMetric(milliseconds(large), "ms/1M")
				b.ReportMetric(float64(large)/float64(small), "ratio")
			}
		})
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// big is a table of so many records.
type big struct {
	*bench
	ids []models.RecordID
	r   *rand.Rand
}

func fill(b *testing.B, n int) *big {
	b.Helper()
	t := &big{bench: newBench(b), r: rand.New(rand.NewPCG(1, 2))}
	var choices []any
	for i := range states {
		choices = append(choices, option("name", fmt.Sprintf("state %d", i)))
	}
	var err error
	t.base, err = t.store.CreateBase(b.Context(), t.who, models.BaseSpec{Name: "Big", Tables: []models.TableSpec{{Name: "Orders", Fields: []models.FieldSpec{
		{Name: "Key", Type: models.SingleLineText}, {Name: "Title", Type: models.SingleLineText}, {Name: "Notes", Type: models.MultilineText},
		{Name: "Amount", Type: models.Number, Options: option("precision", 2)}, {Name: "Count", Type: models.Number, Options: option("precision", 0)},
		{Name: "State", Type: models.SingleSelect, Options: option("choices", choices)},
		{Name: "Due", Type: models.Date, Options: option("dateFormat", option("name", "iso"))},
		{Name: "Paid", Type: models.Checkbox, Options: option("icon", "check", "color", "greenBright")},
	}}}})
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	const piece = 50_000 // records in memory; their statistics are drawn anew behind each
	for from := 0; from < n; from += piece {
		recs := make([]local.ImportRecord, min(piece, n-from))
		for i := range recs {
			recs[i].Fields = t.cells(from + i)
		}
		ids, err := t.store.ImportRecords(b.Context(), t.who, t.base.ID, "Orders", recs, false)
		if err != nil {
			b.Fatal(err)
		}
		t.ids = append(t.ids, ids...)
	}
	b.Logf("%d records filled in %s", n, time.Since(start).Round(time.Second))
	if _, err := t.pool.Exec(b.Context(), `VACUUM ANALYZE record_rows`); err != nil { // what autovacuum does in its time
		b.Fatal(err)
	}
	return t
}

func (t *big) cells(i int) object {
	return object{
		"Key": fmt.Sprintf("K-%07d", i), "Title": fmt.Sprintf("Order number %d of customer %d", i, t.r.IntN(5_000)),
		"Notes":  fmt.Sprintf("Packed by %d, sent on day %d. Handle with care, do not bend.", t.r.IntN(100), i%365),
		"Amount": float64(t.r.IntN(10_000_000)) / 100, "Count": t.r.IntN(1_000), "State": fmt.Sprintf("state %d", t.r.IntN(states)),
		"Due": time.Date(2020, 1, 1+t.r.IntN(2_000), 0, 0, 0, 0, time.UTC).Format(time.DateOnly), "Paid": i%3 == 0,
	}
}

func (t *big) any() string { return string(t.ids[t.r.IntN(len(t.ids))]) }

// operation is what is measured: each call of do, or of what prepare returns for it.
type operation struct {
	name    string
	rounds  int
	prepare func(t *big) upstream.Call
}

var operations = []operation{
	{"list page", 51, func(*big) upstream.Call { return list("Orders") }},
	{"list page 50 of a walk", 9, func(t *big) upstream.Call { return t.page(50) }},
	{"get one", 51, func(t *big) upstream.Call { return get("Orders", t.any()) }},
	{"filter by a unique text", 51, func(t *big) upstream.Call {
		return list("Orders", "filterByFormula", fmt.Sprintf(`{Key}="K-%07d"`, t.r.IntN(len(t.ids))))
	}},
	{"filter by a unique text, none", 51, func(*big) upstream.Call { return list("Orders", "filterByFormula", `{Key}="nothing"`) }},
	{"filter by a choice", 51, func(t *big) upstream.Call {
		return list("Orders", "filterByFormula", fmt.Sprintf(`{State}="state %d"`, t.r.IntN(states)))
	}},
	{"filter by two cells", 51, func(t *big) upstream.Call {
		return list("Orders", "filterByFormula", fmt.Sprintf(`AND({State}="state %d",{Count}=%d)`, t.r.IntN(states), t.r.IntN(1_000)))
	}},
	{"filter by a range, common", 51, func(*big) upstream.Call { return list("Orders", "filterByFormula", `{Amount}>50000`) }},
	{"filter by a range, rare", 5, func(*big) upstream.Call { return list("Orders", "filterByFormula", `{Amount}>99999`) }},
	{"sort by a number, first page", 9, func(*big) upstream.Call { return list("Orders", "sort[0][field]", "Amount") }},
	{"sort by a text, first page", 5, func(*big) upstream.Call { return list("Orders", "sort[0][field]", "Title") }},
	{"sort by a choice, first page", 5, func(*big) upstream.Call { return list("Orders", "sort[0][field]", "State") }},
	{"sort by a date, the first 10", 5, func(*big) upstream.Call {
		return list("Orders", "sort[0][field]", "Due", "sort[0][direction]", "desc", "maxRecords", "10")
	}},
	{"sort by a number, second page", 5, func(t *big) upstream.Call { return t.page(1, "sort[0][field]", "Amount") }},
	{"sort by a number, third page", 5, func(t *big) upstream.Call { return t.page(2, "sort[0][field]", "Amount") }},
	{"sort a choice's records", 9, func(t *big) upstream.Call {
		return list("Orders", "sort[0][field]", "Amount", "filterByFormula", fmt.Sprintf(`AND({State}="state %d",{Count}=%d)`, t.r.IntN(states), t.r.IntN(1_000)))
	}},
	{"update one", 51, func(t *big) upstream.Call {
		return patch("Orders", t.any(), fmt.Sprintf(`{"fields":{"Count":%d}}`, t.r.IntN(1_000)))
	}},
	{"create one", 51, func(t *big) upstream.Call {
		return create("Orders", fmt.Sprintf(`{"fields":{"Key":"new %d","Amount":1}}`, t.r.IntN(1_000_000_000)))
	}},
	{"upsert one by its key", 51, func(t *big) upstream.Call {
		return patch("Orders", "", fmt.Sprintf(`{"performUpsert":{"fieldsToMergeOn":["Key"]},"records":[{"fields":{"Key":"K-%07d","Count":%d}}]}`,
			t.r.IntN(len(t.ids)), t.r.IntN(1_000)))
	}},
	{"delete one", 51, func(t *big) upstream.Call {
		last := len(t.ids) - 1
		rec := t.ids[last]
		t.ids = t.ids[:last]
		return remove("Orders", string(rec))
	}},
}

// page is the call for the page behind so many others of a walk.
func (t *big) page(behind int, kv ...string) upstream.Call {
	offset := ""
	for range behind {
		offset = t.ok(list("Orders", append(kv, "offset", offset)...))["offset"].(string)
	}
	return list("Orders", append(kv, "offset", offset)...)
}

func (t *big) median(op operation) time.Duration {
	took := make([]time.Duration, op.rounds)
	for i := range took {
		c := op.prepare(t)
		start := time.Now()
		t.ok(c)
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[len(took)/2]
}
