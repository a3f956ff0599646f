package handlers_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/emulator"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/ledger"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
)

func TestUsage_SavedCallsStandBesideThoseThatWereMade(t *testing.T) {
	t.Parallel()
	far, _ := newEmulator(t, emulator.Faults{})
	f := newFleet(t, far.URL)
	anna, stranger := f.owner(t), f.owner(t)
	f.now.Advance(time.Date(2026, 5, 31, 23, 30, 0, 0, time.UTC).Sub(f.now.Now()))
	made := connect(t, anna, far.URL, accountToken)
	var connection models.ConnectionID
	if err := connection.UnmarshalText([]byte(made.ID)); err != nil {
		t.Fatal(err)
	}
	c := upstream.Call{Caller: upstream.Caller{Tenant: anna.tenant, User: anna.user}, Base: "appEmulator000001"}
	f.ledger.Saved(connection, c, ledger.Cache, 7)
	f.ledger.Saved(connection, c, ledger.Coalescing, 3)
	f.ledger.Saved(connection, c, ledger.Coalescing, 0)
	saved(t, f)
	got := must(t, anna, airtableapi.ListUsage, airtableapi.UsageQuery{PageQuery: page50, By: "base"})
	want := []airtableapi.Usage{{Calls: 2, Reads: 2}, {BaseID: c.Base, SavedByCache: 7, SavedByCoalescing: 3}}
	if diff := cmp.Diff(want, got.Items); diff != "" {
		t.Error(diff)
	}
	path := airtableapi.ConnectionPath{ID: made.ID}
	if q := must(t, anna, airtableapi.FetchQuota, path); q.UsedCalls != 2 {
		t.Errorf("saved calls count against the quota: %+v", q)
	}
	none := must(t, stranger, airtableapi.ListUsage, airtableapi.UsageQuery{PageQuery: api.PageQuery{Limit: 1}, By: "base"})
	if len(none.Items) != 0 {
		t.Errorf("a stranger sees %+v", none)
	}
	f.now.Advance(2 * time.Minute)
	if err := f.ledger.Announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	var raw []byte
	if err := f.pool.QueryRow(t.Context(), `
		SELECT event->'data' FROM outbox WHERE event->>'type' = 'com.pyairtable.usage.recorded.v1'`).Scan(&raw); err != nil {
		t.Fatal(err)
	}
	var told airtableapi.UsageRecord
	if err := json.Unmarshal(raw, &told); err != nil {
		t.Fatal(err)
	}
	wantTold := airtableapi.UsageRecord{
		ConnectionID: made.ID, Minute: time.Date(2026, 5, 31, 23, 30, 0, 0, time.UTC), Calls: 2, Reads: 2, SavedByCache: 7, SavedByCoalescing: 3,
		Bases: []airtableapi.BaseCalls{{Calls: 2}, {BaseID: c.Base, Saved: 10}},
	}
	if diff := cmp.Diff(wantTold, told); diff != "" {
		t.Error(diff)
	}
}
