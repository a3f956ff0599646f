package routes

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/catalog"
)

func TestTable_HoldsWhatServicesOfferOutsideAndNothingElse(t *testing.T) {
	t.Parallel()
	got, err := Table([]api.Service{{Name: "a-service", Ops: []api.Spec{
		{Name: "get", Method: "GET", Path: "/api/v1/a/{id}"},
		{Name: "login", Method: "POST", Path: "/api/v1/login", Access: api.Public, Rate: api.RateAuth, Timeout: time.Second, BodyLimit: 5, Idempotent: true},
		{Name: "hidden", Method: "GET", Path: "/internal/v1/a", Access: api.Internal},
	}, Raw: []api.RawRoute{{Prefix: "/v0/", Access: api.Public}, {Prefix: "/internal/raw/", Access: api.Internal}}}})
	if err != nil {
		t.Fatal(err)
	}
	want := []Route{
		{Name: "get", Method: "GET", Path: "/api/v1/a/{id}", Service: "a-service", Rate: DefaultRate, Timeout: api.DefaultTimeout, BodyLimit: api.DefaultBodyLimit},
		{Name: "login", Method: "POST", Path: "/api/v1/login", Service: "a-service", Public: true, Rate: api.RateAuth, Timeout: time.Second, BodyLimit: 5, Replayable: true},
		{Name: "/v0/", Path: "/v0/", Prefix: true, Service: "a-service", Public: true, Rate: DefaultRate, Timeout: api.DefaultTimeout, BodyLimit: api.DefaultBodyLimit, Airtable: true},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := want[0].Gin(); got != "/api/v1/a/:id" {
		t.Errorf("in Gin's form: %s", got)
	}
}

func TestTable_RefusesWhatCannotBeMeant(t *testing.T) {
	t.Parallel()
	op := func(path string) api.Service {
		return api.Service{Name: "x-service", Ops: []api.Spec{{Method: "GET", Path: path}}}
	}
	for want, services := range map[string][]api.Service{
		"both offer":   {op("/api/v1/a/{id}"), op("/api/v1/a/{name}")},
		"to everybody": {op("/internal/v1/a")},
	} {
		if _, err := Table(services); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want one that says %q", err, want)
		}
	}
}

func TestTable_TakesTheCatalog(t *testing.T) {
	t.Parallel()
	table, err := Table(catalog.Services)
	if err != nil || len(table) == 0 {
		t.Fatalf("%d routes, %v", len(table), err)
	}
	for _, r := range table {
		if r.Timeout <= 0 || r.BodyLimit <= 0 || r.Rate == "" {
			t.Errorf("%s %s is without a limit: %+v", r.Method, r.Path, r)
		}
	}
}
