package handlers_test

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

func at(base, table string) airtableapi.TablePath {
	return airtableapi.TablePath{BasePath: airtableapi.BasePath{BaseID: base}, TableID: table}
}

func record(base, table, record string) airtableapi.RecordPath {
	return airtableapi.RecordPath{TablePath: at(base, table), RecordID: record}
}

func TestService_ServesExactlyWhatItDeclares(t *testing.T) {
	t.Parallel()
	var want []string
	for _, op := range airtableapi.Service.Ops {
		want = append(want, op.Method+" "+op.Path)
	}
	for _, raw := range airtableapi.Service.Raw {
		want = append(want, "ANY "+raw.Prefix)
	}
	got := newFleet(t).api.Served()
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-declared +served):\n%s", diff)
	}
}

func TestREST_TheLifeOfARecord(t *testing.T) {
	t.Parallel()
	anna := newFleet(t).owner(t)
	base := anna.shop(t)
	made := must(t, anna, airtableapi.CreateRecord, airtableapi.RecordCreate{
		TablePath: at(base, "Orders/2"), Body: airtableapi.RecordDraft{Fields: map[string]any{"No": "A-1", "Qty": 3}},
	})
	id := made.Body.ID
	if want := "/api/v1/airtable/bases/" + base + "/tables/" + url.PathEscape("Orders/2") + "/records/" + id; made.Location != want {
		t.Errorf("Location = %s, want %s", made.Location, want)
	}
	if r := send(t, anna.f.url, anna.token, "GET", made.Location, ""); r.status != http.StatusOK || !strings.Contains(r.body, `"created_at"`) {
		t.Errorf("at Location: %d %s", r.status, r.body)
	}
	changed := must(t, anna, airtableapi.UpdateRecord, airtableapi.RecordUpdate{
		RecordPath: record(base, "Orders/2", id), Body: airtableapi.RecordDraft{Fields: map[string]any{"Qty": 0, "State": "new"}},
	})
	want := map[string]any{"No": "A-1", "Qty": 0.0, "State": "new"}
	if diff := cmp.Diff(want, changed.Fields); diff != "" {
		t.Errorf("after PATCH (-want +got):\n%s", diff)
	}
	got := must(t, anna, airtableapi.FetchRecord, airtableapi.RecordQuery{RecordPath: record(base, "Orders/2", id)})
	if diff := cmp.Diff(changed, got.Body); diff != "" {
		t.Errorf("GET differs (-patched +got):\n%s", diff)
	}
	must(t, anna, airtableapi.DeleteRecord, record(base, "Orders/2", id))
	_, err := call(t, anna, airtableapi.FetchRecord, airtableapi.RecordQuery{RecordPath: record(base, "Orders/2", id)})
	if !errors.Is(err, airtableapi.ErrRecordNotFound) {
		t.Errorf("after DELETE: %v", err)
	}
}

func TestREST_ListsPageSortAndSelect(t *testing.T) {
	t.Parallel()
	anna := newFleet(t).owner(t)
	base := anna.shop(t)
	anna.v0(t, "POST", "/v0/"+base+"/Orders%2F2", `{"records":[{"fields":{"No":"a","Qty":1}},{"fields":{"No":"b","Qty":3}},{"fields":{"No":"c","Qty":2}},{"fields":{"No":"d","Qty":3}},{"fields":{"No":"e"}}]}`).ok(t, nil)
	var got []string
	in := airtableapi.RecordsQuery{TablePath: at(base, "Orders/2"), Limit: 2, Sort: "-Qty,No", Fields: "No"}
	for range 3 {
		page := must(t, anna, airtableapi.ListRecords, in).Body
		for _, r := range page.Items {
			got = append(got, r.Fields["No"].(string))
			if len(r.Fields) != 1 {
				t.Errorf("fields = %v", r.Fields)
			}
		}
		in.Cursor = page.NextCursor
	}
	if diff := cmp.Diff([]string{"b", "d", "c", "a", "e"}, got); diff != "" || in.Cursor != "" {
		t.Errorf("next %q (-want +got):\n%s", in.Cursor, diff)
	}
	first := must(t, anna, airtableapi.ListRecords, airtableapi.RecordsQuery{TablePath: at(base, "Orders/2"), Limit: 2})
	_, err := call(t, anna, airtableapi.ListRecords, airtableapi.RecordsQuery{TablePath: at(base, "Orders/2"), Limit: 3, Cursor: first.Body.NextCursor})
	if errs.From(err).Code != "bad_cursor" {
		t.Errorf("a cursor of another query: %v", err)
	}
}

