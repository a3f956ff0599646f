package permissionservice_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	permissionservice "github.com/pyairtable/pyairtable/permission-service"
	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/apptest"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/eventstest"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/redistest"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

// fleet is the service with what stands around it.
type fleet struct {
	testing.TB
	service *apptest.Running
	issuer  *authtest.Issuer
	pool    *pgxpool.Pool
	redis   string
	peer    *rpc.Client // another service
}

func start(t testing.TB) *fleet {
	t.Helper()
	f := &fleet{TB: t, issuer: authtest.New(t), redis: redistest.URL(t)}
	url := pgtest.URL(t, "permission-service", nil)
	f.service = apptest.Start(t, permissionservice.Service, map[string]string{
		"AUTH_SERVICE_URL": f.issuer.URL, "DATABASE_URL": url, "REDIS_URL": f.redis,
	})
	pool, err := postgres.Open(t.Context(), url, postgres.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	f.pool = pool
	f.peer = f.service.Client(auth.Principal{Token: f.issuer.Token(t, authtest.Service("workspace-service"))})
	return f
}

// person is somebody in a tenant.
type person struct {
	*rpc.Client
	id      string
	subject string
	who     auth.Principal
}

func (f *fleet) person(tenant id.TenantID, role string) person {
	f.Helper()
	user := id.New[id.User]()
	who := auth.Principal{UserID: user, TenantID: tenant, Role: role, Token: f.issuer.Token(f.TB, authtest.User(tenant, user, role))}
	return person{f.service.Client(who), user.String(), "user:" + user.String(), who}
}

// say announces events as another service does.
func (f *fleet) say(evs ...events.Event) {
	f.Helper()
	if err := postgres.InTx(f.Context(), f.pool, func(tx pgx.Tx) error { return events.Emit(f.Context(), tx, evs...) }); err != nil {
		f.Fatal(err)
	}
}

func call[In, Out any](t testing.TB, c *rpc.Client, op api.Op[In, Out], in In) Out {
	t.Helper()
	out, err := rpc.Call(t.Context(), c, op, in)
	if err != nil {
		t.Fatal(op.Name, err)
	}
	return out
}

func refused[In, Out any](t testing.TB, c *rpc.Client, op api.Op[In, Out], in In, want error) {
	t.Helper()
	if _, err := rpc.Call(t.Context(), c, op, in); !errors.Is(err, want) {
		t.Errorf("%s of %+v: %v, want %v", op.Name, in, err, want)
	}
}

func (f *fleet) may(tenant id.TenantID, subject, action, object string) bool {
	f.Helper()
	return call(f.TB, f.peer, permissionapi.Check, permissionapi.CheckRequest{
		TenantID: tenant.String(), Questions: []permissionapi.Question{{Subject: subject, Action: action, Object: object}},
	}).Allowed[0]
}

func base(tenant id.TenantID, name string) string { return string(permit.Base(tenant, name)) }

func TestService_ServesWhatItDeclares(t *testing.T) {
	t.Parallel()
	apptest.Operations(t, start(t).service.URL, permissionapi.Service)
}

func TestEvents_AreTheirSamples(t *testing.T) {
	t.Parallel()
	eventstest.Sample(t, permissionapi.PermissionsChanged, `{"tenant_id":"0193","what":"granted","object":"base:0193/app1","subject":"user:1","role":"editor","new":"until 2026-11-22T12:00:00Z","actor_id":"2","objects":["base:0193/app1"]}`)
}

func TestGrants_GivenSeenAndTakenAtOnce(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant := id.New[id.Tenant]()
	ada, bob := f.person(tenant, "owner"), f.person(tenant, "guest")
	app := base(tenant, "app1")
	if f.may(tenant, bob.subject, "read", app) {
		t.Error("a guest reads without a grant")
	}
	made := call(t, ada.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: bob.subject, Object: app, Role: "viewer"})
	if made.Location != permissionapi.CreateGrant.Path+"/"+made.Body.ID || made.Token == "" || made.Body.GrantedBy != ada.id {
		t.Errorf("made %+v", made)
	}
	if !f.may(tenant, bob.subject, "read", app) || f.may(tenant, bob.subject, "comment", app) {
		t.Error("the viewer's grant is not what is seen")
	}
	if table := string(permit.Table(tenant, "app1", "tbl1")); !f.may(tenant, bob.subject, "read", table) {
		t.Error("a table does not inherit from its base")
	}
	// The same again changes its end, and is the same grant.
	end := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	again := call(t, ada.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: bob.subject, Object: app, Role: "viewer", ExpiresAt: end})
	if again.Body.ID != made.Body.ID || !again.Body.ExpiresAt.Equal(end) {
		t.Errorf("again %+v", again.Body)
	}
	if got := call(t, bob.Client, permissionapi.GetGrant, permissionapi.GrantRef{ID: made.Body.ID}); got.ID != made.Body.ID {
		t.Errorf("his own: %+v", got)
	}
	if list := call(t, bob.Client, permissionapi.ListGrants, permissionapi.GrantQuery{Subject: bob.subject}); len(list.Items) != 1 {
		t.Errorf("his own: %+v", list)
	}
	call(t, ada.Client, permissionapi.RevokeGrant, permissionapi.GrantRef{ID: made.Body.ID})
	if f.may(tenant, bob.subject, "read", app) {
		t.Error("a revoked grant is honoured")
	}
	refused(t, ada.Client, permissionapi.RevokeGrant, permissionapi.GrantRef{ID: made.Body.ID}, errs.ErrNotFound)
}

