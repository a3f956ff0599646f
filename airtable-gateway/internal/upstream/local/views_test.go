package local_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

func (b *bench) at(view string) local.ViewAt {
	return local.ViewAt{Base: b.base.ID, Table: "Orders", View: view}
}

// view defines a view of Orders.
func (b *bench) view(name, filter string, sort ...models.SortBy) models.View {
	b.t.Helper()
	v, _, err := b.store.CreateView(b.t.Context(), b.who, b.at(""), local.ViewDraft{
		Name: name, ViewPatch: local.ViewPatch{Filter: &filter, Sort: sort},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func rename(table, field, name string) upstream.Call {
	return upstream.Call{Op: upstream.UpdateField, Method: "PATCH", Table: table, Field: field, Body: []byte(`{"name":"` + name + `"}`)}
}

func TestView_ItsFilterAndSortAreThoseOfTheList(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop().stock()
	v := b.view("Some", `{Qty} > 0`, models.SortBy{Field: "Qty", Desc: true}, models.SortBy{Field: "No"})
	b.view("Links", `FIND("Zoe", {Buyer})`)
	b.view("Plain", ``)
	for _, tt := range []struct {
		params []string
		want   string
	}{
		{[]string{"view", "Some"}, "2 1 3"},
		{[]string{"view", string(v.ID)}, "2 1 3"},
		{[]string{"view", "Some", "filterByFormula", "{Paid}"}, "1 3"},
		{[]string{"view", "Some", "filterByFormula", `LOWER({No})="x"`}, "2 1"},
		{[]string{"view", "Some", "filterByFormula", `{No}="nothing"`}, ""},
		{[]string{"view", "Some", "sort[0][field]", "Auto"}, "1 2 3"},
		{[]string{"view", "Some", "maxRecords", "2"}, "2 1"},
		{[]string{"view", "Links"}, "1"},
		{[]string{"view", "Links", "filterByFormula", `FIND("a", {Tags})`}, "1"},
		{[]string{"view", "Links", "filterByFormula", `FIND("q", {Tags})`}, ""},
		{[]string{"view", "Plain"}, "1 2 3 4 5"},
		{[]string{"view", "Grid view"}, "1 2 3 4 5"},
	} {
		if got := numbers(records(b.ok(list("Orders", tt.params...)))); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.params, got, tt.want)
		}
	}
	b.refused(list("Orders", "view", "Nowhere"), 422, "VIEW_NAME_NOT_FOUND")
	b.refused(list("People", "view", string(v.ID)), 422, "FAILED_STATE_CHECK")
}

func TestView_PagesGoThroughItsRecordsOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	b.seed(300)
	b.view("Small", `{Qty} < 100`)
	b.view("Sorted", `{Qty} < 100`, models.SortBy{Field: "Qty", Desc: true})
	for _, view := range []string{"Small", "Sorted"} {
		met := b.walkAll("view", view, "pageSize", "7")
		if len(met) != 100 {
			t.Errorf("%s: met %d records", view, len(met))
		}
		for rec, times := range met {
			if times != 1 {
				t.Errorf("%s: met %s %d times", view, rec, times)
			}
		}
	}
}

func TestView_SurvivesTheRenamingOfItsFields(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop().stock()
	v := b.view("Some", `AND({Qty} > 0, {No} != "fldQty")`, models.SortBy{Field: "Qty", Desc: true})
	if want := `AND({fldQty} > 0, {fldNo} != "fldQty")`; v.Filter != want {
		t.Errorf("kept %s, want %s", v.Filter, want)
	}
	b.ok(rename("Orders", "Qty", "Amount"))
	b.ok(rename("Orders", "No", "fldQty")) // a name like another's id hides nothing
	if got := numbers(records(b.ok(list("Orders", "view", "Some")))); got != "2 1 3" {
		t.Errorf("after the renaming: %q", got)
	}
}

