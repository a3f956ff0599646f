// Package handlers serves the operations of tenantapi and hears what other services say
// about users.
package handlers

import (
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	"github.com/pyairtable/pyairtable/tenant-service/internal/repository"
	"github.com/pyairtable/pyairtable/tenant-service/internal/services"
)

// Register serves every operation of tenantapi on a; the inbox for development only if
// devInbox.
func Register(a *httpx.API, s *services.Tenants, inv *services.Invitations, devInbox bool) {
	t := tenants{s}
	httpx.Handle(a, tenantapi.CreateTenant, t.create)
	httpx.Handle(a, tenantapi.ListTenants, t.list)
	httpx.Handle(a, tenantapi.GetTenant, t.tenant)
	httpx.Handle(a, tenantapi.UpdateTenant, t.update)
	httpx.Handle(a, tenantapi.SuspendTenant, t.suspend)
	httpx.Handle(a, tenantapi.ResumeTenant, t.resume)
	httpx.Handle(a, tenantapi.DeleteTenant, t.delete)
	httpx.Handle(a, tenantapi.KeepTenant, t.keep)
	httpx.Handle(a, tenantapi.TransferTenant, t.transfer)

	m := members{s}
	httpx.Handle(a, tenantapi.ListMembers, m.list)
	httpx.Handle(a, tenantapi.GetMember, m.member)
	httpx.Handle(a, tenantapi.UpdateMember, m.update)
	httpx.Handle(a, tenantapi.RemoveMember, m.remove)
	httpx.Handle(a, tenantapi.LeaveTenant, m.leave)

	i := invitations{inv, devInbox}
	httpx.Handle(a, tenantapi.CreateInvitation, i.create)
	httpx.Handle(a, tenantapi.ListInvitations, i.list)
	httpx.Handle(a, tenantapi.ResendInvitation, i.resend)
	httpx.Handle(a, tenantapi.RevokeInvitation, i.revoke)
	httpx.Handle(a, tenantapi.AcceptInvitation, i.accept)
	httpx.Handle(a, tenantapi.InvitationInbox, i.inbox)
}

// Listen consumes the events that concern tenants.
func Listen(c *events.Consumer, r *repository.Repository) {
	events.On(c, authapi.UserRegistered, r.Registered)
	events.On(c, authapi.EmailVerified, r.Verified)
	events.On(c, userapi.UserDeleted, r.Erased)
}

// none is the answer of operations that have none.
type none = struct{}
