package services

import (
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/permission-service/internal/relations"
	"github.com/pyairtable/pyairtable/permission-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// One write takes a grant and gives another; both allow reading, by tuples that have to be
// deleted and written again. No question on any replica sees the moment in between, and
// each writer's own question sees his write.
func TestCheck_NeverSeesHalfOfAWrite(t *testing.T) {
	t.Parallel()
	d, repo := newDecisions(t, time.Now)
	engine, err := relations.Open(t.Context(), repo.pool)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(engine.Close)
	other, err := NewDecisions(repo.Repository, engine, 100, zap.NewNop(), time.Now) // another replica
	if err != nil {
		t.Fatal(err)
	}
	tenant := id.New[id.Tenant]()
	u, base := "user:"+id.New[id.User]().String(), models.BaseObject(tenant, "app1")
	forever := models.Grant{Subject: u, Object: base, Role: "viewer"}
	hourly := models.Grant{Subject: u, Object: base, Role: "editor", ExpiresAt: time.Now().Add(time.Hour)}
	if _, _, err := d.Write(t.Context(), tenant, repository.Write{Grants: []models.Grant{forever}}); err != nil {
		t.Fatal(err)
	}
	ask := func(on *Decisions, atLeast int64) []bool {
		a, err := on.Check(t.Context(), Request{Tenant: tenant, AtLeast: atLeast, Questions: []Question{
			{Subject: u, Action: "read", Object: base}, {Subject: u, Action: "edit", Object: base},
		}})
		if err != nil {
			t.Error(err)
			return []bool{true, false}
		}
		return a.Allowed
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, on := range []*Decisions{d, other, other} {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if !ask(on, 0)[0] {
					t.Error("a question saw half of a write")
					return
				}
			}
		})
	}
	have, want := forever, hourly
	for i := range 30 {
		on := []*Decisions{d, other}[i%2]
		version, _, err := on.Write(t.Context(), tenant, repository.Write{Revokes: []models.Grant{have}, Grants: []models.Grant{want}})
		if err != nil {
			t.Error(err)
			break
		}
		if got := ask([]*Decisions{other, d}[i%2], version); got[1] != (want.Role == "editor") {
			t.Errorf("after the write another replica says %v", got)
		}
		have, want = want, have
	}
	close(done)
	wg.Wait()
}

// A statement that forgot its tenant sees nothing of any table.
func TestTables_AreEmptyWithoutATenant(t *testing.T) {
	t.Parallel()
	d, repo := newDecisions(t, time.Now)
	tenant := id.New[id.Tenant]()
	_, _, err := d.Write(t.Context(), tenant, repository.Write{Grants: []models.Grant{
		{Subject: "user:" + id.New[id.User]().String(), Object: models.BaseObject(tenant, "app1"), Role: "viewer"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"tenants", "stale", "roles", "grants", "members", "groups", "group_members", "places", "policies", "changes"} {
		var rows int
		var secured bool
		err := repo.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM `+table+`), relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = $1::regclass`, table).Scan(&rows, &secured)
		if err != nil || rows > 0 || !secured {
			t.Errorf("%s shows %d rows without a tenant (%v, %v)", table, rows, secured, err)
		}
	}
}
