package handlers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/permit"
)

const forbidden = `{"error":{"type":"INVALID_PERMISSIONS","message":"You are not permitted to perform this operation"}}`

// wireTables are the tables of a base by name, as p sees them.
func (p person) wireTables(t *testing.T, app string) map[string]wireTable {
	t.Helper()
	var s struct{ Tables []wireTable }
	p.v0(t, "GET", "/v0/meta/bases/"+app+"/tables", "").ok(t, &s)
	out := map[string]wireTable{}
	for _, table := range s.Tables {
		out[table.Name] = table
	}
	return out
}

type wireTable struct {
	ID, Name       string
	PrimaryFieldID string
	Fields         []struct {
		ID, Name, Type string
		Options        json.RawMessage
	}
	Views []struct {
		ID, Name        string
		VisibleFieldIDs []string
	}
}

func (w wireTable) field(name string) string {
	for _, f := range w.Fields {
		if f.Name == name {
			return f.ID
		}
	}
	return ""
}

// Each action opens what Airtable's role of that strength opens, and what is before it.
func TestPermissions_EachActionOpensItsCalls(t *testing.T) {
	t.Parallel()
	r := newRights()
	f := newFleetOf(t, r)
	anna := f.owner(t)
	app := anna.shop(t)
	bob := anna.guest(t)
	var made struct{ ID string }
	anna.v0(t, "POST", "/v0/"+app+"/Customers", `{"fields":{"Name":"x"}}`).ok(t, &made)
	customers := anna.wireTables(t, app)["Customers"]
	calls := []struct{ action, request, body string }{
		{permissionapi.Read, "GET /v0/" + app + "/Customers", ""},
		{permissionapi.Read, "POST /v0/" + app + "/Customers/listRecords", "{}"},
		{permissionapi.Read, "GET /v0/" + app + "/Customers/" + made.ID, ""},
		{permissionapi.Read, "GET /v0/" + app + "/Customers/" + made.ID + "/comments", ""},
		{permissionapi.Read, "GET /v0/meta/bases/" + app + "/tables", ""},
		{permissionapi.Read, "GET /v0/bases/" + app + "/webhooks", ""},
		{permissionapi.Comment, "POST /v0/" + app + "/Customers/" + made.ID + "/comments", `{"text":"hi"}`},
		{permissionapi.Edit, "POST /v0/" + app + "/Customers", `{"fields":{"Name":"y"}}`},
		{permissionapi.Edit, "PATCH /v0/" + app + "/Customers/" + made.ID, `{"fields":{"Name":"z"}}`},
		{permissionapi.Create, "POST /v0/meta/bases/" + app + "/tables/" + customers.ID + "/fields", `{"name":"F","type":"singleLineText"}`},
		{permissionapi.Create, "POST /v0/bases/" + app + "/webhooks", `{"specification":{"options":{"filters":{"dataTypes":["tableData"]}}}}`},
	}
	rank := map[string]int{"": -1}
	for i, a := range permissionapi.Actions {
		rank[a] = i
	}
	for _, has := range []string{"", permissionapi.Read, permissionapi.Comment, permissionapi.Edit, permissionapi.Create} {
		r.set(bob, has, base(anna.tenant, app))
		for i, c := range calls {
			method, path, _ := strings.Cut(c.request, " ")
			body := strings.Replace(c.body, `"F"`, fmt.Sprintf(`"F%s%d"`, has, i), 1)
			got := bob.v0(t, method, path, body)
			switch {
			case rank[has] >= rank[c.action]:
				got.ok(t, nil)
			case has == "" && strings.HasSuffix(path, "/tables"):
				got.refused(t, 404, noSchema)
			case has == "":
				got.refused(t, 403, denied)
			default:
				got.refused(t, 403, forbidden)
			}
		}
	}
}

