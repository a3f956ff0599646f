package handlers

import (
	"context"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/page"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
	"github.com/pyairtable/pyairtable/tenant-service/internal/repository"
	"github.com/pyairtable/pyairtable/tenant-service/internal/services"
)

type tenants struct{ s *services.Tenants }

func (h tenants) create(ctx context.Context, who auth.Principal, in tenantapi.NewTenant) (tenantapi.TenantMade, error) {
	t, err := h.s.Create(ctx, who, services.Change{
		Name: &in.Name, Slug: &in.Slug, LogoURL: &in.LogoURL, Locale: &in.Locale, TimeZone: &in.TimeZone,
	})
	if err != nil {
		return tenantapi.TenantMade{}, err
	}
	return tenantapi.TenantMade{Location: tenantapi.CreateTenant.Path + "/" + t.ID.String(), ETag: etag.Of(t.Version), Body: tenant(t)}, nil
}

func (h tenants) list(ctx context.Context, who auth.Principal, in api.PageQuery) (tenantapi.MembershipPage, error) {
	return page.List(in, []any{"memberships", who.UserID},
		func(after id.TenantID, limit int) ([]repository.Membership, error) {
			return h.s.Memberships(ctx, who, after, limit)
		},
		func(m repository.Membership) id.TenantID { return m.ID }, membership)
}

func (h tenants) tenant(ctx context.Context, who auth.Principal, in tenantapi.TenantRef) (tenantapi.TenantAnswer, error) {
	return h.answer(ctx, who, in, h.s.Tenant)
}

func (h tenants) update(ctx context.Context, who auth.Principal, in tenantapi.TenantUpdate) (tenantapi.TenantAnswer, error) {
	return h.answer(ctx, who, in.TenantRef, func(ctx context.Context, who auth.Principal, t id.TenantID) (models.Tenant, error) {
		return h.s.Update(ctx, who, t, etag.Read(in.IfMatch), change(in.Body))
	})
}

func (h tenants) suspend(ctx context.Context, who auth.Principal, in tenantapi.TenantRef) (tenantapi.TenantAnswer, error) {
	return h.answer(ctx, who, in, h.s.Suspend)
}

func (h tenants) resume(ctx context.Context, who auth.Principal, in tenantapi.TenantRef) (tenantapi.TenantAnswer, error) {
	return h.answer(ctx, who, in, h.s.Resume)
}

func (h tenants) delete(ctx context.Context, who auth.Principal, in tenantapi.TenantRef) (tenantapi.TenantAnswer, error) {
	return h.answer(ctx, who, in, h.s.Delete)
}

func (h tenants) keep(ctx context.Context, who auth.Principal, in tenantapi.TenantRef) (tenantapi.TenantAnswer, error) {
	return h.answer(ctx, who, in, h.s.Keep)
}

func (h tenants) transfer(ctx context.Context, who auth.Principal, in tenantapi.TenantTransfer) (tenantapi.TenantAnswer, error) {
	return h.answer(ctx, who, in.TenantRef, func(ctx context.Context, who auth.Principal, t id.TenantID) (models.Tenant, error) {
		to, err := id.Parse[id.User](in.Body.UserID)
		if err != nil {
			return models.Tenant{}, tenantapi.ErrMemberNotFound.Because(err)
		}
		return h.s.Transfer(ctx, who, t, to)
	})
}

// answer does something with the tenant that a path names.
func (h tenants) answer(ctx context.Context, who auth.Principal, in tenantapi.TenantRef,
	do func(context.Context, auth.Principal, id.TenantID) (models.Tenant, error)) (tenantapi.TenantAnswer, error) {
	ref, err := tenantID(in)
	if err != nil {
		return tenantapi.TenantAnswer{}, err
	}
	t, err := do(ctx, who, ref)
	if err != nil {
		return tenantapi.TenantAnswer{}, err
	}
	return tenantapi.TenantAnswer{ETag: etag.Of(t.Version), Body: tenant(t)}, nil
}
