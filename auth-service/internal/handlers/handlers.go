// Package handlers translates between the API and the services.
package handlers

import (
	"context"
	"time"

	"github.com/pyairtable/pyairtable/auth-service/internal/provider"
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/auth-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// Deps are what the handlers work with.
type Deps struct {
	Auth      *services.Auth
	Repo      *repository.Repository
	Keys      *services.Keys
	Providers []*provider.Provider
	Box       *seal.Box
	Now       func() time.Time
	Secure    bool // cookies over HTTPS only
	DevInbox  bool
}

type handlers struct{ Deps }

// Register serves every operation of authapi.
func Register(r *httpx.API, d Deps) {
	h := handlers{d}
	httpx.Handle(r, authapi.Register, h.register)
	httpx.Handle(r, authapi.ForgotPassword, h.forgotPassword)
	httpx.Handle(r, authapi.ResetPassword, h.resetPassword)
	httpx.Handle(r, authapi.VerifyEmail, h.verifyEmail)
	httpx.Handle(r, authapi.ResendVerification, h.resendVerification)
	handleSignedIn(r, h, authapi.ChangePassword, h.changePassword)

	httpx.Handle(r, authapi.Login, h.login)
	httpx.Handle(r, authapi.LoginTOTP, h.loginTOTP)
	httpx.Handle(r, authapi.Refresh, h.refresh)
	httpx.Handle(r, authapi.Logout, h.logout)
	handleSignedIn(r, h, authapi.LogoutAll, h.logoutAll)
	handleSignedIn(r, h, authapi.ListSessions, h.listSessions)
	handleSignedIn(r, h, authapi.RevokeSession, h.revokeSession)

	handleSignedIn(r, h, authapi.EnrolTOTP, h.enrolTOTP)
	handleSignedIn(r, h, authapi.ConfirmTOTP, h.confirmTOTP)
	handleSignedIn(r, h, authapi.DisableTOTP, h.disableTOTP)
	handleSignedIn(r, h, authapi.RenewRecoveryCodes, h.renewRecoveryCodes)

	httpx.Handle(r, authapi.ListTenants, h.listTenants)
	httpx.Handle(r, authapi.SwitchTenant, h.switchTenant)

	handleInTenant(r, h, authapi.CreateToken, h.createToken)
	handleInTenant(r, h, authapi.ListTokens, h.listTokens)
	handleInTenant(r, h, authapi.GetToken, h.token)
	handleInTenant(r, h, authapi.RevokeToken, h.revokeToken)

	httpx.Handle(r, authapi.ListProviders, h.listProviders)
	httpx.Raw(r, authapi.Service.Raw[0], h.oidc) // redirects of a browser
	httpx.Handle(r, authapi.PublicKeys, h.publicKeys)
	httpx.Handle(r, authapi.DevInbox, h.devInbox)

	httpx.Handle(r, authapi.ExchangePAT, h.exchangePAT)
	httpx.Handle(r, authapi.ServiceToken, h.serviceToken)
	httpx.Handle(r, authapi.ExchangeToken, h.exchangeToken)
	httpx.Handle(r, authapi.RevokeUserSessions, h.revokeUserSessions)
	httpx.Handle(r, authapi.ProvisionAccount, h.provisionAccount)
}

// handleSignedIn serves op to sessions that have not ended: elsewhere a revoked
// access token may live on for a second, here it opens nothing. The principal's tenant
// is that of the account, wherever the session is: f is about the account.
func handleSignedIn[In, Out any](r *httpx.API, h handlers, op api.Op[In, Out], f httpx.Handler[In, Out]) {
	httpx.Handle(r, op, func(ctx context.Context, who auth.Principal, in In) (out Out, err error) {
		s, err := h.Auth.Session(ctx, who)
		if err != nil {
			return out, err
		}
		who.TenantID = s.Tenant
		return f(ctx, who, in)
	})
}

// handleInTenant is handleSignedIn for what is about the session's tenant.
func handleInTenant[In, Out any](r *httpx.API, h handlers, op api.Op[In, Out], f httpx.Handler[In, Out]) {
	httpx.Handle(r, op, func(ctx context.Context, who auth.Principal, in In) (out Out, err error) {
		if err := h.Auth.RequireSession(ctx, who); err != nil {
			return out, err
		}
		return f(ctx, who, in)
	})
}

// none is the answer of operations that have none.
type none = struct{}
