package handlers

import (
	"context"

	"github.com/pyairtable/pyairtable/audit-service/internal/models"
	"github.com/pyairtable/pyairtable/audit-service/internal/repository"
	"github.com/pyairtable/pyairtable/audit-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/page"
)

type items struct {
	service *services.Items
	repo    *repository.Repository
}

func (h items) create(ctx context.Context, who auth.Principal, in auditapi.NewItem) (auditapi.CreatedItem, error) {
	it, err := h.service.Create(ctx, who, in.Name)
	if err != nil {
		return auditapi.CreatedItem{}, err
	}
	return auditapi.CreatedItem{Location: auditapi.CreateItem.Path + "/" + it.ID.String(), Body: item(it)}, nil
}

func (h items) item(ctx context.Context, who auth.Principal, in auditapi.ItemRef) (auditapi.Item, error) {
	var ref models.ItemID
	if err := ref.UnmarshalText([]byte(in.ID)); err != nil {
		return auditapi.Item{}, errs.ErrNotFound
	}
	it, err := h.repo.Item(ctx, who.TenantID, ref)
	return item(it), err
}

func (h items) list(ctx context.Context, who auth.Principal, in api.PageQuery) (auditapi.ItemPage, error) {
	out := auditapi.ItemPage{Items: []auditapi.Item{}}
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

func item(it models.Item) auditapi.Item {
	return auditapi.Item{ID: it.ID.String(), Name: it.Name, CreatedAt: it.CreatedAt}
}
