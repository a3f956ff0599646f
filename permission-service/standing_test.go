package permissionservice_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/redis"
)

// remembering is a client with a cache that hears announcements, as other services have.
func (f *fleet) remembering() *permit.Client {
	f.Helper()
	rdb, err := redis.Open(f.Context(), f.redis)
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.Context())
	client, done := permit.New(f.peer), make(chan error, 1)
	go func() { done <- client.Run(ctx, rdb) }()
	f.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, rdb.Close()); err != nil {
			f.Error(err)
		}
	})
	return client
}

// member has tenant-service say what the person is in the tenant.
func (f *fleet) member(p person, version int64, role string, suspended bool) {
	f.Helper()
	f.say(tenantapi.MemberUpdated.New(f.Context(), p.who.TenantID, p.id, version, tenantapi.MemberChanged{
		MemberID: p.id, UserID: p.id, TenantID: p.who.TenantID.String(), Role: role, CustomRoles: []string{}, Suspended: suspended,
	}))
}

// tenant has tenant-service say how the tenant is.
func (f *fleet) tenant(tenant id.TenantID, version int64, status string) {
	f.Helper()
	f.say(tenantapi.TenantUpdated.New(f.Context(), tenant, tenant.String(), version, tenantapi.TenantChanged{TenantID: tenant.String(), Status: status}))
}

// sees reports what every kind of question says of the person and the base, who may edit
// it if anything; they must agree. by asks about him.
func (f *fleet) sees(by, p person, app string) (allowed bool, decides string) {
	f.Helper()
	tenant := p.who.TenantID
	questions := []permissionapi.Question{
		{Subject: p.subject, Action: "edit", Object: app}, {Subject: p.subject, Action: "read", Object: string(permit.Table(tenant, "app1", "tbl1"))},
		{Subject: p.subject, Action: "read", Object: app},
	}
	batch := call(f.TB, f.peer, permissionapi.Check, permissionapi.CheckRequest{TenantID: tenant.String(), Questions: questions}).Allowed
	allowed = batch[0]
	e := call(f.TB, by.Client, permissionapi.Explain, permissionapi.ExplainQuery{Subject: p.subject, Action: "edit", Object: app})
	objects := call(f.TB, by.Client, permissionapi.ListObjects, permissionapi.ObjectQuery{Subject: p.subject, Action: "edit", Kind: "base"}).Items
	report := call(f.TB, by.Client, permissionapi.ListSubjects, permissionapi.AccessQuery{Object: app, Action: "edit"}).Items
	listed := slices.ContainsFunc(report, func(a permissionapi.Access) bool { return a.Subject == p.subject })
	for what, got := range map[string]bool{
		"batch, of a table": batch[1], "batch, read": batch[2], "explain": e.Allowed, "objects": slices.Contains(objects, app), "subjects": listed,
	} {
		if got != allowed {
			f.Errorf("%s says %v, the check %v", what, got, allowed)
		}
	}
	for _, s := range e.Steps {
		if s.Decides {
			decides = s.Kind
		}
	}
	return allowed, decides
}

