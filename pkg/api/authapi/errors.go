package authapi

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/errs"
)

// Errors of signing in and up.
var (
	ErrEmailTaken = errs.New(errs.Conflict, "email_taken", "An account with this email exists.")
	// ErrBadCredentials is the answer for a wrong password and for an unknown
	// email alike.
	ErrBadCredentials   = errs.New(errs.Unauthenticated, "bad_credentials", "The email or the password is wrong.")
	ErrEmailNotVerified = errs.New(errs.Forbidden, "email_not_verified", "The email address has to be verified first.")
	ErrTooManyAttempts  = errs.New(errs.TooMany, "too_many_attempts", "Too many failed attempts; wait before the next one.").After(time.Second)
	// ErrBusy is the answer when more passwords wait to be checked than can be in
	// reasonable time.
	ErrBusy = errs.New(errs.Unavailable, "sign_in_busy", "Too many sign-ins at the moment.").After(2 * time.Second)
	// ErrWeakPassword names the rule in its field.
	ErrWeakPassword = errs.New(errs.Invalid, "weak_password", "This password cannot be used.")
	ErrBadEmail     = errs.New(errs.Invalid, "bad_email", "This is not an email address.")
)

// Errors of sessions and of the tokens that mails carry.
var (
	// ErrBadRefreshToken is the answer for an unknown, expired, revoked or reused
	// refresh token: the client has to sign in again.
	ErrBadRefreshToken = errs.New(errs.Unauthenticated, "bad_refresh_token", "The refresh token is not valid; sign in again.")
	ErrBadMailToken    = errs.New(errs.Invalid, "bad_mail_token", "The link is not valid any more; ask for a new one.")
	ErrNoPassword      = errs.New(errs.Conflict, "no_password", "The account has no password yet; set one by the forgotten-password mail.")
)

// Errors of switching to a tenant, and of refreshing a session in one.
var (
	ErrNotMember       = errs.New(errs.NotFound, "tenant_not_found", "There is no such tenant.")
	ErrTenantSuspended = errs.New(errs.Forbidden, "tenant_suspended", "The tenant is suspended; only its owners may enter it.")
	ErrMemberSuspended = errs.New(errs.Forbidden, "member_suspended", "The tenant has suspended your membership.")
	ErrMFARequired     = errs.New(errs.Forbidden, "mfa_required", "The tenant demands a second factor: enable one, and sign in with it.")
	ErrIPNotAllowed    = errs.New(errs.Forbidden, "ip_not_allowed", "The tenant cannot be entered from this address.")
	ErrSignInAgain     = errs.New(errs.Forbidden, "sign_in_again", "The tenant demands a fresher sign-in: sign in again.")
)

// Errors of the second factor.
var (
	ErrBadCode        = errs.New(errs.Unauthenticated, "bad_code", "The code is wrong, or was used already.")
	ErrBadMFAToken    = errs.New(errs.Unauthenticated, "bad_mfa_token", "The sign-in is not open any more; start again with the password.")
	ErrTOTPEnabled    = errs.New(errs.Conflict, "totp_enabled", "A second factor is enabled already.")
	ErrTOTPNotEnabled = errs.New(errs.Conflict, "totp_not_enabled", "No second factor is enabled.")
)

// Errors of tokens.
var (
	ErrBadScope      = errs.New(errs.Invalid, "bad_scope", "The scope does not exist.")
	ErrBadExpiry     = errs.New(errs.Invalid, "bad_expiry", "The expiry has to be in the future.")
	ErrTooManyTokens = errs.New(errs.Conflict, "too_many_tokens", "The account has as many tokens as it may have.")
	// ErrBadToken is the answer to a personal access token that is unknown,
	// expired or revoked.
	ErrBadToken   = errs.New(errs.Unauthenticated, "bad_token", "The token is not valid.")
	ErrAdminsOnly = errs.New(errs.Forbidden, "admins_only", "Only an owner or an admin of the tenant may do this.")
	// ErrServiceAccountNotFound is also the answer for the moment in which auth-service
	// has not heard of a new one yet.
	ErrServiceAccountNotFound = errs.New(errs.NotFound, "service_account_not_found", "The tenant has no such service account.")
	ErrBadClient              = errs.New(errs.Unauthenticated, "bad_client", "The service's name or secret is wrong.")
)

// Errors of sign-in with a provider.
var (
	ErrProviderFailed = errs.New(errs.Unauthenticated, "provider_failed", "The provider did not confirm the sign-in.")
	ErrBadOIDCState   = errs.New(errs.Malformed, "bad_oidc_state", "The sign-in was not started in this browser, or took too long.")
	// ErrLinkRefused protects an account from whoever registered somebody else's
	// address, and from a provider that does not verify addresses.
	ErrLinkRefused = errs.New(errs.Conflict, "link_refused", "An account with this email exists, but its email is not verified; verify it first.")
)
