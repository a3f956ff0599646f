package workspaceapi

import "github.com/pyairtable/pyairtable/pkg/events"

// ItemCreated says that an item was made. The subject is its id.
var ItemCreated = events.Type[ItemCreatedData]{
	Name: "com.pyairtable.workspace.item_created.v1", Source: "/workspace-service", Stream: stream,
}

// ItemCreatedData is the data of ItemCreated.
type ItemCreatedData struct {
	ItemID string `json:"item_id"`
	Name   string `json:"name"`
}
