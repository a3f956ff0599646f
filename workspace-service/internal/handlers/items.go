package handlers

import (
	"context"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/page"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
	"github.com/pyairtable/pyairtable/workspace-service/internal/services"
)

type items struct {
	service *services.Items
	repo    *repository.Repository
}

func (h items) create(ctx context.Context, who auth.Principal, in workspaceapi.NewItem) (workspaceapi.CreatedItem, error) {
	it, err := h.service.Create(ctx, who, in.Name)
	if err != nil {
		return workspaceapi.CreatedItem{}, err
	}
	return workspaceapi.CreatedItem{Location: workspaceapi.CreateItem.Path + "/" + it.ID.String(), Body: item(it)}, nil
}

func (h items) item(ctx context.Context, who auth.Principal, in workspaceapi.ItemRef) (workspaceapi.Item, error) {
	var ref models.ItemID
	if err := ref.UnmarshalText([]byte(in.ID)); err != nil {
		return workspaceapi.Item{}, errs.ErrNotFound
	}
	it, err := h.repo.Item(ctx, who.TenantID, ref)
	return item(it), err
}

func (h items) list(ctx context.Context, who auth.Principal, in api.PageQuery) (workspaceapi.ItemPage, error) {
	out := workspaceapi.ItemPage{Items: []workspaceapi.Item{}}
	var after models.ItemID
	filters := page.Filters(who.TenantID)
	if in.Cursor != "" {
		if err := page.Decode(in.Cursor, filters, &after); err != nil {
			return out, err
		}
	}
	list, err := h.repo.Items(ctx, who.TenantID, after, in.Limit+1)
	if err != nil {
		return out, err
	}
	if len(list) > in.Limit {
		list = list[:in.Limit]
		out.NextCursor = page.Encode(filters, list[in.Limit-1].ID)
	}
	for _, it := range list {
		out.Items = append(out.Items, item(it))
	}
	return out, nil
}

func item(it models.Item) workspaceapi.Item {
	return workspaceapi.Item{ID: it.ID.String(), Name: it.Name, CreatedAt: it.CreatedAt}
}