func TestGrants_BadOnesAreRefused(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant := id.New[id.Tenant]()
	ada := f.person(tenant, "owner")
	good := permissionapi.Grant{Subject: "user:" + id.New[id.User]().String(), Object: base(tenant, "app1"), Role: "viewer"}
	for _, c := range []struct {
		set  func(*permissionapi.Grant)
		want error
	}{
		{func(g *permissionapi.Grant) { g.Subject = "user:1" }, permissionapi.ErrBadSubject},
		{func(g *permissionapi.Grant) { g.Subject = "tenant:" + tenant.String() }, permissionapi.ErrBadSubject},
		{func(g *permissionapi.Grant) { g.Object = base(id.New[id.Tenant](), "app1") }, errs.ErrNotFound},
		{func(g *permissionapi.Grant) { g.Object = "workspace:" + id.New[int]().String() }, errs.ErrNotFound},
		{func(g *permissionapi.Grant) { g.Role = "king" }, permissionapi.ErrBadRole},
		{func(g *permissionapi.Grant) { g.Role = id.New[int]().String() }, permissionapi.ErrBadRole},
		{func(g *permissionapi.Grant) { g.ExpiresAt = time.Now().Add(-time.Minute) }, permissionapi.ErrBadGrant},
		{func(g *permissionapi.Grant) { g.IPRanges = []string{"here"} }, permissionapi.ErrBadGrant},
	} {
		g := good
		c.set(&g)
		refused(t, ada.Client, permissionapi.CreateGrant, g, c.want)
	}
}

// Who shares gives up to his own strength; who manages denies; owners and admins of the
// tenant are spared from others.
func TestGrants_NobodyGivesMoreThanHeHas(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant := id.New[id.Tenant]()
	ada, creator, boss := f.person(tenant, "owner"), f.person(tenant, "member"), f.person(tenant, "guest")
	app, other := base(tenant, "app1"), "user:"+id.New[id.User]().String()
	f.say(tenantapi.MemberAdded.New(t.Context(), tenant, ada.id, 1, tenantapi.MemberChanged{MemberID: ada.id, UserID: ada.id, Role: "owner", TenantID: tenant.String()}))
	give := func(by person, subject, role string, deny bool) error {
		_, err := rpc.Call(t.Context(), by.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: subject, Object: app, Role: role, Deny: deny})
		return err
	}
	for subject, role := range map[string]string{creator.subject: "creator", boss.subject: "owner"} {
		if err := give(ada, subject, role, false); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		by      person
		subject string
		role    string
		deny    bool
		want    error
	}{
		{creator, other, "creator", false, nil},
		{creator, other, "owner", false, permissionapi.ErrTooStrong},
		{creator, boss.subject, "viewer", true, permissionapi.ErrTooStrong},
		{boss, other, "owner", false, nil},
		{boss, creator.subject, "viewer", true, nil},
		{f.person(tenant, "member"), other, "viewer", false, errs.ErrNotFound},
		{creator, other, "viewer", false, errs.ErrNotFound}, // denied everything by now
	} {
		if err := give(c.by, c.subject, c.role, c.deny); !errors.Is(err, c.want) {
			t.Errorf("%s gives %s (%v): %v, want %v", c.by.who.Role, c.role, c.deny, err, c.want)
		}
	}
	await.True(t, "an owner is spared", func() bool {
		return errors.Is(give(boss, ada.subject, "viewer", true), permissionapi.ErrOwnersOwner)
	})
}

