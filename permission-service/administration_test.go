package permissionservice_test

import (
	"slices"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/permit"
)

// office is a tenant with an owner and a custom role of the actions.
func office(t *testing.T, f *fleet, actions ...string) (tenant id.TenantID, ada person, role string) {
	t.Helper()
	tenant = id.New[id.Tenant]()
	ada = f.person(tenant, "owner")
	return tenant, ada, call(t, ada.Client, permissionapi.CreateRole, permissionapi.NewRole{Name: "Clerk", Actions: actions}).Body.ID
}

// hold makes the person a member with custom roles.
func (f *fleet) hold(p person, roles ...string) {
	f.Helper()
	f.say(tenantapi.MemberAdded.New(f.Context(), p.who.TenantID, p.id, 1, tenantapi.MemberChanged{
		MemberID: p.id, UserID: p.id, TenantID: p.who.TenantID.String(), Role: p.who.Role, CustomRoles: roles,
	}))
	await.True(f, "the member is known", func() bool {
		return f.may(p.who.TenantID, p.subject, permissionapi.Read, string(permit.Tenant(p.who.TenantID))) || p.who.Role == "guest"
	})
}

func TestAdministration_EachActionStandsForItselfAndOnTheTenantAlone(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant, ada, role := office(t, f, permissionapi.ManageMembers)
	bob, top := f.person(tenant, "member"), string(permit.Tenant(tenant))
	f.hold(bob, role)
	for action, want := range map[string]bool{
		permissionapi.ManageMembers: true, permissionapi.ManageGroups: false, permissionapi.ReadAudit: false, permissionapi.Edit: false, permissionapi.Manage: false,
	} {
		if got := f.may(tenant, bob.subject, action, top); got != want {
			t.Errorf("%s on the tenant: %v", action, got)
		}
	}
	if f.may(tenant, bob.subject, permissionapi.ManageMembers, base(tenant, "app1")) || f.may(tenant, bob.subject, permissionapi.Read, base(tenant, "app1")) {
		t.Error("it is inherited")
	}
	// One who manages all there is has none of it by that, and a denial takes just its own.
	call(t, ada.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: bob.subject, Object: top, Role: "owner"})
	if f.may(tenant, bob.subject, permissionapi.ReadAudit, top) {
		t.Error("to manage includes to read the log")
	}
	call(t, ada.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: bob.subject, Object: top, Role: role, Deny: true})
	if f.may(tenant, bob.subject, permissionapi.ManageMembers, top) || !f.may(tenant, bob.subject, permissionapi.Manage, top) {
		t.Error("a denial of one action")
	}
}

func TestAdministration_NoDenialTakesItFromOwnersAndAdmins(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant, ada, role := office(t, f, permissionapi.ManageMembers)
	top := string(permit.Tenant(tenant))
	f.hold(ada)
	call(t, ada.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: ada.subject, Object: top, Role: role, Deny: true})
	if !f.may(tenant, ada.subject, permissionapi.ManageMembers, top) {
		t.Error("an owner was locked out")
	}
	e := call(t, ada.Client, permissionapi.Explain, permissionapi.ExplainQuery{Action: permissionapi.ManageMembers, Object: top})
	if !e.Allowed || !slices.ContainsFunc(e.Steps, func(s permissionapi.Step) bool { return s.Decides && s.Kind == models.StepTenantRole }) {
		t.Errorf("explained as %+v", e)
	}
}

