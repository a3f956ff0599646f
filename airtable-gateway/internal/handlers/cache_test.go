package handlers_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/emulator"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// get asks for the path with headers, given in pairs.
func (p person) get(t *testing.T, path string, header ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.f.url+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(body)}
}

const rest = "/api/v1/airtable/bases/appEmulator000001/tables/Tasks/records"

func TestCache_BothDoorsShareItAndSaySo(t *testing.T) {
	t.Parallel()
	far, e := newEmulator(t, emulator.Faults{})
	f := newFleet(t, far.URL)
	anna := f.owner(t)
	connect(t, anna, far.URL, accountToken)
	before := e.Stats().Requests
	for _, door := range []string{emulated + "?pageSize=1", rest + "?limit=1", emulated + "/recTask0000000001", rest + "/recTask0000000001"} {
		first := anna.get(t, door)
		again := anna.get(t, door)
		if first.status != 200 || again.header.Get("X-Cache") != "HIT" || again.header.Get("Age") != "0" || first.body != again.body {
			t.Errorf("%s: %d %v", door, again.status, again.header)
		}
		etag := again.header.Get("ETag")
		if same := anna.get(t, door, "If-None-Match", etag); same.status != 304 || same.body != "" || same.header.Get("ETag") != etag || etag == "" {
			t.Errorf("%s: %d %v %q", door, same.status, same.header, same.body)
		}
		if other := anna.get(t, door, "If-None-Match", `"x"`, "Cache-Control", "max-age=60"); other.status != 200 || other.body != first.body {
			t.Errorf("%s: %d", door, other.status)
		}
	}
	if n := e.Stats().Requests - before; n != 2 {
		t.Errorf("%d requests", n)
	}
	if r := anna.get(t, rest, "Cache-Control", "only-if-cached"); r.status != 503 {
		t.Errorf("nothing is cached, at one door: %d %s", r.status, r.body)
	}
	if r := anna.get(t, emulated, "Cache-Control", "only-if-cached"); r.status != 504 || !strings.Contains(r.body, "NOT_CACHED") {
		t.Errorf("nothing is cached, at the other: %d %s", r.status, r.body)
	}
	must(t, anna, airtableapi.UpdateRecord, airtableapi.RecordUpdate{
		RecordPath: record("appEmulator000001", "Tasks", "recTask0000000001"), Body: airtableapi.RecordDraft{Fields: map[string]any{"Points": 13}},
	})
	if r := anna.get(t, emulated+"/recTask0000000001"); r.header.Get("X-Cache") != "MISS" || !strings.Contains(r.body, "13") {
		t.Errorf("after a write: %v %s", r.header, r.body)
	}
}

func TestCache_TenantsWithOneAccountShareNoAnswerAndSeeEachOthersWrites(t *testing.T) {
	t.Parallel()
	far, _ := newEmulator(t, emulator.Faults{})
	f := newFleet(t, far.URL)
	anna, bert := f.owner(t), f.owner(t)
	connect(t, anna, far.URL, accountToken)
	connect(t, bert, far.URL, accountToken)
	one := emulated + "/recTask0000000001"
	for _, p := range []person{anna, bert} {
		if r := p.get(t, one); r.header.Get("X-Cache") != "MISS" {
			t.Errorf("the first read of a tenant: %v", r.header)
		}
		if r := p.get(t, one); r.header.Get("X-Cache") != "HIT" {
			t.Errorf("the second: %v", r.header)
		}
	}
	anna.v0(t, "PATCH", one, `{"fields":{"Points":21}}`).ok(t, nil)
	if r := bert.get(t, one); r.header.Get("X-Cache") != "MISS" || !strings.Contains(r.body, "21") {
		t.Errorf("after the other's write: %v %s", r.header, r.body)
	}
	// What a token does not open stays closed, however often it was answered to others.
	if r := anna.pat(t, "data.records:read", "appOther").get(t, one); r.status != 403 {
		t.Errorf("a token for another base: %d %s", r.status, r.body)
	}
	if r := anna.pat(t, "schema.bases:read", "*").get(t, one); r.status != 403 {
		t.Errorf("a token without the scope: %d %s", r.status, r.body)
	}
	if r := f.owner(t).get(t, one); r.status != 403 {
		t.Errorf("a stranger: %d %s", r.status, r.body)
	}
}

func TestCache_ADeletedConnectionAndAnOldTokenAnswerNoMore(t *testing.T) {
	t.Parallel()
	far, e := newEmulator(t, emulator.Faults{})
	f := newFleet(t, far.URL)
	anna := f.owner(t)
	made := connect(t, anna, far.URL, accountToken)
	one, key := emulated+"/recTask0000000001", airtableapi.ConnectionPath{ID: made.ID}
	anna.get(t, one)
	renewed := accountToken + "0"
	must(t, anna, airtableapi.UpdateConnection, airtableapi.ConnectionUpdate{ConnectionPath: key, Body: airtableapi.ConnectionPatch{Token: &renewed}})
	if r := anna.get(t, one); r.status != 200 || r.header.Get("X-Cache") != "MISS" {
		t.Errorf("with a new token: %d %v", r.status, r.header)
	}
	must(t, anna, airtableapi.DeleteConnection, airtableapi.ConnectionDelete{ConnectionPath: key})
	if r := anna.get(t, one); r.status != 403 {
		t.Errorf("through a deleted connection: %d %s", r.status, r.body)
	}
	made = connect(t, anna, far.URL, accountToken)
	anna.get(t, one)
	before := e.Stats().Requests
	// Another replica deletes it: here it is used for another second.
	if _, err := postgres.ForEveryTenant(f.pool).Exec(t.Context(), `DELETE FROM connections WHERE id = $1`, made.ID); err != nil {
		t.Fatal(err)
	}
	if r := anna.get(t, one); r.header.Get("X-Cache") != "HIT" {
		t.Errorf("within the second: %d %v", r.status, r.header)
	}
	f.now.Advance(time.Second)
	if r := anna.get(t, one); r.status != 403 {
		t.Errorf("after it: %d %s", r.status, r.body)
	}
	if n := e.Stats().Requests - before; n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestCache_AHitDoesNotAskTheDatabase(t *testing.T) {
	t.Parallel()
	far, _ := newEmulator(t, emulator.Faults{})
	f := newFleet(t, far.URL)
	anna := f.owner(t)
	connect(t, anna, far.URL, accountToken)
	anna.get(t, emulated)
	before := f.pool.Stat().AcquireCount()
	for range 500 {
		if r := anna.get(t, emulated); r.header.Get("X-Cache") != "HIT" {
			t.Fatalf("%d %v", r.status, r.header)
		}
	}
	if n := f.pool.Stat().AcquireCount() - before; n > 100 { // what runs in the background asks, too
		t.Errorf("500 hits asked the database %d times", n)
	}
}

func TestUsage_ReadsThatWereCachedAreSaved(t *testing.T) {
	t.Parallel()
	far, _ := newEmulator(t, emulator.Faults{})
	f := newFleet(t, far.URL)
	anna := f.owner(t)
	connect(t, anna, far.URL, accountToken)
	for range 5 {
		anna.get(t, emulated)
	}
	saved(t, f)
	got := must(t, anna, airtableapi.ListUsage, airtableapi.UsageQuery{PageQuery: page50, By: "base"})
	if len(got.Items) != 2 || got.Items[1].Calls != 1 || got.Items[1].SavedByCache != 4 {
		t.Errorf("%+v", got.Items)
	}
}
