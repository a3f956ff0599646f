package airtableapi_test

import (
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/eventstest"
)

func TestRecordEvents_AreTheirSamples(t *testing.T) {
	t.Parallel()
	const known = `{"base_id":"app1","table_id":"tbl1","record_id":"rec1","changed_field_ids":["fld1"],` +
		`"old_cells":{"fld1":1},"new_cells":{"fld1":"x"},"actor_id":"u"}`
	const unknown = `{"base_id":"app1","table_id":"T","record_id":"rec1","changed_field_ids":[],"old_cells":{},"new_cells":{},` +
		`"old_cells_unknown":true,"new_cells_unknown":true}`
	for _, sample := range []string{known, unknown} {
		eventstest.Sample(t, airtableapi.RecordCreated, sample)
		eventstest.Sample(t, airtableapi.RecordUpdated, sample)
		eventstest.Sample(t, airtableapi.RecordDeleted, sample)
	}
}
