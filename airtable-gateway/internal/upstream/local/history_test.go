package local_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// history returns all changes of a record, the newest first.
func (b *bench) history(table, rec, field string) []repository.Revision {
	b.t.Helper()
	revs, err := b.store.History(b.t.Context(), b.who.Tenant, local.HistoryOf{Base: b.base.ID, Table: table, Record: rec, Field: field}, 0, 1000)
	if err != nil {
		b.t.Fatal(err)
	}
	return revs
}

// told writes changes as lines: kind, version, old cells, new cells.
func told(revs []repository.Revision) (out []string) {
	for _, r := range revs {
		line := fmt.Sprint(r.Kind, " ", r.Version)
		for _, side := range []map[string]string{texts(r.Old), texts(r.New)} {
			line += " " + strings.TrimPrefix(fmt.Sprint(side), "map")
		}
		out = append(out, line)
	}
	return out
}

func texts[V ~[]byte](cells map[string]V) map[string]string {
	out := map[string]string{}
	for k, v := range cells {
		out[k] = string(v)
	}
	return out
}

func TestHistory_TellsEveryChangeOfARecordUntilItIsGone(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	ann := b.made("People", `{"Name":"Ann"}`)
	rec := b.made("Orders", `{"No":"1","Qty":2,"State":"Done","Buyer":["`+ann+`"]}`)
	boris := b.as(upstream.Caller{Tenant: b.who.Tenant, User: id.New[id.User]()})
	*b.clock = b.clock.Add(time.Hour)
	boris.ok(patch("Orders", rec, `{"fields":{"Qty":3,"No":"1","State":null}}`))
	boris.ok(patch("Orders", rec, `{"fields":{"Qty":3}}`)) // changes nothing
	b.ok(patch("Orders", rec, `{"fields":{"Buyer":[]}}`))
	b.ok(remove("Orders", rec))
	got := b.history("Orders", rec, "")
	want := []string{
		`deleted 4 [fldNo:"1" fldQty:3] []`,
		`updated 3 [fldBuyer:["` + ann + `"]] []`,
		`updated 2 [fldQty:2 fldState:"Done"] [fldQty:3]`,
		`created 1 [] [fldBuyer:["` + ann + `"] fldNo:"1" fldQty:2 fldState:"Done"]`,
	}
	if diff := cmp.Diff(want, told(got)); diff != "" {
		t.Error(diff)
	}
	if got[2].By != boris.who.User || got[3].By != b.who.User || !got[2].At.Equal(*b.clock) || !got[3].At.Equal(b.clock.Add(-time.Hour)) {
		t.Errorf("who and when: %+v", got)
	}
	// The other ends of links have their own.
	if diff := cmp.Diff([]string{`updated 3 [fldOrders:["` + rec + `"]] []`, `updated 2 [] [fldOrders:["` + rec + `"]]`, `created 1 [] [fldName:"Ann"]`}, told(b.history("People", ann, ""))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{`deleted 4 [fldQty:3] []`, `updated 2 [fldQty:2] [fldQty:3]`, `created 1 [] [fldQty:2]`}, told(b.history("tblOrders", rec, "Qty"))); diff != "" {
		t.Errorf("of one field: %s", diff)
	}
}

func TestHistory_IsThereExactlyIfTheWriteIs(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	rec := b.made("Orders", `{"No":"1"}`)
	b.refused(upstream.Call{Op: upstream.UpdateRecords, Method: "PATCH", Table: "Orders",
		Body: []byte(`{"records":[{"id":"` + rec + `","fields":{"No":"2"}},{"id":"recNobody00000000","fields":{"No":"3"}}]}`)}, 422, "ROW_DOES_NOT_EXIST")
	if got := told(b.history("Orders", rec, "")); len(got) != 1 {
		t.Errorf("a refused write left %v", got)
	}
	var wg sync.WaitGroup
	for i := range 8 { // by several at once
		wg.Go(func() {
			c := patch("Orders", rec, fmt.Sprintf(`{"fields":{"Qty":%d}}`, i+1))
			c.Caller, c.Base = b.who, string(b.base.ID)
			if a, err := b.store.Do(t.Context(), c); err != nil || a.Status != 200 {
				t.Error(a.Status, err)
			}
		})
	}
	wg.Wait()
	revs := b.history("Orders", rec, "fldQty")
	if len(revs) != 8 {
		t.Fatalf("%d changes", len(revs))
	}
	for i, r := range revs[:7] {
		if older := revs[i+1]; r.Version != older.Version+1 || string(r.Old["fldQty"]) != string(older.New["fldQty"]) {
			t.Errorf("%v does not follow %v", told(revs[i:i+1]), told(revs[i+1:i+2]))
		}
	}
	ids := b.seed(600)
	if got := told(b.history("Orders", string(ids[599]), "No")); len(got) != 1 || got[0] != `created 1 [] [fldNo:"n599"]` {
		t.Errorf("of an imported record: %v", got)
	}
}

