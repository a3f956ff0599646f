package authapi

import (
	"net/http"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// ProvisionAccount gives tenant-service the account of an address that a directory has
// named. A new one has no password: its owner sets one by the mail that he is sent, or
// by asking for another one.
//
// An account that exists is given only to who may link it, and then only if its address
// is verified: whoever opened it may not be the address's owner otherwise. One that
// nobody can have signed in to, since it never had a password nor a provider, is given
// to everybody.
var ProvisionAccount = api.Op[AccountRequest, ProvisionedAccount]{
	Name: "provisionAccount", Method: http.MethodPost, Path: "/internal/v1/users",
	Access: api.Internal, Callers: []string{"tenant-service"}, Summary: "Find or open the account of an address that a directory names",
	Errors: []*errs.Error{ErrBadEmail, ErrEmailTaken, ErrLinkRefused},
}

// AccountRequest names an account by its address.
type AccountRequest struct {
	Email  string `json:"email" maxLength:"254"`
	Name   string `json:"name,omitempty" maxLength:"200" doc:"Of a new account; made of the address if absent."`
	Tenant string `json:"tenant" maxLength:"200" doc:"What the organisation is called, for the mail."`
	Link   bool   `json:"link" doc:"Whether an account that somebody uses may be given."`
}

// ProvisionedAccount is an account.
type ProvisionedAccount struct {
	UserID  string `json:"user_id" format:"uuid"`
	Created bool   `json:"created"`
}
