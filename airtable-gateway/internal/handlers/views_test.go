package handlers_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

func viewPath(base, table, view string) airtableapi.ViewPath {
	return airtableapi.ViewPath{TablePath: at(base, table), ViewID: view}
}

func TestViews_TheLifeOfAView(t *testing.T) {
	t.Parallel()
	anna := newFleet(t).owner(t)
	base := anna.shop(t)
	anna.v0(t, "POST", "/v0/"+base+"/Orders%2F2", `{"records":[{"fields":{"No":"a","Qty":1}},{"fields":{"No":"b","Qty":3}},{"fields":{"No":"c","Qty":2,"State":"done"}}]}`).ok(t, nil)
	made := must(t, anna, airtableapi.CreateView, airtableapi.ViewCreate{TablePath: at(base, "Orders/2"), Body: airtableapi.ViewDraft{
		Name: "Large", Description: "what sells", Filter: "{Qty} > 1", Sort: []airtableapi.ViewSort{{Field: "Qty", Desc: true}},
		FieldOrder: []string{"State"}, HiddenFields: []string{"Qty"},
	}})
	if want := "/api/v1/airtable/bases/" + base + "/tables/Orders%2F2/views/" + made.Body.ID; made.Location != want || made.ETag != `"1"` {
		t.Errorf("Location %s, ETag %s", made.Location, made.ETag)
	}
	schema := must(t, anna, airtableapi.FetchTable, at(base, "Orders/2"))
	no, qty, state := schema.Fields[0].ID, schema.Fields[1].ID, schema.Fields[2].ID
	want := airtableapi.View{
		ID: made.Body.ID, Name: "Large", Type: "grid", Description: "what sells", Filter: "{" + qty + "} > 1",
		Sort: []airtableapi.ViewSort{{Field: qty, Desc: true}}, FieldOrder: []string{state}, HiddenFieldIDs: []string{qty},
		VisibleFieldIDs: []string{no, state},
	}
	if diff := cmp.Diff(want, made.Body); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := must(t, anna, airtableapi.FetchView, viewPath(base, "Orders/2", "Large")); got.ETag != `"1"` || !cmp.Equal(got.Body, want) {
		t.Errorf("fetched: %+v", got)
	}
	through := func(view string) (out string) {
		t.Helper()
		for _, r := range must(t, anna, airtableapi.ListRecords, airtableapi.RecordsQuery{TablePath: at(base, "Orders/2"), View: view}).Body.Items {
			out += r.Fields["No"].(string)
			if r.Fields["Qty"] == nil {
				t.Errorf("a hidden field is missing: %v", r.Fields)
			}
		}
		return out
	}
	if got := through("Large"); got != "bc" {
		t.Errorf("records of the view: %s", got)
	}
	changed := must(t, anna, airtableapi.UpdateView, airtableapi.ViewUpdate{ViewPath: viewPath(base, "Orders/2", made.Body.ID), IfMatch: made.ETag,
		Body: airtableapi.ViewPatch{Name: new("All"), Filter: new(""), Sort: []airtableapi.ViewSort{}, HiddenFields: []string{}}})
	if changed.ETag != `"2"` || changed.Body.Name != "All" || changed.Body.Filter != "" || len(changed.Body.Sort) != 0 || changed.Body.Description != "what sells" {
		t.Errorf("changed: %+v", changed)
	}
	if got := through("All"); got != "abc" {
		t.Errorf("records after the change: %s", got)
	}
	_, err := call(t, anna, airtableapi.UpdateView, airtableapi.ViewUpdate{ViewPath: viewPath(base, "Orders/2", made.Body.ID), IfMatch: made.ETag,
		Body: airtableapi.ViewPatch{Name: new("Late")}})
	if !errors.Is(err, errs.ErrPreconditionFailed) {
		t.Errorf("an old ETag: %v", err)
	}
	_, err = call(t, anna, airtableapi.DeleteView, airtableapi.ViewDelete{ViewPath: viewPath(base, "Orders/2", made.Body.ID), IfMatch: made.ETag})
	if !errors.Is(err, errs.ErrPreconditionFailed) {
		t.Errorf("deleted by an old ETag: %v", err)
	}
	must(t, anna, airtableapi.DeleteView, airtableapi.ViewDelete{ViewPath: viewPath(base, "Orders/2", made.Body.ID), IfMatch: changed.ETag})
	if _, err := call(t, anna, airtableapi.FetchView, viewPath(base, "Orders/2", made.Body.ID)); !errors.Is(err, airtableapi.ErrViewNotFound) {
		t.Errorf("after the deletion: %v", err)
	}
	_, err = call(t, anna, airtableapi.DeleteView, airtableapi.ViewDelete{ViewPath: viewPath(base, "Orders/2", "Grid view")})
	if !errors.Is(err, airtableapi.ErrLastGridView) {
		t.Errorf("the last grid view: %v", err)
	}
}

