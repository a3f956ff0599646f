package handlers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/emulator"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
)

const emulated = "/v0/appEmulator000001/Tasks"

// newEmulator serves the sample base on a port, with Airtable's limits on.
func newEmulator(t *testing.T, faults emulator.Faults) (*httptest.Server, *emulator.Emulator) {
	t.Helper()
	store := local.New(pgtest.New(t, "airtable-gateway", repository.Migrations), local.Options{Now: time.Now, Box: emulator.Box(), Egress: emulator.Everywhere()})
	if err := emulator.SampleSeed().Plant(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	e := emulator.New(emulator.Options{Store: store, Limits: emulator.RealLimits(), Faults: faults, Now: time.Now})
	s := httptest.NewServer(e)
	t.Cleanup(s.Close)
	return s, e
}

// names lists the names of all tasks by a walk, so that the limit is kept to.
func (p person) names(t *testing.T) map[string]int {
	t.Helper()
	got := map[string]int{}
	for offset := ""; ; {
		var page struct {
			Records []struct{ Fields struct{ Name string } }
			Offset  string
		}
		p.v0(t, "GET", emulated+"?pageSize=100&offset="+strings.ReplaceAll(offset, "/", "%2F"), "").ok(t, &page)
		for _, r := range page.Records {
			got[r.Fields.Name]++
		}
		if offset = page.Offset; offset == "" {
			return got
		}
	}
}

func TestPipeline_AHundredCallersAtOnceAndAirtableNeverRefuses(t *testing.T) {
	t.Parallel()
	far, e := newEmulator(t, emulator.Faults{BadGateway: .03, Unavailable: .05, Latency: 20 * time.Millisecond, Jitter: 150 * time.Millisecond, Seed: 11})
	f := newFleet(t, far.URL)
	anna := f.owner(t)
	connect(t, anna, far.URL, accountToken)
	people := []person{anna, anna.member(t), anna.pat(t, "data.records:read data.records:write", "*"), anna.member(t)}
	var calls sync.WaitGroup
	for i := range 100 {
		calls.Go(func() {
			who, r := people[i%len(people)], reply{}
			if i%2 == 0 {
				r = who.v0(t, "POST", emulated, fmt.Sprintf(`{"fields":{"Name":"new %d"}}`, i))
			} else {
				r = who.v0(t, "GET", emulated+"/recTask0000000001", "")
			}
			if r.status != http.StatusOK {
				t.Errorf("call %d: %d %s", i, r.status, r.body)
			}
		})
	}
	calls.Wait()
	got := anna.names(t)
	for i := 0; i < 100; i += 2 {
		if name := fmt.Sprintf("new %d", i); got[name] != 1 {
			t.Errorf("%q is there %d times", name, got[name])
		}
	}
	stats := e.Stats()
	if stats.RateLimited != 0 || stats.LockOuts != 0 || stats.Busiest["appEmulator000001"] > 5 {
		t.Errorf("the emulator saw %+v", stats)
	}
	if stats.BadGateways+stats.Unavailable == 0 {
		t.Error("no fault was met: the test shows less than it says")
	}
}

func TestPipeline_ACreateWhoseAnswerWasLostIsNotDoubled(t *testing.T) {
	t.Parallel()
	far, e := newEmulator(t, emulator.Faults{BrokenWrites: .5, Seed: 5})
	f := newFleet(t, far.URL)
	anna := f.owner(t)
	connect(t, anna, far.URL, accountToken)
	var unknown int
	for i := range 10 {
		r := anna.v0(t, "POST", emulated, fmt.Sprintf(`{"fields":{"Name":"new %d"}}`, i))
		switch r.status {
		case http.StatusOK:
		case http.StatusInternalServerError:
			unknown++
		default:
			t.Errorf("create %d: %d %s", i, r.status, r.body)
		}
	}
	if broken := e.Stats().BrokenWrites; unknown == 0 || unknown != broken {
		t.Errorf("%d creates were answered as unknown, %d connections were cut", unknown, broken)
	}
	got := anna.names(t)
	for i := range 10 {
		if n := got[fmt.Sprintf("new %d", i)]; n != 1 {
			t.Errorf("record %d is there %d times", i, n)
		}
	}
}

func TestPipeline_AnUpdateWhoseAnswerWasLostIsRepeated(t *testing.T) {
	t.Parallel()
	far, e := newEmulator(t, emulator.Faults{BrokenWrites: .4, Seed: 5})
	anna := newFleet(t, far.URL).owner(t)
	connect(t, anna, far.URL, accountToken)
	for i := range 8 {
		anna.v0(t, "PATCH", emulated+"/recTask0000000001", fmt.Sprintf(`{"fields":{"Points":%d}}`, i)).ok(t, nil)
	}
	if e.Stats().BrokenWrites == 0 {
		t.Error("no connection was cut: the test shows less than it says")
	}
}

func TestUsage_EveryCallIsCountedOnceAndToldOnce(t *testing.T) {
	t.Parallel()
	far, e := newEmulator(t, emulator.Faults{Unavailable: .15, Seed: 8})
	f := newFleet(t, far.URL)
	anna, stranger := f.owner(t), f.owner(t)
	f.now.Advance(time.Date(2026, 5, 31, 23, 30, 0, 0, time.UTC).Sub(f.now.Now()))
	made := uncached(t, anna, connect(t, anna, far.URL, accountToken))
	var calls sync.WaitGroup
	for i := range 12 {
		calls.Go(func() {
			if i%3 == 0 {
				anna.v0(t, "POST", emulated, `{"fields":{"Name":"x"}}`).ok(t, nil)
			} else {
				anna.v0(t, "GET", emulated+"/recTask0000000001", "").ok(t, nil)
			}
		})
	}
	calls.Wait()
	saved(t, f)
	total := must(t, anna, airtableapi.ListUsage, airtableapi.UsageQuery{PageQuery: page50, By: "day"})
	stats := e.Stats()
	if len(total.Items) != 1 || total.Items[0].Day != "2026-05-31" {
		t.Fatalf("by day: %+v", total)
	}
	if got := total.Items[0]; got.Calls != int64(stats.Requests) || got.Retries != int64(stats.Unavailable) || got.Writes+got.SavedByCoalescing != 4 || got.Reads != 8+2+1 || stats.Unavailable == 0 {
		t.Errorf("by day: %+v; the emulator saw %+v", got, stats)
	}
	byBase := must(t, anna, airtableapi.ListUsage, airtableapi.UsageQuery{PageQuery: api.PageQuery{Limit: 1}, By: "base"})
	if len(byBase.Items) != 1 || byBase.Items[0].BaseID != "" || byBase.NextCursor == "" {
		t.Fatalf("first page by base: %+v", byBase)
	}
	next := must(t, anna, airtableapi.ListUsage, airtableapi.UsageQuery{PageQuery: api.PageQuery{Limit: 1, Cursor: byBase.NextCursor}, By: "base"})
	if len(next.Items) != 1 || next.Items[0].BaseID != "appEmulator000001" || next.NextCursor != "" {
		t.Errorf("second page by base: %+v", next)
	}
	for _, by := range []string{"connection", "user"} {
		sums := must(t, anna, airtableapi.ListUsage, airtableapi.UsageQuery{PageQuery: page50, By: by, ConnectionID: made.ID, BaseID: "appEmulator000001"})
		if len(sums.Items) != 1 || by == "connection" && sums.Items[0].ConnectionID != made.ID || by == "user" && sums.Items[0].UserID != anna.user.String() {
			t.Errorf("by %s: %+v", by, sums)
		}
	}
	if got := must(t, stranger, airtableapi.ListUsage, airtableapi.UsageQuery{PageQuery: page50, By: "base"}); len(got.Items) != 0 {
		t.Errorf("a stranger sees %+v", got)
	}
	announcedOnce(t, f, made.ID, total.Items[0].Calls)
}

var page50 = api.PageQuery{Limit: 50}

func saved(t *testing.T, f *fleet) {
	t.Helper()
	if err := f.ledger.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// announcedOnce lets the minute end, announces it twice, and adds the events up.
func announcedOnce(t *testing.T, f *fleet, connection string, want int64) {
	t.Helper()
	told := func() (n int64, events int) {
		rows, err := f.pool.Query(t.Context(), `SELECT event FROM outbox WHERE event->>'type' = 'com.pyairtable.usage.recorded.v1'`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var raw []byte
			if err := rows.Scan(&raw); err != nil {
				t.Fatal(err)
			}
			var e struct{ Data airtableapi.UsageRecord }
			if err := json.Unmarshal(raw, &e); err != nil {
				t.Fatal(err)
			}
			if e.Data.ConnectionID != connection || e.Data.Calls != e.Data.Reads+e.Data.Writes+e.Data.Retries {
				t.Errorf("event %+v", e.Data)
			}
			n, events = n+e.Data.Calls, events+1
		}
		return n, events
	}
	announce := func() {
		if err := f.ledger.Announce(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	announce()
	if n, _ := told(); n != 0 {
		t.Errorf("%d calls were told before the minute was over", n)
	}
	f.now.Advance(2 * time.Minute)
	announce()
	announce()
	if n, events := told(); n != want || events != 1 {
		t.Errorf("%d calls were told in %d events, want %d in one", n, events, want)
	}
}

func TestQuota_IsForecastAndOfTheTenantAlone(t *testing.T) {
	t.Parallel()
	far, _ := newEmulator(t, emulator.Faults{})
	f := newFleet(t, far.URL)
	anna, stranger := f.owner(t), f.owner(t)
	f.now.Advance(time.Date(2026, 5, 31, 23, 0, 0, 0, time.UTC).Sub(f.now.Now()))
	made := connect(t, anna, far.URL, accountToken)
	path := airtableapi.ConnectionPath{ID: made.ID}
	anna.v0(t, "GET", emulated, "").ok(t, nil)
	saved(t, f)
	got := must(t, anna, airtableapi.SetQuota, airtableapi.QuotaUpdate{ConnectionPath: path, Body: airtableapi.QuotaDraft{MonthlyCalls: 3}})
	if got.Month != "2026-05" || got.MonthlyCalls != 3 || got.UsedCalls != 3 || !got.ExhaustedAt.Equal(f.now.Now().Truncate(time.Microsecond)) {
		t.Errorf("quota: %+v", got)
	}
	if again := must(t, anna, airtableapi.FetchQuota, path); again != got {
		t.Errorf("again: %+v", again)
	}
	if _, err := call(t, stranger, airtableapi.FetchQuota, path); err == nil {
		t.Error("a stranger sees the quota")
	}
	if _, err := call(t, stranger, airtableapi.SetQuota, airtableapi.QuotaUpdate{ConnectionPath: path}); err == nil {
		t.Error("a stranger sets the quota")
	}
	if _, err := call(t, anna.member(t), airtableapi.SetQuota, airtableapi.QuotaUpdate{ConnectionPath: path}); err == nil {
		t.Error("a member sets the quota")
	}
	if none := must(t, anna, airtableapi.SetQuota, airtableapi.QuotaUpdate{ConnectionPath: path}); none.MonthlyCalls != 0 || !none.ExhaustedAt.IsZero() {
		t.Errorf("without a quota: %+v", none)
	}
}