// The other door says the same, and what may not be seen is like what is not there.
func TestPermissions_RESTSaysTheSame(t *testing.T) {
	t.Parallel()
	r := newRights()
	f := newFleetOf(t, r)
	anna := f.owner(t)
	app := anna.shop(t)
	bob := anna.guest(t)
	table := at(app, "Customers")
	draft := airtableapi.RecordDraft{Fields: map[string]any{"Name": "x"}}
	for _, try := range []func(app string) error{
		func(app string) error {
			_, err := call(t, bob, airtableapi.FetchBase, airtableapi.BasePath{BaseID: app})
			return err
		},
		func(app string) error {
			_, err := call(t, bob, airtableapi.ListTables, airtableapi.TablesQuery{BasePath: airtableapi.BasePath{BaseID: app}, PageQuery: api.PageQuery{Limit: 10}})
			return err
		},
		func(app string) error {
			_, err := call(t, bob, airtableapi.ListRecords, airtableapi.RecordsQuery{TablePath: at(app, "Customers"), Limit: 10})
			return err
		},
		func(app string) error {
			_, err := call(t, bob, airtableapi.ListViews, airtableapi.ViewsQuery{TablePath: at(app, "Customers"), PageQuery: api.PageQuery{Limit: 10}})
			return err
		},
		func(app string) error {
			_, err := call(t, bob, airtableapi.ListHistory, airtableapi.HistoryQuery{RecordPath: record(app, "Customers", "recAAAAAAAAAAAAAA"), PageQuery: api.PageQuery{Limit: 10}})
			return err
		},
	} {
		if hidden, unknown := try(app), try("appUnknown0000001"); !errors.Is(hidden, airtableapi.ErrBaseNotFound) || hidden.Error() != unknown.Error() {
			t.Errorf("what may not be seen is %v, what is not there %v", hidden, unknown)
		}
	}
	r.set(bob, permissionapi.Read, base(anna.tenant, app))
	if _, err := call(t, bob, airtableapi.CreateRecord, airtableapi.RecordCreate{TablePath: table, Body: draft}); !errors.Is(err, airtableapi.ErrNotPermitted) {
		t.Errorf("a reader creates: %v", err)
	}
	if _, err := call(t, bob, airtableapi.CreateView, airtableapi.ViewCreate{TablePath: table, Body: airtableapi.ViewDraft{Name: "v"}}); !errors.Is(err, airtableapi.ErrNotPermitted) {
		t.Errorf("a reader makes a view: %v", err)
	}
	if b := must(t, bob, airtableapi.FetchBase, airtableapi.BasePath{BaseID: app}); b.PermissionLevel != "read" {
		t.Errorf("level %q", b.PermissionLevel)
	}
	r.set(bob, permissionapi.Edit, base(anna.tenant, app))
	must(t, bob, airtableapi.CreateRecord, airtableapi.RecordCreate{TablePath: table, Body: draft})
	if b := must(t, bob, airtableapi.FetchBase, airtableapi.BasePath{BaseID: app}); b.PermissionLevel != "edit" {
		t.Errorf("level %q", b.PermissionLevel)
	}
}

func TestPermissions_ListsShowOnlyWhatMayBeRead(t *testing.T) {
	t.Parallel()
	r := newRights()
	f := newFleetOf(t, r)
	anna := f.owner(t)
	app, other := anna.shop(t), anna.shop(t)
	bob := anna.guest(t)
	tables := anna.wireTables(t, app)
	orders := tables["Orders/2"].ID
	listed := func(p person) string {
		var list struct {
			Bases []struct{ ID, PermissionLevel string }
		}
		p.v0(t, "GET", "/v0/meta/bases", "").ok(t, &list)
		out := ""
		for _, b := range list.Bases {
			out += b.ID + b.PermissionLevel
		}
		return out
	}
	if got := listed(bob); got != "" {
		t.Errorf("listed %s", got)
	}
	r.set(bob, permissionapi.Comment, base(anna.tenant, app))
	if got := listed(bob); got != app+"comment" {
		t.Errorf("listed %s", got)
	}
	if got := listed(anna); !strings.Contains(got, app+"create") || !strings.Contains(got, other+"create") {
		t.Errorf("the owner's: %s", got)
	}
	// A table that is denied is not there, by id or by name, and nothing leads to it.
	r.set(bob, "-", permit.Table(anna.tenant, app, orders))
	if got := bob.wireTables(t, app); len(got) != 1 || got["Customers"].ID == "" {
		t.Errorf("tables %v", got)
	}
	for _, name := range []string{orders, "Orders%2F2", "Nope"} {
		bob.v0(t, "GET", "/v0/"+app+"/"+name, "").refused(t, 403, denied)
	}
	bob.v0(t, "GET", "/v0/"+app+"/Customers", "").ok(t, nil)
	// A table alone.
	carl := anna.guest(t)
	r.set(carl, permissionapi.Edit, permit.Table(anna.tenant, app, orders))
	carl.v0(t, "POST", "/v0/"+app+"/Orders%2F2", `{"fields":{"No":"1"}}`).ok(t, nil)
	carl.v0(t, "GET", "/v0/"+app+"/Customers", "").refused(t, 403, denied)
	carl.v0(t, "POST", "/v0/meta/bases/"+app+"/tables", `{"name":"T","fields":[{"name":"N","type":"singleLineText"}]}`).refused(t, 403, forbidden)
	if got := carl.wireTables(t, app); len(got) != 1 || got["Orders/2"].ID == "" {
		t.Errorf("tables %v", got)
	}
	anna.v0(t, "POST", "/v0/"+app+"/Orders%2F2", `{"fields":{"No":"2"}}`).ok(t, nil)
}

