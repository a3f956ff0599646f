package handlers

import (
	"context"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/page"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
	"github.com/pyairtable/pyairtable/tenant-service/internal/services"
)

// RegisterGroups serves the operations of groups and service accounts.
func RegisterGroups(a *httpx.API, s *services.Groups) {
	g := groupOps{s}
	httpx.Handle(a, tenantapi.CreateServiceAccount, g.createServiceAccount)
	httpx.Handle(a, tenantapi.CreateGroup, g.create)
	httpx.Handle(a, tenantapi.ListGroups, g.list)
	httpx.Handle(a, tenantapi.GetGroup, g.group)
	httpx.Handle(a, tenantapi.UpdateGroup, g.update)
	httpx.Handle(a, tenantapi.DeleteGroup, g.delete)
	httpx.Handle(a, tenantapi.ListGroupMembers, g.members)
	httpx.Handle(a, tenantapi.ChangeGroupMembers, g.changeMembers)
}

type groupOps struct{ s *services.Groups }

func (h groupOps) create(ctx context.Context, who auth.Principal, in tenantapi.NewGroup) (tenantapi.GroupMade, error) {
	tenant, err := tenantID(in.TenantRef)
	if err != nil {
		return tenantapi.GroupMade{}, err
	}
	first, err := memberIDs(in.Body.MemberIDs)
	if err != nil {
		return tenantapi.GroupMade{}, err
	}
	g, err := h.s.Create(ctx, who, tenant, in.Body.Name, first)
	if err != nil {
		return tenantapi.GroupMade{}, err
	}
	return tenantapi.GroupMade{
		Location: tenantapi.CreateTenant.Path + "/" + in.TenantID + "/groups/" + g.ID.String(), ETag: etag.Of(g.Version), Body: group(g),
	}, nil
}

func (h groupOps) list(ctx context.Context, who auth.Principal, in tenantapi.GroupsQuery) (tenantapi.GroupPage, error) {
	tenant, err := tenantID(in.TenantRef)
	if err != nil {
		return tenantapi.GroupPage{}, err
	}
	return page.List(in.PageQuery, []any{"groups", tenant},
		func(after models.GroupID, limit int) ([]models.Group, error) {
			return h.s.List(ctx, who, tenant, after, limit)
		},
		func(g models.Group) models.GroupID { return g.ID }, group)
}

func (h groupOps) group(ctx context.Context, who auth.Principal, in tenantapi.GroupRef) (tenantapi.GroupAnswer, error) {
	tenant, ref, err := groupID(in)
	if err != nil {
		return tenantapi.GroupAnswer{}, err
	}
	return groupAnswer(h.s.Group(ctx, who, tenant, ref))
}

func (h groupOps) update(ctx context.Context, who auth.Principal, in tenantapi.GroupUpdate) (tenantapi.GroupAnswer, error) {
	tenant, ref, err := groupID(in.GroupRef)
	if err != nil {
		return tenantapi.GroupAnswer{}, err
	}
	return groupAnswer(h.s.Rename(ctx, who, tenant, ref, etag.Read(in.IfMatch), in.Body.Name))
}

func (h groupOps) delete(ctx context.Context, who auth.Principal, in tenantapi.GroupRef) (none, error) {
	tenant, ref, err := groupID(in)
	if err != nil {
		return none{}, err
	}
	return none{}, h.s.Delete(ctx, who, tenant, ref)
}

func (h groupOps) members(ctx context.Context, who auth.Principal, in tenantapi.GroupMembersQuery) (tenantapi.MemberPage, error) {
	tenant, ref, err := groupID(in.GroupRef)
	if err != nil {
		return tenantapi.MemberPage{}, err
	}
	return page.List(in.PageQuery, []any{"group members", tenant, ref},
		func(after models.MemberID, limit int) ([]models.Member, error) {
			return h.s.Members(ctx, who, tenant, ref, after, limit)
		},
		func(m models.Member) models.MemberID { return m.ID }, member)
}

func (h groupOps) changeMembers(ctx context.Context, who auth.Principal, in tenantapi.GroupMembersChange) (tenantapi.GroupAnswer, error) {
	tenant, ref, err := groupID(in.GroupRef)
	if err != nil {
		return tenantapi.GroupAnswer{}, err
	}
	add, err := memberIDs(in.Body.Add)
	if err != nil {
		return tenantapi.GroupAnswer{}, err
	}
	remove, err := memberIDs(in.Body.Remove)
	if err != nil {
		return tenantapi.GroupAnswer{}, err
	}
	return groupAnswer(h.s.ChangeMembers(ctx, who, tenant, ref, etag.Read(in.IfMatch), add, remove))
}

func (h groupOps) createServiceAccount(ctx context.Context, who auth.Principal, in tenantapi.NewServiceAccount) (tenantapi.MemberMade, error) {
	tenant, err := tenantID(in.TenantRef)
	if err != nil {
		return tenantapi.MemberMade{}, err
	}
	m, err := h.s.AddServiceAccount(ctx, who, tenant, in.Body.Name, in.Body.Role, in.Body.CustomRoles)
	if err != nil {
		return tenantapi.MemberMade{}, err
	}
	return tenantapi.MemberMade{
		Location: tenantapi.CreateTenant.Path + "/" + in.TenantID + "/members/" + m.ID.String(), ETag: etag.Of(m.Version), Body: member(m),
	}, nil
}

func group(g models.Group) tenantapi.Group {
	return tenantapi.Group{
		ID: g.ID.String(), Name: g.Name, ExternalID: g.ExternalID, Version: g.Version, CreatedAt: g.CreatedAt, UpdatedAt: g.UpdatedAt,
	}
}

func groupAnswer(g models.Group, err error) (tenantapi.GroupAnswer, error) {
	if err != nil {
		return tenantapi.GroupAnswer{}, err
	}
	return tenantapi.GroupAnswer{ETag: etag.Of(g.Version), Body: group(g)}, nil
}

func groupID(ref tenantapi.GroupRef) (id.TenantID, models.GroupID, error) {
	t, err := tenantID(ref.TenantRef)
	if err != nil {
		return t, models.GroupID{}, err
	}
	g, err := id.Parse[models.GroupKind](ref.GroupID)
	if err != nil {
		return t, g, tenantapi.ErrGroupNotFound.Because(err)
	}
	return t, g, nil
}

// memberIDs reads ids of members. One that is no id names nobody.
func memberIDs(texts []string) ([]models.MemberID, error) {
	out := make([]models.MemberID, 0, len(texts))
	for _, text := range texts {
		m, err := id.Parse[models.MemberKind](text)
		if err != nil {
			return nil, tenantapi.ErrMemberNotFound.Because(err)
		}
		out = append(out, m)
	}
	return out, nil
}
