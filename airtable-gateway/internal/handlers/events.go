package handlers

import (
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/events"
)

// Listen hears what other services say about the people who may be named in bases, and
// about bases that are in the trash and tenants that are no more.
func Listen(c *events.Consumer, d *repository.Directory, p *repository.Places, e *repository.Erasures) {
	events.On(c, authapi.UserRegistered, d.Registered)
	events.On(c, authapi.EmailVerified, d.EmailVerified)
	events.On(c, userapi.ProfileCreated, d.ProfileCreated)
	events.On(c, userapi.UserUpdated, d.UserUpdated)
	events.On(c, userapi.UserDeleted, d.UserDeleted)

	events.On(c, workspaceapi.BaseLinked, p.BasePlaced)
	events.On(c, workspaceapi.BaseMoved, p.BasePlaced)
	events.On(c, workspaceapi.BaseUnlinked, p.BasePlaced)
	events.On(c, workspaceapi.BaseUpdated, p.BaseChanged)
	events.On(c, workspaceapi.WorkspaceUpdated, p.WorkspaceChanged)
	events.On(c, workspaceapi.WorkspaceDeleted, p.WorkspaceChanged)
	events.On(c, workspaceapi.ProjectUpdated, p.ProjectChanged)
	events.On(c, workspaceapi.ProjectDeleted, p.ProjectChanged)

	events.On(c, tenantapi.TenantDeleted, e.TenantDeleted)
}
