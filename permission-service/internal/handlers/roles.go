package handlers

import (
	"context"
	"time"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/permission-service/internal/repository"
	"github.com/pyairtable/pyairtable/permission-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/page"
)

type roles struct {
	decisions *services.Decisions
	repo      *repository.Repository
	now       func() time.Time
}

func (h roles) create(ctx context.Context, who auth.Principal, in permissionapi.NewRole) (permissionapi.CreatedRole, error) {
	if err := h.decisions.MayAdminister(ctx, who); err != nil {
		return permissionapi.CreatedRole{}, err
	}
	r := models.NewRole(in.Name, in.Description, in.Actions, h.now().UTC().Truncate(time.Microsecond))
	if err := h.repo.CreateRole(ctx, who.TenantID, r, who.UserID.String()); err != nil {
		return permissionapi.CreatedRole{}, err
	}
	return permissionapi.CreatedRole{Location: permissionapi.CreateRole.Path + "/" + r.ID.String(), ETag: etag.Of(r.Version), Body: roleOf(r)}, nil
}

func parseRole(s string) (models.RoleID, error) {
	var ref models.RoleID
	if ref.UnmarshalText([]byte(s)) != nil || ref.IsZero() {
		return ref, errs.ErrNotFound
	}
	return ref, nil
}

func (h roles) role(ctx context.Context, who auth.Principal, in permissionapi.RoleRef) (permissionapi.RoleAnswer, error) {
	ref, err := parseRole(in.ID)
	if err != nil {
		return permissionapi.RoleAnswer{}, err
	}
	return roleAnswer(h.repo.Role(ctx, who.TenantID, ref))
}

func roleAnswer(r models.Role, err error) (permissionapi.RoleAnswer, error) {
	return permissionapi.RoleAnswer{ETag: etag.Of(r.Version), Body: roleOf(r)}, err
}

func (h roles) list(ctx context.Context, who auth.Principal, in api.PageQuery) (permissionapi.RolePage, error) {
	out := permissionapi.RolePage{Items: []permissionapi.Role{}}
	var after models.RoleID
	filters := page.Filters(who.TenantID)
	if in.Cursor != "" {
		if err := page.Decode(in.Cursor, filters, &after); err != nil {
			return out, err
		}
	}
	list, err := h.repo.Roles(ctx, who.TenantID, after, in.Limit+1)
	if err != nil {
		return out, err
	}
	if len(list) > in.Limit {
		list = list[:in.Limit]
		out.NextCursor = page.Encode(filters, list[in.Limit-1].ID)
	}
	for _, r := range list {
		out.Items = append(out.Items, roleOf(r))
	}
	return out, nil
}

func (h roles) update(ctx context.Context, who auth.Principal, in permissionapi.RolePatch) (permissionapi.RoleAnswer, error) {
	if err := h.decisions.MayAdminister(ctx, who); err != nil {
		return permissionapi.RoleAnswer{}, err
	}
	ref, err := parseRole(in.ID)
	if err != nil {
		return permissionapi.RoleAnswer{}, err
	}
	return roleAnswer(h.decisions.UpdateRole(ctx, who, ref, etag.Read(in.IfMatch), func(r *models.Role) {
		if in.Body.Name != nil {
			r.Name = *in.Body.Name
		}
		if in.Body.Description != nil {
			r.Description = *in.Body.Description
		}
		if len(in.Body.Actions) > 0 {
			r.Actions = models.Ordered(in.Body.Actions)
		}
	}))
}

func (h roles) delete(ctx context.Context, who auth.Principal, in permissionapi.RoleDeletion) (permissionapi.Changed, error) {
	if err := h.decisions.MayAdminister(ctx, who); err != nil {
		return permissionapi.Changed{}, err
	}
	ref, err := parseRole(in.ID)
	if err != nil {
		return permissionapi.Changed{}, err
	}
	version, err := h.repo.DeleteRole(ctx, who.TenantID, ref, etag.Read(in.IfMatch), who.UserID.String())
	return permissionapi.Changed{Token: repository.Token(version)}, err
}