func TestGrants_NobodyGivesForLongerThanHeHas(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant := id.New[id.Tenant]()
	ada, hourly, near := f.person(tenant, "owner"), f.person(tenant, "member"), f.person(tenant, "member")
	app, other := base(tenant, "app1"), "user:"+id.New[id.User]().String()
	hour := time.Now().Add(time.Hour)
	for _, g := range []permissionapi.Grant{
		{Subject: hourly.subject, Object: app, Role: "owner", ExpiresAt: hour},
		{Subject: near.subject, Object: app, Role: "viewer"},
		{Subject: near.subject, Object: app, Role: "owner", IPRanges: []string{"127.0.0.0/8", "::1/128"}},
	} {
		call(t, ada.Client, permissionapi.CreateGrant, g)
	}
	for _, c := range []struct {
		by    person
		given permissionapi.Grant
		want  error
	}{
		{hourly, permissionapi.Grant{Subject: other, Role: "viewer"}, permissionapi.ErrTooStrong},
		{hourly, permissionapi.Grant{Subject: hourly.subject, Role: "owner"}, permissionapi.ErrTooStrong},
		{hourly, permissionapi.Grant{Subject: hourly.subject, Role: "owner", ExpiresAt: hour.Add(time.Hour)}, permissionapi.ErrTooStrong},
		{hourly, permissionapi.Grant{Subject: other, Role: "viewer", Deny: true}, permissionapi.ErrTooStrong},
		{hourly, permissionapi.Grant{Subject: other, Role: "editor", ExpiresAt: hour}, nil},
		{near, permissionapi.Grant{Subject: other, Role: "viewer", ExpiresAt: hour}, permissionapi.ErrTooStrong},
	} {
		c.given.Object = app
		if _, err := rpc.Call(t.Context(), c.by.Client, permissionapi.CreateGrant, c.given); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, want %v", c.given, err, c.want)
		}
	}
}

func TestDenial_WinsUntilAnOwnerLiftsIt(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant := id.New[id.Tenant]()
	ada := f.person(tenant, "owner")
	app := base(tenant, "app1")
	made := call(t, ada.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: ada.subject, Object: app, Role: "viewer", Deny: true})
	if got := call(t, ada.Client, permissionapi.CheckMine, permissionapi.MyQuestions{Questions: []permissionapi.MyQuestion{{Action: "read", Object: app}}}); got.Allowed[0] {
		t.Error("a denial does not win over the tenant's owner")
	}
	call(t, ada.Client, permissionapi.RevokeGrant, permissionapi.GrantRef{ID: made.Body.ID})
	if got := call(t, ada.Client, permissionapi.CheckMine, permissionapi.MyQuestions{Questions: []permissionapi.MyQuestion{{Action: "manage", Object: app}}}); !got.Allowed[0] {
		t.Error("the owner could not lift it")
	}
}

func TestRoles_ChangeForAllWhoHaveThem(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant := id.New[id.Tenant]()
	ada, bob := f.person(tenant, "admin"), f.person(tenant, "guest")
	app := base(tenant, "app1")
	role := call(t, ada.Client, permissionapi.CreateRole, permissionapi.NewRole{Name: "Reviewer", Actions: []string{"comment", "read"}}).Body
	refused(t, ada.Client, permissionapi.CreateRole, permissionapi.NewRole{Name: "reviewer", Actions: []string{"read"}}, permissionapi.ErrRoleTaken)
	call(t, ada.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: bob.subject, Object: app, Role: role.ID})
	if !f.may(tenant, bob.subject, "comment", app) || f.may(tenant, bob.subject, "edit", app) {
		t.Error("the role is not what it is made of")
	}
	patch := permissionapi.RolePatch{ID: role.ID}
	patch.Body.Actions = []string{"edit"}
	call(t, ada.Client, permissionapi.UpdateRole, patch)
	if !f.may(tenant, bob.subject, "edit", app) {
		t.Error("a holder does not have the new action")
	}
	refused(t, ada.Client, permissionapi.DeleteRole, permissionapi.RoleDeletion{RoleRef: permissionapi.RoleRef{ID: role.ID}}, permissionapi.ErrRoleInUse)
	list := call(t, bob.Client, permissionapi.ListRoles, api.PageQuery{})
	if len(list.Items) != 1 || list.Items[0].Name != "Reviewer" {
		t.Errorf("listed %+v", list)
	}
	free := call(t, ada.Client, permissionapi.CreateRole, permissionapi.NewRole{Name: "Other", Actions: []string{"read"}}).Body
	call(t, ada.Client, permissionapi.DeleteRole, permissionapi.RoleDeletion{RoleRef: permissionapi.RoleRef{ID: free.ID}})
	refused(t, ada.Client, permissionapi.GetRole, permissionapi.RoleRef{ID: free.ID}, errs.ErrNotFound)
}

