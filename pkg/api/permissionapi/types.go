package permissionapi

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
)

// Item is a sample of what the service owns.
type Item struct {
	ID        string    `json:"id" format:"uuid"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
}

// NewItem is what an item is made of.
type NewItem struct {
	Name string `json:"name" minLength:"1" maxLength:"100"`
}

// CreatedItem is the answer to CreateItem.
type CreatedItem struct {
	Location string `header:"Location"`
	Body     Item
}

// ItemRef names an item.
type ItemRef struct {
	ID string `path:"id" format:"uuid"`
}

// ItemPage is a page of items.
type ItemPage = api.Page[Item]
