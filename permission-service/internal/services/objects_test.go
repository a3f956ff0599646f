package services

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/permission-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// A list of objects is whole, however many there are and whatever the page: by a grant
// through a group far above, by one on a single base, and less what is denied.
func TestObjects_ListsAreWholeInATenantOfTenThousandBases(t *testing.T) {
	t.Parallel()
	d, repo := newDecisions(t, time.Now)
	tenant := id.New[id.Tenant]()
	ws, group := models.WorkspaceObject(id.New[int]().String()), id.New[int]().String()
	many, few := id.New[id.User]().String(), models.UserSubject(id.New[id.User]().String())
	say(t, repo, tenant, tenantapi.GroupChangedEvent, 1, tenantapi.GroupChanged{GroupID: group, Added: []string{many}}, repo.GroupChanged)
	name := func(i int) string { return models.BaseObject(tenant, fmt.Sprintf("app%05d", i)) }
	_, _, err := d.Write(t.Context(), tenant, repository.Write{
		Places: []repository.Placing{{Object: ws, Parent: models.TenantObject(tenant), Version: 1}, {Object: name(7), Parent: ws, Version: 1}},
		Grants: []models.Grant{
			{Subject: models.GroupSubject(group), Object: ws, Role: "viewer"},
			{Subject: models.UserSubject(many), Object: name(7), Role: "viewer", Deny: true},
			{Subject: few, Object: name(9_999), Role: "editor"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 10_000 {
		if i != 7 && i != 9_999 { // the one is denied, the other lies in the tenant
			want = append(want, name(i))
		}
	}
	_, err = postgres.ForTenant(repo.pool, tenant).Exec(t.Context(), `
		INSERT INTO places (tenant_id, object, parent, version, gone)
		SELECT $1::uuid, 'base:' || $1::uuid || '/app' || lpad(i::text, 5, '0'), $2, 1, false FROM generate_series(0, 9999) AS i
		ON CONFLICT DO NOTHING`, tenant, ws)
	if err != nil {
		t.Fatal(err)
	}
	walk := func(subject string, limit int) (all []string) {
		t.Helper()
		after := ""
		for {
			page, err := d.Objects(t.Context(), Request{Tenant: tenant, Questions: []Question{{Subject: subject, Action: "read"}}}, models.Base, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				return all
			}
			all, after = append(all, page...), page[len(page)-1]
		}
	}
	for _, limit := range []int{201, 3_000} {
		if got := walk(models.UserSubject(many), limit); !slices.Equal(got, want) {
			t.Errorf("pages of %d: %d bases, want %d", limit, len(got), len(want))
		}
	}
	if got := walk(few, 201); !slices.Equal(got, []string{name(9_999)}) {
		t.Errorf("by one grant: %v", got)
	}
	if got := walk(models.UserSubject(id.New[id.User]().String()), 201); len(got) != 0 {
		t.Errorf("by nothing: %d", len(got))
	}
}

// A report of who has access is whole over its pages.
func TestUsers_ReportIsWholeOverItsPages(t *testing.T) {
	t.Parallel()
	d, _ := newDecisions(t, time.Now)
	tenant := id.New[id.Tenant]()
	base := models.BaseObject(tenant, "app1")
	var w repository.Write
	var want []string
	for range 300 {
		u := models.UserSubject(id.New[id.User]().String())
		want = append(want, u)
		w.Grants = append(w.Grants, models.Grant{Subject: u, Object: base, Role: "editor"})
	}
	w.Grants = append(w.Grants, models.Grant{Subject: want[5], Object: base, Role: "viewer", Deny: true})
	want = slices.Delete(want, 5, 6)
	slices.Sort(want)
	if _, _, err := d.Write(t.Context(), tenant, w); err != nil {
		t.Fatal(err)
	}
	var got []string
	for after := ""; ; {
		page, err := d.Users(t.Context(), Request{Tenant: tenant, Questions: []Question{{Action: "comment", Object: base}}}, after, 70)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, a := range page {
			if got, after = append(got, a.Subject), a.Subject; a.Action != "edit" || len(a.Via) != 1 {
				t.Errorf("%+v", a)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d users, want %d", len(got), len(want))
	}
}
