package repository

import (
	"context"

	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
)

// WorkspaceEvent is the event of the type about the workspace as it is now. actor is zero
// for what nobody did.
func WorkspaceEvent(ctx context.Context, kind events.Type[workspaceapi.WorkspaceChanged], w models.Workspace, changed []string, actor id.UserID) events.Event {
	status := w.Status()
	if kind.Name == workspaceapi.WorkspaceDeleted.Name {
		status = workspaceapi.StatusDeleted
	}
	return kind.New(ctx, w.Tenant, w.ID.String(), w.Version, workspaceapi.WorkspaceChanged{
		WorkspaceID: w.ID.String(), TenantID: w.Tenant.String(), Name: w.Name, Status: status, Changed: texts(changed), ActorID: actor.String(),
	})
}

// ProjectEvent is the event of the type about the project.
func ProjectEvent(ctx context.Context, kind events.Type[workspaceapi.ProjectChanged], p models.Project, changed []string, actor id.UserID) events.Event {
	status := p.Status()
	if kind.Name == workspaceapi.ProjectDeleted.Name {
		status = workspaceapi.StatusDeleted
	}
	return kind.New(ctx, p.Tenant, p.ID.String(), p.Version, workspaceapi.ProjectChanged{
		ProjectID: p.ID.String(), WorkspaceID: p.Workspace.String(), TenantID: p.Tenant.String(), Name: p.Name, Status: status,
		Changed: texts(changed), ActorID: actor.String(),
	})
}

// PlaceEvent is the event of the type about where the base is, and where it was before.
func PlaceEvent(ctx context.Context, kind events.Type[workspaceapi.BasePlaced], b models.Base, former models.WorkspaceID, actor id.UserID) events.Event {
	return kind.New(ctx, b.Tenant, b.ID, b.Version, workspaceapi.BasePlaced{
		TenantID: b.Tenant.String(), BaseID: b.ID, ConnectionID: b.Connection, WorkspaceID: b.Workspace.String(),
		ProjectID: b.Project.String(), Status: b.Status(), FormerID: former.String(), ActorID: actor.String(),
	})
}

// BaseEvent tells what is said of the base now.
func BaseEvent(ctx context.Context, b models.Base, changed []string, actor id.UserID) events.Event {
	return workspaceapi.BaseUpdated.New(ctx, b.Tenant, b.ID, b.Version, workspaceapi.BaseChanged{
		TenantID: b.Tenant.String(), BaseID: b.ID, WorkspaceID: b.Workspace.String(), ProjectID: b.Project.String(), Name: b.Name,
		Status: b.Status(), Changed: texts(changed), ActorID: actor.String(),
	})
}

// texts is a list as JSON and columns have it, never null.
func texts(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
