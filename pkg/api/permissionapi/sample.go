package permissionapi

import "github.com/pyairtable/pyairtable/pkg/events"

// ItemCreated says that an item was made. The subject is its id.
var ItemCreated = events.Type[ItemCreatedData]{
	Name: "com.pyairtable.permission.item_created.v1", Source: "/permission-service", Stream: stream,
}

// ItemCreatedData is the data of ItemCreated.
type ItemCreatedData struct {
	ItemID string `json:"item_id"`
	Name   string `json:"name"`
}
