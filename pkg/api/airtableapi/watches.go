package airtableapi

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// ListWatches tells how the gateway hears of changes that are made without it.
var ListWatches = api.Op[WatchesQuery, WatchPage]{
	Name: "listAirtableWatches", Method: "GET", Path: connections + "/{id}/watches",
	Summary:     "List the bases whose changes Airtable tells of",
	Description: "Every base that was read through the connection in the last week, by its id, with the state of its webhook at Airtable.",
	Errors:      []*errs.Error{ErrMembersOnly, ErrConnectionNotFound},
}

// WatchesQuery asks for a page of watches.
type WatchesQuery struct {
	ConnectionPath
	api.PageQuery
}

// WatchPage is a page of watches.
type WatchPage = api.Page[Watch]

// States of a watch.
const (
	WatchWaiting   = "waiting"   // its webhook is yet to be made
	WatchListening = "listening" // Airtable tells of changes
	WatchRefused   = "refused"   // Airtable made no webhook; it is asked again a day later
)

// Watch is a base whose changes Airtable tells of.
type Watch struct {
	BaseID    string    `json:"base_id"`
	State     string    `json:"state" enum:"waiting,listening,refused"`
	Reason    string    `json:"reason,omitempty" doc:"Why Airtable refused the webhook, in its words."`
	WebhookID string    `json:"webhook_id,omitempty"`
	ExpiresAt time.Time `json:"expires_at,omitzero" doc:"When the webhook would end if it were not renewed."`
	HeardAt   time.Time `json:"heard_at,omitzero" doc:"When Airtable last told of a change."`
	UsedAt    time.Time `json:"used_at" doc:"When the base was read last, to the hour."`
}
