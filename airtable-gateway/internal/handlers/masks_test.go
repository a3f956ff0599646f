package handlers_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/emulator"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
)

// office is a base of which bob sees the people of the open departments, without their
// pay, and all tasks. What he does not see says ZQX, or is a number that begins with 98765.
type office struct {
	rights                *rights
	anna, bob             person
	app                   string
	people, tasks, vault  wireTable
	open, closed, allTask []string // records
	secret                []string // what must not be in any answer
}

const peopleFields = `[{"name":"Name","type":"singleLineText"},{"name":"Dept","type":"singleLineText"},
	{"name":"HushPay","type":"number","options":{"precision":0}},{"name":"HushNote","type":"multilineText"},
	{"name":"Grade","type":"singleLineText"}]`

// newOffice makes the base: in the base store, or at an Airtable account far away.
func newOffice(t *testing.T, far bool) *office {
	t.Helper()
	o := &office{rights: newRights()}
	var allowed []string
	if far {
		store := local.New(pgtest.New(t, "airtable-gateway", repository.Migrations), local.Options{Now: time.Now, Box: emulator.Box(), Egress: emulator.Everywhere()})
		if err := emulator.SampleSeed().Plant(t.Context(), store); err != nil {
			t.Fatal(err)
		}
		s := httptest.NewServer(emulator.New(emulator.Options{Store: store, Limits: emulator.RealLimits(), Now: time.Now}))
		t.Cleanup(s.Close)
		allowed = []string{s.URL}
	}
	f := newFleetOf(t, o.rights, allowed...)
	o.anna = f.owner(t)
	workspace := "wspAAAAAAAAAAAAAA"
	if far {
		connect(t, o.anna, allowed[0], accountToken)
		workspace = "wspEmulator000001"
	}
	var made struct{ ID string }
	o.anna.v0(t, "POST", "/v0/meta/bases", `{"name":"Office","workspaceId":"`+workspace+`","tables":[
		{"name":"People","fields":`+peopleFields+`},{"name":"Tasks","fields":[{"name":"Title","type":"singleLineText"},{"name":"Effort","type":"number","options":{"precision":0}}]},
		{"name":"HushVault","fields":[{"name":"HushCode","type":"singleLineText"}]}]}`).ok(t, &made)
	o.app = made.ID
	o.load(t)
	o.field(t, o.people, `{"name":"HushBonus","type":"formula","options":{"formula":"{HushPay}*2"}}`)
	o.field(t, o.people, `{"name":"HushTwice","type":"formula","options":{"formula":"{HushBonus}&'!'"}}`)
	o.field(t, o.people, `{"name":"Label","type":"formula","options":{"formula":"{Name}&'/'&{Dept}"}}`)
	o.field(t, o.tasks, `{"name":"Owner","type":"multipleRecordLinks","options":{"linkedTableId":"`+o.people.ID+`"}}`)
	o.field(t, o.tasks, `{"name":"HushKey","type":"multipleRecordLinks","options":{"linkedTableId":"`+o.vault.ID+`"}}`)
	o.load(t)
	owner := o.tasks.field("Owner")
	for _, spec := range []string{
		`{"name":"HushOwnerPay","type":"multipleLookupValues","options":{"recordLinkFieldId":"` + owner + `","fieldIdInLinkedTable":"` + o.people.field("HushPay") + `"}}`,
		`{"name":"HushOwnerName","type":"multipleLookupValues","options":{"recordLinkFieldId":"` + owner + `","fieldIdInLinkedTable":"` + o.people.field("Name") + `"}}`,
		`{"name":"HushOwners","type":"count","options":{"recordLinkFieldId":"` + owner + `"}}`,
		`{"name":"HushBy","type":"formula","options":{"formula":"{Owner}&''"}}`,
	} {
		o.field(t, o.tasks, spec)
	}
	o.load(t)
	o.fill(t)
	o.bob = o.anna.guest(t)
	o.rights.set(o.bob, permissionapi.Edit, permit.Base(o.anna.tenant, o.app))
	o.rights.set(o.bob, "-", permit.Table(o.anna.tenant, o.app, o.vault.ID))
	o.rights.restrict(o.bob, o.app, permissionapi.TablePolicy{
		TableID: o.people.ID, Hidden: []string{o.people.field("HushPay"), o.people.field("HushNote")}, ReadOnly: []string{o.people.field("Grade")},
		Rows: []string{"{" + o.people.field("Dept") + `} = "open"`},
	})
	for _, table := range []wireTable{o.people, o.tasks, o.vault} {
		for _, f := range table.Fields {
			if strings.HasPrefix(f.Name, "Hush") {
				o.secret = append(o.secret, f.ID)
			}
		}
	}
	o.secret = append(append(o.secret, o.closed...), "ZQX", "98765", "197531", "Hush", o.vault.ID)
	return o
}

