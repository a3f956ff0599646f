package authapi

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
)

// RegisterRequest opens an account.
type RegisterRequest struct {
	Email    string `json:"email" format:"email" maxLength:"254" example:"ada@example.com"`
	Password string `json:"password" minLength:"8" maxLength:"72" doc:"At least 8 characters, at most 72 bytes, and none of the common ones."`
	Name     string `json:"name" minLength:"1" maxLength:"200" example:"Ada Lovelace"`
}

// User is an account as auth-service knows it; the profile is user-service's.
type User struct {
	ID            string    `json:"id" format:"uuid"`
	TenantID      string    `json:"tenant_id" format:"uuid" doc:"The user's personal tenant."`
	Email         string    `json:"email" format:"email"`
	EmailVerified bool      `json:"email_verified"`
	Name          string    `json:"name"`
	CreatedAt     time.Time `json:"created_at"`
}

// LoginRequest is the first step of signing in.
type LoginRequest struct {
	Email    string `json:"email" maxLength:"254"`
	Password string `json:"password" maxLength:"1024"`
}

// LoginAnswer holds tokens, or, when the account has a second factor,
// MFARequired with the token for the second step.
type LoginAnswer struct {
	AccessToken  string `json:"access_token,omitempty" doc:"A JWT; send it as Authorization: Bearer."`
	TokenType    string `json:"token_type,omitempty" enum:"Bearer"`
	ExpiresIn    int    `json:"expires_in,omitempty" doc:"Seconds that the access token lives."`
	RefreshToken string `json:"refresh_token,omitempty" doc:"Good for one refresh."`
	SessionID    string `json:"session_id,omitempty" format:"uuid"`
	MFARequired  bool   `json:"mfa_required,omitempty"`
	MFAToken     string `json:"mfa_token,omitempty" doc:"For the second step; lives five minutes."`
}

// TOTPLoginRequest is the second step of signing in.
type TOTPLoginRequest struct {
	MFAToken string `json:"mfa_token" maxLength:"100"`
	Code     string `json:"code" maxLength:"40" doc:"The authenticator's six digits, or a recovery code."`
}

// RefreshRequest exchanges a refresh token.
type RefreshRequest struct {
	RefreshToken string `json:"refresh_token" maxLength:"100"`
}

// Tokens are what a session is used with.
type Tokens struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type" enum:"Bearer"`
	ExpiresIn    int    `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
	SessionID    string `json:"session_id" format:"uuid"`
}

// SwitchRequest names the tenant to go on in.
type SwitchRequest struct {
	TenantID string `json:"tenant_id" format:"uuid"`
}

// Tenants are what a user may switch to.
type Tenants struct {
	Items []TenantChoice `json:"items" nullable:"false"`
}

// TenantChoice is one of them.
type TenantChoice struct {
	TenantID   string `json:"tenant_id" format:"uuid"`
	Kind       string `json:"kind" enum:"personal,organisation"`
	Name       string `json:"name" doc:"Empty for the user's own, until tenant-service has told it."`
	Slug       string `json:"slug"`
	Status     string `json:"status" enum:"active,suspended,deleting" doc:"Also suspended if the user is, in a tenant that is not."`
	Role       string `json:"role" enum:"owner,admin,member,guest"`
	RequireMFA bool   `json:"require_mfa"`
	Current    bool   `json:"current" doc:"Whether the request came from a session in it."`
}

// Session is one signed-in device.
type Session struct {
	ID         string    `json:"id" format:"uuid"`
	Current    bool      `json:"current" doc:"Whether the request came from this session."`
	Method     string    `json:"method" doc:"How it was signed in: password, or oidc: and the provider's name."`
	UserAgent  string    `json:"user_agent"`
	IP         string    `json:"ip"`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at"`
	ExpiresAt  time.Time `json:"expires_at"`
}

// SessionRef names a session.
type SessionRef struct {
	ID string `path:"id" format:"uuid"`
}

// PasswordChange replaces the password of the signed-in user.
type PasswordChange struct {
	CurrentPassword string `json:"current_password" maxLength:"1024"`
	NewPassword     string `json:"new_password" minLength:"8" maxLength:"72"`
}

// MailRequest asks for a mail to an address, whether or not anybody has it.
type MailRequest struct {
	Email string `json:"email" format:"email" maxLength:"254"`
}

// PasswordReset sets a new password with the token from a mail.
type PasswordReset struct {
	Token       string `json:"token" maxLength:"100"`
	NewPassword string `json:"new_password" minLength:"8" maxLength:"72"`
}

// EmailVerification proves an address with the token from a mail.
type EmailVerification struct {
	Token string `json:"token" maxLength:"100"`
}

// TOTPEnrolment is a second factor that waits to be confirmed by a first code.
type TOTPEnrolment struct {
	Secret string `json:"secret" doc:"For typing into an authenticator, base32."`
	URI    string `json:"uri" doc:"For a QR code: otpauth://totp/..."`
}

// CodeRequest carries an authenticator's code or a recovery code.
type CodeRequest struct {
	Code string `json:"code" maxLength:"40"`
}

// RecoveryCodes are shown once; each replaces an authenticator's code once.
type RecoveryCodes struct {
	Codes []string `json:"recovery_codes" nullable:"false"`
}

