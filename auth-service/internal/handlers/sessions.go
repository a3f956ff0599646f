package handlers

import (
	"context"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/page"
)

func (h handlers) login(ctx context.Context, _ auth.Principal, in authapi.LoginRequest) (authapi.LoginAnswer, error) {
	s, err := h.Auth.Login(ctx, in.Email, in.Password, device(ctx))
	return loginAnswer(s), err
}

func (h handlers) loginTOTP(ctx context.Context, _ auth.Principal, in authapi.TOTPLoginRequest) (authapi.LoginAnswer, error) {
	s, err := h.Auth.LoginTOTP(ctx, in.MFAToken, in.Code, device(ctx))
	return loginAnswer(s), err
}

func (h handlers) refresh(ctx context.Context, _ auth.Principal, in authapi.RefreshRequest) (authapi.Tokens, error) {
	s, err := h.Auth.Refresh(ctx, in.RefreshToken, device(ctx))
	return tokens(s), err
}

func (h handlers) logout(ctx context.Context, who auth.Principal, _ none) (none, error) {
	return none{}, h.Auth.Logout(ctx, who)
}

func (h handlers) listTenants(ctx context.Context, who auth.Principal, _ none) (authapi.Tenants, error) {
	s, err := h.Auth.Session(ctx, who)
	if err != nil {
		return authapi.Tenants{}, err
	}
	list, err := h.Auth.Tenants(ctx, s.Tenant, s.User)
	return authapi.Tenants{Items: convert(list, func(at models.Standing) authapi.TenantChoice { return choice(at, s.In) })}, err
}

func (h handlers) switchTenant(ctx context.Context, who auth.Principal, in authapi.SwitchRequest) (authapi.Tokens, error) {
	tenant, err := id.Parse[id.Tenant](in.TenantID)
	if err != nil {
		return authapi.Tokens{}, authapi.ErrNotMember.Because(err)
	}
	s, err := h.Auth.Switch(ctx, who, tenant, device(ctx))
	return tokens(s), err
}

func (h handlers) logoutAll(ctx context.Context, who auth.Principal, _ none) (none, error) {
	return none{}, h.Auth.EndSessions(ctx, who.TenantID, who.UserID)
}

func (h handlers) listSessions(ctx context.Context, who auth.Principal, in api.PageQuery) (authapi.SessionPage, error) {
	return page.List(in, []any{"sessions", who.TenantID, who.UserID},
		func(from repository.SessionPage, limit int) ([]models.Session, error) {
			return h.Repo.Sessions(ctx, who.TenantID, who.UserID, from, limit, h.Now())
		},
		func(s models.Session) repository.SessionPage { return repository.SessionPage{After: s.ID} },
		func(s models.Session) authapi.Session { return session(s, who) })
}

func (h handlers) revokeSession(ctx context.Context, who auth.Principal, in authapi.SessionRef) (none, error) {
	session, err := id.Parse[id.Session](in.ID)
	if err != nil {
		return none{}, errs.ErrNotFound
	}
	return none{}, h.Auth.EndSession(ctx, who, session)
}

func (h handlers) revokeUserSessions(ctx context.Context, _ auth.Principal, in authapi.UserRef) (none, error) {
	user, err := id.Parse[id.User](in.ID)
	if err != nil {
		return none{}, errs.ErrNotFound
	}
	return none{}, h.Auth.EndSessionsOf(ctx, user)
}