// Who may share the tenant grants roles there; not those with what he does not have.
func TestAdministration_NobodyGrantsWhatHeDoesNotHave(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant, ada, members := office(t, f, permissionapi.Read, permissionapi.ManageMembers)
	audit := call(t, ada.Client, permissionapi.CreateRole, permissionapi.NewRole{Name: "Auditor", Actions: []string{permissionapi.ReadAudit}}).Body.ID
	bob, top, other := f.person(tenant, "member"), string(permit.Tenant(tenant)), "user:"+id.New[id.User]().String()
	f.hold(bob, members)
	call(t, ada.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: bob.subject, Object: top, Role: "creator"})
	call(t, bob.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: other, Object: top, Role: members})
	refused(t, bob.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: bob.subject, Object: top, Role: audit}, permissionapi.ErrTooStrong)
	refused(t, bob.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: other, Object: top, Role: audit}, permissionapi.ErrTooStrong)
	// On a base the action means nothing: what is left of the role counts.
	call(t, bob.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: other, Object: base(tenant, "app1"), Role: members})
}

func TestHandOn_IsWhatOneHasForGood(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant, ada, members := office(t, f, permissionapi.ManageMembers)
	make1 := func(name string, actions ...string) string {
		return call(t, ada.Client, permissionapi.CreateRole, permissionapi.NewRole{Name: name, Actions: actions}).Body.ID
	}
	reader, both, audit := make1("Reader", permissionapi.Read), make1("Both", permissionapi.ManageMembers, permissionapi.ReadAudit), make1("Auditor", permissionapi.ReadAudit)
	bob, admin, top, app := f.person(tenant, "member"), f.person(tenant, "admin"), string(permit.Tenant(tenant)), base(tenant, "app1")
	f.hold(bob, members)
	f.hold(admin)
	grant := func(g permissionapi.Grant) { call(t, ada.Client, permissionapi.CreateGrant, g) }
	group := func(grants ...permissionapi.Grant) string {
		g := id.New[any]().String()
		for _, one := range grants {
			one.Subject = "group:" + g
			grant(one)
		}
		return g
	}
	none, editors := group(), group(permissionapi.Grant{Object: app, Role: "editor"})
	denied := group(permissionapi.Grant{Object: app, Role: "viewer", Deny: true})
	grant(permissionapi.Grant{Subject: bob.subject, Object: base(tenant, "app2"), Role: "creator"})
	own := group(permissionapi.Grant{Object: base(tenant, "app2"), Role: "editor"})
	boss := group(permissionapi.Grant{Object: base(tenant, "app2"), Role: "owner"})
	// For an hour, and from a network, bob may read the log as well.
	grant(permissionapi.Grant{Subject: bob.subject, Object: top, Role: audit, ExpiresAt: time.Now().Add(time.Hour)})
	ask := func(p person, roles, groups []string) bool {
		return call(t, f.peer, permissionapi.HandOn, permissionapi.HandOnRequest{
			TenantID: tenant.String(), Subject: p.subject, Role: p.who.Role, Roles: roles, Groups: groups,
		}).Allowed
	}
	for what, c := range map[string]struct {
		roles, groups []string
		want          bool
	}{
		"nothing":                          {want: true},
		"his own role":                     {roles: []string{members}, want: true},
		"a role with more":                 {roles: []string{both}},
		"his own and another":              {roles: []string{members, audit}},
		"what he has for an hour":          {roles: []string{audit}},
		"what members only seem to have":   {roles: []string{reader}}, // they see the tenant, and nothing in it
		"a role that does not exist":       {roles: []string{id.New[any]().String()}},
		"a group that has nothing":         {groups: []string{none}, want: true},
		"a group with a base of others":    {groups: []string{editors}},
		"a group to which it is denied":    {groups: []string{denied}},
		"a group with what he may share":   {groups: []string{own}, want: true},
		"a group that owns what he cannot": {groups: []string{own, boss}},
	} {
		if got := ask(bob, c.roles, c.groups); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
		if !ask(admin, c.roles, c.groups) {
			t.Errorf("%s: an admin may not", what)
		}
	}
	if ask(f.person(tenant, "guest"), []string{members}, nil) {
		t.Error("a guest hands roles on")
	}
	refused(t, f.peer, permissionapi.HandOn, permissionapi.HandOnRequest{TenantID: tenant.String(), Subject: "group:" + none}, permissionapi.ErrBadSubject)
}
