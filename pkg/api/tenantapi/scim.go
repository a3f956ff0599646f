package tenantapi

import (
	"net/http"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
)

// SCIM is where directories provision the users and groups of a tenant (RFC 7643 and
// 7644), each with a token of that tenant.
var SCIM = api.RawRoute{
	Prefix: "/scim/v2/", Access: api.Own,
	Summary: "SCIM 2.0: Users, Groups, ServiceProviderConfig, ResourceTypes and Schemas of the tenant whose SCIM token is sent",
}

// Errors of SCIM tokens.
var (
	ErrSCIMTokenNotFound = errs.New(errs.NotFound, "scim_token_not_found", "There is no such token.")
	ErrTooManySCIMTokens = errs.New(errs.Conflict, "too_many_scim_tokens", "The tenant has as many tokens as it may have; revoke one first.")
)

const (
	scimTokens = tenant + "/scim-tokens"
	scimToken  = scimTokens + "/{token_id}"
)

// SCIM tokens.
var (
	CreateSCIMToken = api.Op[NewSCIMToken, SCIMTokenMade]{
		Name: "createScimToken", Method: http.MethodPost, Path: scimTokens, Status: http.StatusCreated,
		Summary: "Make a token with which a directory provisions the tenant",
		Description: "By owners and admins. Who has the token may what an admin may, but for owners. It is shown in this answer only; " +
			"there is no Idempotency-Key here, since the answer must not be stored.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrAdminsOnly, ErrPersonalTenant, ErrTenantDeleting, ErrTenantSuspended, ErrTooManySCIMTokens},
	}
	ListSCIMTokens = api.Op[SCIMTokensQuery, SCIMTokenPage]{
		Name: "listScimTokens", Method: http.MethodGet, Path: scimTokens,
		Summary: "List a tenant's SCIM tokens", Description: "By owners, admins and who has directories.manage; oldest first.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrAdminsOnly},
	}
	RotateSCIMToken = api.Op[SCIMTokenRef, NewSecret]{
		Name: "rotateScimToken", Method: http.MethodPost, Path: scimToken + "/rotate",
		Summary: "Replace a SCIM token", Description: "The one before is void at once. To change without a gap, make a second token first.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrAdminsOnly, ErrTenantDeleting, ErrTenantSuspended, ErrSCIMTokenNotFound},
	}
	RevokeSCIMToken = api.Op[SCIMTokenRef, struct{}]{
		Name: "revokeScimToken", Method: http.MethodDelete, Path: scimToken, Status: http.StatusNoContent,
		Summary: "Revoke a SCIM token", Errors: []*errs.Error{ErrTenantNotFound, ErrAdminsOnly, ErrSCIMTokenNotFound},
	}
)

// NewSCIMToken makes a SCIM token.
type NewSCIMToken struct {
	TenantRef
	Body SCIMTokenDraft
}

// SCIMTokenDraft is what a SCIM token is made of.
type SCIMTokenDraft struct {
	Name      string    `json:"name" minLength:"1" maxLength:"200" example:"Our directory"`
	ExpiresAt time.Time `json:"expires_at,omitzero" required:"false" doc:"Without it the token lives until it is revoked."`
}

// SCIMToken describes a token; its secret is not kept.
type SCIMToken struct {
	ID         string    `json:"id" format:"uuid"`
	Name       string    `json:"name"`
	CreatedBy  string    `json:"created_by" format:"uuid"`
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
	LastUsedAt time.Time `json:"last_used_at,omitzero" doc:"To the minute."`
}

// NewSecret is a SCIM token with its secret: the only time it is shown.
type NewSecret struct {
	SCIMToken
	Token string `json:"token" example:"scim_..."`
}

// SCIMTokenMade is the answer of CreateSCIMToken.
type SCIMTokenMade struct {
	Location string `header:"Location"`
	Body     NewSecret
}

// SCIMTokenRef names a SCIM token.
type SCIMTokenRef struct {
	TenantRef
	TokenID string `path:"token_id" format:"uuid"`
}

// SCIMTokensQuery lists SCIM tokens.
type SCIMTokensQuery struct {
	TenantRef
	api.PageQuery
}

// SCIMTokenPage is the answer of ListSCIMTokens.
type SCIMTokenPage = api.Page[SCIMToken]

// SCIMTokenChanged says that a SCIM token was made, replaced or revoked. Its subject is
// the token.
var SCIMTokenChanged = events.Type[SCIMTokenChangedData]{Name: "com.pyairtable.scim_token.changed.v1", Source: source, Stream: stream}

// SCIMTokenChangedData is the data of SCIMTokenChanged.
type SCIMTokenChangedData struct {
	TokenID  string `json:"token_id"`
	TenantID string `json:"tenant_id"`
	What     string `json:"what"` // created, rotated or revoked
	Name     string `json:"name"`
	ActorID  string `json:"actor_id,omitempty"`
}
