package permissionservice_test

import (
	"errors"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

// Every operation by every kind of caller. A stranger is the owner of another tenant.
func TestAccess_Matrix(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant := id.New[id.Tenant]()
	ada, member, stranger := f.person(tenant, "owner"), f.person(tenant, "member"), f.person(id.New[id.Tenant](), "owner")
	app, other := base(tenant, "app1"), "user:"+id.New[id.User]().String()
	grant := call(t, ada.Client, permissionapi.CreateGrant, permissionapi.Grant{Subject: other, Object: app, Role: "viewer"}).Body
	role := call(t, ada.Client, permissionapi.CreateRole, permissionapi.NewRole{Name: "r", Actions: []string{"read"}}).Body
	rule := permissionapi.Rule{Name: "p", Subjects: []string{"*"}, BaseID: "app1", TableID: "tbl1", Hidden: []string{"fldA"}}
	policy := call(t, ada.Client, permissionapi.CreatePolicy, rule).Body
	pat := f.service.Client(auth.Principal{Token: f.issuer.Token(t, authtest.PAT(tenant, ada.who.UserID, "owner", "*"))})
	none, forbidden := error(nil), errs.ErrForbidden
	patch := permissionapi.RolePatch{ID: role.ID}
	patch.Body.Actions = []string{"comment"}
	tests := map[string]struct {
		run              func(c *rpc.Client) error
		member, stranger error
		internal         bool
	}{
		"createGrant":          {by(t, permissionapi.CreateGrant, permissionapi.Grant{Subject: other, Object: app, Role: "viewer"}), errs.ErrNotFound, errs.ErrNotFound, false},
		"getGrant":             {by(t, permissionapi.GetGrant, permissionapi.GrantRef{ID: grant.ID}), errs.ErrNotFound, errs.ErrNotFound, false},
		"listGrants":           {by(t, permissionapi.ListGrants, permissionapi.GrantQuery{Object: app}), errs.ErrNotFound, errs.ErrNotFound, false},
		"createRole":           {by(t, permissionapi.CreateRole, permissionapi.NewRole{Name: "new", Actions: []string{"read"}}), forbidden, none, false},
		"getRole":              {by(t, permissionapi.GetRole, permissionapi.RoleRef{ID: role.ID}), none, errs.ErrNotFound, false},
		"listRoles":            {by(t, permissionapi.ListRoles, api.PageQuery{}), none, none, false},
		"updateRole":           {by(t, permissionapi.UpdateRole, patch), forbidden, errs.ErrNotFound, false},
		"createPolicy":         {by(t, permissionapi.CreatePolicy, rule), forbidden, none, false},
		"getPolicy":            {by(t, permissionapi.GetPolicy, permissionapi.RuleRef{ID: policy.ID}), forbidden, errs.ErrNotFound, false},
		"listPolicies":         {by(t, permissionapi.ListPolicies, permissionapi.RuleQuery{}), forbidden, none, false},
		"updatePolicy":         {by(t, permissionapi.UpdatePolicy, permissionapi.RuleUpdate{ID: policy.ID, Body: rule}), forbidden, errs.ErrNotFound, false},
		"checkMyPermissions":   {by(t, permissionapi.CheckMine, permissionapi.MyQuestions{Questions: []permissionapi.MyQuestion{{Action: "read", Object: app}}}), none, none, false},
		"explainPermission":    {by(t, permissionapi.Explain, permissionapi.ExplainQuery{Subject: other, Action: "read", Object: app}), errs.ErrNotFound, permissionapi.ErrBadObject, false},
		"listPermittedObjects": {by(t, permissionapi.ListObjects, permissionapi.ObjectQuery{Subject: other, Kind: "base"}), forbidden, none, false},
		"listObjectAccess":     {by(t, permissionapi.ListSubjects, permissionapi.AccessQuery{Object: app}), errs.ErrNotFound, permissionapi.ErrBadObject, false},
		"dryRunPermissions":    {by(t, permissionapi.DryRun, permissionapi.DryRunRequest{Questions: []permissionapi.Question{{Subject: other, Action: "read", Object: app}}}), forbidden, permissionapi.ErrBadObject, false},
		"watchPermissions":     {by(t, permissionapi.Watch, permissionapi.WatchQuery{}), forbidden, none, false},
		"checkPermissions":     {by(t, permissionapi.Check, permissionapi.CheckRequest{TenantID: tenant.String(), Questions: []permissionapi.Question{{Subject: other, Action: "read", Object: app}}}), forbidden, forbidden, true},
		"writePermissions":     {by(t, permissionapi.Write, permissionapi.WriteRequest{TenantID: tenant.String()}), forbidden, forbidden, true},
		"fetchPolicy":          {by(t, permissionapi.FetchPolicy, permissionapi.PolicyQuery{TenantID: tenant.String(), Subject: other, BaseID: "app1"}), forbidden, forbidden, true},
		"checkHandOn":          {by(t, permissionapi.HandOn, permissionapi.HandOnRequest{TenantID: tenant.String(), Subject: other}), forbidden, forbidden, true},
		"revokeGrant":          {by(t, permissionapi.RevokeGrant, permissionapi.GrantRef{ID: grant.ID}), errs.ErrNotFound, errs.ErrNotFound, false},
		"deleteRole":           {by(t, permissionapi.DeleteRole, permissionapi.RoleDeletion{RoleRef: permissionapi.RoleRef{ID: role.ID}}), forbidden, errs.ErrNotFound, false},
		"deletePolicy":         {by(t, permissionapi.DeletePolicy, permissionapi.RuleDeletion{RuleRef: permissionapi.RuleRef{ID: policy.ID}}), forbidden, errs.ErrNotFound, false},
	}
	for _, op := range permissionapi.Service.Ops {
		c, ok := tests[op.Name]
		if !ok {
			t.Errorf("%s is not in the matrix", op.Name)
			continue
		}
		expect := func(who string, client *rpc.Client, want error) {
			t.Helper()
			if err := c.run(client); !errors.Is(err, want) {
				t.Errorf("%s by %s: %v, want %v", op.Name, who, err, want)
			}
		}
		expect("nobody", f.service.Client(auth.Principal{}), errs.ErrUnauthenticated)
		expect("a member", member.Client, c.member)
		expect("a stranger", stranger.Client, c.stranger)
		expect("a personal access token", pat, forbidden)
		if c.internal {
			expect("the owner", ada.Client, forbidden)
			expect("a service", f.peer, nil)
			continue
		}
		expect("a service", f.peer, forbidden)
	}
	for _, op := range permissionapi.Service.Ops { // last, since some of them delete
		if c := tests[op.Name]; !c.internal {
			if op.Name == "createRole" { // the stranger made none of this name here
				c.run = by(t, permissionapi.CreateRole, permissionapi.NewRole{Name: "new", Actions: []string{"read"}})
			}
			if err := c.run(ada.Client); err != nil {
				t.Errorf("%s by the owner: %v", op.Name, err)
			}
		}
	}
}

func by[In, Out any](t *testing.T, op api.Op[In, Out], in In) func(*rpc.Client) error {
	return func(c *rpc.Client) error {
		_, err := rpc.Call(t.Context(), c, op, in)
		return err
	}
}

// A workspace's name does not tell whose it is: another tenant's is not there.
func TestAccess_AnotherTenantsWorkspaceIsNotThere(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant, ws := id.New[id.Tenant](), "workspace:"+id.New[int]().String()
	ada, stranger := f.person(tenant, "owner"), f.person(id.New[id.Tenant](), "owner")
	call(t, f.peer, permissionapi.Write, permissionapi.WriteRequest{
		TenantID: tenant.String(), Places: []permissionapi.Place{{Object: ws, Parent: "tenant:" + tenant.String(), Version: 1}},
	})
	g := permissionapi.Grant{Subject: stranger.subject, Object: ws, Role: "viewer", ExpiresAt: time.Now().Add(time.Hour)}
	refused(t, stranger.Client, permissionapi.CreateGrant, g, errs.ErrNotFound)
	call(t, ada.Client, permissionapi.CreateGrant, g)
	mine := permissionapi.MyQuestions{Questions: []permissionapi.MyQuestion{{Action: "read", Object: ws}}}
	if call(t, stranger.Client, permissionapi.CheckMine, mine).Allowed[0] {
		t.Error("a grant in one tenant is honoured for a token of another")
	}
	if !call(t, ada.Client, permissionapi.CheckMine, mine).Allowed[0] {
		t.Error("the owner does not see his workspace")
	}
}

// The services that ask and write here are those that do: who makes bases and workspaces
// places them, and every service asks.
func TestAccess_CallersMayCall(t *testing.T) {
	t.Parallel()
	f := start(t)
	tenant := id.New[id.Tenant]().String()
	for name, writes := range map[string]bool{"airtable-gateway": true, "workspace-service": true, "tenant-service": false, "audit-service": false} {
		c := f.service.Client(auth.Principal{Token: f.issuer.Token(t, authtest.Service(name))})
		if _, err := rpc.Call(t.Context(), c, permissionapi.Check, permissionapi.CheckRequest{
			TenantID: tenant, Questions: []permissionapi.Question{{Subject: "user:" + id.New[id.User]().String(), Action: "read", Object: "base:" + tenant + "/app1"}},
		}); errors.Is(err, errs.ErrForbidden) {
			t.Errorf("%s may not ask: %v", name, err)
		}
		if _, err := rpc.Call(t.Context(), c, permissionapi.Write, permissionapi.WriteRequest{TenantID: tenant}); errors.Is(err, errs.ErrForbidden) == writes {
			t.Errorf("%s writes: %v", name, err)
		}
	}
}