func TestPolicies_AddUpForTheOnesTheyName(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant := id.New[id.Tenant]()
	ada, bob := f.person(tenant, "owner"), f.person(tenant, "guest")
	call(t, ada.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: bob.subject, Object: base(tenant, "app1"), Role: "viewer"})
	rule := permissionapi.Rule{Name: "a", Subjects: []string{"role:viewer"}, BaseID: "app1", TableID: "tbl1", Hidden: []string{"fldA"}, Rows: `{fldOwner} = $user`}
	made := call(t, ada.Client, permissionapi.CreatePolicy, rule).Body
	call(t, ada.Client, permissionapi.CreatePolicy, permissionapi.Rule{
		Name: "b", Subjects: []string{bob.subject}, BaseID: "app1", TableID: "tbl1", Hidden: []string{"fldB"}, ReadOnly: []string{"fldA", "fldC"},
	})
	fetch := func(subject string) permissionapi.Policy {
		t.Helper()
		return call(t, f.peer, permissionapi.FetchPolicy, permissionapi.PolicyQuery{TenantID: tenant.String(), Subject: subject, BaseID: "app1"})
	}
	got := fetch(bob.subject)
	if len(got.Tables) != 1 || !slices.Equal(got.Tables[0].Hidden, []string{"fldA", "fldB"}) || !slices.Equal(got.Tables[0].ReadOnly, []string{"fldC"}) ||
		!slices.Equal(got.Tables[0].Rows, []string{rule.Rows}) {
		t.Errorf("bob's: %+v", got)
	}
	if got := fetch(ada.subject); len(got.Tables) != 0 {
		t.Errorf("ada's: %+v", got)
	}
	for _, bad := range []string{`{fldA} =`, `{Name} = 1`, `{fldA} = "$user"`, `NO_SUCH({fldA})`} {
		r := rule
		r.Rows = bad
		refused(t, ada.Client, permissionapi.CreatePolicy, r, permissionapi.ErrBadRule)
	}
	for _, bad := range []string{"king", "role:", "role:" + strings.Repeat("x", 101), "tenant:" + tenant.String()} {
		r := rule
		r.Subjects = []string{bad}
		refused(t, ada.Client, permissionapi.CreatePolicy, r, permissionapi.ErrBadSubject)
	}
	// What nobody has told of him yet, his token does.
	guests := rule
	guests.Subjects, guests.Hidden = []string{"role:guest"}, []string{"fldG"}
	unheard := call(t, ada.Client, permissionapi.CreatePolicy, guests).Body
	guest := call(t, f.peer, permissionapi.FetchPolicy, permissionapi.PolicyQuery{
		TenantID: tenant.String(), Subject: "user:" + id.New[id.User]().String(), BaseID: "app1", Role: "guest",
	})
	if len(guest.Tables) != 1 || !slices.Equal(guest.Tables[0].Hidden, []string{"fldG"}) {
		t.Errorf("a guest nobody has told of: %+v", guest)
	}
	call(t, ada.Client, permissionapi.DeletePolicy, permissionapi.RuleDeletion{RuleRef: permissionapi.RuleRef{ID: unheard.ID}})
	// Tables with grants of their own are named, of this base alone.
	for _, object := range []string{"table:" + tenant.String() + "/app1/tbl7", "table:" + tenant.String() + "/app11/tbl8", "base:" + tenant.String() + "/app1"} {
		call(t, ada.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: bob.subject, Object: object, Role: "viewer"})
	}
	if got := fetch(ada.subject); !slices.Equal(got.Granted, []string{"tbl7"}) {
		t.Errorf("tables with grants: %q", got.Granted)
	}
	rule.Hidden = []string{"fldZ"}
	call(t, ada.Client, permissionapi.UpdatePolicy, permissionapi.RuleUpdate{ID: made.ID, Body: rule})
	if now := fetch(bob.subject); now.Version == got.Version || !slices.Equal(now.Tables[0].Hidden, []string{"fldB", "fldZ"}) {
		t.Errorf("changed: %+v", now)
	}
	call(t, ada.Client, permissionapi.DeletePolicy, permissionapi.RuleDeletion{RuleRef: permissionapi.RuleRef{ID: made.ID}})
	refused(t, ada.Client, permissionapi.GetPolicy, permissionapi.RuleRef{ID: made.ID}, errs.ErrNotFound)
	if list := call(t, ada.Client, permissionapi.ListPolicies, permissionapi.RuleQuery{BaseID: "app1"}); len(list.Items) != 1 {
		t.Errorf("left %+v", list)
	}
}

