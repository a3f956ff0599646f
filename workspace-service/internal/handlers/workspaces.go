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

type workspaces struct {
	tree *services.Tree
	view view
}

func (h workspaces) create(ctx context.Context, who auth.Principal, in workspaceapi.NewWorkspace) (workspaceapi.WorkspaceMade, error) {
	return h.made(h.tree.CreateWorkspace(ctx, who, in.Name, in.Description))
}

func (h workspaces) duplicate(ctx context.Context, who auth.Principal, in workspaceapi.WorkspaceCopy) (workspaceapi.WorkspaceMade, error) {
	ref, err := parse[models.WorkspaceID](in.WorkspaceID)
	if err != nil {
		return workspaceapi.WorkspaceMade{}, err
	}
	return h.made(h.tree.DuplicateWorkspace(ctx, who, ref, in.Body.Name))
}

func (h workspaces) made(w models.Workspace, err error) (workspaceapi.WorkspaceMade, error) {
	if err != nil {
		return workspaceapi.WorkspaceMade{}, err
	}
	return workspaceapi.WorkspaceMade{
		Location: workspaceapi.CreateWorkspace.Path + "/" + w.ID.String(), ETag: etag.Of(w.Version), Body: h.view.workspace(w),
	}, nil
}

func (h workspaces) list(ctx context.Context, who auth.Principal, in workspaceapi.StatusQuery) (workspaceapi.WorkspacePage, error) {
	return page.List(in.PageQuery, []any{"workspaces", who.TenantID, in.Status},
		func(after repository.Place[models.WorkspaceID], limit int) ([]models.Workspace, error) {
			return h.tree.Workspaces(ctx, who, in.Status, after, limit)
		}, services.WorkspaceKey, h.view.workspace)
}

func (h workspaces) workspace(ctx context.Context, who auth.Principal, in workspaceapi.WorkspaceRef) (workspaceapi.WorkspaceAnswer, error) {
	return h.answer(ctx, who, in, h.tree.Workspace)
}

func (h workspaces) update(ctx context.Context, who auth.Principal, in workspaceapi.WorkspaceUpdate) (workspaceapi.WorkspaceAnswer, error) {
	return h.answer(ctx, who, in.WorkspaceRef, func(ctx context.Context, who auth.Principal, ref models.WorkspaceID) (models.Workspace, error) {
		return h.tree.UpdateWorkspace(ctx, who, ref, etag.Read(in.IfMatch), models.Naming(in.Body))
	})
}

func (h workspaces) order(ctx context.Context, who auth.Principal, in workspaceapi.WorkspaceOrder) (workspaceapi.WorkspaceAnswer, error) {
	return h.answer(ctx, who, in.WorkspaceRef, func(ctx context.Context, who auth.Principal, ref models.WorkspaceID) (models.Workspace, error) {
		return h.tree.OrderWorkspace(ctx, who, ref, in.Body.After)
	})
}

func (h workspaces) shift(to models.Shift) func(context.Context, auth.Principal, workspaceapi.WorkspaceRef) (workspaceapi.WorkspaceAnswer, error) {
	return func(ctx context.Context, who auth.Principal, in workspaceapi.WorkspaceRef) (workspaceapi.WorkspaceAnswer, error) {
		return h.answer(ctx, who, in, func(ctx context.Context, who auth.Principal, ref models.WorkspaceID) (models.Workspace, error) {
			return h.tree.ShiftWorkspace(ctx, who, ref, to)
		})
	}
}

func (h workspaces) purge(ctx context.Context, who auth.Principal, in workspaceapi.WorkspaceRef) (struct{}, error) {
	ref, err := parse[models.WorkspaceID](in.WorkspaceID)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, h.tree.PurgeWorkspace(ctx, who, ref)
}

// answer does something with the workspace that a path names.
func (h workspaces) answer(ctx context.Context, who auth.Principal, in workspaceapi.WorkspaceRef,
	do func(context.Context, auth.Principal, models.WorkspaceID) (models.Workspace, error)) (workspaceapi.WorkspaceAnswer, error) {
	ref, err := parse[models.WorkspaceID](in.WorkspaceID)
	if err != nil {
		return workspaceapi.WorkspaceAnswer{}, err
	}
	w, err := do(ctx, who, ref)
	if err != nil {
		return workspaceapi.WorkspaceAnswer{}, err
	}
	return workspaceapi.WorkspaceAnswer{ETag: etag.Of(w.Version), Body: h.view.workspace(w)}, nil
}
