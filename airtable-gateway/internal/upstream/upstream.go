// Package upstream says what stands behind the gateway: something that answers
// Airtable Web API calls. There are two: the real API (package airtable) and
// the base store in this service's own database (package local).
package upstream

import (
	"context"
	"net/http"

	"github.com/pyairtable/pyairtable/pkg/id"
)

// Op is what a call does, read off its method and path by package v0.
type Op string

// The operations of the Airtable Web API that are told apart. Other is any path
// that the gateway does not know and passes through to a real upstream.
const (
	Whoami        Op = "whoami"
	ListBases     Op = "list_bases"
	CreateBase    Op = "create_base"
	BaseSchema    Op = "base_schema"
	CreateTable   Op = "create_table"
	UpdateTable   Op = "update_table"
	CreateField   Op = "create_field"
	UpdateField   Op = "update_field"
	ListRecords   Op = "list_records"
	GetRecord     Op = "get_record"
	CreateRecords Op = "create_records"
	UpdateRecords Op = "update_records" // PATCH and PUT, single and batch, upsert
	DeleteRecords Op = "delete_records"

	ListComments  Op = "list_comments"
	CreateComment Op = "create_comment"
	UpdateComment Op = "update_comment"
	DeleteComment Op = "delete_comment"

	ListViews  Op = "list_views"
	FetchView  Op = "fetch_view"
	DeleteView Op = "delete_view"

	ListWebhooks   Op = "list_webhooks"
	CreateWebhook  Op = "create_webhook"
	DeleteWebhook  Op = "delete_webhook"
	EnableWebhook  Op = "enable_webhook" // its notifications, on or off
	RefreshWebhook Op = "refresh_webhook"
	ListPayloads   Op = "list_payloads"

	UploadAttachment Op = "upload_attachment"

	Other Op = "other"
)

// Caller is on whose behalf a call is made.
type Caller struct {
	Tenant id.TenantID
	User   id.UserID
}

// Call is one Airtable Web API request, its path already taken apart. Names in
// it are unescaped. Path and RawQuery keep what the client sent, so that a real
// upstream gets it byte for byte.
type Call struct {
	Op     Op
	Caller Caller

	Method   string
	Path     string // escaped, from /v0 on, without a trailing slash
	RawQuery string
	Header   http.Header
	Body     []byte

	Attempt int  // 0 for the first try, counted on by whoever repeats a call
	Refresh bool // nobody waits for the answer: it renews what is kept

	// Authors are the users whose records a write carries, in the order of its
	// records, when it carries those of several. Nil: all are Caller's.
	Authors []id.UserID
	// MayBeDone says that an earlier try may have been executed.
	MayBeDone bool
	// Keyed says that every record of an upsert has a key that no other record ever
	// has: executing it twice leaves what once leaves.
	Keyed bool

	Base   string // app…
	Table  string // id or name
	Record string // rec…; "" for a batch
	Field  string // id or name

	Comment string // com…
	View    string // viw…
	Webhook string // ach…

	Scopes []string // of the caller's token; nil: all
}

// Answer is what Airtable would send back: status, headers worth keeping and
// the body. An error of Airtable's is an Answer too, not a Go error.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte

	Kept   bool // an earlier call's answer: the upstream was not asked now
	Denied bool // refused by the gateway itself, to somebody who may not do it or does not see it
}

// Upstream answers calls. An error means that no answer was obtained (the
// upstream is away, or the caller's context ended): the caller of Do cannot know
// whether a write was applied.
type Upstream interface {
	Do(ctx context.Context, c Call) (Answer, error)
}