// A policy for a role holds where the role is had: also if that is a single table.
func TestPolicies_HoldForRolesOnSingleTables(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant := id.New[id.Tenant]()
	ada, bob := f.person(tenant, "owner"), f.person(tenant, "guest")
	for _, table := range []string{"tbl1", "tbl2"} {
		call(t, ada.Client, permissionapi.CreatePolicy, permissionapi.Rule{Name: table, Subjects: []string{"role:viewer"}, BaseID: "app1", TableID: table, Hidden: []string{"fldA"}})
	}
	hidden := func() (tables []string) {
		t.Helper()
		for _, p := range call(t, f.peer, permissionapi.FetchPolicy, permissionapi.PolicyQuery{TenantID: tenant.String(), Subject: bob.subject, BaseID: "app1"}).Tables {
			tables = append(tables, p.TableID)
		}
		return tables
	}
	grant := permissionapi.Grant{Subject: bob.subject, Object: string(permit.Table(tenant, "app1", "tbl1")), Role: "viewer"}
	dry := call(t, ada.Client, permissionapi.DryRun, permissionapi.DryRunRequest{
		Grants: []permissionapi.Grant{grant}, Questions: []permissionapi.Question{{Subject: bob.subject, Action: "read", Object: grant.Object}},
	})
	if r := dry.Results[0]; r.Before || !r.After || len(r.PolicyBefore) != 0 || len(r.PolicyAfter) != 1 || r.PolicyAfter[0].TableID != "tbl1" {
		t.Errorf("a dry run of the grant: %+v", dry)
	}
	call(t, ada.Client, permissionapi.CreateGrant, grant)
	if got := hidden(); !slices.Equal(got, []string{"tbl1"}) {
		t.Errorf("a viewer of one table: masks in %v", got)
	}
	call(t, ada.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: bob.subject, Object: base(tenant, "app1"), Role: "viewer"})
	if got := hidden(); !slices.Equal(got, []string{"tbl1", "tbl2"}) {
		t.Errorf("a viewer of the base: masks in %v", got)
	}
}

func TestQuestions_ExplainListReportAndDryRun(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant := id.New[id.Tenant]()
	ada, bob := f.person(tenant, "owner"), f.person(tenant, "guest")
	group := id.New[int]().String()
	f.say(tenantapi.GroupChangedEvent.New(t.Context(), tenant, group, 1, tenantapi.GroupChanged{GroupID: group, TenantID: tenant.String(), Added: []string{bob.id}}))
	app := base(tenant, "app1")
	call(t, ada.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: "group:" + group, Object: app, Role: "editor"})
	await.True(t, "the group is known", func() bool { return f.may(tenant, bob.subject, "edit", app) })

	e := call(t, bob.Client, permissionapi.Explain, permissionapi.ExplainQuery{Action: "edit", Object: app})
	if !e.Allowed || !slices.ContainsFunc(e.Steps, func(s permissionapi.Step) bool { return s.Decides && s.Subject == "group:"+group && s.Role == "editor" }) {
		t.Errorf("explained %+v", e)
	}
	refused(t, bob.Client, permissionapi.Explain, permissionapi.ExplainQuery{Subject: ada.subject, Action: "edit", Object: app}, errs.ErrForbidden)
	if list := call(t, bob.Client, permissionapi.ListObjects, permissionapi.ObjectQuery{Kind: "base", Action: "edit"}); !slices.Equal(list.Items, []string{app}) {
		t.Errorf("may edit %v", list.Items)
	}
	report := call(t, ada.Client, permissionapi.ListSubjects, permissionapi.AccessQuery{Object: app})
	if len(report.Items) != 1 || report.Items[0].Subject != bob.subject || report.Items[0].Action != "edit" || len(report.Items[0].Via) != 1 {
		t.Errorf("report %+v", report.Items)
	}
	dry := call(t, ada.Client, permissionapi.DryRun, permissionapi.DryRunRequest{
		Revokes:   []permissionapi.Grant{{Subject: "group:" + group, Object: app, Role: "editor"}},
		Grants:    []permissionapi.Grant{{Subject: bob.subject, Object: app, Role: "viewer"}},
		Policies:  []permissionapi.Rule{{Name: "p", Subjects: []string{"role:viewer"}, BaseID: "app1", TableID: "tbl1", Hidden: []string{"fldA"}}},
		Questions: []permissionapi.Question{{Subject: bob.subject, Action: "edit", Object: app}, {Subject: bob.subject, Action: "read", Object: app}},
	})
	if r := dry.Results; !r[0].Before || r[0].After || !r[1].Before || !r[1].After || len(r[1].PolicyAfter) != 1 || len(r[1].PolicyBefore) != 0 {
		t.Errorf("dry run %+v", dry)
	}
	if !f.may(tenant, bob.subject, "edit", app) {
		t.Error("the dry run changed something")
	}
}

