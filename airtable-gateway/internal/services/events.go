package services

import (
	"context"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// tell is the event of the type about c as it is now; by is zero for the system.
func tell(ctx context.Context, t events.Type[airtableapi.ConnectionChanged], c models.Connection, by id.UserID) events.Event {
	return t.New(ctx, c.Tenant, c.ID.String(), c.Version, airtableapi.ConnectionChanged{
		ConnectionID: c.ID.String(), Name: c.Name, Kind: string(c.Kind), APIURL: c.APIURL,
		Status: string(c.Status), ActorID: by.String(),
	})
}
