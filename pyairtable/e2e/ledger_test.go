package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// ledger is what all services' databases say of events.
type ledger struct {
	pools map[string]*pgxpool.Pool // by service
}

func (in *install) ledger(t *testing.T) ledger {
	t.Helper()
	l := ledger{pools: map[string]*pgxpool.Pool{}}
	for service, url := range in.databases {
		pool, err := postgres.Open(t.Context(), url, postgres.Options{AppName: t.Name(), MaxConns: 2})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		l.pools[service] = pool
	}
	return l
}

// rows are those of a query over all tenants, each written as one text.
func (l ledger) rows(t *testing.T, service, query string) []string {
	t.Helper()
	rows, err := postgres.ForEveryTenant(l.pools[service]).Query(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", service, err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", service, err)
	}
	return found
}

// said are the types of all events, by id.
func (l ledger) said(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for service := range l.pools {
		for _, row := range l.rows(t, service, `SELECT event_id || ' ' || (event->>'type') FROM outbox`) {
			event, kind, _ := strings.Cut(row, " ")
			all[event] = kind
		}
	}
	return all
}

// missing are the events that a consumer has not applied, of the types that it applies.
func (l ledger) missing(t *testing.T, service string, said map[string]string) []string {
	t.Helper()
	applied, takes := map[string]bool{}, map[string]bool{}
	for _, event := range l.rows(t, service, `SELECT event_id::text FROM inbox`) {
		applied[event] = true
		if kind, known := said[event]; known {
			takes[kind] = true
		}
	}
	var missing []string
	for event, kind := range said {
		if takes[kind] && !applied[event] {
			missing = append(missing, event+" "+kind)
		}
	}
	return missing
}

// settled awaits that each event is published and applied wherever it is taken, and returns
// all. What applies an event may say another, at once or by a job, so that it asks until
// nothing was said meanwhile.
func (l ledger) settled(t *testing.T) map[string]string {
	t.Helper()
	for said := l.said(t); ; {
		for service := range l.pools {
			await.True(t, service+" to have published its events", func() bool {
				return len(l.rows(t, service, `SELECT event_id::text FROM outbox WHERE published_at IS NULL`)) == 0
			})
			await.True(t, service+" to have applied the events that it takes", func() bool { return len(l.missing(t, service, said)) == 0 })
		}
		await.True(t, "permission-service to have derived all tuples", func() bool {
			return len(l.rows(t, permissionapi.Service.Name, `SELECT tenant_id::text FROM tenants WHERE applied < version`)) == 0
		})
		before := len(said)
		if said = l.said(t); len(said) == before {
			return said
		}
	}
}

// nothingLostNorDoubled compares what the services have, once they have heard it all.
func (in *install) nothingLostNorDoubled(t *testing.T, f *apart, tours []*tourist) {
	t.Helper()
	f.awaitReady(t)
	l := in.ledger(t)
	said := l.settled(t)
	for service := range l.pools {
		if dead := l.rows(t, service, `SELECT type || ': ' || error FROM dead_events`); len(dead) > 0 {
			t.Errorf("%s has given up events: %v", service, dead)
		}
	}
	l.auditHasEachOnce(t, said)
	l.copiesAgree(t)
	l.effectsAreThereOnce(t, tours)
	for _, o := range tours {
		o.audit(t)
		o.eachRecordOnce(t)
	}
	t.Logf("%d tours, %d events", len(tours), len(said))
}

// auditHasEachOnce: every event of every service is one entry.
func (l ledger) auditHasEachOnce(t *testing.T, said map[string]string) {
	t.Helper()
	times := map[string]int{}
	for _, event := range l.rows(t, auditapi.Service.Name, `SELECT event_id::text FROM entries WHERE action <> '`+auditapi.RequestRefused.Name+`'`) {
		times[event]++
	}
	for event, kind := range said {
		if times[event] != 1 {
			t.Errorf("%s %s is in the audit logs %d times", kind, event, times[event])
		}
		delete(times, event)
	}
	for event := range times {
		t.Errorf("the audit logs have an event that nobody said: %s %s", event, l.rows(t, auditapi.Service.Name, `SELECT action FROM entries WHERE event_id = '`+event+`'`))
	}
}

// copiesAgree: what others keep of tenants and members is what tenant-service has, in the
// same version.
func (l ledger) copiesAgree(t *testing.T) {
	t.Helper()
	same := func(what string, theirs, ours []string) {
		slices.Sort(theirs)
		slices.Sort(ours)
		if diff := cmp.Diff(ours, theirs); diff != "" {
			t.Errorf("%s (-tenant-service +copy):\n%s", what, diff)
		}
	}
	same("tenants at auth-service",
		l.rows(t, authapi.Service.Name, `SELECT concat_ws(' ', tenant_id, version, kind, name) FROM tenants`),
		l.rows(t, tenantapi.Service.Name, `SELECT concat_ws(' ', tenant_id, version, kind, name) FROM tenants`))
	members := l.rows(t, tenantapi.Service.Name, `SELECT concat_ws(' ', tenant_id, id, user_id, role, version) FROM members`)
	same("members at auth-service",
		l.rows(t, authapi.Service.Name, `SELECT concat_ws(' ', tenant_id, member_id, user_id, role, version) FROM memberships WHERE removed_at IS NULL`), members)
	same("members at permission-service",
		l.rows(t, permissionapi.Service.Name, `SELECT concat_ws(' ', tenant_id, member_id, user_id, role, version) FROM members WHERE NOT removed`), members)
}

// effectsAreThereOnce: what each tour made exists, and no more of it.
func (l ledger) effectsAreThereOnce(t *testing.T, tours []*tourist) {
	t.Helper()
	for what, c := range map[string]struct {
		service, query string
		each           int // of a tour
	}{
		"organisations":    {tenantapi.Service.Name, `SELECT name FROM tenants WHERE kind = 'organisation'`, 1},
		"invitation mails": {tenantapi.Service.Name, `SELECT id::text FROM mails`, 1},
		"accounts":         {authapi.Service.Name, `SELECT id::text FROM users`, 2},
		"workspaces":       {workspaceapi.Service.Name, `SELECT id::text FROM workspaces`, 1},
		"row rules":        {permissionapi.Service.Name, `SELECT id::text FROM policies`, 1},
		"grants of guests": {permissionapi.Service.Name, `SELECT id::text FROM grants WHERE object LIKE 'base:%' AND role <> 'owner'`, 0}, // they went with him
	} {
		if rows := l.rows(t, c.service, c.query); len(rows) != c.each*len(tours) {
			t.Errorf("%s: %d after %d tours, want %d of each", what, len(rows), len(tours), c.each)
		}
	}
}

// eachRecordOnce: what was acknowledged to the viewer is all that is there.
func (o *tourist) eachRecordOnce(t *testing.T) {
	t.Helper()
	r := o.until(t, "list the records", func() reply {
		return o.once(t, "GET", "/v0/"+o.base+"/"+o.table, o.owner.pat, "", nil)
	}, is(http.StatusOK))
	found := map[string]bool{}
	for n := 0; ; n++ {
		id, ok := find(r.body, fmt.Sprintf("records.%d.id", n))
		if !ok {
			break
		}
		found[id] = true
	}
	if there := slices.Sorted(maps.Keys(found)); !slices.Equal(there, slices.Sorted(slices.Values(o.records))) {
		t.Errorf("%s wrote %v, and there are %v", o.name, o.records, there)
	}
}
