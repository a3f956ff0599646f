package handlers

import (
	"context"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/page"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
	"github.com/pyairtable/pyairtable/tenant-service/internal/services"
)

type domains struct{ s *services.Domains }

// RegisterDomains serves what of tenantapi is about domains.
func RegisterDomains(a *httpx.API, s *services.Domains) {
	d := domains{s}
	httpx.Handle(a, tenantapi.AddDomain, d.add)
	httpx.Handle(a, tenantapi.ListDomains, d.list)
	httpx.Handle(a, tenantapi.VerifyDomain, d.verify)
	httpx.Handle(a, tenantapi.UpdateDomain, d.update)
	httpx.Handle(a, tenantapi.RemoveDomain, d.remove)
	httpx.Handle(a, tenantapi.ListJoinable, d.joinable)
	httpx.Handle(a, tenantapi.JoinTenant, d.join)
}

func (h domains) add(ctx context.Context, who auth.Principal, in tenantapi.NewDomain) (tenantapi.DomainMade, error) {
	tenant, err := tenantID(in.TenantRef)
	if err != nil {
		return tenantapi.DomainMade{}, err
	}
	d, err := h.s.Add(ctx, who, tenant, in.Body.Domain, in.Body.Role, in.Body.AutoJoin)
	if err != nil {
		return tenantapi.DomainMade{}, err
	}
	return tenantapi.DomainMade{Location: tenantapi.CreateTenant.Path + "/" + in.TenantID + "/domains/" + d.ID.String(), Body: domain(d)}, nil
}

func (h domains) list(ctx context.Context, who auth.Principal, in tenantapi.DomainsQuery) (tenantapi.DomainPage, error) {
	tenant, err := tenantID(in.TenantRef)
	if err != nil {
		return tenantapi.DomainPage{}, err
	}
	return page.List(in.PageQuery, []any{"domains", tenant},
		func(after models.DomainID, limit int) ([]models.Domain, error) {
			return h.s.List(ctx, who, tenant, after, limit)
		},
		func(d models.Domain) models.DomainID { return d.ID }, domain)
}

func (h domains) verify(ctx context.Context, who auth.Principal, in tenantapi.DomainRef) (tenantapi.Domain, error) {
	tenant, ref, err := domainID(in)
	if err != nil {
		return tenantapi.Domain{}, err
	}
	d, err := h.s.Verify(ctx, who, tenant, ref)
	return domain(d), err
}

func (h domains) update(ctx context.Context, who auth.Principal, in tenantapi.DomainUpdate) (tenantapi.Domain, error) {
	tenant, ref, err := domainID(in.DomainRef)
	if err != nil {
		return tenantapi.Domain{}, err
	}
	d, err := h.s.Update(ctx, who, tenant, ref, in.Body.Role, in.Body.AutoJoin)
	return domain(d), err
}

func (h domains) remove(ctx context.Context, who auth.Principal, in tenantapi.DomainRef) (none, error) {
	tenant, ref, err := domainID(in)
	if err != nil {
		return none{}, err
	}
	return none{}, h.s.Remove(ctx, who, tenant, ref)
}

func (h domains) joinable(ctx context.Context, who auth.Principal, in api.PageQuery) (tenantapi.JoinablePage, error) {
	return page.List(in, []any{"joinable", who.UserID},
		func(after id.TenantID, _ int) ([]models.Admission, error) {
			found, err := h.s.Joinable(ctx, who)
			if !after.IsZero() { // there is one at the most
				found = nil
			}
			return found, err
		},
		func(a models.Admission) id.TenantID { return a.Tenant.ID },
		func(a models.Admission) tenantapi.JoinableTenant {
			return tenantapi.JoinableTenant{
				TenantID: a.Tenant.ID.String(), Name: a.Tenant.Name, Slug: a.Tenant.Slug, LogoURL: a.Tenant.LogoURL, Domain: a.Domain.Domain, Role: a.Domain.Role,
			}
		})
}

func (h domains) join(ctx context.Context, who auth.Principal, in tenantapi.TenantRef) (tenantapi.Accepted, error) {
	tenant, err := id.Parse[id.Tenant](in.TenantID)
	if err != nil {
		return tenantapi.Accepted{}, tenantapi.ErrNotJoinable.Because(err)
	}
	m, err := h.s.Join(ctx, who, tenant)
	if err != nil {
		return tenantapi.Accepted{}, err
	}
	return tenantapi.Accepted{TenantID: m.Tenant.String(), Member: member(m)}, nil
}

func domain(d models.Domain) tenantapi.Domain {
	name, value := d.Record()
	return tenantapi.Domain{
		ID: d.ID.String(), Domain: d.Domain, Status: d.Status(), Role: d.Role, AutoJoin: d.AutoJoin, RecordName: name, RecordValue: value,
		VerifiedAt: d.VerifiedAt, MissedAt: d.MissedAt, CreatedAt: d.CreatedAt,
	}
}

func domainID(ref tenantapi.DomainRef) (id.TenantID, models.DomainID, error) {
	t, err := tenantID(ref.TenantRef)
	if err != nil {
		return t, models.DomainID{}, err
	}
	d, err := id.Parse[models.DomainKind](ref.DomainID)
	if err != nil {
		return t, d, tenantapi.ErrDomainNotFound.Because(err)
	}
	return t, d, nil
}
