package handlers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/emulator"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/events"
)

// with sends a request with one more header.
func (p person) with(t *testing.T, name, value, method, path, body string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.f.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	req.Header.Set(name, value)
	return receive(t, req)
}

// together sends all requests at once.
func together(n int, send func(i int) reply) []reply {
	out := make([]reply, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { out[i] = send(i) })
	}
	group.Wait()
	return out
}

var whatDiffers = regexp.MustCompile(`rec[A-Za-z0-9]{14}|"createdTime":"[^"]*"`)

// The same requests, each alone and all at once, are answered alike; and each record
// stands in its answer as it does when it is read.
func TestCoalesce_EachCallerGetsTheAnswerThatItWouldHaveGotAlone(t *testing.T) {
	t.Parallel()
	far, e := newEmulator(t, emulator.Faults{Latency: 100 * time.Millisecond})
	anna := newFleet(t, far.URL).owner(t)
	connect(t, anna, far.URL, accountToken)
	var made struct{ Records []struct{ ID string } }
	anna.v0(t, "POST", emulated, `{"records":[`+strings.TrimSuffix(strings.Repeat(`{"fields":{"Name":"ü <b> \u2028","Points":0}},`, 10), ",")+`]}`).ok(t, &made)
	requests := func(k int) []string {
		rec := func(i int) string { return made.Records[5*k+i].ID }
		return []string{
			`POST  {"fields":{"Name":"é \"q\" <&>","Points":1.50,"Owner":["recAda00000000001"]}}`,
			`POST  {"records":[{"fields":{"Name":"one","State":"todo"}}],"typecast":false}`,
			`POST  {"records":[{"fields":{"Name":"two"}},{"fields":{}}],"typecast":false,"returnFieldsByFieldId":false}`,
			`POST  {"fields":{"Name":"by id","Points":7},"returnFieldsByFieldId":true}`,
			`POST  {"fields":{"Points":"seven"},"typecast":true}`,
			`POST  {"fields":{"Points":"7"},"typecast":true}`,
			`POST  {"fields":{"Nome":"typo"}}`,
			`POST  {"fields":{"State":"unheard of"}}`,
			`PATCH /` + rec(0) + ` {"fields":{"Points":2}}`,
			`PATCH  {"records":[{"id":"` + rec(1) + `","fields":{"Points":3}}]}`,
			`PATCH /recNone0000000001 {"fields":{"Points":3}}`,
			`PATCH  {"records":[{"id":"recNone0000000001","fields":{"Points":3}}]}`,
			`PUT /` + rec(2) + ` {"fields":{"Name":"put"}}`,
			`PATCH  {"performUpsert":{"fieldsToMergeOn":["Name"]},"records":[{"fields":{"Name":"up","Points":9}}]}`,
			`PATCH  {"performUpsert":{"fieldsToMergeOn":["Name"]},"records":[{"fields":{"Name":"Note G","Points":9}}]}`,
			`DELETE /` + rec(3), `DELETE ?records[]=` + rec(4), `DELETE /recNone0000000001`, `DELETE ?records[]=recNone0000000001`,
		}
	}
	send := func(mode, request string) reply {
		method, rest, _ := strings.Cut(request, " ")
		at, body, _ := strings.Cut(rest, " ")
		return anna.with(t, "X-PyAirtable-Coalesce", mode, method, emulated+at, body)
	}
	// A read keeps the upserts' first run from being seen in the second.
	forget := func() {
		var page struct{ Records []struct{ ID string } }
		anna.v0(t, "GET", emulated+"?filterByFormula=Name%3D'up'", "").ok(t, &page)
		for _, r := range page.Records {
			anna.v0(t, "DELETE", emulated+"/"+r.ID, "").ok(t, nil)
		}
	}
	var alone []reply
	for _, r := range requests(0) {
		alone = append(alone, send("off", r))
	}
	forget()
	before := e.Stats().Requests
	all := requests(1)
	at := together(len(all), func(i int) reply { return send("on", all[i]) })
	t.Logf("%d requests travelled in %d calls", len(all), e.Stats().Requests-before)
	for i := range all {
		a, b := whatDiffers.ReplaceAllString(alone[i].body, "#"), whatDiffers.ReplaceAllString(at[i].body, "#")
		if alone[i].status != at[i].status || a != b || alone[i].header.Get("Content-Type") != at[i].header.Get("Content-Type") {
			t.Errorf("%s\nalone    %d %s\ntogether %d %s", all[i], alone[i].status, a, at[i].status, b)
		}
	}
	read := map[string]string{}
	for _, byID := range []string{"false", "true"} {
		var page struct{ Records []json.RawMessage }
		anna.v0(t, "GET", emulated+"?pageSize=100&returnFieldsByFieldId="+byID, "").ok(t, &page)
		for _, raw := range page.Records {
			read[string(raw)] = byID
		}
	}
	for i, r := range at {
		if r.status != 200 || strings.HasPrefix(all[i], "DELETE") {
			continue
		}
		var body struct{ Records []json.RawMessage }
		if err := json.Unmarshal([]byte(r.body), &body); err != nil {
			t.Fatal(err)
		}
		if body.Records == nil {
			body.Records = []json.RawMessage{json.RawMessage(r.body)}
		}
		for _, raw := range body.Records {
			if _, ok := read[string(raw)]; !ok {
				t.Errorf("%s: no reading shows %s", all[i], raw)
			}
		}
	}
}

