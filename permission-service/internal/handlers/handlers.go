// Package handlers serves the operations of permissionapi.
package handlers

import (
	"time"

	"github.com/pyairtable/pyairtable/permission-service/internal/repository"
	"github.com/pyairtable/pyairtable/permission-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/httpx"
)

// Deps are what the handlers translate for.
type Deps struct {
	Decisions  *services.Decisions
	Repository *repository.Repository
	Now        func() time.Time
}

// Register serves every operation of permissionapi on a.
func Register(a *httpx.API, d Deps) {
	g := grants{d.Decisions, d.Repository}
	httpx.Handle(a, permissionapi.CreateGrant, g.create)
	httpx.Handle(a, permissionapi.GetGrant, g.grant)
	httpx.Handle(a, permissionapi.ListGrants, g.list)
	httpx.Handle(a, permissionapi.RevokeGrant, g.revoke)

	r := roles{d.Decisions, d.Repository, d.Now}
	httpx.Handle(a, permissionapi.CreateRole, r.create)
	httpx.Handle(a, permissionapi.GetRole, r.role)
	httpx.Handle(a, permissionapi.ListRoles, r.list)
	httpx.Handle(a, permissionapi.UpdateRole, r.update)
	httpx.Handle(a, permissionapi.DeleteRole, r.delete)

	p := policies{d.Decisions, d.Repository}
	httpx.Handle(a, permissionapi.CreatePolicy, p.create)
	httpx.Handle(a, permissionapi.GetPolicy, p.policy)
	httpx.Handle(a, permissionapi.ListPolicies, p.list)
	httpx.Handle(a, permissionapi.UpdatePolicy, p.update)
	httpx.Handle(a, permissionapi.DeletePolicy, p.delete)

	q := questions{d.Decisions, d.Repository}
	httpx.Handle(a, permissionapi.CheckMine, q.mine)
	httpx.Handle(a, permissionapi.Explain, q.explain)
	httpx.Handle(a, permissionapi.ListObjects, q.objects)
	httpx.Handle(a, permissionapi.ListSubjects, q.subjects)
	httpx.Handle(a, permissionapi.DryRun, q.dryRun)
	httpx.Handle(a, permissionapi.Watch, q.watch)

	s := internals{d.Decisions}
	httpx.Handle(a, permissionapi.Check, s.check)
	httpx.Handle(a, permissionapi.Write, s.write)
	httpx.Handle(a, permissionapi.FetchPolicy, s.policy)
	httpx.Handle(a, permissionapi.HandOn, s.handOn)
}

// Listen keeps what tenants, workspaces and bases say of themselves.
func Listen(c *events.Consumer, r *repository.Repository) {
	events.On(c, tenantapi.TenantUpdated, r.TenantUpdated)
	events.On(c, tenantapi.TenantDeleted, r.TenantDeleted)
	events.On(c, tenantapi.MemberAdded, r.MemberAdded)
	events.On(c, tenantapi.MemberUpdated, r.MemberUpdated)
	events.On(c, tenantapi.MemberRemoved, r.MemberRemoved)
	events.On(c, tenantapi.GroupChangedEvent, r.GroupChanged)
	events.On(c, tenantapi.GroupDeletedEvent, r.GroupDeleted)
	events.On(c, workspaceapi.WorkspaceCreated, r.WorkspaceCreated)
	events.On(c, workspaceapi.WorkspaceUpdated, r.WorkspacePlaced)
	events.On(c, workspaceapi.WorkspaceDeleted, r.WorkspaceDeleted)
	events.On(c, workspaceapi.BaseLinked, r.BasePlaced)
	events.On(c, workspaceapi.BaseMoved, r.BasePlaced)
	events.On(c, workspaceapi.BaseUnlinked, r.BasePlaced)
}