func TestREST_SchemaIsPagedAndFound(t *testing.T) {
	t.Parallel()
	anna := newFleet(t).owner(t)
	base := anna.shop(t)
	first := must(t, anna, airtableapi.ListTables, airtableapi.TablesQuery{BasePath: airtableapi.BasePath{BaseID: base}, PageQuery: api.PageQuery{Limit: 1}})
	second := must(t, anna, airtableapi.ListTables, airtableapi.TablesQuery{BasePath: airtableapi.BasePath{BaseID: base}, PageQuery: api.PageQuery{Limit: 1, Cursor: first.NextCursor}})
	if len(first.Items) != 1 || len(second.Items) != 1 || second.NextCursor != "" || first.Items[0].ID == second.Items[0].ID {
		t.Fatalf("pages: %+v, %+v", first, second)
	}
	byName := must(t, anna, airtableapi.FetchTable, at(base, "Orders/2"))
	byID := must(t, anna, airtableapi.FetchTable, at(base, byName.ID))
	if diff := cmp.Diff(byName, byID); diff != "" || len(byID.Fields) != 3 || len(byID.Views) != 1 || byID.PrimaryFieldID != byID.Fields[0].ID {
		t.Errorf("%+v\n%s", byID, diff)
	}
	if _, err := call(t, anna, airtableapi.FetchTable, at(base, "None")); !errors.Is(err, airtableapi.ErrTableNotFound) {
		t.Errorf("no such table: %v", err)
	}
}

func TestREST_AirtablesRefusalsBecomeProblems(t *testing.T) {
	t.Parallel()
	anna := newFleet(t).owner(t)
	base := anna.shop(t)
	for name, tc := range map[string]struct {
		at      airtableapi.TablePath
		fields  map[string]any
		want    *errs.Error
		pointer string
	}{
		"unknown field": {at(base, "Orders/2"), map[string]any{"Co/lour": 1}, airtableapi.ErrUnknownField, "/fields/Co~1lour"},
		"wrong value":   {at(base, "Orders/2"), map[string]any{"Qty": "x"}, airtableapi.ErrInvalidValue, "/fields/Qty"},
		"unknown table": {at(base, "None"), map[string]any{}, airtableapi.ErrTableNotFound, ""},
		"unknown base":  {at("appNone", "T"), map[string]any{}, airtableapi.ErrBaseNotFound, ""},
		"junk base":     {at("junk", "T"), map[string]any{}, airtableapi.ErrTableNotFound, ""},
		"unknown choice": {at(base, "Orders/2"), map[string]any{"State": "x"},
			errs.New(errs.Invalid, "invalid_multiple_choice_options", ""), ""},
	} {
		_, err := call(t, anna, airtableapi.CreateRecord, airtableapi.RecordCreate{TablePath: tc.at, Body: airtableapi.RecordDraft{Fields: tc.fields}})
		e := errs.From(err)
		if !errors.Is(err, tc.want) || e.Kind != tc.want.Kind {
			t.Errorf("%s: %v", name, err)
		}
		if tc.pointer != "" && (len(e.Fields) != 1 || e.Fields[0].Pointer != tc.pointer) {
			t.Errorf("%s: fields %+v", name, e.Fields)
		}
	}
	if _, err := call(t, anna, airtableapi.FetchRecord, airtableapi.RecordQuery{RecordPath: record(base, "Orders/2", "junk")}); !errors.Is(err, airtableapi.ErrRecordNotFound) {
		t.Errorf("junk record: %v", err)
	}
}

func TestREST_AStrangerFindsNothingAndScopesHold(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna, boris := f.owner(t), f.owner(t)
	base := anna.shop(t)
	made := must(t, anna, airtableapi.CreateRecord, airtableapi.RecordCreate{TablePath: at(base, "Customers"), Body: airtableapi.RecordDraft{Fields: map[string]any{"Name": "x"}}})
	root := "/api/v1/airtable/bases/" + base
	one := root + "/tables/Customers/records/" + made.Body.ID
	reader := anna.pat(t, "data.records:read", base)
	elsewhere := anna.pat(t, "data.records:read data.records:write schema.bases:read", "appOther")
	for _, request := range []string{"GET " + root, "GET " + root + "/tables", "GET " + root + "/tables/Customers", "GET " + root + "/tables/Customers/records",
		"POST " + root + "/tables/Customers/records", "GET " + one, "PATCH " + one, "DELETE " + one} {
		method, path, _ := strings.Cut(request, " ")
		body := ""
		if method == "POST" || method == "PATCH" {
			body = `{"fields":{"Name":"y"}}`
		}
		for name, who := range map[string]person{"a stranger": boris, "a token for other bases": elsewhere} {
			if r := send(t, f.url, who.token, method, path, body); r.status != http.StatusNotFound {
				t.Errorf("%s: %s gets %d %s", request, name, r.status, r.body)
			}
		}
		if r := send(t, f.url, "", method, path, body); r.status != http.StatusUnauthorized {
			t.Errorf("%s: nobody gets %d", request, r.status)
		}
		want := http.StatusForbidden
		if method == "GET" && strings.Contains(path, "/records") {
			want = http.StatusOK
		}
		if r := send(t, f.url, reader.token, method, path, body); r.status != want {
			t.Errorf("%s: a token that reads records gets %d, want %d", request, r.status, want)
		}
	}
}
