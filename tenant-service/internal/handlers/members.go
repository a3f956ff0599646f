package handlers

import (
	"context"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/page"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
	"github.com/pyairtable/pyairtable/tenant-service/internal/services"
)

type members struct{ s *services.Tenants }

func (h members) list(ctx context.Context, who auth.Principal, in tenantapi.MembersQuery) (tenantapi.MemberPage, error) {
	ref, err := tenantID(in.TenantRef)
	if err != nil {
		return tenantapi.MemberPage{}, err
	}
	return page.List(in.PageQuery, []any{"members", ref, in.Kind},
		func(after models.MemberID, limit int) ([]models.Member, error) {
			return h.s.Members(ctx, who, ref, in.Kind, after, limit)
		},
		func(m models.Member) models.MemberID { return m.ID }, member)
}

func (h members) member(ctx context.Context, who auth.Principal, in tenantapi.MemberRef) (tenantapi.MemberAnswer, error) {
	tenant, ref, err := memberID(in)
	if err != nil {
		return tenantapi.MemberAnswer{}, err
	}
	return memberAnswer(h.s.Member(ctx, who, tenant, ref))
}

func (h members) update(ctx context.Context, who auth.Principal, in tenantapi.MemberUpdate) (tenantapi.MemberAnswer, error) {
	tenant, ref, err := memberID(in.MemberRef)
	if err != nil {
		return tenantapi.MemberAnswer{}, err
	}
	return memberAnswer(h.s.ChangeMember(ctx, who, tenant, ref, etag.Read(in.IfMatch), services.MemberChange{
		Role: in.Body.Role, CustomRoles: in.Body.CustomRoles, Suspended: in.Body.Suspended, Name: in.Body.Name,
	}))
}

func (h members) remove(ctx context.Context, who auth.Principal, in tenantapi.MemberRef) (none, error) {
	tenant, ref, err := memberID(in)
	if err != nil {
		return none{}, err
	}
	return none{}, h.s.Remove(ctx, who, tenant, ref)
}

func (h members) leave(ctx context.Context, who auth.Principal, in tenantapi.TenantRef) (none, error) {
	tenant, err := tenantID(in)
	if err != nil {
		return none{}, err
	}
	return none{}, h.s.Leave(ctx, who, tenant)
}

func memberAnswer(m models.Member, err error) (tenantapi.MemberAnswer, error) {
	if err != nil {
		return tenantapi.MemberAnswer{}, err
	}
	return tenantapi.MemberAnswer{ETag: etag.Of(m.Version), Body: member(m)}, nil
}
