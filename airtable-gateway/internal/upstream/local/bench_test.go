package local_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
)

// beside does two calls in turn and reports the median of what one takes, and how many
// times that the other does. Both must answer with the same number of records.
func beside(b *testing.B, on *bench, one, other upstream.Call) {
	b.Helper()
	var took [2][]float64 // ms
	for b.Loop() {
		var sizes [2]int
		for i, call := range []upstream.Call{one, other} {
			call.Caller, call.Base = on.who, string(on.base.ID)
			start := time.Now()
			a, err := on.store.Do(b.Context(), call)
			took[i] = append(took[i], time.Since(start).Seconds()*1000)
			if err != nil || a.Status != http.StatusOK {
				b.Fatalf("%d %s %v", a.Status, a.Body, err)
			}
			sizes[i] = len(records(decode(b, string(a.Body))))
		}
		if sizes[0] != sizes[1] || sizes[0] == 0 {
			b.Fatalf("%d and %d records", sizes[0], sizes[1])
		}
	}
	var median [2]float64
	for i := range took {
		slices.Sort(took[i])
		median[i] = took[i][len(took[i])/2]
	}
	b.ReportMetric(median[0], "ms/one")
	b.ReportMetric(median[1], "ms/other")
	b.ReportMetric(median[1]/median[0], "times")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkFilter compares, on 100,000 records, a filter that PostgreSQL does (one)
// with one of the same meaning that is evaluated record by record (other).
func BenchmarkFilter(b *testing.B) {
	const size = 100_000
	on := newBench(b).shop()
	on.formula("Orders", "Last", fmt.Sprintf(`{Qty} >= %d`, size-50))
	on.formula("Orders", "Late", fmt.Sprintf(`ABS({Qty}) >= %d`, size-50))
	recs := make([]local.ImportRecord, size)
	for i := range recs {
		recs[i].Fields = object{"No": fmt.Sprintf("n%d", i), "Qty": (i * 7919) % size, "Due": "2026-02-01"}
	}
	if _, err := on.store.ImportRecords(b.Context(), on.who, on.base.ID, "Orders", recs, false); err != nil {
		b.Fatal(err)
	}
	for _, tt := range []struct{ name, one, other string }{
		{"text_equals", `{No}="n77777"`, `TRIM({No})="n77777"`},
		{"number_above", fmt.Sprintf(`{Qty}>=%d`, size-50), fmt.Sprintf(`ABS({Qty})>=%d`, size-50)},
		{"formula_field", `{Last}`, `{Late}`},
	} {
		b.Run(tt.name, func(b *testing.B) {
			beside(b, on, list("Orders", "filterByFormula", tt.one), list("Orders", "filterByFormula", tt.other))
		})
	}
	b.Run("sort_by_formula_field", func(b *testing.B) {
		beside(b, on, list("Orders", "sort[0][field]", "Qty"), list("Orders", "sort[0][field]", "Late"))
	})
}

// BenchmarkPage compares a page of 100 records without computed fields (one) with the
// same page with some (other). Each order has three lines, each person two orders.
func BenchmarkPage(b *testing.B) {
	on := newBench(b).trade()
	on.people(1_000)
	plain := []string{"fields[]", "No", "fields[]", "Lines", "fields[]", "Buyer", "fields[]", "Auto"}
	for _, tt := range []struct {
		name   string
		fields []string
	}{
		{"formula", []string{"Title"}}, {"lookup", []string{"Sums"}}, {"rollup", []string{"Total"}}, {"formula_lookup_rollup", []string{"Title", "Sums", "Total"}},
	} {
		b.Run(tt.name, func(b *testing.B) {
			with := plain
			for _, f := range tt.fields {
				with = append(with, "fields[]", f)
			}
			beside(b, on, list("Orders", plain...), list("Orders", with...))
		})
	}
	b.Run("two_tables_away", func(b *testing.B) {
		beside(b, on, list("People", "fields[]", "Name", "fields[]", "Orders"), list("People", "fields[]", "Name", "fields[]", "Orders", "fields[]", "Spent", "fields[]", "Verdict"))
	})
}
