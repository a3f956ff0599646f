package models

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/id"
)

type watch struct{}

// WatchID names a watch in the address that Airtable pings.
type WatchID = id.ID[watch]

// NewWatchID returns a new one.
func NewWatchID() WatchID { return id.New[watch]() }

// WatchKey says what is watched: a base, as one connection reaches it.
type WatchKey struct {
	Tenant     id.TenantID  `json:"tenant"`
	Connection ConnectionID `json:"connection"`
	Base       string       `json:"base"`
}

// Watch is the webhook by which the gateway hears of changes that are made to a base of
// an Airtable account without it.
type Watch struct {
	WatchKey
	ID        WatchID
	Webhook   WebhookID // "": there is none yet
	Secret    []byte    // sealed
	Cursor    int64     // of the next payload
	ExpiresAt time.Time // zero: there is no webhook, or it does not expire
	Refused   string    // what Airtable said when it refused the webhook; "": it did not
	UsedAt    time.Time // when the base was read last, to the hour
	CheckAt   time.Time // when to look after the webhook next
	Pinged    int64
	Handled   int64     // of Pinged
	PingedAt  time.Time // zero: never
}

// SealContext binds the sealed secret to this watch: it opens nowhere else.
func (w Watch) SealContext() []byte {
	return []byte("airtable-gateway/watch/" + w.Tenant.String() + "/" + w.ID.String())
}
