package services

import (
	"context"
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"
	"time"

	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/mail"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
	"github.com/pyairtable/pyairtable/tenant-service/internal/repository"
)

// Invitations ask people into tenants, by mail.
type Invitations struct {
	repo      *repository.Repository
	tenants   *Tenants
	publicURL string
	now       func() time.Time
}

// NewInvitations returns the service; mails point to publicURL.
func NewInvitations(repo *repository.Repository, tenants *Tenants, publicURL string, now func() time.Time) *Invitations {
	return &Invitations{repo, tenants, publicURL, now}
}

// Invite mails an invitation to the address.
func (s *Invitations) Invite(ctx context.Context, who auth.Principal, tenant id.TenantID, email, role string) (models.Invitation, error) {
	c, err := s.tenants.rights.caller(ctx, who, tenant, permissionapi.ManageMembers)
	if err != nil {
		return models.Invitation{}, err
	}
	email = strings.ToLower(strings.TrimSpace(email))
	if a, err := netmail.ParseAddress(email); err != nil || a.Address != email || strings.ContainsAny(email, " \"\r\n") {
		return models.Invitation{}, errs.ErrInvalid.With(errs.Field{Pointer: "/email", Detail: "is not an email address"})
	}
	now, token := s.now(), models.NewInvitationToken()
	i := models.Invitation{
		ID: id.New[models.InvitationKind](), Tenant: tenant, Email: email, Role: role, Hash: models.Hash(token), InvitedBy: who.UserID,
		ExpiresAt: now.Add(models.InvitationTTL), Version: 1, CreatedAt: now,
	}
	return i, s.repo.Invite(ctx, c, i, func(sc *models.Scene) (models.Mail, []events.Event, error) {
		if !sc.Admits(sc.Role) {
			return models.Mail{}, nil, tenantapi.ErrTenantSuspended
		}
		if err := sc.MayInvite(email, role); err != nil {
			return models.Mail{}, nil, err
		}
		return s.mail(sc.Tenant, i, token), []events.Event{invitationEvent(ctx, tenantapi.InvitationSent, i, id.UserID{}, who.UserID)}, nil
	})
}

// Resend mails the invitation again, with another token; the one before is void.
func (s *Invitations) Resend(ctx context.Context, who auth.Principal, tenant id.TenantID, ref models.InvitationID) (models.Invitation, error) {
	c, err := s.tenants.rights.caller(ctx, who, tenant, permissionapi.ManageMembers)
	if err != nil {
		return models.Invitation{}, err
	}
	return s.repo.ChangeInvitation(ctx, c, ref, func(sc *models.Scene, i *models.Invitation) (*models.Mail, []events.Event, error) {
		if !sc.Admits(sc.Role) {
			return nil, nil, tenantapi.ErrTenantSuspended
		}
		if err := sc.MayInvite(i.Email, i.Role); err != nil && (!i.ID.IsZero() || !errors.Is(err, tenantapi.ErrEmailDomain)) {
			return nil, nil, err
		}
		token := models.NewInvitationToken()
		i.Hash, i.ExpiresAt = models.Hash(token), s.now().Add(models.InvitationTTL)
		i.Version++
		m := s.mail(sc.Tenant, *i, token)
		return &m, []events.Event{invitationEvent(ctx, tenantapi.InvitationSent, *i, id.UserID{}, who.UserID)}, nil
	})
}

// Revoke takes the invitation back.
func (s *Invitations) Revoke(ctx context.Context, who auth.Principal, tenant id.TenantID, ref models.InvitationID) error {
	c, err := s.tenants.rights.caller(ctx, who, tenant, permissionapi.ManageMembers)
	if err != nil {
		return err
	}
	_, err = s.repo.ChangeInvitation(ctx, c, ref, func(sc *models.Scene, i *models.Invitation) (*models.Mail, []events.Event, error) {
		if err := sc.MayManageInvitation(i.Role); err != nil {
			return nil, nil, err
		}
		i.Version++
		return nil, []events.Event{invitationEvent(ctx, tenantapi.InvitationRevoked, *i, id.UserID{}, who.UserID)}, nil
	})
	return err
}

