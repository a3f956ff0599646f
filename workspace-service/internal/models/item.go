// Package models holds the rules of workspace-service that need no I/O.
package models

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/id"
)

type item struct{}

// ItemID names an item.
type ItemID = id.ID[item]

// Item is a sample of what the service owns.
type Item struct {
	ID        ItemID
	Tenant    id.TenantID
	Name      string
	CreatedAt time.Time
}

// NewItem returns an item that is made now.
func NewItem(tenant id.TenantID, name string, now time.Time) Item {
	return Item{ID: id.New[item](), Tenant: tenant, Name: name, CreatedAt: now.UTC().Truncate(time.Microsecond)}
}