func TestCoalesce_ManyCallersNeedFewCalls(t *testing.T) {
	t.Parallel()
	far, e := newEmulator(t, emulator.Faults{Latency: 30 * time.Millisecond})
	f := newFleet(t, far.URL)
	anna := f.owner(t)
	connect(t, anna, far.URL, accountToken)
	people := []person{anna, anna.member(t), anna.member(t)}
	before := e.Stats().Requests
	const callers, each = 50, 4
	start := time.Now()
	together(callers, func(i int) reply {
		for j := range each {
			people[i%len(people)].v0(t, "POST", emulated, fmt.Sprintf(`{"fields":{"Name":"new %d"}}`, i*each+j)).ok(t, nil)
		}
		return reply{}
	})
	took, stats := time.Since(start), e.Stats()
	if calls := stats.Requests - before; calls > callers*each/8 || stats.RateLimited != 0 {
		t.Errorf("%d creates took %d calls, %d were refused", callers*each, calls, stats.RateLimited)
	}
	t.Logf("%.0f records/s", callers*each/took.Seconds())
	got := anna.names(t)
	for i := range callers * each {
		if n := got[fmt.Sprintf("new %d", i)]; n != 1 {
			t.Errorf("record %d is there %d times", i, n)
		}
	}
	authors := map[string]int{}
	for _, e := range recordEvents(t, f, anna) {
		authors[e.ActorID]++
	}
	want := map[string]int{}
	for i := range callers {
		want[people[i%len(people)].user.String()] += each
	}
	if diff := cmp.Diff(want, authors); diff != "" {
		t.Errorf("events by their authors: %s", diff)
	}
}

// recordEvents are the events of the tenant's records so far.
func recordEvents(t *testing.T, f *fleet, p person) (out []airtableapi.RecordChanged) {
	t.Helper()
	rows, err := f.pool.Query(t.Context(), `SELECT event FROM outbox WHERE tenant_id = $1 AND event->>'type' LIKE 'com.pyairtable.record.%' ORDER BY seq`, p.tenant)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			t.Fatal(err)
		}
		var e events.Event
		var data airtableapi.RecordChanged
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(e.Data, &data); err != nil {
			t.Fatal(err)
		}
		out = append(out, data)
	}
	return out
}

func TestMarker_CreatesWhoseAnswersWereLostAreThereOnceAndSaySo(t *testing.T) {
	t.Parallel()
	far, e := newEmulator(t, emulator.Faults{BrokenWrites: .5, Seed: 9})
	f := newFleet(t, far.URL)
	anna := f.owner(t)
	connect(t, anna, far.URL, accountToken)
	const n = 40
	got := together(n, func(i int) reply {
		return anna.with(t, "X-PyAirtable-Marker-Field", "Name", "POST", emulated, fmt.Sprintf(`{"fields":{"Points":%d}}`, 1000+i))
	})
	points := map[int]int{}
	var page struct {
		Records []struct {
			ID     string
			Fields struct{ Points int }
		}
	}
	anna.v0(t, "GET", emulated+"?pageSize=100", "").ok(t, &page)
	var ids []string
	for _, r := range page.Records {
		points[r.Fields.Points]++
		ids = append(ids, r.ID)
	}
	for i, r := range got {
		var made struct{ ID string }
		if r.ok(t, &made); points[1000+i] != 1 || !slices.Contains(ids, made.ID) {
			t.Errorf("create %d: %d times, %s", i, points[1000+i], r.body)
		}
	}
	if e.Stats().BrokenWrites == 0 {
		t.Error("no connection was cut: the test shows less than it says")
	}
	if told := len(recordEvents(t, f, anna)); told != n {
		t.Errorf("%d creates were told in %d events", n, told)
	}
}