func TestHistory_OfAnIdThatIsUsedAgainGoesOn(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	for _, name := range []string{"first", "second"} {
		_, err := b.store.ImportRecords(t.Context(), b.who, b.base.ID, "People", []local.ImportRecord{{ID: "recChosen00000001", Fields: object{"Name": name}}}, false)
		if err != nil {
			t.Fatal(err)
		}
		b.ok(remove("People", "recChosen00000001"))
	}
	want := []string{`deleted 2 [fldName:"second"] []`, `created 1 [] [fldName:"second"]`, `deleted 2 [fldName:"first"] []`, `created 1 [] [fldName:"first"]`}
	if diff := cmp.Diff(want, told(b.history("People", "recChosen00000001", ""))); diff != "" {
		t.Error(diff)
	}
}

func TestHistory_WhatIsNotThereIsTold(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	rec := b.made("Orders", `{"No":"1"}`)
	ask := func(b *bench, of local.HistoryOf) error {
		_, err := b.store.History(t.Context(), b.who.Tenant, of, 0, 10)
		return err
	}
	stranger := b.as(upstream.Caller{Tenant: id.New[id.Tenant]()})
	for name, tt := range map[string]struct{ got, want error }{
		"an unknown record":             {ask(b, local.HistoryOf{Base: b.base.ID, Table: "Orders", Record: "recNobody00000000"}), airtableapi.ErrRecordNotFound},
		"no id":                         {ask(b, local.HistoryOf{Base: b.base.ID, Table: "Orders", Record: "x"}), airtableapi.ErrRecordNotFound},
		"a record of another table":     {ask(b, local.HistoryOf{Base: b.base.ID, Table: "People", Record: rec}), airtableapi.ErrRecordNotFound},
		"an unknown field":              {ask(b, local.HistoryOf{Base: b.base.ID, Table: "Orders", Record: rec, Field: "Nope"}), airtableapi.ErrUnknownField},
		"an unknown table":              {ask(b, local.HistoryOf{Base: b.base.ID, Table: "Nope", Record: rec}), airtableapi.ErrTableNotFound},
		"an unknown base":               {ask(b, local.HistoryOf{Base: "appNope", Table: "Orders", Record: rec}), airtableapi.ErrBaseNotFound},
		"a stranger":                    {ask(stranger, local.HistoryOf{Base: b.base.ID, Table: "Orders", Record: rec}), airtableapi.ErrBaseNotFound},
		"a field that never had a cell": {ask(b, local.HistoryOf{Base: b.base.ID, Table: "Orders", Record: rec, Field: "Qty"}), nil},
	} {
		if !errors.Is(tt.got, tt.want) {
			t.Errorf("%s: %v", name, tt.got)
		}
	}
}

func TestHistory_IsForgottenInTime(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	gone, kept := b.made("Orders", `{"No":"1"}`), b.made("Orders", `{"No":"2"}`)
	b.ok(remove("Orders", gone))
	b.seed(5_200) // more than one piece
	*b.clock = b.clock.Add(48 * time.Hour)
	b.ok(patch("Orders", kept, `{"fields":{"No":"3"}}`))
	n, err := repository.NewStore(b.pool).PruneHistory(t.Context(), b.clock.Add(-24*time.Hour))
	if err != nil || n != 5_203 {
		t.Errorf("forgot %d, %v", n, err)
	}
	if diff := cmp.Diff([]string{`updated 2 [fldNo:"2"] [fldNo:"3"]`}, told(b.history("Orders", kept, ""))); diff != "" {
		t.Error(diff)
	}
	_, err = b.store.History(t.Context(), b.who.Tenant, local.HistoryOf{Base: b.base.ID, Table: "Orders", Record: gone}, 0, 10)
	if !errors.Is(err, airtableapi.ErrRecordNotFound) {
		t.Errorf("a record that nothing is known of any more: %v", err)
	}
}
