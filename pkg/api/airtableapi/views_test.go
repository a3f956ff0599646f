package airtableapi_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// The sample is what other services, of another version maybe, read.
func TestViewEvents_AreTheirSample(t *testing.T) {
	t.Parallel()
	const text = `{"base_id":"appA","table_id":"tblA","view_id":"viwA","name":"Open","type":"grid","filter":"{fldA}\u003e1",` +
		`"sort":[{"field":"fldA"},{"field":"fldB","desc":true}],"field_order":["fldB"],"hidden_field_ids":[],"actor_id":"a"}`
	data := airtableapi.ViewChanged{
		BaseID: "appA", TableID: "tblA", ViewID: "viwA", Name: "Open", Type: "grid", Filter: "{fldA}>1",
		Sort: []airtableapi.ViewSort{{Field: "fldA"}, {Field: "fldB", Desc: true}}, FieldOrder: []string{"fldB"}, HiddenFieldIDs: []string{},
		ActorID: "a",
	}
	for _, kind := range []events.Type[airtableapi.ViewChanged]{airtableapi.ViewCreated, airtableapi.ViewUpdated, airtableapi.ViewDeleted} {
		e := kind.New(t.Context(), id.New[id.Tenant](), "viwA", 1, data)
		if string(e.Data) != text {
			t.Errorf("%s renders %s, the sample is %s", kind.Name, e.Data, text)
		}
		back, err := kind.Decode(e)
		if diff := cmp.Diff(data, back); err != nil || diff != "" {
			t.Error(kind.Name, err, diff)
		}
	}
}