func TestView_WhatNoLongerCompilesIsAnErrorThatSaysSo(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop().stock()
	filtered, sorted := b.view("Filtered", `{Qty} > 0`), b.view("Sorted", ``, models.SortBy{Field: "Qty"})
	for sql, view := range map[string]models.View{
		`UPDATE views SET filter = '{fldGone} > 0' WHERE id = $1`:  filtered,
		`UPDATE views SET sort_fields = '{fldGone}' WHERE id = $1`: sorted,
	} {
		if _, err := postgres.ForEveryTenant(b.pool).Exec(t.Context(), sql, view.ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := postgres.ForEveryTenant(b.pool).Exec(t.Context(), `UPDATE bases SET schema_version = schema_version + 1`); err != nil {
		t.Fatal(err)
	}
	for _, view := range []models.View{filtered, sorted} {
		status, body := b.do(list("Orders", "view", view.Name))
		if status != 422 || !strings.Contains(strings.ToLower(body), `the definition of the view \"`+strings.ToLower(view.Name)+`\" no longer fits its table. `) ||
			!strings.Contains(strings.ToLower(body), "fldgone") {
			t.Errorf("%s: %d %s", view.Name, status, body)
		}
	}
	if n := len(records(b.ok(list("Orders", "view", "Sorted", "sort[0][field]", "Qty")))); n != 5 {
		t.Errorf("a sort of the call's own: %d records", n)
	}
	fixed := `{Qty} > 1`
	if _, _, err := b.store.UpdateView(t.Context(), b.who, b.at("Filtered"), 0, local.ViewPatch{Filter: &fixed}); err != nil {
		t.Fatal(err)
	}
	if got := numbers(records(b.ok(list("Orders", "view", "Filtered")))); got != "2" {
		t.Errorf("mended: %q", got)
	}
}

func TestView_ItsDefinitionIsChecked(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	b.view("Taken", "")
	text := func(s string) *string { return &s }
	for name, tt := range map[string]struct {
		draft   local.ViewDraft
		want    *errs.Error
		pointer string
	}{
		"no formula":         {local.ViewDraft{Name: "v", ViewPatch: local.ViewPatch{Filter: text(`AND(`)}}, airtableapi.ErrInvalidView, "/filter"},
		"unknown field":      {local.ViewDraft{Name: "v", ViewPatch: local.ViewPatch{Filter: text(`{Nope}`)}}, airtableapi.ErrInvalidView, "/filter"},
		"a long formula":     {local.ViewDraft{Name: "v", ViewPatch: local.ViewPatch{Filter: text(`"` + strings.Repeat("x", models.MaxFilter) + `"`)}}, airtableapi.ErrInvalidView, "/filter"},
		"sort by nothing":    {local.ViewDraft{Name: "v", ViewPatch: local.ViewPatch{Sort: []models.SortBy{{Field: "No"}, {Field: "Nope"}}}}, airtableapi.ErrInvalidView, "/sort/1/field"},
		"order of nothing":   {local.ViewDraft{Name: "v", ViewPatch: local.ViewPatch{Order: []string{"Nope"}}}, airtableapi.ErrInvalidView, "/field_order/0"},
		"a field twice":      {local.ViewDraft{Name: "v", ViewPatch: local.ViewPatch{Order: []string{"Qty", "fldQty"}}}, airtableapi.ErrInvalidView, "/field_order/1"},
		"the primary hidden": {local.ViewDraft{Name: "v", ViewPatch: local.ViewPatch{Hidden: []string{"Qty", "No"}}}, airtableapi.ErrInvalidView, "/hidden_fields/1"},
		"blank name":         {local.ViewDraft{Name: " "}, airtableapi.ErrInvalidView, "/name"},
		"taken name":         {local.ViewDraft{Name: "TAKEN"}, airtableapi.ErrViewNameTaken, "/name"},
		"unknown type":       {local.ViewDraft{Name: "v", Type: "spreadsheet"}, airtableapi.ErrInvalidView, "/type"},
	} {
		_, _, err := b.store.CreateView(t.Context(), b.who, b.at(""), tt.draft)
		if e := errs.From(err); !errors.Is(err, tt.want) || len(e.Fields) != 1 || e.Fields[0].Pointer != tt.pointer {
			t.Errorf("%s: %v %+v", name, err, e.Fields)
		}
	}
	for range models.MaxViews - 2 {
		b.view(b.store.NewID("viw"), "")
	}
	if _, _, err := b.store.CreateView(t.Context(), b.who, b.at(""), local.ViewDraft{Name: "one more"}); !errors.Is(err, airtableapi.ErrTooManyViews) {
		t.Errorf("one view too many: %v", err)
	}
}

func TestView_MetaKnowsVisibleFields(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	v, _, err := b.store.CreateView(t.Context(), b.who, b.at(""), local.ViewDraft{Name: "Few", ViewPatch: local.ViewPatch{
		Order:  []string{"Tags", "No", "Qty"},
		Hidden: []string{"Paid", "State", "Due", "At", "Made", "Modified", "Auto", `a/b "c" 🚀`},
	}})
	if err != nil {
		t.Fatal(err)
	}
	form, _, err := b.store.CreateView(t.Context(), b.who, b.at(""), local.ViewDraft{Name: "Form", Type: "form"})
	if err != nil {
		t.Fatal(err)
	}
	one := func(view models.ViewID, query string) upstream.Call {
		return upstream.Call{Op: upstream.FetchView, Method: "GET", View: string(view), RawQuery: query}
	}
	want := object{"id": string(v.ID), "name": "Few", "type": "grid", "visibleFieldIds": []any{"fldNo", "fldTags", "fldQty", "fldBuyer"}}
	if diff := cmp.Diff(want, b.ok(one(v.ID, "include=visibleFieldIds"))); diff != "" {
		t.Error(diff)
	}
	delete(want, "visibleFieldIds")
	if diff := cmp.Diff(want, b.ok(one(v.ID, ""))); diff != "" {
		t.Error(diff)
	}
	if got := b.ok(one(form.ID, "include=visibleFieldIds")); got["visibleFieldIds"] != nil || got["type"] != "form" {
		t.Errorf("a form: %v", got)
	}
	all := b.ok(upstream.Call{Op: upstream.ListViews, Method: "GET", RawQuery: "include=visibleFieldIds"})["views"].([]any)
	var names []string
	for _, v := range all {
		names = append(names, v.(object)["name"].(string))
	}
	if diff := cmp.Diff([]string{"Grid view", "Few", "Form", "Grid view"}, names); diff != "" {
		t.Error(diff)
	}
	inSchema := b.schema("include=visibleFieldIds")[0].(object)["views"].([]any)
	if diff := cmp.Diff(all[:3], inSchema); diff != "" {
		t.Errorf("the schema says otherwise: %s", diff)
	}
	rec := b.made("Orders", `{"No":"1","Paid":true}`)
	if got := fields(records(b.ok(list("Orders", "view", "Few")))[0]); got["Paid"] != true {
		t.Errorf("hidden fields of %s are not returned: %v", rec, got)
	}
	b.refused(one("viwNobody00000000", ""), 403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND")
	b.refused(one(v.ID, "include=else"), 422, "INVALID_REQUEST_UNKNOWN")
}

func TestView_TheLastGridStays(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	grid := b.base.Tables[0].Views[0]
	drop := func(view models.ViewID) upstream.Call {
		return upstream.Call{Op: upstream.DeleteView, Method: "DELETE", View: string(view)}
	}
	if _, _, err := b.store.CreateView(t.Context(), b.who, b.at(""), local.ViewDraft{Name: "Form", Type: "form"}); err != nil {
		t.Fatal(err)
	}
	b.refused(drop(grid.ID), 422, "INVALID_REQUEST_UNKNOWN")
	other := b.view("Other", "")
	if got := b.ok(drop(grid.ID)); got["deleted"] != true || got["id"] != string(grid.ID) {
		t.Errorf("got %v", got)
	}
	b.refused(drop(grid.ID), 403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND")
	b.refused(list("Orders", "view", "Grid view"), 422, "VIEW_NAME_NOT_FOUND")
	if err := b.store.DeleteView(t.Context(), b.who, b.at("Other"), 0); !errors.Is(err, airtableapi.ErrLastGridView) {
		t.Errorf("the last grid: %v", err)
	}
	// Of two that are deleted at once, one stays.
	third := b.view("Third", "")
	var wg sync.WaitGroup
	results := make([]error, 2)
	for i, v := range []models.View{other, third} {
		wg.Go(func() { results[i] = b.store.DeleteView(t.Context(), b.who, b.at(string(v.ID)), 0) })
	}
	wg.Wait()
	if (results[0] == nil) == (results[1] == nil) {
		t.Errorf("both or none deleted: %v", results)
	}
}

func TestView_ChangesAreSeenByAnotherReplicaAndTold(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop().stock()
	b.ok(list("Orders")) // the schema is in memory
	other := newReplica(b)
	v := other.view("Some", `{Qty} = 2`)
	if got := numbers(records(b.ok(list("Orders", "view", "Some")))); got != "2" {
		t.Errorf("the new view: %q", got)
	}
	filter := `{Qty} = 1`
	changed, _, err := other.store.UpdateView(t.Context(), b.who, b.at("Some"), v.Version, local.ViewPatch{Filter: &filter})
	if err != nil || changed.Version != v.Version+1 {
		t.Fatal(changed, err)
	}
	if got := numbers(records(b.ok(list("Orders", "view", "Some")))); got != "1 3" {
		t.Errorf("the changed view: %q", got)
	}
	if _, _, err := other.store.UpdateView(t.Context(), b.who, b.at("Some"), v.Version, local.ViewPatch{Filter: &filter}); !errors.Is(err, errs.ErrPreconditionFailed) {
		t.Errorf("an old version: %v", err)
	}
	if err := other.store.DeleteView(t.Context(), b.who, b.at("Some"), changed.Version); err != nil {
		t.Fatal(err)
	}
	b.refused(list("Orders", "view", "Some"), 422, "VIEW_NAME_NOT_FOUND")
	var told []string
	rows, err := b.pool.Query(t.Context(), `
		SELECT event->>'type', (event->>'version')::bigint, event->'data'->>'filter' FROM outbox WHERE event->>'subject' = $1 ORDER BY seq`, v.ID)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var kind, filter string
		var version int64
		if err := rows.Scan(&kind, &version, &filter); err != nil {
			t.Fatal(err)
		}
		told = append(told, fmt.Sprint(kind, " ", version, " ", filter))
	}
	want := []string{
		"com.pyairtable.view.created.v1 1 {fldQty} = 2", "com.pyairtable.view.updated.v1 2 {fldQty} = 1", "com.pyairtable.view.deleted.v1 3 {fldQty} = 1",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
	stranger := b.as(upstream.Caller{Tenant: id.New[id.Tenant]()})
	if _, err := stranger.store.Table(t.Context(), stranger.who.Tenant, b.base.ID, "Orders"); !errors.Is(err, airtableapi.ErrBaseNotFound) {
		t.Errorf("a stranger: %v", err)
	}
}