// TokenRequest makes a personal access token.
type TokenRequest struct {
	Name      string    `json:"name" minLength:"1" maxLength:"200"`
	Scopes    []string  `json:"scopes" minItems:"1" maxItems:"50" nullable:"false" example:"[\"data.records:read\"]" doc:"What it may do, named as Airtable names them."`
	Bases     []string  `json:"bases" minItems:"1" maxItems:"500" nullable:"false" doc:"Ids of the bases it may see; [\"*\"] for all."`
	ExpiresAt time.Time `json:"expires_at,omitzero" required:"false" doc:"Without it the token lives until it is revoked."`
	// ServiceAccountID is a member's user_id at tenant-service.
	ServiceAccountID string `json:"service_account_id,omitempty" format:"uuid" doc:"The user_id of a service account of the tenant, whose token it is to be; for owners and admins."`
}

// TokensQuery lists tokens.
type TokensQuery struct {
	api.PageQuery
	ServiceAccountID string `query:"service_account_id" format:"uuid" doc:"Those of a service account instead of one's own; for owners and admins."`
}

// PersonalAccessToken describes a token; its secret is not kept.
type PersonalAccessToken struct {
	ID         string    `json:"id" format:"uuid"`
	Name       string    `json:"name"`
	Prefix     string    `json:"prefix" doc:"The part before the dot, to tell tokens apart."`
	Scopes     []string  `json:"scopes" nullable:"false"`
	Bases      []string  `json:"bases" nullable:"false"`
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
	LastUsedAt time.Time `json:"last_used_at,omitzero" doc:"To the minute."`
}

// NewToken is a token that was just made, with its secret: the only time it is
// shown.
type NewToken struct {
	PersonalAccessToken
	Token string `json:"token" example:"patAbCdEfGhIjKlMn.0123..."`
}

// NewTokenAnswer is the answer of CreateToken.
type NewTokenAnswer struct {
	Location string `header:"Location"`
	Body     NewToken
}

// TokenRef names a personal access token.
type TokenRef struct {
	ID               string `path:"id" format:"uuid"`
	ServiceAccountID string `query:"service_account_id" format:"uuid" doc:"The service account whose token it is, unless it is one's own."`
}

// Providers are the configured OpenID providers.
type Providers struct {
	Items []Provider `json:"items" nullable:"false"`
}

// Provider is one of them. A browser is sent to StartURL.
type Provider struct {
	Name     string `json:"name"`
	StartURL string `json:"start_url"`
}

// JWK is a public Ed25519 key (RFC 8037).
type JWK struct {
	KeyType   string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	KeyID     string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
}

// JWKS is a key set (RFC 7517).
type JWKS struct {
	Keys []JWK `json:"keys" nullable:"false"`
}

// JWKSAnswer is the answer of PublicKeys.
type JWKSAnswer struct {
	CacheControl string `header:"Cache-Control"`
	Body         JWKS
}

// PATExchange carries a personal access token as the client sent it.
type PATExchange struct {
	Token string `json:"token" maxLength:"200"`
}

// PATAnswer is the short-lived JWT that stands for a personal access token.
type PATAnswer struct {
	AccessToken string    `json:"access_token"`
	ExpiresAt   time.Time `json:"expires_at"`
	TokenID     string    `json:"token_id" format:"uuid" doc:"What a revocation will name."`
	// IPRanges is for the gateway, which alone knows where a request comes from.
	IPRanges []string `json:"ip_ranges,omitempty" doc:"Networks (CIDR) from which the tenant lets the token be used; absent for any."`
}

// ServiceTokenRequest are a service's own credentials.
type ServiceTokenRequest struct {
	Client string `json:"client" maxLength:"100" example:"api-gateway"`
	Secret string `json:"secret" maxLength:"200"`
}

// ServiceTokenAnswer is a token that says which service calls.
type ServiceTokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
}

// The values of RFC 8693 that ExchangeToken knows.
const (
	GrantTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	TypeAccessToken    = "urn:ietf:params:oauth:token-type:access_token"
)

// TokenExchange asks for a user's token with which the calling service acts for
// that user (RFC 8693, as JSON). The actor is the caller's own token.
type TokenExchange struct {
	GrantType        string `json:"grant_type" enum:"urn:ietf:params:oauth:grant-type:token-exchange"`
	SubjectToken     string `json:"subject_token" maxLength:"8192"`
	SubjectTokenType string `json:"subject_token_type" enum:"urn:ietf:params:oauth:token-type:access_token"`
	Audience         string `json:"audience,omitempty" enum:"pyairtable" doc:"Who the token is for: the fleet, which is also the default."`
}

// TokenExchangeAnswer is the user's token with the acting service in act. It
// never outlives the subject token.
type TokenExchangeAnswer struct {
	AccessToken     string `json:"access_token"`
	IssuedTokenType string `json:"issued_token_type"`
	TokenType       string `json:"token_type"`
	ExpiresIn       int    `json:"expires_in"`
}

// UserRef names a user.
type UserRef struct {
	ID string `path:"id" format:"uuid"`
}

// InboxQuery narrows the dev inbox to one address.
type InboxQuery struct {
	To    string `query:"to" maxLength:"254"`
	Limit int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

// Inbox is what was mailed, newest first.
type Inbox struct {
	Items []Mail `json:"items" nullable:"false"`
}

// Mail is one mail of the dev inbox.
type Mail struct {
	ID      string    `json:"id" format:"uuid"`
	To      string    `json:"to"`
	Kind    string    `json:"kind"`
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
	Token   string    `json:"token,omitempty" doc:"The token that the mail's link carries."`
	At      time.Time `json:"at"`
}

// SessionPage and TokenPage are the lists' answers.
type (
	SessionPage = api.Page[Session]
	TokenPage   = api.Page[PersonalAccessToken]
)
