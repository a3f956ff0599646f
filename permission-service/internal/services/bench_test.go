package services

import (
	"fmt"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/permission-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// BenchmarkCheck asks about a table of a base of a workspace, in a tenant with 200 users,
// 20 groups of 20 and 2,000 grants: by a direct grant on the table, by one on the
// workspace through a group, and for somebody who has nothing; uncached and remembered.
func BenchmarkCheck(b *testing.B) {
	d, repo := newDecisions(b, time.Now)
	tenant := id.New[id.Tenant]()
	ws := id.New[struct{}]().String()
	say(b, repo, tenant, workspaceapi.WorkspaceCreated, 1, workspaceapi.WorkspaceChanged{WorkspaceID: ws}, repo.WorkspacePlaced)
	for i := range 20 {
		say(b, repo, tenant, workspaceapi.BaseLinked, 1, workspaceapi.BasePlaced{BaseID: fmt.Sprint("app", i), WorkspaceID: ws}, repo.BasePlaced)
	}
	var users, groups []string
	for range 200 {
		users = append(users, id.New[id.User]().String())
	}
	for g := range 20 {
		groups = append(groups, id.New[struct{}]().String())
		say(b, repo, tenant, tenantapi.GroupChangedEvent, 1, tenantapi.GroupChanged{GroupID: groups[g], Added: users[g*9 : g*9+20]}, repo.GroupChanged)
	}
	table := func(i int) string { return "table:" + tenant.String() + "/app" + fmt.Sprint(i%20) + "/tbl1" }
	for i := 0; i < 2000; i += 100 {
		w := repository.Write{}
		for n := i; n < i+100; n++ {
			g := models.Grant{Subject: models.UserSubject(users[n%180]), Object: table(n / 100), Role: "editor"}
			if n%10 == 9 {
				g.Object = models.BaseObject(tenant, fmt.Sprint("app", n/100))
			}
			w.Grants = append(w.Grants, g)
		}
		if _, _, err := d.Write(b.Context(), tenant, w); err != nil {
			b.Fatal(err)
		}
	}
	_, _, err := d.Write(b.Context(), tenant, repository.Write{Grants: []models.Grant{
		{Subject: models.GroupSubject(groups[19]), Object: models.WorkspaceObject(ws), Role: "viewer"},
	}})
	if err != nil {
		b.Fatal(err)
	}
	outsider := models.UserSubject(id.New[id.User]().String())
	for _, c := range []struct {
		name, user string
		want       bool
	}{
		{"direct", models.UserSubject(users[0]), true},
		{"group and workspace", models.UserSubject(users[190]), true},
		{"denied", outsider, false},
	} {
		q := []Question{{Subject: c.user, Action: "read", Object: table(0)}}
		for mode, at := range map[string]bool{"uncached": true, "cached": false} {
			b.Run(c.name+"/"+mode, func(b *testing.B) {
				took := make([]time.Duration, 0, b.N)
				for b.Loop() {
					r := Request{Tenant: tenant, Questions: q}
					if at {
						r.Time = time.Now() // a named time is never answered from memory
					}
					began := time.Now()
					a, err := d.Check(b.Context(), r)
					took = append(took, time.Since(began))
					if err != nil || a.Allowed[0] != c.want {
						b.Fatal(a, err)
					}
				}
				report(b, took)
			})
		}
	}
}
