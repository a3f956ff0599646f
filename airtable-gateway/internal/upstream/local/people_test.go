package local_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// person enters somebody in the tenant's directory.
func (b *bench) person(airtableID, name string) upstream.Caller {
	b.t.Helper()
	who := upstream.Caller{Tenant: b.who.Tenant, User: id.New[id.User]()}
	err := b.store.EnterPerson(b.t.Context(), b.who.Tenant, models.Person{
		ID: models.PersonID(airtableID), User: who.User, Email: strings.ToLower(name) + "@example.com", Name: name,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return who
}

func shown(airtableID, name string) object {
	return object{"id": airtableID, "email": strings.ToLower(name) + "@example.com", "name": name}
}

// team is a base whose table names people in every way, and whom it may name.
type team struct {
	*bench
	ann, bob, zoe *bench
}

func newTeam(t testing.TB) team {
	t.Helper()
	b := newBench(t)
	day := option("type", "dateTime", "options", option("dateFormat", option("name", "iso"), "timeFormat", option("name", "24hour"), "timeZone", "utc"))
	of := []any{"fldState", "fldOwner"}
	base, err := b.store.CreateBase(t.Context(), b.who, models.BaseSpec{Name: "Team", Tables: []models.TableSpec{{
		ID: "tblTasks", Name: "Tasks", Fields: []models.FieldSpec{
			{ID: "fldCode", Name: "Code", Type: models.Barcode},
			{ID: "fldState", Name: "State", Type: models.SingleLineText},
			{ID: "fldOwner", Name: "Owner", Type: models.SingleCollaborator, Options: option()},
			{ID: "fldTeam", Name: "Team", Type: models.MultipleCollaborators},
			{ID: "fldBy", Name: "By", Type: models.CreatedBy},
			{ID: "fldLast", Name: "Last", Type: models.LastModifiedBy},
			{ID: "fldLastOf", Name: "Last of", Type: models.LastModifiedBy, Options: option("referencedFieldIds", of)},
			{ID: "fldWhen", Name: "When", Type: models.LastModifiedTime, Options: option("referencedFieldIds", of, "result", day)},
			{ID: "fldButton", Name: "Open", Type: models.Button},
			{ID: "fldAI", Name: "Summary", Type: models.AIText, Options: option("prompt", []any{"Sum up ", option("field", option("fieldId", "fldState"))}, "referencedFieldIds", []any{"fldState"})},
			{ID: "fldSource", Name: "Source", Type: models.ExternalSyncSource, Options: option("choices", []any{option("name", "CRM")})},
			{ID: "fldSort", Name: "Sort", Type: models.ManualSort},
		},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	b.base = base
	return team{b, b.as(b.person("usrAnn", "Ann")), b.as(b.person("usrBob", "Bob")), b.as(b.person("usrZoe", "Zoe"))}
}

func (b *bench) cell(rec, field string) any {
	b.t.Helper()
	return fields(b.ok(get("Tasks", rec)))[field]
}

func TestCollaborators_AreWrittenByIDOrAddressAndShownWhole(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	ann, bob := shown("usrAnn", "Ann"), shown("usrBob", "Bob")
	for _, tt := range []struct {
		typecast     bool
		field, value string
		want         any
	}{
		{false, "Owner", `{"id":"usrAnn"}`, ann},
		{false, "Owner", `{"email":"BOB@example.com"}`, bob},
		{false, "Owner", `"usrBob"`, bob},
		{false, "Owner", `{"id":"usrAnn","email":"old@example.com","name":"Old"}`, ann}, // as it was read
		{false, "Owner", `null`, nil},
		{false, "Team", `["usrBob",{"id":"usrAnn"},{"email":"bob@example.com"}]`, []any{bob, ann}},
		{false, "Team", `[]`, nil},
		{true, "Owner", `"Ann"`, ann},
		{true, "Owner", `"ann@example.com"`, ann},
		{true, "Owner", `"usrAnn"`, ann},
		{true, "Team", `"Bob, ann@example.com"`, []any{bob, ann}},
		{true, "Team", `["Ann"]`, []any{ann}},
	} {
		got := fields(w.ok(create("Tasks", fmt.Sprintf(`{"fields":{%q:%s},"typecast":%v}`, tt.field, tt.value, tt.typecast))))[tt.field]
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s %s: %s", tt.field, tt.value, diff)
		}
	}
	for value, message := range map[string]string{
		`{"Owner":{"id":"usrNobody"}}`:               `Field \"Owner\" cannot accept the provided value`,
		`{"Owner":{"email":"x@example.com"}}`:        `Field \"Owner\" cannot accept the provided value`,
		`{"Team":["usrAnn","usrNobody"]}`:            `Field \"Team\" cannot accept the provided value`,
		`{"By":{"id":"usrAnn"}}`:                     `Field \"By\" cannot accept a value because the field is computed`,
		`{"Open":{"label":"x"}}`:                     `Field \"Open\" cannot accept a value because the field is computed`,
		`{"Owner":"Nobody"},"typecast":true`:         `Cannot parse value \"Nobody\" for field Owner`,
		`{"Team":"Ann, Nobody"},"typecast":true`:     `Cannot parse value \"Nobody\" for field Team`,
		`{"Owner":{"id":"usrNo"}},"typecast":true`:   `Field \"Owner\" cannot accept the provided value`,
		`{"Source":"Elsewhere"},"typecast":true`:     `Field \"Source\" cannot accept a value because the field is computed`,
		`{"Last":null}`:                              `Field \"Last\" cannot accept a value because the field is computed`,
		`{"Code":"loose text without any typecast"}`: `Field \"Code\" cannot accept the provided value`,
	} {
		status, body := w.do(create("Tasks", `{"fields":`+value+`}`))
		if status != 422 || !strings.Contains(body, `"INVALID_VALUE_FOR_COLUMN"`) || !strings.Contains(body, message) {
			t.Errorf("%s: %d %s", value, status, body)
		}
	}
}

func TestCollaborators_OfAnotherTenantAreNobody(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	w.as(upstream.Caller{Tenant: id.New[id.Tenant](), User: id.New[id.User]()}).person("usrCid", "Cid")
	for _, body := range []string{`{"fields":{"Owner":{"id":"usrCid"}}}`, `{"fields":{"Owner":"Cid"},"typecast":true}`, `{"fields":{"Owner":{"email":"cid@example.com"}}}`} {
		w.refused(create("Tasks", body), 422, "INVALID_VALUE_FOR_COLUMN")
	}
}

func TestCollaborators_TwoOfOneNameAreTakenForNeither(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	w.person("usrAnother", "Ann")
	w.refused(create("Tasks", `{"fields":{"Owner":"Ann"},"typecast":true}`), 422, "INVALID_VALUE_FOR_COLUMN")
	w.ok(create("Tasks", `{"fields":{"Owner":"usrAnother"},"typecast":true}`))
}

func TestChanges_AreKeptByFieldAndShownByAFieldMadeLater(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	rec := w.ann.ok(create("Tasks", `{"fields":{"State":"new"}}`))["id"].(string)
	if diff := cmp.Diff(object{"State": "new", "By": shown("usrAnn", "Ann")}, fields(w.ok(get("Tasks", rec)))); diff != "" {
		t.Errorf("after creation: %s", diff)
	}
	*w.clock = w.clock.Add(time.Minute)
	w.bob.ok(patch("Tasks", rec, `{"fields":{"State":"begun"}}`))
	*w.clock = w.clock.Add(time.Minute)
	answer := fields(w.zoe.ok(patch("Tasks", rec, `{"fields":{"Code":{"text":"c"},"State":"begun"}}`)))
	want := object{
		"Code": object{"text": "c"}, "State": "begun", "By": shown("usrAnn", "Ann"),
		"Last": shown("usrZoe", "Zoe"), "Last of": shown("usrBob", "Bob"), "When": "2026-05-01T10:01:00.123Z",
	}
	if diff := cmp.Diff(want, answer); diff != "" {
		t.Errorf("after two changes: %s", diff)
	}
	if diff := cmp.Diff(want, fields(w.ok(get("Tasks", rec)))); diff != "" {
		t.Errorf("read back: %s", diff)
	}
	// The stamps were kept before anybody looked at them.
	var row string
	const xmin = `SELECT xmin::text FROM records WHERE tenant_id = $1 AND id = $2`
	if err := postgres.ForEveryTenant(w.pool).QueryRow(t.Context(), xmin, w.who.Tenant, rec).Scan(&row); err != nil {
		t.Fatal(err)
	}
	w.ok(upstream.Call{Op: upstream.CreateField, Table: "Tasks", Body: []byte(`{"name":"Coded","type":"lastModifiedBy","options":{"referencedFieldIds":["fldCode"]}}`)})
	w.ok(upstream.Call{Op: upstream.CreateField, Table: "Tasks", Body: []byte(`{"name":"Coded at","type":"lastModifiedTime","options":{"referencedFieldIds":["fldCode"]}}`)})
	if diff := cmp.Diff([]any{shown("usrZoe", "Zoe"), "2026-05-01T10:02:00.123Z"}, []any{w.cell(rec, "Coded"), w.cell(rec, "Coded at")}); diff != "" {
		t.Error(diff)
	}
	var again string
	if err := postgres.ForEveryTenant(w.pool).QueryRow(t.Context(), xmin, w.who.Tenant, rec).Scan(&again); err != nil || again != row {
		t.Errorf("the record was written again: %v", err)
	}
	// Clearing is a change; writing what is there is none.
	*w.clock = w.clock.Add(time.Minute)
	w.ann.ok(patch("Tasks", rec, `{"fields":{"State":null}}`))
	*w.clock = w.clock.Add(time.Minute)
	w.bob.ok(patch("Tasks", rec, `{"fields":{"State":null}}`))
	if diff := cmp.Diff([]any{shown("usrAnn", "Ann"), "2026-05-01T10:03:00.123Z"}, []any{w.cell(rec, "Last of"), w.cell(rec, "When")}); diff != "" {
		t.Error(diff)
	}
}

func TestChanges_ALinkChangesItsOtherEndToo(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	ann := b.as(b.person("usrAnn", "Ann"))
	b.ok(upstream.Call{Op: upstream.CreateField, Table: "People", Body: []byte(`{"name":"Ordered by","type":"lastModifiedBy","options":{"referencedFieldIds":["fldOrders"]}}`)})
	buyer := b.made("People", `{"Name":"Buyer"}`)
	ann.ok(create("Orders", `{"fields":{"Buyer":["`+buyer+`"]}}`))
	if diff := cmp.Diff(any(shown("usrAnn", "Ann")), fields(b.ok(get("People", buyer)))["Ordered by"]); diff != "" {
		t.Error(diff)
	}
}

func TestPeople_ErasedOnesAreShownByTheirIDAlone(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	rec := w.ann.ok(create("Tasks", `{"fields":{"Owner":{"id":"usrAnn"},"Team":["usrAnn","usrBob"]}}`))["id"].(string)
	if _, err := postgres.ForEveryTenant(w.pool).Exec(t.Context(), `UPDATE people SET email = '', name = '', erased_at = now() WHERE user_id = $1`, w.ann.who.User); err != nil {
		t.Fatal(err)
	}
	got := fields(w.ok(get("Tasks", rec)))
	if diff := cmp.Diff(object{"Owner": object{"id": "usrAnn"}, "Team": []any{object{"id": "usrAnn"}, shown("usrBob", "Bob")}, "By": object{"id": models.UserIDOf(w.ann.who.User)}}, got); diff != "" {
		t.Error(diff)
	}
	w.refused(patch("Tasks", rec, `{"fields":{"Owner":{"id":"usrAnn"}}}`), 422, "INVALID_VALUE_FOR_COLUMN")
}

func TestPeople_AreFilteredSortedAndPrinted(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	w.bob.ok(create("Tasks", `{"fields":{"Code":{"text":"c1","type":"qr"},"Owner":"Bob","Team":"Zoe, Ann"},"typecast":true}`))
	w.ann.ok(create("Tasks", `{"fields":{"Code":{"text":"c10"},"Owner":"ann@example.com","Team":"Bob"},"typecast":true}`))
	second := w.zoe.ok(create("Tasks", `{"fields":{"Code":{"text":"c2"},"Owner":"Zoe"},"typecast":true}`))["id"].(string)
	*w.clock = w.clock.Add(time.Minute)
	w.ann.ok(patch("Tasks", second, `{"fields":{"State":"x"}}`))
	codes := func(kv ...string) string {
		t.Helper()
		var out []string
		for _, r := range records(w.ok(list("Tasks", kv...))) {
			out = append(out, fields(r)["Code"].(object)["text"].(string))
		}
		return strings.Join(out, " ")
	}
	for formula, want := range map[string]string{
		`{Owner}="Bob"`:                     "c1",
		`FIND("Ann",{Team})`:                "c1",
		`{Team}="Zoe, Ann"`:                 "c1",
		`{By}="Ann"`:                        "c10",
		`{Code}="c2"`:                       "c2",
		`{Last}="Ann"`:                      "c2",
		`NOT({Team})`:                       "c2",
		`{When}`:                            "c2",
		`LAST_MODIFIED_TIME({State})`:       "c2",
		`LAST_MODIFIED_TIME({Owner})`:       "",
		`DATETIME_FORMAT({When},"mm")="01"`: "c2",
		`AND({Owner}!="Bob",{Code}!="c2",{Last of}="")`: "c10",
	} {
		if got := codes("filterByFormula", formula); got != want {
			t.Errorf("%s: %q, want %q", formula, got, want)
		}
	}
	for field, want := range map[string]string{
		"Code": "c1 c2 c10", "Owner": "c10 c1 c2", "By": "c10 c1 c2", "Team": "c2 c10 c1", "Last": "c1 c10 c2", "When": "c1 c10 c2", "Last of": "c1 c10 c2",
	} {
		if got := codes("sort[0][field]", field); got != want {
			t.Errorf("by %s: %s, want %s", field, got, want)
		}
	}
	if got := codes("sort[0][field]", "When", "sort[0][direction]", "desc"); !strings.HasPrefix(got, "c2") {
		t.Errorf("by When, descending: %s", got)
	}
	text := records(w.ok(list("Tasks", "cellFormat", "string", "timeZone", "utc", "userLocale", "en-us")))
	if diff := cmp.Diff(object{"Code": "c1", "Owner": "Bob", "Team": "Zoe, Ann", "By": "Bob"}, fields(text[0])); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(object{"Code": "c2", "State": "x", "Owner": "Zoe", "By": "Zoe", "Last": "Ann", "Last of": "Ann", "When": "2026-05-01 10:01"}, fields(text[2])); diff != "" {
		t.Error(diff)
	}
}

func TestTypes_ThatOnlyAirtableMakesAreImportedAndReadNotWritten(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	cells := object{
		"Open": object{"label": "Open", "url": "https://example.com"}, "Sort": "a0", "Source": "CRM",
		"Summary": object{"state": "generated", "isStale": false, "value": "short"},
	}
	recs, err := w.store.ImportRecords(t.Context(), w.who, w.base.ID, "Tasks", []local.ImportRecord{{Fields: cells}}, false)
	if err != nil {
		t.Fatal(err)
	}
	got := fields(w.ok(get("Tasks", string(recs[0]))))
	delete(got, "By")
	if diff := cmp.Diff(cells, got); diff != "" {
		t.Error(diff)
	}
	if got := records(w.ok(list("Tasks", "filterByFormula", `AND({Summary}="short",{Source}="CRM",{Open}="Open")`))); len(got) != 1 {
		t.Errorf("%d records are found by their texts", len(got))
	}
	// PUT clears what a client may write, and this he may not.
	w.ok(put("Tasks", string(recs[0]), `{"fields":{"State":"x"}}`))
	if diff := cmp.Diff(cells["Summary"], w.cell(string(recs[0]), "Summary")); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []object{{"Open": object{"url": "x"}}, {"Open": "x"}, {"Summary": object{"state": "odd"}}, {"Summary": 5}, {"Source": "unheard of"}} {
		if _, err := w.store.ImportRecords(t.Context(), w.who, w.base.ID, "Tasks", []local.ImportRecord{{Fields: bad}}, false); err == nil {
			t.Errorf("%v was imported", bad)
		}
	}
}

func TestFields_OfPeopleAndObjectsAreMadeAsAirtableAllows(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	field := func(body string) upstream.Call {
		return upstream.Call{Op: upstream.CreateField, Table: "Tasks", Body: []byte(body)}
	}
	for body, options := range map[string]any{
		`{"name":"a","type":"singleCollaborator","options":{}}`:                                         nil,
		`{"name":"b","type":"singleCollaborator"}`:                                                      nil,
		`{"name":"c","type":"multipleCollaborators"}`:                                                   nil,
		`{"name":"d","type":"barcode"}`:                                                                 nil,
		`{"name":"e","type":"createdBy"}`:                                                               nil,
		`{"name":"f","type":"lastModifiedBy"}`:                                                          nil,
		`{"name":"g","type":"lastModifiedBy","options":{"referencedFieldIds":["fldState","fldState"]}}`: object{"referencedFieldIds": []any{"fldState"}},
		`{"name":"h","type":"lastModifiedTime"}`: object{"isValid": true, "referencedFieldIds": []any{}, "result": object{"type": "dateTime", "options": object{
			"dateFormat": object{"name": "iso", "format": "YYYY-MM-DD"}, "timeFormat": object{"name": "24hour", "format": "HH:mm"}, "timeZone": "utc"}}},
	} {
		if diff := cmp.Diff(options, w.ok(field(body))["options"]); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
	}
	for _, kind := range []string{"button", "aiText", "externalSyncSource", "manualSort"} {
		status, body := w.do(field(`{"name":"x","type":"` + kind + `"}`))
		if want := `{"error":{"type":"UNSUPPORTED_FIELD_TYPE_FOR_CREATE","message":"Creating ` + kind + ` fields is not supported at this time"}}`; status != 422 || body != want {
			t.Errorf("%s: %d %s", kind, status, body)
		}
	}
	const bad = "INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE"
	for _, body := range []string{
		`{"name":"x","type":"lastModifiedBy","options":{"referencedFieldIds":["fldNowhere"]}}`,
		`{"name":"x","type":"lastModifiedTime","options":{"referencedFieldIds":["fldBy"]}}`,
		`{"name":"x","type":"lastModifiedTime","options":{"referencedFieldIds":"fldState"}}`,
		`{"name":"x","type":"lastModifiedTime","options":{"referencedFieldIds":[5]}}`,
		`{"name":"x","type":"barcode","options":{"text":"x"}}`,
	} {
		w.refused(field(body), 422, bad)
	}
	// The schema shows what the store alone can make.
	var schema struct {
		Tables []struct {
			Fields []struct {
				ID      string
				Options json.RawMessage
			}
		}
	}
	_, body := w.do(upstream.Call{Op: upstream.BaseSchema})
	if err := json.Unmarshal([]byte(body), &schema); err != nil {
		t.Fatal(err)
	}
	for _, f := range schema.Tables[0].Fields {
		if f.ID == "fldAI" && string(f.Options) != `{"prompt":["Sum up ",{"field":{"fieldId":"fldState"}}],"referencedFieldIds":["fldState"]}` {
			t.Errorf("aiText: %s", f.Options)
		}
	}
}

func TestPeople_AreNotNamedInEvents(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	w.ann.ok(create("Tasks", `{"fields":{"Owner":"Bob","Team":"Ann, Bob"},"typecast":true}`))
	var n int
	err := w.pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox t WHERE t::text ILIKE '%example.com%'`).Scan(&n)
	if err != nil || n != 0 {
		t.Errorf("%d events know an address, %v", n, err)
	}
}

func TestPeople_AreSeenByFormulasAndThroughLinks(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	table := w.ok(upstream.Call{Op: upstream.CreateTable, Body: []byte(`{"name":"Projects","fields":[{"name":"Name","type":"singleLineText"},
		{"name":"Tasks","type":"multipleRecordLinks","options":{"linkedTableId":"tblTasks"}}]}`)})
	link := table["fields"].([]any)[1].(object)["id"].(string)
	w.formula("Tasks", "Who", `{Owner}&" for "&{By}&": "&{Code}&IF({Last of}," again","")&IF(LAST_MODIFIED_TIME({Owner}), " touched", "")`)
	for name, target := range map[string]string{"Owners": "fldOwner", "Teams": "fldTeam", "Codes": "fldCode", "Makers": "fldBy"} {
		w.field("Projects", name, "multipleLookupValues", option("recordLinkFieldId", link, "fieldIdInLinkedTable", target))
	}
	w.field("Projects", "All", "rollup", option("recordLinkFieldId", link, "fieldIdInLinkedTable", "fldTeam", "formula", `ARRAYJOIN(ARRAYUNIQUE(values),"+")`))
	made := w.zoe.ok(create("Tasks", `{"fields":{"Code":{"text":"c1"},"Owner":"Bob","Team":"Ann, Bob"},"typecast":true}`))
	if got := fields(made)["Who"]; got != "Bob for Zoe: c1" {
		t.Errorf("in the answer of the create: %v", got)
	}
	one := made["id"].(string)
	*w.clock = w.clock.Add(time.Minute)
	if got := fields(w.ann.ok(patch("Tasks", one, `{"fields":{"Owner":{"id":"usrAnn"}}}`)))["Who"]; got != "Ann for Zoe: c1 again touched" {
		t.Errorf("after a change: %v", got)
	}
	project := w.made("Projects", `{"Name":"P","Tasks":["`+one+`","`+w.made("Tasks", `{"Code":"c2","Team":["Bob"]}`)+`"]}`)
	got := fields(w.ok(get("Projects", project)))
	ann, bob, zoe := shown("usrAnn", "Ann"), shown("usrBob", "Bob"), shown("usrZoe", "Zoe")
	for name, want := range map[string]any{
		"Owners": []any{ann}, "Teams": []any{ann, bob, bob}, "Codes": []any{object{"text": "c1"}, object{"text": "c2"}},
		"Makers": []any{zoe, object{"id": models.UserIDOf(w.who.User)}}, "All": "Ann+Bob",
	} {
		if diff := cmp.Diff(want, got[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	text := fields(records(w.ok(list("Projects", "cellFormat", "string", "timeZone", "utc", "userLocale", "en-us")))[0])
	if text["Owners"] != "Ann" || text["Teams"] != "Ann, Bob, Bob" || text["Codes"] != "c1, c2" || text["Tasks"] != "c1, c2" {
		t.Errorf("as text: %v", text)
	}
	for formula, want := range map[string]int{`FIND("Ann",{Owners}&"")`: 1, `{Tasks}="c1, c2"`: 1, `FIND("Zoe",{Owners}&"")`: 0} {
		if got := len(records(w.ok(list("Projects", "filterByFormula", formula, "sort[0][field]", "Owners")))); got != want {
			t.Errorf("%s: %d records", formula, got)
		}
	}
}