// List returns invitations that are open or have expired, oldest first.
func (s *Invitations) List(ctx context.Context, who auth.Principal, tenant id.TenantID, after models.InvitationID, limit int) ([]models.Invitation, error) {
	if err := s.tenants.enterFor(ctx, who, tenant, permissionapi.ManageMembers); err != nil {
		return nil, err
	}
	return s.repo.Invitations(ctx, tenant, after, limit)
}

// Accept makes the caller a member of the tenant that invited his account's address. A
// refusal does not spend the invitation.
func (s *Invitations) Accept(ctx context.Context, who auth.Principal, token string) (models.Member, error) {
	now := s.now()
	return s.repo.Accept(ctx, models.Hash(token), who.UserID, func(a repository.Acceptance) (models.Member, []events.Event, error) {
		switch {
		case !now.Before(a.ExpiresAt), a.Tenant.Status() == tenantapi.StatusDeleting:
			return models.Member{}, nil, tenantapi.ErrBadInvitation
		case a.Email == "":
			return models.Member{}, nil, tenantapi.ErrAccountUnknown
		case a.Email != a.Invitation.Email:
			return models.Member{}, nil, tenantapi.ErrOtherAddress
		case a.Already:
			return models.Member{}, nil, tenantapi.ErrAlreadyMember
		case !a.Tenant.Security.AdmitsAddress(a.Email):
			return models.Member{}, nil, tenantapi.ErrEmailDomain
		}
		m := models.NewMember(a.Tenant.ID, who.UserID, a.Role, now)
		a.Version++
		return m, []events.Event{
			invitationEvent(ctx, tenantapi.InvitationAccepted, a.Invitation, who.UserID, who.UserID),
			repository.MemberEvent(ctx, tenantapi.MemberAdded, m, who.UserID),
		}, nil
	})
}

// Inbox is what was mailed, newest first.
func (s *Invitations) Inbox(ctx context.Context, limit int) ([]models.Mail, error) {
	return s.repo.Inbox(ctx, limit)
}

func (s *Invitations) mail(t models.Tenant, i models.Invitation, token string) models.Mail {
	return models.Mail{
		ID: id.New[models.MailKind](), Tenant: t.ID, To: i.Email, Subject: "You are invited to " + t.Name, Token: token, CreatedAt: s.now(),
		Text: fmt.Sprintf("Hello,\n\nyou are invited to %s as %s. To accept, sign in, or open an account, with this address, and send the token\n\n    %s\n\n"+
			"to %s within a week.\n", t.Name, i.Role, token, s.publicURL+tenantapi.AcceptInvitation.Path),
	}
}

func invitationEvent(ctx context.Context, kind events.Type[tenantapi.InvitationChanged], i models.Invitation, user, actor id.UserID) events.Event {
	return kind.New(ctx, i.Tenant, i.ID.String(), i.Version, tenantapi.InvitationChanged{
		InvitationID: i.ID.String(), TenantID: i.Tenant.String(), Role: i.Role, UserID: user.String(), ExpiresAt: i.ExpiresAt, ActorID: actor.String(),
	})
}

// MailWorker sends the mails that were committed. With Keep they are kept for the dev
// inbox.
type MailWorker struct {
	river.WorkerDefaults[models.SendMail]
	Repo *repository.Repository
	To   mail.Sender
	Keep bool
	Now  func() time.Time
}

// Work implements river.Worker.
func (w *MailWorker) Work(ctx context.Context, job *river.Job[models.SendMail]) error {
	m, err := w.Repo.Mail(ctx, job.Args.Tenant, job.Args.Mail)
	if errors.Is(err, errs.ErrNotFound) || err == nil && !m.SentAt.IsZero() {
		return nil // sent before, or the tenant is gone
	}
	if err != nil {
		return err
	}
	err = w.To.Send(ctx, mail.Mail{ID: m.ID.String(), Tenant: m.Tenant, Kind: "invitation", To: m.To, Subject: m.Subject, Text: m.Text})
	if err != nil {
		return fmt.Errorf("send mail %s: %w", m.ID, err)
	}
	return w.Repo.MarkSent(ctx, m, w.Keep, w.Now())
}