func TestViews_ListIsPagedAndFaultsArePointedAt(t *testing.T) {
	t.Parallel()
	anna := newFleet(t).owner(t)
	base := anna.shop(t)
	for _, name := range []string{"z", "a"} {
		must(t, anna, airtableapi.CreateView, airtableapi.ViewCreate{TablePath: at(base, "Customers"), Body: airtableapi.ViewDraft{Name: name, Type: "gallery"}})
	}
	var names []string
	in := airtableapi.ViewsQuery{TablePath: at(base, "Customers"), PageQuery: api.PageQuery{Limit: 2}}
	for range 2 {
		page := must(t, anna, airtableapi.ListViews, in)
		for _, v := range page.Items {
			names = append(names, v.Name+" "+v.Type)
		}
		in.Cursor = page.NextCursor
	}
	if diff := cmp.Diff([]string{"Grid view grid", "z gallery", "a gallery"}, names); diff != "" || in.Cursor != "" {
		t.Errorf("next %q (-want +got):\n%s", in.Cursor, diff)
	}
	for body, want := range map[string]struct {
		status        int
		code, pointer string
	}{
		`{"name":"v","filter":"{Nope}"}`:         {422, "invalid_view", "/filter"},
		`{"name":"v","filter":"AND("}`:           {422, "invalid_view", "/filter"},
		`{"name":"v","sort":[{"field":"Nope"}]}`: {422, "invalid_view", "/sort/0/field"},
		`{"name":"v","hidden_fields":["Name"]}`:  {422, "invalid_view", "/hidden_fields/0"},
		`{"name":"grid VIEW"}`:                   {409, "view_name_taken", "/name"},
		`{"name":"v","type":"timeline"}`:         {422, "", "/type"},
		`{"name":""}`:                            {422, "", "/name"},
		`{"filter":""}`:                          {422, "", ""},
		`{"name":"v","sort":[{"desc":true}]}`:    {422, "", ""},
		`{"name":"v","sort":"Qty"}`:              {422, "", "/sort"},
	} {
		r := send(t, anna.f.url, anna.token, "POST", "/api/v1/airtable/bases/"+base+"/tables/Customers/views", body)
		if r.status != want.status || !strings.Contains(r.body, want.code) || !strings.Contains(r.body, `"`+want.pointer) {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	if _, err := call(t, anna, airtableapi.ListViews, airtableapi.ViewsQuery{TablePath: at(base, "None")}); !errors.Is(err, airtableapi.ErrTableNotFound) {
		t.Errorf("no such table: %v", err)
	}
}

func TestViews_AStrangerFindsNothingAndScopesHold(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna, boris := f.owner(t), f.owner(t)
	base := anna.shop(t)
	reader := anna.pat(t, "schema.bases:read", base)
	elsewhere := anna.pat(t, "schema.bases:read schema.bases:write", "appOther")
	all := "/api/v1/airtable/bases/" + base + "/tables/Customers/views"
	for _, request := range []string{"GET " + all, "POST " + all, "GET " + all + "/Grid%20view", "PATCH " + all + "/Grid%20view", "DELETE " + all + "/Grid%20view"} {
		method, path, _ := strings.Cut(request, " ")
		body := ""
		if method == "POST" || method == "PATCH" {
			body = `{"name":"v"}`
		}
		for name, who := range map[string]person{"a stranger": boris, "a token for other bases": elsewhere} {
			if r := send(t, f.url, who.token, method, path, body); r.status != http.StatusNotFound {
				t.Errorf("%s: %s gets %d %s", request, name, r.status, r.body)
			}
		}
		want := http.StatusForbidden
		if method == "GET" {
			want = http.StatusOK
		}
		if r := send(t, f.url, reader.token, method, path, body); r.status != want {
			t.Errorf("%s: a token that reads schemas gets %d, want %d", request, r.status, want)
		}
		if r := send(t, f.url, "", method, path, body); r.status != http.StatusUnauthorized {
			t.Errorf("%s: nobody gets %d", request, r.status)
		}
	}
}

func TestViews_OfAnAirtableAccountCannotBeDefined(t *testing.T) {
	t.Parallel()
	far := newAccount(t, "appFar")
	anna := newFleet(t, far.URL).owner(t)
	connect(t, anna, far.URL, accountToken)
	_, err := call(t, anna, airtableapi.ListViews, airtableapi.ViewsQuery{TablePath: at("appFar", "T")})
	if !errors.Is(err, airtableapi.ErrViewsElsewhere) || errs.From(err).Kind != errs.Conflict {
		t.Errorf("list: %v", err)
	}
	_, err = call(t, anna, airtableapi.CreateView, airtableapi.ViewCreate{TablePath: at("appFar", "T"), Body: airtableapi.ViewDraft{Name: "v"}})
	if !errors.Is(err, airtableapi.ErrViewsElsewhere) {
		t.Errorf("create: %v", err)
	}
	for _, err := range []error{
		second(call(t, anna, airtableapi.FetchView, viewPath("appFar", "T", "viwA"))),
		second(call(t, anna, airtableapi.UpdateView, airtableapi.ViewUpdate{ViewPath: viewPath("appFar", "T", "viwA")})),
		second(call(t, anna, airtableapi.DeleteView, airtableapi.ViewDelete{ViewPath: viewPath("appFar", "T", "viwA")})),
	} {
		if !errors.Is(err, airtableapi.ErrViewsElsewhere) {
			t.Errorf("got %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
