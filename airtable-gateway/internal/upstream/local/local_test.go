package local_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/egress"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// bench is a store on a database of the test's own, seen by one tenant.
type bench struct {
	t     testing.TB
	pool  *pgxpool.Pool
	store *local.Store
	who   upstream.Caller
	base  *models.Base
	clock *time.Time
}

type object = map[string]any

func newBench(t testing.TB) *bench {
	t.Helper()
	pool := pgtest.New(t, "airtable-gateway", repository.Migrations)
	now := time.Date(2026, 5, 1, 10, 0, 0, 123e6, time.UTC)
	b := &bench{t: t, pool: pool, clock: &now}
	b.store = newStore(t, pool, b.now, "127.0.0.1")
	return b.as(upstream.Caller{Tenant: id.New[id.Tenant](), User: id.New[id.User]()})
}

// newStore pings public addresses and the allowed ones.
func newStore(t testing.TB, pool *pgxpool.Pool, now func() time.Time, allowed string) *local.Store {
	t.Helper()
	guard, err := egress.Parse(allowed)
	if err != nil {
		t.Fatal(err)
	}
	return local.New(pool, local.Options{Now: now, Box: newBox(t), Egress: guard})
}

func newBox(t testing.TB) *seal.Box {
	t.Helper()
	box, err := seal.New("test:" + base64.StdEncoding.EncodeToString(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func (b *bench) now() time.Time { return *b.clock }

func (b *bench) as(who upstream.Caller) *bench {
	other := *b
	other.who = who
	return &other
}

func option(kv ...any) object {
	m := object{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i].(string)] = kv[i+1]
	}
	return m
}

// shop makes a base with a table that has a field of every kind, and one that it
// links to.
func (b *bench) shop() *bench {
	b.t.Helper()
	dateFormat := option("name", "iso")
	base, err := b.store.CreateBase(b.t.Context(), b.who, models.BaseSpec{Name: "Shop", Tables: []models.TableSpec{
		{ID: "tblOrders", Name: "Orders", Fields: []models.FieldSpec{
			{ID: "fldNo", Name: "No", Type: models.SingleLineText},
			{ID: "fldQty", Name: "Qty", Type: models.Number, Options: option("precision", 0)},
			{ID: "fldPaid", Name: "Paid", Type: models.Checkbox, Options: option("icon", "check", "color", "greenBright")},
			{ID: "fldState", Name: "State", Type: models.SingleSelect, Options: option("choices", []any{option("name", "Todo"), option("name", "Done")})},
			{ID: "fldTags", Name: "Tags", Type: models.MultipleSelects, Options: option("choices", []any{option("name", "a"), option("name", "b")})},
			{ID: "fldDue", Name: "Due", Type: models.Date, Options: option("dateFormat", dateFormat)},
			{ID: "fldAt", Name: "At", Type: models.DateTime, Options: option("dateFormat", dateFormat, "timeFormat", option("name", "24hour"), "timeZone", "utc")},
			{ID: "fldBuyer", Name: "Buyer", Type: models.MultipleRecordLinks, Options: option("linkedTableId", "tblPeople", "inverseLinkFieldId", "fldOrders")},
			{ID: "fldMade", Name: "Made", Type: models.CreatedTime},
			{ID: "fldMod", Name: "Modified", Type: models.LastModifiedTime},
			{ID: "fldAuto", Name: "Auto", Type: models.AutoNumber},
			{ID: "fldOdd", Name: `a/b "c" 🚀`, Type: models.MultilineText},
		}},
		{ID: "tblPeople", Name: "People", Fields: []models.FieldSpec{{ID: "fldName", Name: "Name", Type: models.SingleLineText}}},
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.base = base
	return b
}

func (b *bench) do(c upstream.Call) (int, string) {
	b.t.Helper()
	c.Caller = b.who
	if c.Base == "" && b.base != nil {
		c.Base = string(b.base.ID)
	}
	a, err := b.store.Do(b.t.Context(), c)
	if err != nil {
		b.t.Fatalf("%s: %v", c.Op, err)
	}
	if !json.Valid(a.Body) {
		b.t.Fatalf("%s answered no JSON: %s", c.Op, a.Body)
	}
	return a.Status, string(a.Body)
}

// ok does c and returns its decoded answer.
func (b *bench) ok(c upstream.Call) object {
	b.t.Helper()
	status, body := b.do(c)
	if status != http.StatusOK {
		b.t.Fatalf("%s %s%s: %d %s", c.Op, c.Table, c.Body, status, body)
	}
	return decode(b.t, body)
}

func (b *bench) refused(c upstream.Call, status int, kind string) {
	b.t.Helper()
	got, body := b.do(c)
	if got != status || !strings.Contains(body, `"`+kind+`"`) {
		b.t.Errorf("%s %s ?%s: got %d %s, want %d %s", c.Op, c.Body, c.RawQuery, got, body, status, kind)
	}
}

func decode(t testing.TB, s string) object {
	t.Helper()
	var out object
	if err := json.Unmarshal([]byte(s), &out); err != nil {
		t.Fatalf("decode %s: %v", s, err)
	}
	return out
}

func create(table, body string) upstream.Call {
	return upstream.Call{Op: upstream.CreateRecords, Method: "POST", Table: table, Body: []byte(body)}
}

func patch(table, rec, body string) upstream.Call {
	return upstream.Call{Op: upstream.UpdateRecords, Method: "PATCH", Table: table, Record: rec, Body: []byte(body)}
}

func put(table, rec, body string) upstream.Call {
	c := patch(table, rec, body)
	c.Method = "PUT"
	return c
}

func get(table, rec string) upstream.Call {
	return upstream.Call{Op: upstream.GetRecord, Method: "GET", Table: table, Record: rec}
}

func list(table string, kv ...string) upstream.Call {
	q := url.Values{}
	for i := 0; i < len(kv); i += 2 {
		q.Add(kv[i], kv[i+1])
	}
	return upstream.Call{Op: upstream.ListRecords, Method: "GET", Table: table, RawQuery: q.Encode()}
}

func remove(table, rec string, batch ...string) upstream.Call {
	q := url.Values{"records[]": batch}
	return upstream.Call{Op: upstream.DeleteRecords, Method: "DELETE", Table: table, Record: rec, RawQuery: q.Encode()}
}

func (b *bench) made(table, fields string) string {
	b.t.Helper()
	return b.ok(create(table, `{"fields":`+fields+`,"typecast":true}`))["id"].(string)
}

func records(o object) []object {
	var out []object
	for _, r := range o["records"].([]any) {
		out = append(out, r.(object))
	}
	return out
}

func fields(o object) object { return o["fields"].(object) }

func TestCreate_AnswersInAirtablesForm(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	person := b.made("People", `{"Name":"Ann <&>"}`)
	status, body := b.do(create("Orders", `{"fields":{"No":"A-1","Qty":2.0,"fldPaid":true,"State":"Done","Tags":["b","a"],
		"Due":"2026-05-01T23:00:00Z","At":"2026-05-01T10:00:00+02:00","Buyer":["`+person+`"],"a/b \"c\" 🚀":"x\n<y>"}}`))
	if status != 200 {
		t.Fatal(body)
	}
	recID := decode(t, body)["id"].(string)
	want := `{"id":"` + recID + `","createdTime":"2026-05-01T10:00:00.000Z","fields":{"No":"A-1","Qty":2,"Paid":true,"State":"Done","Tags":["b","a"],` +
		`"Due":"2026-05-01","At":"2026-05-01T08:00:00.000Z","Buyer":["` + person + `"],"Made":"2026-05-01T10:00:00.000Z","Auto":1,"a/b \"c\" 🚀":"x\n<y>"}}`
	if diff := cmp.Diff(want, body); diff != "" {
		t.Error(diff)
	}
	if _, again := b.do(get("tblOrders", recID)); again != body {
		t.Errorf("get differs from create:\n%s\n%s", again, body)
	}
	mirror := fields(b.ok(get("People", person)))["Orders"]
	if diff := cmp.Diff([]any{recID}, mirror); diff != "" {
		t.Error(diff)
	}
}

func TestUpdate_PatchKeepsAndPutClears(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	recID := b.made("Orders", `{"No":"1","Qty":0,"Paid":true,"Buyer":"Ann, Bob"}`)
	got := fields(b.ok(patch("Orders", recID, `{"fields":{"Qty":5,"Paid":null}}`)))
	if got["No"] != "1" || got["Qty"] != 5.0 || got["Paid"] != nil || len(got["Buyer"].([]any)) != 2 {
		t.Errorf("after PATCH: %v", got)
	}
	got = fields(b.ok(put("Orders", recID, `{"fields":{"Qty":0}}`)))
	delete(got, "Made")
	delete(got, "Modified")
	if diff := cmp.Diff(object{"Qty": 0.0, "Auto": 1.0}, got); diff != "" {
		t.Errorf("after PUT: %s", diff)
	}
	for _, p := range records(b.ok(list("People"))) {
		if fields(p)["Orders"] != nil {
			t.Errorf("PUT left a mirror link: %v", p)
		}
	}
}

func TestList_PagesFieldsAndLimits(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	for range 3 {
		b.ok(create("Orders", `{"records":[`+strings.TrimSuffix(strings.Repeat(`{"fields":{"No":"x","Qty":1}},`, 10), ",")+`]}`))
	}
	var sizes []int
	offset := ""
	for {
		page := b.ok(list("Orders", "pageSize", "10", "maxRecords", "25", "offset", offset, "fields[]", "Qty", "view", "Grid view", "returnFieldsByFieldId", "1"))
		recs := records(page)
		sizes = append(sizes, len(recs))
		if diff := cmp.Diff(object{"fldQty": 1.0}, fields(recs[0])); diff != "" {
			t.Error(diff)
		}
		if page["offset"] == nil {
			break
		}
		offset = page["offset"].(string)
	}
	if diff := cmp.Diff([]int{10, 10, 5}, sizes); diff != "" {
		t.Error(diff)
	}
	if _, body := b.do(list("People")); body != `{"records":[]}` {
		t.Errorf("empty table: %s", body)
	}
	post := upstream.Call{Op: upstream.ListRecords, Method: "POST", Table: "Orders", RawQuery: "timeZone=utc&userLocale=en-us",
		Body: []byte(`{"pageSize":2,"fields":["No"],"method":"post","cellFormat":"string","sort":[{"field":"Auto","direction":"desc"}]}`)}
	if got := len(records(b.ok(post))); got != 2 {
		t.Errorf("POST listRecords gave %d records", got)
	}
}

func TestStranger_SeesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	recID := b.made("Orders", `{"No":"secret"}`)
	stranger := b.as(upstream.Caller{Tenant: id.New[id.Tenant](), User: id.New[id.User]()})
	for _, c := range []upstream.Call{
		list("Orders"), get("Orders", recID), create("Orders", `{"fields":{}}`), patch("Orders", recID, `{"fields":{}}`), remove("Orders", recID),
		{Op: upstream.CreateTable, Body: []byte(`{"name":"T","fields":[{"name":"a","type":"singleLineText"}]}`)},
		{Op: upstream.CreateField, Table: "Orders", Body: []byte(`{"name":"T","type":"singleLineText"}`)},
	} {
		stranger.refused(c, 403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND")
	}
	stranger.refused(upstream.Call{Op: upstream.BaseSchema}, 404, "NOT_FOUND")
	if _, body := stranger.do(upstream.Call{Op: upstream.ListBases}); body != `{"bases":[]}` {
		t.Errorf("a stranger sees %s", body)
	}
}