func TestSuspendedMember_HasNothingUntilHeIsLetInAgain(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant, group := id.New[id.Tenant](), id.New[int]().String()
	ada, bob, eve := f.person(tenant, "owner"), f.person(tenant, "member"), f.person(tenant, "admin")
	f.member(ada, 1, "owner", false)
	f.member(bob, 1, "member", false)
	f.member(eve, 1, "admin", false)
	f.say(tenantapi.GroupChangedEvent.New(t.Context(), tenant, group, 1, tenantapi.GroupChanged{GroupID: group, TenantID: tenant.String(), Added: []string{bob.id}}))
	app := base(tenant, "app1")
	call(t, ada.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: "group:" + group, Object: app, Role: "editor"})
	client := f.remembering()
	await.True(t, "all is heard", func() bool {
		return client.Check(t.Context(), bob.who, "edit", permit.Object(app)) == nil &&
			f.may(tenant, bob.subject, "create", "tenant:"+tenant.String()) && f.may(tenant, eve.subject, "manage", app)
	})
	if ok, by := f.sees(ada, bob, app); !ok || by != "grant" {
		t.Errorf("before: %v by %q", ok, by)
	}
	f.member(bob, 2, "member", true)
	f.member(eve, 2, "admin", true)
	await.True(t, "the remembered answer is dropped", func() bool {
		return errors.Is(client.Check(t.Context(), bob.who, "edit", permit.Object(app)), errs.ErrNotFound)
	})
	await.True(t, "an admin may be suspended", func() bool { return !f.may(tenant, eve.subject, "read", app) })
	if ok, by := f.sees(ada, bob, app); ok || by != "member_suspended" {
		t.Errorf("suspended: %v by %q", ok, by)
	}
	if f.may(tenant, bob.subject, "read", "tenant:"+tenant.String()) {
		t.Error("a suspended member sees his tenant")
	}
	// A token that has not run out opens nothing here either.
	refused(t, eve.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: bob.subject, Object: app, Role: "viewer"}, errs.ErrNotFound)
	refused(t, eve.Client, permissionapi.CreateRole, permissionapi.NewRole{Name: "x", Actions: []string{"read"}}, errs.ErrForbidden)
	f.member(bob, 1, "member", false) // late
	f.member(bob, 3, "member", false)
	await.True(t, "he is let in again", func() bool { return client.Check(t.Context(), bob.who, "edit", permit.Object(app)) == nil })
	if ok, by := f.sees(ada, bob, app); !ok || by != "grant" {
		t.Errorf("afterwards: %v by %q", ok, by)
	}
	feed := call(t, ada.Client, permissionapi.Watch, permissionapi.WatchQuery{PageQuery: api.PageQuery{Limit: 100}})
	if !slices.ContainsFunc(feed.Items, func(c permissionapi.ChangeRecord) bool {
		return c.What == "role_changed" && c.Subject == bob.subject && c.New == "member, suspended"
	}) {
		t.Errorf("the feed: %+v", feed.Items)
	}
}

func TestShutTenant_IsItsOwnersAloneAndLosesNothing(t *testing.T) {
	t.Parallel()
	f := start(t)
	for _, status := range []string{tenantapi.StatusSuspended, tenantapi.StatusDeleting} {
		tenant := id.New[id.Tenant]()
		ada, bob, late := f.person(tenant, "owner"), f.person(tenant, "member"), f.person(tenant, "admin")
		f.member(ada, 1, "owner", false)
		f.member(bob, 1, "member", false)
		app := base(tenant, "app1")
		call(t, ada.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: bob.subject, Object: app, Role: "editor"})
		client := f.remembering()
		await.True(t, "all is heard", func() bool {
			return client.Check(t.Context(), bob.who, "edit", permit.Object(app)) == nil && f.may(tenant, ada.subject, "manage", app)
		})
		f.tenant(tenant, 5, status)
		await.True(t, "the remembered answer is dropped", func() bool {
			return errors.Is(client.Check(t.Context(), bob.who, "edit", permit.Object(app)), errs.ErrNotFound)
		})
		if ok, by := f.sees(ada, bob, app); ok || by != "tenant_"+status {
			t.Errorf("%s: %v by %q", status, ok, by)
		}
		if ok, by := f.sees(ada, ada, app); !ok || by != "tenant_role" {
			t.Errorf("%s, the owner: %v by %q", status, ok, by)
		}
		// Somebody whom nothing was heard of is what his token says, and no owner.
		if err := client.Check(t.Context(), late.who, "read", permit.Object(app)); !errors.Is(err, errs.ErrNotFound) {
			t.Errorf("%s, an admin by his token: %v", status, err)
		}
		dry := call(t, ada.Client, permissionapi.DryRun, permissionapi.DryRunRequest{
			Grants:    []permissionapi.Grant{{Subject: bob.subject, Object: app, Role: "owner"}},
			Questions: []permissionapi.Question{{Subject: bob.subject, Action: "edit", Object: app}},
		})
		if dry.Changed != 0 || dry.Results[0].After {
			t.Errorf("%s, a dry run: %+v", status, dry)
		}
		f.tenant(tenant, 4, tenantapi.StatusActive) // late
		f.tenant(tenant, 6, tenantapi.StatusActive)
		await.True(t, "it is open again", func() bool { return client.Check(t.Context(), bob.who, "edit", permit.Object(app)) == nil })
		if ok, by := f.sees(ada, bob, app); !ok || by != "grant" {
			t.Errorf("after %s: %v by %q", status, ok, by)
		}
	}
}