// The scopes and bases of a token count beside what its owner may.
func TestPermissions_TokensOpenNoMoreThanTheirOwnersMay(t *testing.T) {
	t.Parallel()
	r := newRights()
	f := newFleetOf(t, r)
	anna := f.owner(t)
	app, other := anna.shop(t), anna.shop(t)
	bob := anna.guest(t)
	r.set(bob, permissionapi.Read, base(anna.tenant, app))
	r.set(bob, permissionapi.Edit, base(anna.tenant, other))
	pat := bob.pat(t, "data.records:read data.records:write", app)
	pat.v0(t, "GET", "/v0/"+app+"/Customers", "").ok(t, nil)
	pat.v0(t, "POST", "/v0/"+app+"/Customers", `{"fields":{}}`).refused(t, 403, forbidden)
	pat.v0(t, "GET", "/v0/"+other+"/Customers", "").refused(t, 403, denied)
	bob.pat(t, "data.records:read", other).v0(t, "POST", "/v0/"+other+"/Customers", `{"fields":{}}`).refused(t, 403, denied)
}

func TestPermissions_FailClosedAndSayThatNothingWasDone(t *testing.T) {
	t.Parallel()
	r := newRights()
	f := newFleetOf(t, r)
	anna := f.owner(t)
	app := anna.shop(t)
	r.breakDown(true)
	for _, c := range []string{"GET /v0/meta/bases", "GET /v0/" + app + "/Customers", "POST /v0/" + app + "/Customers", "POST /v0/meta/bases"} {
		method, path, _ := strings.Cut(c, " ")
		got := anna.v0(t, method, path, map[string]string{"POST": `{"fields":{}}`}[method])
		if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", c, got.status, got.body)
		}
	}
	if _, err := call(t, anna, airtableapi.ListBases, airtableapi.BasesQuery{PageQuery: api.PageQuery{Limit: 10}}); !errors.Is(err, errs.ErrUnavailable) {
		t.Errorf("REST: %v", err)
	}
	r.breakDown(false)
	var list struct{ Records []any }
	anna.v0(t, "GET", "/v0/"+app+"/Customers", "").ok(t, &list)
	if len(list.Records) != 0 {
		t.Error("a write that was not admitted happened")
	}
}

// A member has nothing but what he is given: the base that he makes is given to him.
func TestPermissions_WhoMakesABaseOwnsIt(t *testing.T) {
	t.Parallel()
	r := newRights()
	f := newFleetOf(t, r)
	anna := f.owner(t)
	bob, carl := anna.member(t), anna.guest(t)
	app := bob.shop(t)
	bob.v0(t, "POST", "/v0/"+app+"/Customers", `{"fields":{"Name":"x"}}`).ok(t, nil)
	anna.member(t).v0(t, "GET", "/v0/"+app+"/Customers", "").refused(t, 403, denied)
	carl.v0(t, "POST", "/v0/meta/bases", `{"name":"B","workspaceId":"wspAAAAAAAAAAAAAA","tables":[]}`).refused(t, 403, denied)
	if len(r.written) != 1 || r.written[0].Grants[0].Role != permissionapi.RoleOwner || r.written[0].ActorID != bob.user.String() {
		t.Errorf("written %+v", r.written)
	}
}
