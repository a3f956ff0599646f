package handlers

import (
	"context"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/page"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
	"github.com/pyairtable/pyairtable/tenant-service/internal/services"
)

type invitations struct {
	s        *services.Invitations
	devInbox bool
}

func (h invitations) create(ctx context.Context, who auth.Principal, in tenantapi.NewInvitation) (tenantapi.InvitationMade, error) {
	tenant, err := tenantID(in.TenantRef)
	if err != nil {
		return tenantapi.InvitationMade{}, err
	}
	i, err := h.s.Invite(ctx, who, tenant, in.Body.Email, in.Body.Role)
	if err != nil {
		return tenantapi.InvitationMade{}, err
	}
	return tenantapi.InvitationMade{Location: tenantapi.CreateTenant.Path + "/" + in.TenantID + "/invitations/" + i.ID.String(), Body: invitation(i)}, nil
}

func (h invitations) list(ctx context.Context, who auth.Principal, in tenantapi.InvitationsQuery) (tenantapi.InvitationPage, error) {
	tenant, err := tenantID(in.TenantRef)
	if err != nil {
		return tenantapi.InvitationPage{}, err
	}
	return page.List(in.PageQuery, []any{"invitations", tenant},
		func(after models.InvitationID, limit int) ([]models.Invitation, error) {
			return h.s.List(ctx, who, tenant, after, limit)
		},
		func(i models.Invitation) models.InvitationID { return i.ID }, invitation)
}

func (h invitations) resend(ctx context.Context, who auth.Principal, in tenantapi.InvitationRef) (tenantapi.Invitation, error) {
	tenant, ref, err := invitationID(in)
	if err != nil {
		return tenantapi.Invitation{}, err
	}
	i, err := h.s.Resend(ctx, who, tenant, ref)
	return invitation(i), err
}

func (h invitations) revoke(ctx context.Context, who auth.Principal, in tenantapi.InvitationRef) (none, error) {
	tenant, ref, err := invitationID(in)
	if err != nil {
		return none{}, err
	}
	return none{}, h.s.Revoke(ctx, who, tenant, ref)
}

func (h invitations) accept(ctx context.Context, who auth.Principal, in tenantapi.Acceptance) (tenantapi.Accepted, error) {
	m, err := h.s.Accept(ctx, who, in.Token)
	if err != nil {
		return tenantapi.Accepted{}, err
	}
	return tenantapi.Accepted{TenantID: m.Tenant.String(), Member: member(m)}, nil
}

func (h invitations) inbox(ctx context.Context, _ auth.Principal, in tenantapi.InboxQuery) (tenantapi.Inbox, error) {
	if !h.devInbox {
		return tenantapi.Inbox{}, errs.ErrNotFound
	}
	mails, err := h.s.Inbox(ctx, in.Limit)
	out := tenantapi.Inbox{Items: []tenantapi.Mail{}}
	for _, m := range mails {
		out.Items = append(out.Items, tenantapi.Mail{ID: m.ID.String(), To: m.To, Subject: m.Subject, Text: m.Text, Token: m.Token, At: m.CreatedAt})
	}
	return out, err
}

func invitation(i models.Invitation) tenantapi.Invitation {
	return tenantapi.Invitation{
		ID: i.ID.String(), Email: i.Email, Role: i.Role, InvitedBy: i.InvitedBy.String(), ExpiresAt: i.ExpiresAt, CreatedAt: i.CreatedAt,
	}
}

func invitationID(ref tenantapi.InvitationRef) (id.TenantID, models.InvitationID, error) {
	t, err := tenantID(ref.TenantRef)
	if err != nil {
		return t, models.InvitationID{}, err
	}
	i, err := id.Parse[models.InvitationKind](ref.InvitationID)
	if err != nil {
		return t, i, tenantapi.ErrInvitationNotFound.Because(err)
	}
	return t, i, nil
}
