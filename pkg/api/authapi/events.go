package authapi

import "github.com/pyairtable/pyairtable/pkg/events"

const (
	source = "/auth-service"
	stream = "auth"
)

// UserRegistered says that an account was opened, and with it the user's
// personal tenant, which is the event's. Its subject is the user, version 1.
var UserRegistered = events.Type[UserRegisteredData]{Name: "com.pyairtable.user.registered.v1", Source: source, Stream: stream}

// UserRegisteredData is the data of UserRegistered.
type UserRegisteredData struct {
	UserID        string `json:"user_id"`
	TenantID      string `json:"tenant_id"`
	Email         string `json:"email"`
	EmailVerified bool   `json:"email_verified"`
	Name          string `json:"name"`
}

// EmailVerified says that a user has proved to read the mail of the address.
var EmailVerified = events.Type[EmailVerifiedData]{Name: "com.pyairtable.user.email_verified.v1", Source: source, Stream: stream}

// EmailVerifiedData is the data of EmailVerified.
type EmailVerifiedData struct {
	UserID string `json:"user_id"`
	Email  string `json:"email"`
}

// SignedIn says that a session began. Its subject is the session.
var SignedIn = events.Type[SignedInData]{Name: "com.pyairtable.session.started.v1", Source: source, Stream: stream}

// SignedInData is the data of SignedIn.
type SignedInData struct {
	UserID    string `json:"user_id"`
	SessionID string `json:"session_id"`
	Method    string `json:"method"`
	IP        string `json:"ip"`
}

// CredentialsChanged says that what a user signs in with has changed.
var CredentialsChanged = events.Type[CredentialsChangedData]{Name: "com.pyairtable.user.credentials_changed.v1", Source: source, Stream: stream}

// CredentialsChangedData is the data of CredentialsChanged.
type CredentialsChangedData struct {
	UserID string `json:"user_id"`
	// What is password_changed, password_reset, totp_enabled, totp_disabled,
	// recovery_codes_renewed, recovery_code_used, provider_linked, token_created,
	// token_revoked or refresh_token_reused.
	What string `json:"what"`
	// ID names the token or the session, if it is about one.
	ID string `json:"id,omitempty"`
}