func TestWatch_TellsEveryChangeOnceInOrder(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant := id.New[id.Tenant]()
	ada := f.person(tenant, "owner")
	first := call(t, ada.Client, permissionapi.Watch, permissionapi.WatchQuery{})
	if len(first.Items) != 0 || first.NextCursor == "" {
		t.Errorf("nothing yet: %+v", first)
	}
	for _, role := range []string{"viewer", "editor", "owner"} {
		call(t, ada.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: ada.subject, Object: base(tenant, "app1"), Role: role})
	}
	var roles []string
	q := permissionapi.WatchQuery{PageQuery: api.PageQuery{Limit: 2, Cursor: first.NextCursor}}
	for {
		page := call(t, ada.Client, permissionapi.Watch, q)
		if len(page.Items) == 0 {
			break
		}
		for _, c := range page.Items {
			roles = append(roles, c.Role)
		}
		q.Cursor = page.NextCursor
	}
	if !slices.Equal(roles, []string{"viewer", "editor", "owner"}) {
		t.Errorf("the feed: %v", roles)
	}
}

func TestWrite_AllOrNothingAndOnItsPrecondition(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant := id.New[id.Tenant]()
	u, app := "user:"+id.New[id.User]().String(), base(tenant, "app1")
	g := permissionapi.Grant{Subject: u, Object: app, Role: "viewer"}
	write := func(w permissionapi.WriteRequest) (string, error) {
		w.TenantID = tenant.String()
		a, err := rpc.Call(t.Context(), f.peer, permissionapi.Write, w)
		return a.Token, err
	}
	if _, err := write(permissionapi.WriteRequest{Grants: []permissionapi.Grant{g, {Subject: u, Object: app, Role: id.New[int]().String()}}}); !errors.Is(err, permissionapi.ErrBadRole) {
		t.Fatal(err)
	}
	if f.may(tenant, u, "read", app) {
		t.Error("half of a write was done")
	}
	token, err := write(permissionapi.WriteRequest{Grants: []permissionapi.Grant{g}})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := write(permissionapi.WriteRequest{Grants: []permissionapi.Grant{g}, IfUnchanged: token, Object: app}); err != nil || again != token {
		t.Errorf("what is there already: %s, %v", again, err)
	}
	if _, err := write(permissionapi.WriteRequest{Revokes: []permissionapi.Grant{g}, IfUnchanged: token, Object: app}); err != nil {
		t.Error(err)
	}
	if _, err := write(permissionapi.WriteRequest{Grants: []permissionapi.Grant{g}, IfUnchanged: token, Object: app}); !errors.Is(err, permissionapi.ErrChanged) {
		t.Errorf("on a token of before: %v", err)
	}
	if _, err := write(permissionapi.WriteRequest{Places: []permissionapi.Place{{Object: app, Parent: base(tenant, "app2")}}}); !errors.Is(err, permissionapi.ErrBadObject) {
		t.Errorf("a base in a base: %v", err)
	}
}

