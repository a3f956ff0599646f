package handlers

import (
	"context"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/page"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
	"github.com/pyairtable/pyairtable/tenant-service/internal/repository"
	"github.com/pyairtable/pyairtable/tenant-service/internal/services"
)

type items struct {
	service *services.Items
	repo    *repository.Repository
}

func (h items) create(ctx context.Context, who auth.Principal, in tenantapi.NewItem) (tenantapi.CreatedItem, error) {
	it, err := h.service.Create(ctx, who, in.Name)
	if err != nil {
		return tenantapi.CreatedItem{}, err
	}
	return tenantapi.CreatedItem{Location: tenantapi.CreateItem.Path + "/" + it.ID.String(), Body: item(it)}, nil
}

func (h items) item(ctx context.Context, who auth.Principal, in tenantapi.ItemRef) (tenantapi.Item, error) {
	var ref models.ItemID
	if err := ref.UnmarshalText([]byte(in.ID)); err != nil {
		return tenantapi.Item{}, errs.ErrNotFound
	}
	it, err := h.repo.Item(ctx, who.TenantID, ref)
	return item(it), err
}

func (h items) list(ctx context.Context, who auth.Principal, in api.PageQuery) (tenantapi.ItemPage, error) {
	out := tenantapi.ItemPage{Items: []tenantapi.Item{}}
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

func item(it models.Item) tenantapi.Item {
	return tenantapi.Item{ID: it.ID.String(), Name: it.Name, CreatedAt: it.CreatedAt}
}
