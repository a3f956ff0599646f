package local_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/id"
)

func createField(table, body string) upstream.Call {
	return upstream.Call{Op: upstream.CreateField, Method: "POST", Table: table, Body: []byte(body)}
}

func createTable(body string) upstream.Call {
	return upstream.Call{Op: upstream.CreateTable, Method: "POST", Body: []byte(body)}
}

func (b *bench) schema(query string) []any {
	b.t.Helper()
	return b.ok(upstream.Call{Op: upstream.BaseSchema, Method: "GET", RawQuery: query})["tables"].([]any)
}

func TestMeta_CreateBaseThroughTheAPI(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	made := b.ok(upstream.Call{Op: upstream.CreateBase, Body: []byte(`{"name":"Shop","workspaceId":"wspAAAAAAAAAAAAAA","tables":[
		{"name":"Orders","description":"d","fields":[{"name":"No","type":"singleLineText"},{"name":"Qty","type":"number","options":{"precision":0}}]}]}`)})
	b.base = &models.Base{ID: models.BaseID(made["id"].(string))}
	table := b.schema("include=visibleFieldIds")[0].(object)
	fieldList, view := table["fields"].([]any), table["views"].([]any)[0].(object)
	no, qty := fieldList[0].(object)["id"], fieldList[1].(object)["id"]
	want := object{
		"id": table["id"], "name": "Orders", "description": "d", "primaryFieldId": no,
		"fields": []any{
			object{"id": no, "name": "No", "type": "singleLineText"},
			object{"id": qty, "name": "Qty", "type": "number", "options": object{"precision": 0.0}},
		},
		"views": []any{object{"id": view["id"], "name": "Grid view", "type": "grid", "visibleFieldIds": []any{no, qty}}},
	}
	if diff := cmp.Diff(want, table); diff != "" {
		t.Error(diff)
	}
	bases := b.ok(upstream.Call{Op: upstream.ListBases})["bases"].([]any)
	if diff := cmp.Diff([]any{object{"id": made["id"], "name": "Shop", "permissionLevel": "create"}}, bases); diff != "" {
		t.Error(diff)
	}
	b.refused(upstream.Call{Op: upstream.ListBases, RawQuery: "pageSize=1"}, 422, "INVALID_REQUEST_UNKNOWN")
	b.refused(upstream.Call{Op: upstream.ListBases, RawQuery: "offset=x"}, 422, "INVALID_OFFSET_VALUE")
	for body, kind := range map[string]string{
		`{"name":"x","tables":[{"name":"T","fields":[{"name":"a","type":"singleLineText"}]}]}`:                                                         "INVALID_REQUEST",
		`{"name":"x","workspaceId":"wspA","tables":[]}`:                                                                                                "INVALID_REQUEST_UNKNOWN",
		`{"name":"","workspaceId":"wspA","tables":[{"name":"T","fields":[{"name":"a","type":"singleLineText"}]}]}`:                                     "INVALID_REQUEST_UNKNOWN",
		`{"name":"x","workspaceId":"wspA","tables":[{"name":"T","fields":[{"name":"a","type":"checkbox","options":{"icon":"x"}}]}]}`:                   "INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE",
		`{"name":"x","workspaceId":"wspA","tables":[{"name":"T","fields":[{"name":"a","type":"singleSelect","options":{"choices":[{"name":"q"}]}}]}]}`: "INVALID_REQUEST_UNKNOWN",
	} {
		b.refused(upstream.Call{Op: upstream.CreateBase, Body: []byte(body)}, 422, kind)
	}
}

func TestMeta_CreateFieldOfEveryTypeAndRefusals(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	for _, f := range []string{
		`"singleLineText"`, `"multilineText"`, `"richText"`, `"email"`, `"url"`, `"phoneNumber"`,
		`"number","options":{"precision":8}`, `"percent","options":{"precision":1}`, `"currency","options":{"precision":2,"symbol":"€"}`,
		`"rating","options":{"icon":"star","max":5,"color":"yellowBright"}`, `"duration","options":{"durationFormat":"h:mm:ss.SSS"}`,
		`"checkbox","options":{"icon":"check","color":"greenBright"}`,
		`"singleSelect","options":{"choices":[{"name":"a"},{"name":"b","color":"redDark1"}]}`, `"multipleSelects","options":{"choices":[]}`,
		`"date","options":{"dateFormat":{"name":"us"}}`,
		`"dateTime","options":{"dateFormat":{"name":"local","format":"l"},"timeFormat":{"name":"12hour"},"timeZone":"Europe/Paris"}`,
		`"multipleRecordLinks","options":{"linkedTableId":"tblPeople"}`, `"autoNumber"`, `"createdTime"`,
		`"lastModifiedTime","options":{"result":{"type":"date","options":{"dateFormat":{"name":"iso"}}}}`,
	} {
		name, _, _ := strings.Cut("new "+f, ",")
		got := b.ok(createField("Orders", `{"name":"`+strings.ReplaceAll(name, `"`, "")+`","description":"why","type":`+f+`}`))
		if got["description"] != "why" || !models.IsID("fld", got["id"].(string)) {
			t.Errorf("%s: %v", f, got)
		}
	}
	for body, kind := range map[string]string{
		`{"name":"QTY","type":"singleLineText"}`:                                                               "DUPLICATE_OR_EMPTY_FIELD_NAME",
		`{"name":" ","type":"singleLineText"}`:                                                                 "DUPLICATE_OR_EMPTY_FIELD_NAME",
		`{"name":"x","type":"button"}`:                                                                         "UNSUPPORTED_FIELD_TYPE_FOR_CREATE",
		`{"name":"x","type":"nonsense"}`:                                                                       "INVALID_REQUEST_UNKNOWN",
		`{"name":"x","type":"number"}`:                                                                         "INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE",
		`{"name":"x","type":"number","options":{"precision":9}}`:                                               "INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE",
		`{"name":"x","type":"multipleRecordLinks","options":{"linkedTableId":"tblNope"}}`:                      "INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE",
		`{"name":"x","type":"multipleRecordLinks","options":{"linkedTableId":"tblPeople","isReversed":false}}`: "INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE",
		`{"name":"x","type":"dateTime","options":{"dateFormat":{"name":"iso"},"timeFormat":{"name":"24hour"},"timeZone":"UTC"}}`: "INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE",
		`[]`: "INVALID_REQUEST_BODY",
	} {
		b.refused(createField("Orders", body), 422, kind)
	}
}