// Events may come in any order: the newest version of each thing is what counts.
func TestEvents_OrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant := id.New[id.Tenant]()
	user, group, ws := id.New[id.User]().String(), id.New[int]().String(), id.New[int]().String()
	ctx, app := t.Context(), base(tenant, "app1")
	member := func(version int64, role string) tenantapi.MemberChanged {
		return tenantapi.MemberChanged{MemberID: user, UserID: user, TenantID: tenant.String(), Role: role, CustomRoles: []string{}}
	}
	f.say(
		workspaceapi.BaseLinked.New(ctx, tenant, "app1", 3, workspaceapi.BasePlaced{TenantID: tenant.String(), BaseID: "app1", WorkspaceID: ws}),
		workspaceapi.BaseUnlinked.New(ctx, tenant, "app1", 2, workspaceapi.BasePlaced{TenantID: tenant.String(), BaseID: "app1"}),
		workspaceapi.WorkspaceCreated.New(ctx, tenant, ws, 1, workspaceapi.WorkspaceChanged{TenantID: tenant.String(), WorkspaceID: ws}),
		tenantapi.GroupChangedEvent.New(ctx, tenant, group, 3, tenantapi.GroupChanged{TenantID: tenant.String(), GroupID: group, Added: []string{user}}),
		tenantapi.GroupChangedEvent.New(ctx, tenant, group, 2, tenantapi.GroupChanged{TenantID: tenant.String(), GroupID: group, Removed: []string{user}}),
		tenantapi.MemberUpdated.New(ctx, tenant, user, 2, member(2, "guest")),
		tenantapi.MemberAdded.New(ctx, tenant, user, 1, member(1, "admin")),
	)
	call(t, f.peer, permissionapi.Write, permissionapi.WriteRequest{
		TenantID: tenant.String(), Grants: []permissionapi.Grant{{Subject: "group:" + group, Object: "workspace:" + ws, Role: "editor"}},
	})
	await.True(t, "all events are heard", func() bool { return f.count(`SELECT count(*) FROM inbox`) == 7 })
	if !f.may(tenant, "user:"+user, "edit", app) {
		t.Error("the group's grant on the workspace does not reach the base")
	}
	if f.may(tenant, "user:"+user, "manage", app) {
		t.Error("an older event made a guest an admin")
	}
	f.say(tenantapi.MemberRemoved.New(ctx, tenant, user, 3, member(3, "guest")))
	await.True(t, "the removed member has nothing", func() bool { return !f.may(tenant, "user:"+user, "read", app) })
	f.say(tenantapi.TenantDeleted.New(ctx, tenant, tenant.String(), 9, tenantapi.TenantChanged{TenantID: tenant.String()}))
	await.True(t, "the deleted tenant has no grants", func() bool {
		_, err := rpc.Call(t.Context(), f.peer, permissionapi.Write, permissionapi.WriteRequest{TenantID: tenant.String(), Places: []permissionapi.Place{{Object: app, Parent: "tenant:" + tenant.String(), Version: 99}}})
		return errors.Is(err, errs.ErrNotFound)
	})
}

// The answer of a client with a cache changes as soon as the announcement is heard.
func TestPermit_HearsOfChangesOverRedis(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant := id.New[id.Tenant]()
	ada, bob := f.person(tenant, "owner"), f.person(tenant, "guest")
	client := f.remembering()
	app := permit.Base(tenant, "app1")
	if err := client.Check(t.Context(), bob.who, "edit", app); !errors.Is(err, errs.ErrNotFound) {
		t.Error(err)
	}
	if err := client.Check(t.Context(), ada.who, "manage", app); err != nil {
		t.Error("an owner who was never announced:", err)
	}
	made := call(t, ada.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: bob.subject, Object: string(app), Role: "viewer"})
	client.Saw(tenant, made.Token)
	if err := client.Check(t.Context(), bob.who, "edit", app); !errors.Is(err, errs.ErrForbidden) {
		t.Error("read your writes:", err)
	}
	began := time.Now()
	call(t, ada.Client, permissionapi.RevokeGrant, permissionapi.GrantRef{ID: made.Body.ID})
	await.True(t, "the revocation is heard", func() bool { return errors.Is(client.Check(t.Context(), bob.who, "read", app), errs.ErrNotFound) })
	if took := time.Since(began); took > permit.Staleness {
		t.Errorf("it took %s", took)
	}
}