func (o *office) load(t *testing.T) {
	t.Helper()
	tables := o.anna.wireTables(t, o.app)
	o.people, o.tasks, o.vault = tables["People"], tables["Tasks"], tables["HushVault"]
}

// field makes a field, where the store behind it can.
func (o *office) field(t *testing.T, table wireTable, spec string) {
	t.Helper()
	o.anna.v0(t, "POST", "/v0/meta/bases/"+o.app+"/tables/"+table.ID+"/fields", spec).ok(t, nil)
}

func (o *office) fill(t *testing.T) {
	t.Helper()
	var vault []string
	vault = append(vault, o.make(t, o.vault, []string{`{"HushCode":"ZQX vault"}`})...)
	var people []string
	for i := range 20 {
		dept, name := "open", fmt.Sprint("Person ", i)
		if i%2 == 1 {
			dept, name = "shut", fmt.Sprint("ZQX ", i)
		}
		people = append(people, fmt.Sprintf(`{"Name":%q,"Dept":%q,"HushPay":%d,"HushNote":"ZQX note %d","Grade":"A"}`, name, dept, 9876500+i, i))
	}
	var all []string
	for some := range slices.Chunk(people, 10) {
		all = append(all, o.make(t, o.people, some)...)
	}
	for i, rec := range all {
		if i%2 == 1 {
			o.closed = append(o.closed, rec)
		} else {
			o.open = append(o.open, rec)
		}
	}
	var tasks []string
	for i := range 10 {
		tasks = append(tasks, fmt.Sprintf(`{"Title":"Task %d","Effort":%d,"Owner":[%q,%q],"HushKey":[%q]}`, i, i, o.open[i], o.closed[i], vault[0]))
	}
	o.allTask = o.make(t, o.tasks, tasks)
}

func (o *office) make(t *testing.T, table wireTable, fields []string) []string {
	t.Helper()
	var records []string
	for _, f := range fields {
		records = append(records, `{"fields":`+f+`}`)
	}
	var made struct{ Records []struct{ ID string } }
	o.anna.v0(t, "POST", "/v0/"+o.app+"/"+table.ID, `{"records":[`+strings.Join(records, ",")+`]}`).ok(t, &made)
	var ids []string
	for _, r := range made.Records {
		ids = append(ids, r.ID)
	}
	return ids
}

func (o *office) at(table string, more ...string) string {
	return "/v0/" + o.app + "/" + strings.Join(append([]string{table}, more...), "/")
}

func bothStores(t *testing.T, test func(t *testing.T, o *office)) {
	t.Helper()
	for name, far := range map[string]bool{"base store": false, "Airtable account": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newOffice(t, far))
		})
	}
}

