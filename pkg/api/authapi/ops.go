package authapi

import (
	"net/http"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// Accounts.
var (
	Register = api.Op[RegisterRequest, User]{
		Name: "registerUser", Method: http.MethodPost, Path: "/api/v1/auth/register", Status: http.StatusCreated,
		Access: api.Public, Rate: api.RateAuth, Idempotent: true,
		Summary:     "Create an account",
		Description: "Also makes the user's personal tenant, and mails a link that verifies the address.",
		Errors:      []*errs.Error{ErrEmailTaken, ErrWeakPassword, ErrBadEmail, ErrBusy},
	}
	ChangePassword = api.Op[PasswordChange, struct{}]{
		Name: "changePassword", Method: http.MethodPost, Path: "/api/v1/auth/password/change", Status: http.StatusNoContent,
		Rate: api.RateAuth, Summary: "Change the password",
		Description: "Ends every other session.",
		Errors:      []*errs.Error{ErrBadCredentials, ErrWeakPassword, ErrNoPassword, ErrTooManyAttempts, ErrBusy},
	}
	ForgotPassword = api.Op[MailRequest, struct{}]{
		Name: "forgotPassword", Method: http.MethodPost, Path: "/api/v1/auth/password/forgot", Status: http.StatusAccepted,
		Access: api.Public, Rate: api.RateAuth, Summary: "Mail a link to set a new password",
		Description: "The answer is the same whether or not the address is known.",
	}
	ResetPassword = api.Op[PasswordReset, struct{}]{
		Name: "resetPassword", Method: http.MethodPost, Path: "/api/v1/auth/password/reset", Status: http.StatusNoContent,
		Access: api.Public, Rate: api.RateAuth, Summary: "Set a new password",
		Description: "Takes the token from the mail, once. Ends every session.",
		Errors:      []*errs.Error{ErrBadMailToken, ErrWeakPassword, ErrBusy},
	}
	VerifyEmail = api.Op[EmailVerification, struct{}]{
		Name: "verifyEmail", Method: http.MethodPost, Path: "/api/v1/auth/email/verify", Status: http.StatusNoContent,
		Access: api.Public, Rate: api.RateAuth, Summary: "Verify an email address",
		Errors: []*errs.Error{ErrBadMailToken},
	}
	ResendVerification = api.Op[MailRequest, struct{}]{
		Name: "resendVerification", Method: http.MethodPost, Path: "/api/v1/auth/email/resend", Status: http.StatusAccepted,
		Access: api.Public, Rate: api.RateAuth, Summary: "Mail the verification link again",
		Description: "The answer is the same whether or not the address is known, or verified already.",
	}
)

// Sessions.
var (
	Login = api.Op[LoginRequest, LoginAnswer]{
		Name: "login", Method: http.MethodPost, Path: "/api/v1/auth/login",
		Access: api.Public, Rate: api.RateAuth, Summary: "Sign in",
		Description: "With a second factor enabled the answer holds no tokens, but mfa_required and the mfa_token for the next step.",
		Errors:      []*errs.Error{ErrBadCredentials, ErrEmailNotVerified, ErrTooManyAttempts, ErrBusy},
	}
	LoginTOTP = api.Op[TOTPLoginRequest, LoginAnswer]{
		Name: "loginTotp", Method: http.MethodPost, Path: "/api/v1/auth/login/totp",
		Access: api.Public, Rate: api.RateAuth, Summary: "Finish signing in with a second factor",
		Errors: []*errs.Error{ErrBadMFAToken, ErrBadCode, ErrTooManyAttempts},
	}
	Refresh = api.Op[RefreshRequest, Tokens]{
		Name: "refreshSession", Method: http.MethodPost, Path: "/api/v1/auth/refresh",
		Access: api.Public, Summary: "Get new tokens",
		Description: "A refresh token is good once. Presented again within ten seconds it gives the same successor, " +
			"so that a client may repeat or race its refresh; after that it ends the session, since somebody else must have used it.",
		Errors: []*errs.Error{ErrBadRefreshToken, ErrNotMember, ErrMemberSuspended, ErrTenantSuspended, ErrMFARequired, ErrIPNotAllowed, ErrSignInAgain},
	}
	ListTenants = api.Op[struct{}, Tenants]{
		Name: "listSwitchTenants", Method: http.MethodGet, Path: "/api/v1/auth/tenants",
		Summary: "List the tenants that the user may switch to", Description: "All of them, the user's own first.",
	}
	SwitchTenant = api.Op[SwitchRequest, Tokens]{
		Name: "switchTenant", Method: http.MethodPost, Path: "/api/v1/auth/switch",
		Summary: "Go on in another tenant",
		Description: "This session ends and another one begins, in the tenant, with new tokens. " +
			"Refreshing keeps it there for as long as the user is a member and meets the tenant's demands.",
		Errors: []*errs.Error{ErrNotMember, ErrMemberSuspended, ErrTenantSuspended, ErrMFARequired, ErrIPNotAllowed, ErrSignInAgain},
	}
	Logout = api.Op[struct{}, struct{}]{
		Name: "logout", Method: http.MethodPost, Path: "/api/v1/auth/logout", Status: http.StatusNoContent,
		Summary: "End this session",
	}
	LogoutAll = api.Op[struct{}, struct{}]{
		Name: "logoutAll", Method: http.MethodPost, Path: "/api/v1/auth/logout-all", Status: http.StatusNoContent,
		Summary: "End every session of the user",
	}
	ListSessions = api.Op[api.PageQuery, SessionPage]{
		Name: "listSessions", Method: http.MethodGet, Path: "/api/v1/auth/sessions",
		Summary: "List the user's sessions", Description: "Newest first; ended ones are left out.",
	}
	RevokeSession = api.Op[SessionRef, struct{}]{
		Name: "revokeSession", Method: http.MethodDelete, Path: "/api/v1/auth/sessions/{id}", Status: http.StatusNoContent,
		Summary: "End one session", Errors: []*errs.Error{errs.ErrNotFound},
	}
)

// Second factor.
var (
	EnrolTOTP = api.Op[struct{}, TOTPEnrolment]{
		Name: "enrolTotp", Method: http.MethodPost, Path: "/api/v1/auth/totp/enrol",
		Summary: "Begin to enable a second factor", Description: "Nothing changes until it is confirmed; beginning again replaces the secret.",
		Errors: []*errs.Error{ErrTOTPEnabled},
	}
	ConfirmTOTP = api.Op[CodeRequest, RecoveryCodes]{
		Name: "confirmTotp", Method: http.MethodPost, Path: "/api/v1/auth/totp/confirm", Rate: api.RateAuth,
		Summary: "Enable the second factor with a first code",
		Errors:  []*errs.Error{ErrBadCode, ErrTOTPEnabled, ErrTOTPNotEnabled, ErrTooManyAttempts},
	}
	DisableTOTP = api.Op[CodeRequest, struct{}]{
		Name: "disableTotp", Method: http.MethodPost, Path: "/api/v1/auth/totp/disable", Status: http.StatusNoContent, Rate: api.RateAuth,
		Summary: "Disable the second factor", Errors: []*errs.Error{ErrBadCode, ErrTOTPNotEnabled, ErrTooManyAttempts},
	}
	RenewRecoveryCodes = api.Op[CodeRequest, RecoveryCodes]{
		Name: "renewRecoveryCodes", Method: http.MethodPost, Path: "/api/v1/auth/totp/recovery-codes", Rate: api.RateAuth,
		Summary: "Replace the recovery codes", Errors: []*errs.Error{ErrBadCode, ErrTOTPNotEnabled, ErrTooManyAttempts},
	}
)

// Personal access tokens. A personal access token cannot manage others.
var (
	CreateToken = api.Op[TokenRequest, NewTokenAnswer]{
		Name: "createToken", Method: http.MethodPost, Path: "/api/v1/auth/tokens", Status: http.StatusCreated,
		Summary:     "Make a personal access token",
		Description: "The token is shown in this answer only. There is no Idempotency-Key here, since the answer must not be stored. Owners and admins make the tokens of service accounts.",
		Errors:      []*errs.Error{ErrBadScope, ErrBadExpiry, ErrTooManyTokens, ErrAdminsOnly, ErrServiceAccountNotFound},
	}
	ListTokens = api.Op[TokensQuery, TokenPage]{
		Name: "listTokens", Method: http.MethodGet, Path: "/api/v1/auth/tokens",
		Summary: "List personal access tokens", Description: "Newest first; revoked ones are left out.",
		Errors: []*errs.Error{ErrAdminsOnly, ErrServiceAccountNotFound},
	}
	GetToken = api.Op[TokenRef, PersonalAccessToken]{
		Name: "getToken", Method: http.MethodGet, Path: "/api/v1/auth/tokens/{id}",
		Summary: "Describe a personal access token", Errors: []*errs.Error{errs.ErrNotFound, ErrAdminsOnly, ErrServiceAccountNotFound},
	}
	RevokeToken = api.Op[TokenRef, struct{}]{
		Name: "revokeToken", Method: http.MethodDelete, Path: "/api/v1/auth/tokens/{id}", Status: http.StatusNoContent,
		Summary: "Revoke a personal access token", Errors: []*errs.Error{errs.ErrNotFound, ErrAdminsOnly, ErrServiceAccountNotFound},
	}
)

// Sign-in with other providers, keys, and the inbox for development.
var (
	ListProviders = api.Op[struct{}, Providers]{
		Name: "listProviders", Method: http.MethodGet, Path: "/api/v1/auth/oidc",
		Access: api.Public, Summary: "List the sign-in providers",
	}
	PublicKeys = api.Op[struct{}, JWKSAnswer]{
		Name: "publicKeys", Method: http.MethodGet, Path: "/.well-known/jwks.json",
		Access: api.Public, Summary: "The keys that verify access tokens (JWKS)",
	}
	DevInbox = api.Op[InboxQuery, Inbox]{
		Name: "devInbox", Method: http.MethodGet, Path: "/api/v1/auth/dev/inbox",
		Access: api.Public, Summary: "Read what was mailed, in development",
		Description: "404 unless DEV_INBOX is true, which production refuses.",
		Errors:      []*errs.Error{errs.ErrNotFound},
	}
)

// For other services.
var (
	ExchangePAT = api.Op[PATExchange, PATAnswer]{
		Name: "exchangePat", Method: http.MethodPost, Path: "/internal/v1/tokens/pat",
		Access: api.Internal, Callers: []string{"api-gateway"}, Summary: "Exchange a personal access token for a short-lived JWT",
		Errors: []*errs.Error{ErrBadToken, ErrMFARequired},
	}
	ServiceToken = api.Op[ServiceTokenRequest, ServiceTokenAnswer]{
		Name: "serviceToken", Method: http.MethodPost, Path: "/internal/v1/tokens/service",
		Access: api.InternalPublic, Summary: "Exchange a service's credentials for its token",
		Errors: []*errs.Error{ErrBadClient},
	}
	ExchangeToken = api.Op[TokenExchange, TokenExchangeAnswer]{
		Name: "exchangeToken", Method: http.MethodPost, Path: "/internal/v1/tokens/exchange",
		Access: api.Internal, Callers: []string{api.AnyService}, Summary: "Act for a user (RFC 8693)",
		Description: "The answer opens what the user's token opens, which the service has already, and says that the service acts.",
		Errors:      []*errs.Error{ErrBadToken},
	}
	RevokeUserSessions = api.Op[UserRef, struct{}]{
		Name: "revokeUserSessions", Method: http.MethodPost, Path: "/internal/v1/users/{id}/sessions/revoke", Status: http.StatusNoContent,
		Access: api.Internal, Callers: []string{"user-service"}, Summary: "End every session of a user",
		Errors: []*errs.Error{errs.ErrNotFound},
	}
)

// Service is auth-service.
var Service = api.Service{
	Name: "auth-service", Title: "Authentication", Port: 8001, Database: "pyairtable_auth", Phase: 1,
	Streams: []string{stream},
	Ops: []api.Spec{
		Register.Spec(), Login.Spec(), LoginTOTP.Spec(), Refresh.Spec(), Logout.Spec(), LogoutAll.Spec(),
		ListSessions.Spec(), RevokeSession.Spec(), ListTenants.Spec(), SwitchTenant.Spec(),
		ChangePassword.Spec(), ForgotPassword.Spec(), ResetPassword.Spec(), VerifyEmail.Spec(), ResendVerification.Spec(),
		EnrolTOTP.Spec(), ConfirmTOTP.Spec(), DisableTOTP.Spec(), RenewRecoveryCodes.Spec(),
		CreateToken.Spec(), ListTokens.Spec(), GetToken.Spec(), RevokeToken.Spec(),
		ListProviders.Spec(), PublicKeys.Spec(), DevInbox.Spec(),
		ExchangePAT.Spec(), ServiceToken.Spec(), ExchangeToken.Spec(), RevokeUserSessions.Spec(), ProvisionAccount.Spec(),
	},
	Raw: []api.RawRoute{{
		Prefix: "/api/v1/auth/oidc/", Access: api.Public, Rate: api.RateAuth,
		Summary: "Sign in with a provider: /{provider}/start redirects to it, /{provider}/callback answers as login does",
	}},
}
