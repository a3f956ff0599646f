package airtableapi_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// The sample is what other services, of another version maybe, read.
func TestConnectionEvents_AreTheirSample(t *testing.T) {
	t.Parallel()
	const text = `{"connection_id":"c","name":"n","kind":"airtable","api_url":"https://api.airtable.com","status":"active","actor_id":"a"}`
	data := airtableapi.ConnectionChanged{
		ConnectionID: "c", Name: "n", Kind: airtableapi.KindAirtable, APIURL: "https://api.airtable.com",
		Status: airtableapi.StatusActive, ActorID: "a",
	}
	for _, kind := range []events.Type[airtableapi.ConnectionChanged]{
		airtableapi.ConnectionCreated, airtableapi.ConnectionUpdated, airtableapi.ConnectionDeleted,
	} {
		e := kind.New(t.Context(), id.New[id.Tenant](), "c", 1, data)
		if string(e.Data) != text {
			t.Errorf("%s renders %s, the sample is %s", kind.Name, e.Data, text)
		}
		back, err := kind.Decode(e)
		if diff := cmp.Diff(data, back); err != nil || diff != "" {
			t.Error(kind.Name, err, diff)
		}
	}
}
