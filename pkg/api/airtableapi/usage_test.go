package airtableapi_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// The sample is what other services, of another version maybe, read.
func TestUsageEvent_IsItsSample(t *testing.T) {
	t.Parallel()
	const text = `{"connection_id":"c","minute":"2026-05-01T10:00:00Z","calls":7,"reads":3,"writes":2,"retries":1,"refreshes":1,"bases":[{"base_id":"","calls":1,"saved":0},{"base_id":"appA","calls":6,"saved":9}],"saved_by_cache":7,"saved_by_coalescing":2}`
	data := airtableapi.UsageRecord{
		ConnectionID: "c", Minute: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC), Calls: 7, Reads: 3, Writes: 2, Retries: 1, Refreshes: 1, SavedByCache: 7, SavedByCoalescing: 2,
		Bases: []airtableapi.BaseCalls{{Calls: 1}, {BaseID: "appA", Calls: 6, Saved: 9}},
	}
	e := airtableapi.UsageRecorded.New(t.Context(), id.New[id.Tenant](), "c", 1, data)
	if string(e.Data) != text {
		t.Errorf("renders %s, the sample is %s", e.Data, text)
	}
	back, err := airtableapi.UsageRecorded.Decode(e)
	if diff := cmp.Diff(data, back); err != nil || diff != "" {
		t.Error(err, diff)
	}
}