func TestMasks_FieldsTablesAndViewsAreAbsentFromTheSchema(t *testing.T) {
	t.Parallel()
	bothStores(t, func(t *testing.T, o *office) {
		got := map[string][]string{}
		for name, table := range o.bob.wireTables(t, o.app) {
			for _, f := range table.Fields {
				got[name] = append(got[name], f.Name)
			}
		}
		want := map[string][]string{"People": {"Name", "Dept", "Grade", "Label", "Tasks"}, "Tasks": {"Title", "Effort", "Owner"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestMasks_ListsWalkTheRecordsThatAreSeen(t *testing.T) {
	t.Parallel()
	bothStores(t, func(t *testing.T, o *office) {
		for _, query := range []string{"", "&sort%5B0%5D%5Bfield%5D=Name", "&filterByFormula=" + url.QueryEscape(`LEN({Name})>0`)} {
			var got []string
			for offset := ""; ; {
				var page struct {
					Records []struct{ ID string }
					Offset  string
				}
				o.bob.v0(t, "GET", o.at("People")+"?pageSize=4"+query+"&offset="+url.QueryEscape(offset), "").ok(t, &page)
				for _, r := range page.Records {
					got = append(got, r.ID)
				}
				if offset = page.Offset; offset == "" {
					break
				}
				if len(page.Records) != 4 {
					t.Errorf("%q: a page of %d", query, len(page.Records))
				}
			}
			slices.Sort(got)
			if want := slices.Sorted(slices.Values(o.open)); !slices.Equal(got, want) {
				t.Errorf("%q: walked %v, want %v", query, got, want)
			}
		}
	})
}

// What is hidden is refused in the words in which an unknown one is.
func TestMasks_HiddenIsUnknown(t *testing.T) {
	t.Parallel()
	bothStores(t, func(t *testing.T, o *office) {
		pay, rec, unknown := o.people.field("HushPay"), o.closed[0], "recUNKNOWN0000000"
		alike := []struct{ method, path, body, hidden, other string }{
			{"GET", o.at("People") + "?fields%5B%5D=@", "", "HushPay", "NoSuch"},
			{"GET", o.at("People") + "?fields%5B%5D=@", "", pay, "fldUNKNOWN0000000"},
			{"GET", o.at("People") + "?sort%5B0%5D%5Bfield%5D=@", "", "HushBonus", "NoSuch"},
			{"GET", o.at("Tasks") + "?sort%5B0%5D%5Bfield%5D=@", "", "Owner", "NoSuch"},
			{"GET", o.at("People") + "?filterByFormula=%7B@%7D%3E1", "", "hushpay", "nosuch"},
			{"GET", o.at("Tasks") + "?filterByFormula=FIND('ZQX',%7B@%7D%26'')", "", "owner", "nosuch"},
			{"GET", o.at("@"), "", "HushVault", "NoSuch"},
			{"GET", o.at("People", "@"), "", rec, unknown},
			{"GET", o.at("People", "@", "comments"), "", rec, unknown},
			{"POST", o.at("People", "@", "comments"), `{"text":"x"}`, rec, unknown},
			{"PATCH", o.at("People", "@"), `{"fields":{"Name":"x"}}`, rec, unknown},
			{"PUT", o.at("People", "@"), `{"fields":{"Name":"x"}}`, rec, unknown},
			{"DELETE", o.at("People", "@"), "", rec, unknown},
			{"DELETE", o.at("People") + "?records%5B%5D=@", "", rec, unknown},
			{"PATCH", o.at("People"), `{"records":[{"id":"@","fields":{"Name":"x"}}]}`, rec, unknown},
			{"POST", o.at("People"), `{"fields":{"@":1}}`, "HushPay", "NoSuch"},
			{"POST", o.at("People"), `{"fields":{"@":1}}`, pay, "fldUNKNOWN0000000"},
			{"PATCH", o.at("People", o.open[0]), `{"fields":{"@":1}}`, "HushNote", "NoSuch"},
			{"POST", o.at("Tasks"), `{"fields":{"Owner":["@"]}}`, rec, unknown},
			{"PATCH", o.at("Tasks", o.allTask[0]), `{"fields":{"Owner":["@"]}}`, rec, unknown},
			{"PATCH", o.at("Tasks"), `{"performUpsert":{"fieldsToMergeOn":["@"]},"records":[{"fields":{"Title":"x"}}]}`, "HushBy", "NoSuch"},
		}
		for _, a := range alike {
			ask := func(what string) string {
				got := o.bob.v0(t, a.method, strings.ReplaceAll(a.path, "@", what), strings.ReplaceAll(a.body, "@", what))
				if got.status < 400 || got.status >= 500 {
					t.Errorf("%s %s with %s: %d %s", a.method, a.path, what, got.status, got.body)
				}
				return fmt.Sprint(got.status, strings.ReplaceAll(got.body, what, "@"))
			}
			if hidden, other := ask(a.hidden), ask(a.other); hidden != other {
				t.Errorf("%s %s %s:\nhidden  %s\nunknown %s", a.method, a.path, a.body, hidden, other)
			}
		}
		for _, rec := range o.closed[:1] { // nothing of that was done
			var got struct{ Fields map[string]any }
			o.anna.v0(t, "GET", o.at("People", rec), "").ok(t, &got)
			if got.Fields["Name"] != "ZQX 1" || got.Fields["HushPay"] != 9876501.0 {
				t.Errorf("a hidden record became %v", got.Fields)
			}
		}
	})
}

func TestMasks_WhatMayNotBeChangedStays(t *testing.T) {
	t.Parallel()
	bothStores(t, func(t *testing.T, o *office) {
		rec := o.open[0]
		got := o.bob.v0(t, "PATCH", o.at("People", rec), `{"fields":{"Grade":"B"}}`)
		got.refused(t, 403, `{"error":{"type":"INVALID_PERMISSIONS","message":"You are not permitted to write cell values in field Grade (`+o.people.field("Grade")+`)"}}`)
		// A replacement leaves alone what the caller may not write.
		o.bob.v0(t, "PUT", o.at("People", rec), `{"fields":{"Name":"New","Dept":"open"}}`).ok(t, nil)
		var now struct{ Fields map[string]any }
		o.anna.v0(t, "GET", o.at("People", rec), "").ok(t, &now)
		if now.Fields["Name"] != "New" || now.Fields["HushPay"] != 9876500.0 || now.Fields["HushNote"] != "ZQX note 0" || now.Fields["Grade"] != "A" {
			t.Errorf("replaced: %v", now.Fields)
		}
		// Links to what he does not see stay when he writes the cell, and when he empties it.
		for _, body := range []string{`{"fields":{"Owner":["` + o.open[5] + `"]}}`, `{"fields":{"Owner":null}}`} {
			answer := o.bob.v0(t, "PATCH", o.at("Tasks", o.allTask[0]), body)
			answer.ok(t, nil)
			o.clean(t, "the answer to "+body, answer.body)
			var task struct{ Fields struct{ Owner []string } }
			o.anna.v0(t, "GET", o.at("Tasks", o.allTask[0]), "").ok(t, &task)
			if !slices.Contains(task.Fields.Owner, o.closed[0]) || strings.Contains(body, "null") && len(task.Fields.Owner) != 1 {
				t.Errorf("after %s: %v", body, task.Fields.Owner)
			}
		}
		// Names may be of hidden records, and no key matches them.
		o.bob.v0(t, "PATCH", o.at("Tasks", o.allTask[0]), `{"typecast":true,"fields":{"Owner":"ZQX 1"}}`).refused(t, 422,
			`{"error":{"type":"INVALID_VALUE_FOR_COLUMN","message":"Value is not an array of record IDs."}}`)
		o.bob.v0(t, "PATCH", o.at("People"), `{"performUpsert":{"fieldsToMergeOn":["Name"]},"records":[{"fields":{"Name":"ZQX 1"}}]}`).refused(t, 403, forbidden)
		// A record may be given away: rules are about seeing.
		o.bob.v0(t, "PATCH", o.at("People", o.open[9]), `{"fields":{"Dept":"shut"}}`).ok(t, nil)
		if got := o.bob.v0(t, "GET", o.at("People", o.open[9]), ""); got.status != 404 {
			t.Errorf("it is still seen: %d", got.status)
		}
	})
}

func TestMasks_SchemaAndWebhooksAreNotForWhoSeesAPart(t *testing.T) {
	t.Parallel()
	o := newOffice(t, false)
	o.rights.set(o.bob, permissionapi.Manage, permit.Base(o.anna.tenant, o.app))
	o.bob.v0(t, "POST", "/v0/meta/bases/"+o.app+"/tables/"+o.tasks.ID+"/fields", `{"name":"F","type":"singleLineText"}`).refused(t, 403, forbidden)
	o.bob.v0(t, "PATCH", "/v0/meta/bases/"+o.app+"/tables/"+o.people.ID+"/fields/"+o.people.field("HushPay"), `{"name":"Pay"}`).refused(t, 403, forbidden)
	o.bob.v0(t, "POST", "/v0/meta/bases/"+o.app+"/tables", `{"name":"T","fields":[{"name":"N","type":"singleLineText"}]}`).refused(t, 403, forbidden)
	o.bob.v0(t, "POST", "/v0/bases/"+o.app+"/webhooks", `{"specification":{"options":{"filters":{"dataTypes":["tableData"]}}}}`).refused(t, 403, forbidden)
	var hook struct{ ID string }
	o.anna.v0(t, "POST", "/v0/bases/"+o.app+"/webhooks", `{"specification":{"options":{"filters":{"dataTypes":["tableData"]}}}}`).ok(t, &hook)
	o.bob.v0(t, "GET", "/v0/bases/"+o.app+"/webhooks/"+hook.ID+"/payloads", "").refused(t, 403, forbidden)
	o.bob.v0(t, "GET", "/v0/bases/"+o.app+"/webhooks", "").refused(t, 403, forbidden)
}

// A view that filters or sorts by what is hidden is not there.
func TestMasks_ViewsThatLookAtHiddenFieldsAreAbsent(t *testing.T) {
	t.Parallel()
	o := newOffice(t, false)
	view := func(table, name string, draft airtableapi.ViewDraft) {
		draft.Name = name
		must(t, o.anna, airtableapi.CreateView, airtableapi.ViewCreate{TablePath: at(o.app, table), Body: draft})
	}
	view("People", "HushRich", airtableapi.ViewDraft{Filter: "{HushPay}>9876510"})
	view("People", "HushFirst", airtableapi.ViewDraft{Sort: []airtableapi.ViewSort{{Field: "HushBonus"}}})
	view("People", "ByName", airtableapi.ViewDraft{Sort: []airtableapi.ViewSort{{Field: "Name", Desc: true}}, FieldOrder: []string{"HushPay", "Dept"}, HiddenFields: []string{"HushNote"}})
	view("Tasks", "HushOwned", airtableapi.ViewDraft{Filter: "{Owner}!=''"})
	var names []string
	for _, table := range []string{"People", "Tasks"} {
		for _, v := range must(t, o.bob, airtableapi.ListViews, airtableapi.ViewsQuery{TablePath: at(o.app, table), PageQuery: api.PageQuery{Limit: 100}}).Items {
			names = append(names, v.Name)
			body, _ := json.Marshal(v)
			o.clean(t, "view "+v.Name, string(body))
		}
	}
	if want := []string{"Grid view", "ByName", "Grid view"}; !slices.Equal(names, want) {
		t.Errorf("views %v, want %v", names, want)
	}
	if _, err := call(t, o.bob, airtableapi.FetchView, airtableapi.ViewPath{TablePath: at(o.app, "People"), ViewID: "HushRich"}); err == nil {
		t.Error("a view by a hidden field is shown")
	}
	o.bob.v0(t, "GET", o.at("People")+"?view=HushRich", "").refused(t, 422, `{"error":{"type":"VIEW_NAME_NOT_FOUND","message":"View HushRich not found"}}`)
	o.bob.v0(t, "GET", o.at("People")+"?view=ByName", "").ok(t, nil)
	o.clean(t, "schema", o.bob.v0(t, "GET", "/v0/meta/bases/"+o.app+"/tables?include%5B%5D=visibleFieldIds", "").body)
	o.clean(t, "views", o.bob.v0(t, "GET", "/v0/meta/bases/"+o.app+"/views", "").body)
}

func TestMasks_HistoryShowsWhatTheRecordDoes(t *testing.T) {
	t.Parallel()
	o := newOffice(t, false)
	of := func(table, rec, field string) (api.Page[airtableapi.Revision], error) {
		return call(t, o.bob, airtableapi.ListHistory, airtableapi.HistoryQuery{RecordPath: record(o.app, table, rec), Field: field, PageQuery: api.PageQuery{Limit: 100}})
	}
	for table, rec := range map[string]string{"People": o.open[0], "Tasks": o.allTask[0]} {
		got, err := of(table, rec, "")
		if err != nil || len(got.Items) == 0 || len(got.Items[0].Cells) == 0 {
			t.Errorf("%s: %+v, %v", table, got, err)
		}
		body, _ := json.Marshal(got)
		o.clean(t, "history of "+table, string(body))
	}
	_, hidden := of("People", o.closed[0], "")
	_, unknown := of("People", "recUNKNOWN0000000", "")
	if hidden == nil || hidden.Error() != unknown.Error() {
		t.Errorf("a hidden record: %v, an unknown one: %v", hidden, unknown)
	}
	if _, err := of("People", o.open[0], "HushPay"); err == nil {
		t.Error("the history of a hidden field is shown")
	}
}

// A rule that does not fit its table any more, or a table whose fields pass for others,
// shows nothing.
func TestMasks_BrokenRulesShowNothing(t *testing.T) {
	t.Parallel()
	o := newOffice(t, false)
	count := func() int {
		var list struct{ Records []any }
		o.bob.v0(t, "GET", o.at("People"), "").ok(t, &list)
		return len(list.Records)
	}
	rule := func(rows ...string) {
		o.rights.restrict(o.bob, o.app, permissionapi.TablePolicy{TableID: o.people.ID, Rows: rows})
	}
	rule("{" + o.people.field("Dept") + `} = "open"`)
	if n := count(); n != 10 {
		t.Errorf("%d records", n)
	}
	rule("{"+o.people.field("Dept")+`} = "open"`, "{"+o.people.field("Name")+`} = "Person 2"`)
	if n := count(); n != 1 {
		t.Errorf("%d records under two rules", n)
	}
	for _, rows := range []string{"{fldGONE0000000000} = 1", "1 +"} {
		if rule(rows); count() != 0 {
			t.Errorf("%s shows records", rows)
		}
	}
	rule("{" + o.people.field("Dept") + `} = "open"`)
	o.field(t, o.people, `{"name":"`+o.people.field("Dept")+`","type":"singleLineText"}`)
	if n := count(); n != 0 {
		t.Errorf("%d records where a field is called like another's id", n)
	}
}

// An answer is the caller's own: no other caller's, and none from under another policy.
func TestMasks_CachedAnswersAreMaskedForEachCaller(t *testing.T) {
	t.Parallel()
	o := newOffice(t, true)
	whole := o.anna.get(t, o.at("Tasks"))
	part := o.bob.get(t, o.at("Tasks"))
	again := o.bob.get(t, o.at("Tasks"))
	if again.header.Get("X-Cache") != "HIT" || again.body != part.body || part.body == whole.body {
		t.Errorf("%v %s", again.header, again.body)
	}
	etag := again.header.Get("ETag")
	if same := o.bob.get(t, o.at("Tasks"), "If-None-Match", etag); same.status != http.StatusNotModified || same.body != "" {
		t.Errorf("%d %s", same.status, same.body)
	}
	if other := o.anna.get(t, o.at("Tasks"), "If-None-Match", etag); other.status != http.StatusOK {
		t.Errorf("another's ETag: %d", other.status)
	}
	o.rights.restrict(o.bob, o.app, permissionapi.TablePolicy{TableID: o.tasks.ID, Hidden: []string{o.tasks.field("Effort")}})
	if now := o.bob.get(t, o.at("Tasks"), "If-None-Match", etag); now.status != http.StatusOK || strings.Contains(now.body, "Effort") {
		t.Errorf("under another policy: %d %s", now.status, now.body)
	}
}

// clean fails the test if the text tells of what bob does not see.
func (o *office) clean(t *testing.T, what, text string) {
	t.Helper()
	for _, s := range o.secret {
		if strings.Contains(text, s) {
			t.Errorf("%s tells of %q: %s", what, s, text)
			return
		}
	}
}

// Whatever bob asks for, at whichever door, no byte of the answers is of a hidden field, a
// hidden record or a hidden table. Names that he sends himself may come back in refusals.
func TestMasks_NoAnswerEverTellsOfWhatIsHidden(t *testing.T) {
	t.Parallel()
	bothStores(t, func(t *testing.T, o *office) {
		r := rand.New(rand.NewPCG(7, 11))
		asker := asker{o: o, r: r}
		n := 600
		if o.people.Views[0].ID == "" {
			t.Fatal("no views")
		}
		if strings.HasSuffix(t.Name(), "account") { // as many as Airtable lets through in some seconds
			n = 120
		}
		for i := range n {
			q := asker.ask()
			got := o.bob.v0(t, q.method, q.path, q.body)
			text := got.body
			if got.status >= 400 {
				for _, s := range q.said {
					text = strings.ReplaceAll(text, s, "")
				}
			}
			if got.status >= 500 {
				t.Fatalf("%d: %s %s %s: %d %s", i, q.method, q.path, q.body, got.status, got.body)
			}
			o.clean(t, fmt.Sprintf("%d: %s %s %s: %d", i, q.method, q.path, q.body, got.status), text)
			if t.Failed() {
				return
			}
		}
	})
}

type asker struct {
	o *office
	r *rand.Rand
}

type query struct {
	method, path, body string
	said               []string
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// ask makes up a request.
func (a asker) ask() query {
	o, r := a.o, a.r
	table := pick(r, o.people, o.people, o.tasks, o.tasks, o.vault)
	q := query{method: "GET", said: append([]string{}, o.secret...)}
	name := table.Name
	if r.IntN(2) == 0 {
		name = table.ID
	}
	rec := pick(r, append(append(slices.Clone(o.open[:6]), o.closed...), o.allTask...)...)
	switch r.IntN(12) {
	case 0:
		q.path = o.at(name, rec) + "?" + a.output(url.Values{}).Encode()
	case 1:
		q.path = "/v0/meta/bases/" + o.app + "/" + pick(r, "tables", "views", "tables?include%5B%5D=visibleFieldIds")
	case 2:
		q.path = "/v0/" + o.app + "/" + name + "/" + rec + "/comments"
	case 3:
		q.method, q.path = pick(r, "PATCH", "PUT"), o.at(name, rec)
		q.body = fmt.Sprintf(`{"returnFieldsByFieldId":%t,"fields":{%q:%s}}`, r.IntN(2) == 0, a.field(table), pick(r, `"x"`, `5`, `null`, `["`+rec+`"]`))
		if strings.Contains(q.body, `"Dept"`) || strings.Contains(q.body, o.people.field("Dept")) || q.method == "PUT" && table.Name == "People" {
			q.method, q.body = "PATCH", `{"fields":{"Name":"Person X"}}` // bob keeps what he sees
		}
	case 4:
		q.method, q.path = "PATCH", o.at(name)
		q.body = fmt.Sprintf(`{"performUpsert":{"fieldsToMergeOn":[%q]},"records":[{"fields":{%q:"ZQX 1"}}]}`, a.field(table), a.field(table))
		if table.Name == "Tasks" {
			q.body = strings.ReplaceAll(q.body, "ZQX 1", "Task 1")
		}
	case 5:
		q.method, q.path = "POST", o.at(name)
		q.body = fmt.Sprintf(`{"typecast":%t,"fields":{%q:%s}}`, r.IntN(2) == 0, a.field(table), pick(r, `"ok"`, `["`+rec+`"]`))
	case 6:
		q.method, q.path, q.body = "POST", o.at(name, "listRecords"), a.list(table, true)
	case 7:
		q.path = "/api/v1/airtable/bases/" + o.app + "/tables/" + url.PathEscape(name) + pick(r, "", "/records/"+rec, "/records?limit=3", "/views", "/records/"+rec+"/history", "/records?fields="+a.field(table))
	default:
		q.path = o.at(name) + "?" + a.list(table, false)
	}
	return q
}

// field is any field of the table by id or name, hidden or not.
func (a asker) field(table wireTable) string {
	f := pick(a.r, table.Fields...)
	return pick(a.r, f.ID, f.Name, f.Name)
}

func (a asker) output(v url.Values) url.Values {
	if a.r.IntN(3) == 0 {
		v.Set("returnFieldsByFieldId", "true")
	}
	if a.r.IntN(3) == 0 {
		v.Set("cellFormat", "string")
		v.Set("timeZone", "utc")
		v.Set("userLocale", "en-gb")
	}
	return v
}

// list makes up the parameters of a list, as a query or as a body.
func (a asker) list(table wireTable, asBody bool) string {
	r, v := a.r, a.output(url.Values{})
	v.Set("pageSize", fmt.Sprint(1+r.IntN(20)))
	if r.IntN(3) == 0 {
		v.Add("fields[]", a.field(table))
	}
	if r.IntN(3) == 0 {
		v.Set("sort[0][field]", a.field(table))
	}
	if r.IntN(2) == 0 {
		v.Set("filterByFormula", a.formula(table))
	}
	if r.IntN(6) == 0 && len(table.Views) > 0 {
		v.Set("view", pick(r, table.Views[0].ID, table.Views[0].Name, "HushRich"))
	}
	if !asBody {
		return v.Encode()
	}
	body := map[string]any{}
	for key := range v {
		switch key {
		case "fields[]":
			body["fields"] = v[key]
		case "sort[0][field]":
			body["sort"] = []any{map[string]string{"field": v.Get(key)}}
		case "pageSize":
			body[key] = json.RawMessage(v.Get(key))
		case "returnFieldsByFieldId":
			body[key] = true
		default:
			body[key] = v.Get(key)
		}
	}
	out, _ := json.Marshal(body)
	return string(out)
}

// formula makes up a filter, some of which try to end the one that they are joined to.
func (a asker) formula(table wireTable) string {
	f, rec := a.field(table), pick(a.r, a.o.closed...)
	return pick(a.r,
		"{"+f+"}!=''", "LEN({"+f+"}&'')>3", `RECORD_ID()="`+rec+`"`, `OR(TRUE(),{`+f+`})`, "TRUE()", "1=1",
		`1),OR(1`, `1)&(1`, `TRUE()),TRUE(`, `") ,TRUE(),("`, `'\'),TRUE(),('`, `{\}),TRUE(),({`, "1)\n//", "NOT(0)", `IF({`+f+`},1,1)`,
		`FIND("ZQX",{`+f+`})`, `CREATED_TIME()<NOW()`,
	)
}