// The end of a tenant takes its grants and tuples, says so to those who remember answers,
// and is not undone by what comes late.
func TestDeletedTenant_LeavesNothingAndCachesDropIt(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant, other := id.New[id.Tenant](), id.New[id.Tenant]()
	ada, bob, stranger := f.person(tenant, "owner"), f.person(tenant, "member"), f.person(other, "owner")
	f.member(ada, 1, "owner", false)
	f.member(bob, 1, "member", false)
	app := base(tenant, "app1")
	call(t, ada.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: bob.subject, Object: app, Role: "editor"})
	call(t, ada.Client, permissionapi.CreateRole, permissionapi.NewRole{Name: "r", Actions: []string{"read"}})
	call(t, ada.Client, permissionapi.CreatePolicy, permissionapi.Rule{Name: "p", Subjects: []string{"*"}, BaseID: "app1", TableID: "tbl1", Hidden: []string{"fldA"}})
	call(t, stranger.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: bob.subject, Object: base(other, "app1"), Role: "viewer"})
	client := f.remembering()
	await.True(t, "all is heard", func() bool {
		p, err := client.Policy(t.Context(), bob.who, "app1")
		return err == nil && len(p.Tables) == 1 && client.Check(t.Context(), bob.who, "edit", permit.Object(app)) == nil
	})
	f.tenant(tenant, 2, tenantapi.StatusDeleting)
	await.True(t, "the grace period shuts it", func() bool { return !f.may(tenant, bob.subject, "read", app) })
	if f.rows("grants", tenant) == 0 {
		t.Error("the grace period took the grants")
	}
	f.tenant(tenant, 3, tenantapi.StatusActive)
	await.True(t, "undone, it is as it was", func() bool { return client.Check(t.Context(), bob.who, "edit", permit.Object(app)) == nil })
	began := time.Now()
	f.say(tenantapi.TenantDeleted.New(t.Context(), tenant, tenant.String(), 9, tenantapi.TenantChanged{TenantID: tenant.String(), Status: tenantapi.StatusDeleted}))
	await.True(t, "caches drop decisions and policies", func() bool {
		p, err := client.Policy(t.Context(), bob.who, "app1")
		return err == nil && len(p.Tables) == 0 && errors.Is(client.Check(t.Context(), bob.who, "read", permit.Object(app)), errs.ErrNotFound)
	})
	if took := time.Since(began); took > permit.Staleness {
		t.Logf("only the bound ended what was remembered, after %s", took)
	}
	await.True(t, "the tuples are gone", func() bool { return f.tuples(app) == 0 })
	for _, table := range []string{"stale", "roles", "grants", "members", "groups", "group_members", "places", "policies", "changes"} {
		if n := f.rows(table, tenant); n > 0 {
			t.Errorf("%s keeps %d rows", table, n)
		}
	}
	f.tenant(tenant, 3, tenantapi.StatusActive)
	f.member(bob, 7, "owner", false)
	if ok := f.may(tenant, ada.subject, "read", app); ok {
		t.Error("the owner of a tenant that is gone reads")
	}
	if f.tuples(base(other, "app1")) == 0 || !f.may(other, bob.subject, "read", base(other, "app1")) {
		t.Error("it took what is another's")
	}
	if said := f.count(`SELECT count(*) FROM outbox WHERE tenant_id = $1 AND event -> 'data' ->> 'what' = 'tenant_deleted'`, tenant); said != 1 {
		t.Errorf("announced %d times", said)
	}
}

// rows counts what the tenant has in a table.
func (f *fleet) rows(table string, tenant id.TenantID) int {
	f.Helper()
	return f.count(`SELECT count(*) FROM `+table+` WHERE tenant_id = $1`, tenant)
}

// tuples counts the engine's about the object.
func (f *fleet) tuples(object string) int {
	f.Helper()
	kind, name, _ := strings.Cut(object, ":")
	return f.count(`SELECT count(*) FROM openfga.tuple WHERE object_type = $1 AND object_id = $2`, kind, name)
}

func (f *fleet) count(sql string, args ...any) int {
	f.Helper()
	rows, err := postgres.ForEveryTenant(f.pool).Query(f.Context(), sql, args...)
	if err != nil {
		f.Fatal(err)
	}
	n, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
	if err != nil {
		f.Fatal(err)
	}
	return n
}
