package services

import (
	"context"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
)

// CreateProject makes a project in a workspace.
func (t *Tree) CreateProject(ctx context.Context, who auth.Principal, w models.WorkspaceID, name, description string) (models.Project, error) {
	if err := t.createIn(ctx, who, w); err != nil {
		return models.Project{}, err
	}
	p, err := models.NewProject(who.TenantID, w, who.UserID, name, description, t.now())
	if err != nil {
		return p, err
	}
	return t.repo.CreateProject(ctx, p, mostProjects, repository.ProjectEvent(ctx, workspaceapi.ProjectCreated, p, nil, who.UserID))
}

// createIn refuses whoever may not make anything in the workspace, which does not exist
// for those who may not see it.
func (t *Tree) createIn(ctx context.Context, who auth.Principal, w models.WorkspaceID) error {
	if _, err := t.Workspace(ctx, who, w); err != nil {
		return err
	}
	return t.rights.Check(ctx, who, permissionapi.Create, workspaceObject(w))
}

// DuplicateProject makes a project like this one in its workspace.
func (t *Tree) DuplicateProject(ctx context.Context, who auth.Principal, ref models.ProjectID, name string) (models.Project, error) {
	from, err := t.Project(ctx, who, ref)
	if err != nil {
		return from, err
	}
	return t.CreateProject(ctx, who, from.Workspace, name, from.Description)
}

// Project returns the project if the caller may see it; one in the trash is seen by those
// who may restore it.
func (t *Tree) Project(ctx context.Context, who auth.Principal, ref models.ProjectID) (models.Project, error) {
	p, err := t.repo.Project(ctx, who.TenantID, ref)
	if err != nil {
		return p, err
	}
	if _, err := t.Workspace(ctx, who, p.Workspace); err != nil {
		return models.Project{}, err
	}
	if !p.TrashedAt.IsZero() {
		if err := unseen(t.rights.Check(ctx, who, permissionapi.Create, workspaceObject(p.Workspace))); err != nil {
			return models.Project{}, err
		}
	}
	return p, nil
}

// Projects are those of the workspace with the status, behind after.
func (t *Tree) Projects(ctx context.Context, who auth.Principal, w models.WorkspaceID, status string, after repository.Place[models.ProjectID], limit int) ([]models.Project, error) {
	if _, err := t.Workspace(ctx, who, w); err != nil {
		return nil, err
	}
	if status == workspaceapi.StatusTrashed {
		if err := t.rights.Check(ctx, who, permissionapi.Create, workspaceObject(w)); err != nil {
			return nil, err
		}
	}
	return t.repo.Projects(ctx, who.TenantID, w, status, after, limit)
}

func (t *Tree) changeProject(ctx context.Context, who auth.Principal, ref models.ProjectID, order *string,
	rule func(*models.Project) ([]string, error)) (models.Project, error) {
	p, err := t.Project(ctx, who, ref)
	if err != nil {
		return p, err
	}
	if err := t.rights.Check(ctx, who, permissionapi.Create, workspaceObject(p.Workspace)); err != nil {
		return p, err
	}
	return t.repo.ChangeProject(ctx, who.TenantID, ref, order, func(w models.Workspace, p *models.Project) ([]events.Event, error) {
		if err := w.Open(); err != nil {
			return nil, err
		}
		changed, err := rule(p)
		if err != nil || len(changed) == 0 {
			return nil, err
		}
		return []events.Event{repository.ProjectEvent(ctx, workspaceapi.ProjectUpdated, *p, changed, who.UserID)}, nil
	})
}

// UpdateProject renames or describes a project, if match holds.
func (t *Tree) UpdateProject(ctx context.Context, who auth.Principal, ref models.ProjectID, match etag.Match, n models.Naming) (models.Project, error) {
	return t.changeProject(ctx, who, ref, nil, func(p *models.Project) ([]string, error) {
		return n.Apply(&p.Standing, &p.Name, &p.Description, match, t.now())
	})
}

// ShiftProject puts a project into the archive or the trash, or takes it out.
func (t *Tree) ShiftProject(ctx context.Context, who auth.Principal, ref models.ProjectID, to models.Shift) (models.Project, error) {
	return t.changeProject(ctx, who, ref, nil, func(p *models.Project) ([]string, error) { return to(&p.Standing, t.now()) })
}

// OrderProject puts a project behind another one of its workspace, or before all for "".
func (t *Tree) OrderProject(ctx context.Context, who auth.Principal, ref models.ProjectID, after string) (models.Project, error) {
	return t.changeProject(ctx, who, ref, &after, func(p *models.Project) ([]string, error) {
		if err := p.Open(); err != nil {
			return nil, err
		}
		p.Touch(t.now())
		return []string{"position"}, nil
	})
}

// PurgeProject deletes a project in the trash for good.
func (t *Tree) PurgeProject(ctx context.Context, who auth.Principal, ref models.ProjectID) error {
	p, err := t.Project(ctx, who, ref)
	if err != nil {
		return err
	}
	if err := t.rights.Check(ctx, who, permissionapi.Create, workspaceObject(p.Workspace)); err != nil {
		return err
	}
	return t.repo.PurgeProject(ctx, who.TenantID, ref, who.UserID, func(w models.Workspace, p models.Project) error {
		if err := w.Open(); err != nil {
			return err
		}
		if p.TrashedAt.IsZero() {
			return workspaceapi.ErrNotTrashed
		}
		return nil
	})
}
