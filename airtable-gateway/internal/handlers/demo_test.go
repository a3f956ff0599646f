package handlers_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

func TestDemo_IsLoadedOnceWhoeverAsks(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna := f.owner(t)
	if _, err := call(t, anna.member(t), airtableapi.LoadDemo, struct{}{}); !errors.Is(err, airtableapi.ErrAdminsOnly) {
		t.Errorf("a member: %v", err)
	}
	var wg sync.WaitGroup
	answers := make([]airtableapi.Demo, 2)
	for i := range answers {
		wg.Go(func() {
			got, err := call(t, anna, airtableapi.LoadDemo, struct{}{})
			if err != nil {
				t.Error(err)
			}
			answers[i] = got
		})
	}
	wg.Wait()
	if answers[0].Created == answers[1].Created || answers[0].BaseID != answers[1].BaseID {
		t.Errorf("at the same time: %+v", answers)
	}
	again := must(t, anna, airtableapi.LoadDemo, struct{}{})
	if again.Created || again.Tables["Cities"] < 5000 {
		t.Errorf("again: %+v", again)
	}
	got := map[string]int{}
	rows, err := postgres.ForEveryTenant(f.pool).Query(t.Context(), `SELECT t.name, count(r.id) FROM tables t LEFT JOIN records r USING (tenant_id) WHERE r.table_id = t.id AND tenant_id = $1 GROUP BY 1`, anna.tenant)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var n int
		if err := rows.Scan(&name, &n); err != nil {
			t.Fatal(err)
		}
		got[name] = n
	}
	if diff := cmp.Diff(again.Tables, got); diff != "" {
		t.Errorf("records (-told +there):\n%s", diff)
	}
}

func TestDemo_CompletesAnInterruptedLoadAndLinksBothWays(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna := f.owner(t)
	first := must(t, anna, airtableapi.LoadDemo, struct{}{})
	// As if the process had died in the middle of the cities.
	for _, sql := range []string{
		`DELETE FROM links l USING records r, tables t WHERE t.name = 'Cities' AND r.table_id = t.id AND r.number > 1000 AND l.record_id = r.id`,
		`DELETE FROM links l USING records r, tables t WHERE t.name = 'Cities' AND r.table_id = t.id AND r.number > 1000 AND l.target_id = r.id`,
		`DELETE FROM records r USING tables t WHERE t.name = 'Cities' AND r.table_id = t.id AND r.number > 1000`,
	} {
		if _, err := postgres.ForEveryTenant(f.pool).Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	second := must(t, anna, airtableapi.LoadDemo, struct{}{})
	var n int
	if err := postgres.ForEveryTenant(f.pool).QueryRow(t.Context(), `SELECT count(*) FROM records r JOIN tables t ON t.id = r.table_id WHERE t.name = 'Cities'`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if n != second.Tables["Cities"] || second.Created {
		t.Errorf("%d cities after %+v", n, second)
	}
	type page struct {
		Records []struct {
			ID     string
			Fields map[string]any
		}
	}
	var cities, countries page
	anna.v0(t, "GET", "/v0/"+first.BaseID+"/Cities?maxRecords=1&sort[0][field]=Population&sort[0][direction]=desc", "").ok(t, &cities)
	city := cities.Records[0]
	if city.Fields["Name"] != "Shanghai" || city.Fields["Time zone"] != "Asia/Shanghai" || city.Fields["Size"] != "Megacity" {
		t.Errorf("largest city: %v", city.Fields)
	}
	country := city.Fields["Country"].([]any)[0].(string)
	r := anna.v0(t, "GET", "/v0/"+first.BaseID+"/Countries/"+country, "")
	if !strings.Contains(r.body, city.ID) || !strings.Contains(r.body, `"China"`) {
		t.Errorf("its country: %.300s", r.body)
	}
	anna.v0(t, "GET", "/v0/"+first.BaseID+"/Countries?pageSize=1", "").ok(t, &countries)
}