func TestMeta_LinkGetsAMirrorNamedAfterItsTable(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	f := b.ok(createField("Orders", `{"name":"Packer","type":"multipleRecordLinks","options":{"linkedTableId":"tblPeople"}}`))
	inverse := f["options"].(object)["inverseLinkFieldId"]
	names := map[any]any{}
	for _, tb := range b.schema("") {
		for _, f := range tb.(object)["fields"].([]any) {
			names[f.(object)["id"]] = f.(object)["name"]
		}
	}
	if names[inverse] != "Orders 2" { // People has a field Orders already
		t.Errorf("mirror is called %v", names[inverse])
	}
	// Records that were there before a field was made have it at once.
	recID := b.made("Orders", `{"Packer":"Zoe"}`)
	if got := fields(records(b.ok(list("People")))[0])["Orders 2"]; !cmp.Equal(got, []any{recID}) {
		t.Errorf("mirror cell is %v", got)
	}
}

func TestMeta_RenameIsSeenByAnotherReplicaAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	b.ok(list("Orders")) // the schema is in memory
	other := newReplica(b)
	got := other.ok(upstream.Call{Op: upstream.UpdateTable, Method: "PATCH", Table: "Orders", Body: []byte(`{"name":"Sales / 2026","description":"x"}`)})
	if got["name"] != "Sales / 2026" || len(got["fields"].([]any)) != 12 {
		t.Errorf("update table answered %v", got)
	}
	other.ok(upstream.Call{Op: upstream.UpdateField, Method: "PATCH", Table: "tblOrders", Field: "Qty", Body: []byte(`{"name":"qty"}`)})
	b.ok(create("Sales / 2026", `{"fields":{"qty":1}}`))
	b.refused(list("Orders"), 403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND")
	b.refused(create("tblOrders", `{"fields":{"Qty":1}}`), 422, "UNKNOWN_FIELD_NAME")
	for body, kind := range map[string]string{`{"name":"PEOPLE"}`: "DUPLICATE_TABLE_NAME", `{}`: "INVALID_REQUEST_UNKNOWN", `{"name":""}`: "DUPLICATE_TABLE_NAME"} {
		b.refused(upstream.Call{Op: upstream.UpdateTable, Table: "tblOrders", Body: []byte(body)}, 422, kind)
	}
	b.refused(upstream.Call{Op: upstream.UpdateField, Table: "tblOrders", Field: "qty", Body: []byte(`{"type":"number"}`)}, 422, "INVALID_REQUEST_UNKNOWN")
	b.refused(createTable(`{"name":"sales / 2026","fields":[{"name":"a","type":"singleLineText"}]}`), 422, "DUPLICATE_TABLE_NAME")
}

func TestMeta_ConcurrentCreationKeepsNamesUnique(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for range 6 {
		wg.Go(func() {
			c := createTable(`{"name":"Once","fields":[{"name":"a","type":"singleLineText"}]}`)
			c.Base, c.Caller = string(b.base.ID), b.who
			a, err := b.store.Do(t.Context(), c)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if a.Status == 200 {
				made++
			}
		})
	}
	wg.Wait()
	if made != 1 {
		t.Errorf("the table was made %d times", made)
	}
}

func TestMeta_SameChosenIDsInTwoTenants(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	spec := models.BaseSpec{ID: "appChosen", Name: "B", Tables: []models.TableSpec{{ID: "tblChosen", Name: "T", Fields: []models.FieldSpec{{ID: "fldChosen", Name: "N", Type: models.SingleLineText}}}}}
	for range 2 {
		one := b.as(upstream.Caller{Tenant: id.New[id.Tenant]()})
		base, err := one.store.CreateBase(t.Context(), one.who, spec)
		if err != nil {
			t.Fatal(err)
		}
		one.base = base
		one.made("T", `{"N":"mine"}`)
		if n := len(records(one.ok(list("T")))); n != 1 {
			t.Errorf("%d records", n)
		}
		if _, err := one.store.CreateBase(t.Context(), one.who, spec); err == nil {
			t.Error("a tenant got the same base twice")
		}
	}
}
