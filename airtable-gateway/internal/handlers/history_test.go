package handlers_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/riverqueue/river"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/jobs"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

func changesOf(base, table, rec, field string, limit int) airtableapi.HistoryQuery {
	return airtableapi.HistoryQuery{RecordPath: record(base, table, rec), Field: field, PageQuery: api.PageQuery{Limit: limit}}
}

func TestHistory_IsPagedNewestFirstAndOutlivesTheRecord(t *testing.T) {
	t.Parallel()
	anna := newFleet(t).owner(t)
	base := anna.shop(t)
	made := must(t, anna, airtableapi.CreateRecord, airtableapi.RecordCreate{TablePath: at(base, "Orders/2"), Body: airtableapi.RecordDraft{Fields: map[string]any{"No": "a", "Qty": 1}}}).Body
	for _, cells := range []map[string]any{{"Qty": 2}, {"No": "b"}, {"Qty": nil}} {
		must(t, anna, airtableapi.UpdateRecord, airtableapi.RecordUpdate{RecordPath: record(base, "Orders/2", made.ID), Body: airtableapi.RecordDraft{Fields: cells}})
	}
	must(t, anna, airtableapi.DeleteRecord, record(base, "Orders/2", made.ID))
	walk := func(field string) (out []string) {
		t.Helper()
		in := changesOf(base, "Orders/2", made.ID, field, 2)
		for {
			page := must(t, anna, airtableapi.ListHistory, in)
			for _, r := range page.Items {
				line := r.Kind
				for _, name := range []string{"No", "Qty"} {
					for _, f := range must(t, anna, airtableapi.FetchTable, at(base, "Orders/2")).Fields {
						if c, ok := r.Cells[f.ID]; ok && f.Name == name {
							line += " " + name + ":" + string(c.Old) + ">" + string(c.New)
						}
					}
				}
				if r.ActorID != anna.user.String() || r.At.IsZero() {
					t.Errorf("who and when: %+v", r)
				}
				out = append(out, line)
			}
			if in.Cursor = page.NextCursor; in.Cursor == "" {
				return out
			}
		}
	}
	want := []string{`deleted No:"b">`, `updated Qty:2>`, `updated No:"a">"b"`, `updated Qty:1>2`, `created No:>"a" Qty:>1`}
	if diff := cmp.Diff(want, walk("")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{`deleted No:"b">`, `updated No:"a">"b"`, `created No:>"a"`}, walk("No")); diff != "" {
		t.Errorf("of one field (-want +got):\n%s", diff)
	}
	first := must(t, anna, airtableapi.ListHistory, changesOf(base, "Orders/2", made.ID, "", 2))
	other := changesOf(base, "Orders/2", made.ID, "No", 2)
	other.Cursor = first.NextCursor
	if _, err := call(t, anna, airtableapi.ListHistory, other); errs.From(err).Code != "bad_cursor" {
		t.Errorf("a cursor of another query: %v", err)
	}
}

func TestHistory_AStrangerFindsNothingAndScopesHold(t *testing.T) {
	t.Parallel()
	far := newAccount(t, "appFar")
	f := newFleet(t, far.URL)
	anna, boris := f.owner(t), f.owner(t)
	base := anna.shop(t)
	made := must(t, anna, airtableapi.CreateRecord, airtableapi.RecordCreate{TablePath: at(base, "Customers"), Body: airtableapi.RecordDraft{Fields: map[string]any{"Name": "x"}}}).Body
	path := "/api/v1/airtable/bases/" + base + "/tables/Customers/records/" + made.ID + "/history"
	for name, tt := range map[string]struct {
		who    person
		status int
	}{
		"the owner":                   {anna, http.StatusOK},
		"a token that reads records":  {anna.pat(t, "data.records:read", base), http.StatusOK},
		"a token that writes records": {anna.pat(t, "data.records:write", base), http.StatusForbidden},
		"a token for other bases":     {anna.pat(t, "data.records:read", "appOther"), http.StatusNotFound},
		"a stranger":                  {boris, http.StatusNotFound},
		"nobody":                      {person{f: f}, http.StatusUnauthorized},
	} {
		if r := send(t, f.url, tt.who.token, "GET", path, ""); r.status != tt.status {
			t.Errorf("%s gets %d %s", name, r.status, r.body)
		}
	}
	for name, tt := range map[string]struct {
		in   airtableapi.HistoryQuery
		want error
	}{
		"no such record": {changesOf(base, "Customers", "recNobody00000000", "", 5), airtableapi.ErrRecordNotFound},
		"no such table":  {changesOf(base, "None", made.ID, "", 5), airtableapi.ErrTableNotFound},
		"no such field":  {changesOf(base, "Customers", made.ID, "None", 5), airtableapi.ErrUnknownField},
	} {
		if _, err := call(t, anna, airtableapi.ListHistory, tt.in); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	connect(t, anna, far.URL, accountToken)
	if _, err := call(t, anna, airtableapi.ListHistory, changesOf("appFar", "T", "recA", "", 5)); !errors.Is(err, airtableapi.ErrHistoryElsewhere) {
		t.Errorf("of an Airtable account: %v", err)
	}
}

func TestHistory_TheJobForgetsWhatIsTooOld(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna := f.owner(t)
	base := anna.shop(t)
	made := must(t, anna, airtableapi.CreateRecord, airtableapi.RecordCreate{TablePath: at(base, "Customers"), Body: airtableapi.RecordDraft{Fields: map[string]any{"Name": "x"}}}).Body
	if _, err := postgres.ForEveryTenant(f.pool).Exec(t.Context(), `UPDATE record_history SET at = at - interval '731 days'`); err != nil {
		t.Fatal(err)
	}
	must(t, anna, airtableapi.UpdateRecord, airtableapi.RecordUpdate{RecordPath: record(base, "Customers", made.ID), Body: airtableapi.RecordDraft{Fields: map[string]any{"Name": "y"}}})
	workers := river.NewWorkers()
	river.AddWorker(workers, &services.PruneHistoryWorker{Store: repository.NewStore(f.pool), Keep: 730 * 24 * 3600e9, Now: f.now.Now})
	client, err := jobs.New(f.pool, zap.NewNop(), jobs.Options{Workers: workers, Periodic: []*river.PeriodicJob{services.PruneHistoryPeriodically()}, Metrics: f.metrics})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- client.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	await.True(t, "the old change to be forgotten", func() bool {
		page := must(t, anna, airtableapi.ListHistory, changesOf(base, "Customers", made.ID, "", 5))
		return len(page.Items) == 1 && page.Items[0].Kind == airtableapi.RevisionUpdated
	})
}
