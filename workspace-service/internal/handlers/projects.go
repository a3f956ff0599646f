package handlers

import (
	"context"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/page"

	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
	"github.com/pyairtable/pyairtable/workspace-service/internal/services"
)

type projects struct {
	tree *services.Tree
	view view
}

func (h projects) create(ctx context.Context, who auth.Principal, in workspaceapi.NewProject) (workspaceapi.ProjectMade, error) {
	ref, err := parse[models.WorkspaceID](in.WorkspaceID)
	if err != nil {
		return workspaceapi.ProjectMade{}, err
	}
	return h.made(h.tree.CreateProject(ctx, who, ref, in.Body.Name, in.Body.Description))
}

func (h projects) duplicate(ctx context.Context, who auth.Principal, in workspaceapi.ProjectCopy) (workspaceapi.ProjectMade, error) {
	ref, err := parse[models.ProjectID](in.ProjectID)
	if err != nil {
		return workspaceapi.ProjectMade{}, err
	}
	return h.made(h.tree.DuplicateProject(ctx, who, ref, in.Body.Name))
}

func (h projects) made(p models.Project, err error) (workspaceapi.ProjectMade, error) {
	if err != nil {
		return workspaceapi.ProjectMade{}, err
	}
	return workspaceapi.ProjectMade{Location: "/api/v1/projects/" + p.ID.String(), ETag: etag.Of(p.Version), Body: h.view.project(p)}, nil
}

func (h projects) list(ctx context.Context, who auth.Principal, in workspaceapi.ProjectsQuery) (workspaceapi.ProjectPage, error) {
	w, err := parse[models.WorkspaceID](in.WorkspaceID)
	if err != nil {
		return workspaceapi.ProjectPage{}, err
	}
	return page.List(in.PageQuery, []any{"projects", who.TenantID, w, in.Status},
		func(after repository.Place[models.ProjectID], limit int) ([]models.Project, error) {
			return h.tree.Projects(ctx, who, w, in.Status, after, limit)
		},
		func(p models.Project) repository.Place[models.ProjectID] {
			return repository.Place[models.ProjectID]{Position: p.Position, ID: p.ID}
		}, h.view.project)
}

func (h projects) project(ctx context.Context, who auth.Principal, in workspaceapi.ProjectRef) (workspaceapi.ProjectAnswer, error) {
	return h.answer(ctx, who, in, h.tree.Project)
}

func (h projects) update(ctx context.Context, who auth.Principal, in workspaceapi.ProjectUpdate) (workspaceapi.ProjectAnswer, error) {
	return h.answer(ctx, who, in.ProjectRef, func(ctx context.Context, who auth.Principal, ref models.ProjectID) (models.Project, error) {
		return h.tree.UpdateProject(ctx, who, ref, etag.Read(in.IfMatch), models.Naming(in.Body))
	})
}

func (h projects) order(ctx context.Context, who auth.Principal, in workspaceapi.ProjectOrder) (workspaceapi.ProjectAnswer, error) {
	return h.answer(ctx, who, in.ProjectRef, func(ctx context.Context, who auth.Principal, ref models.ProjectID) (models.Project, error) {
		return h.tree.OrderProject(ctx, who, ref, in.Body.After)
	})
}

func (h projects) shift(to models.Shift) func(context.Context, auth.Principal, workspaceapi.ProjectRef) (workspaceapi.ProjectAnswer, error) {
	return func(ctx context.Context, who auth.Principal, in workspaceapi.ProjectRef) (workspaceapi.ProjectAnswer, error) {
		return h.answer(ctx, who, in, func(ctx context.Context, who auth.Principal, ref models.ProjectID) (models.Project, error) {
			return h.tree.ShiftProject(ctx, who, ref, to)
		})
	}
}

func (h projects) purge(ctx context.Context, who auth.Principal, in workspaceapi.ProjectRef) (struct{}, error) {
	ref, err := parse[models.ProjectID](in.ProjectID)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, h.tree.PurgeProject(ctx, who, ref)
}

// answer does something with the project that a path names.
func (h projects) answer(ctx context.Context, who auth.Principal, in workspaceapi.ProjectRef,
	do func(context.Context, auth.Principal, models.ProjectID) (models.Project, error)) (workspaceapi.ProjectAnswer, error) {
	ref, err := parse[models.ProjectID](in.ProjectID)
	if err != nil {
		return workspaceapi.ProjectAnswer{}, err
	}
	p, err := do(ctx, who, ref)
	if err != nil {
		return workspaceapi.ProjectAnswer{}, err
	}
	return workspaceapi.ProjectAnswer{ETag: etag.Of(p.Version), Body: h.view.project(p)}, nil
}
