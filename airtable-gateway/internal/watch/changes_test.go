package watch

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChanged_NamesTablesOnlyWhereNothingButRecordsChanged(t *testing.T) {
	t.Parallel()
	records := `"createdRecordsById":{"rec1":{}},"changedRecordsById":{},"destroyedRecordIds":["rec2"]`
	for name, c := range map[string]struct {
		payloads string
		any      bool
		tables   []string
	}{
		"nothing":                   {``, false, nil},
		"records":                   {`{"changedTablesById":{"tblA":{` + records + `}}},{"changedTablesById":{"tblA":{"destroyedRecordIds":[]}}}`, true, []string{"tblA"}},
		"a new field":               {`{"changedTablesById":{"tblA":{` + records + `,"createdFieldsById":{}}}}`, true, nil},
		"a name":                    {`{"changedTablesById":{"tblA":{"changedMetadata":{}}}}`, true, nil},
		"something new":             {`{"changedTablesById":{"tblA":{"changedDashboards":{}}}}`, true, nil},
		"no object":                 {`{"changedTablesById":{"tblA":[]}}`, true, nil},
		"a new table":               {`{"changedTablesById":{"tblA":{` + records + `}},"createdTablesById":{"tblB":{}}}`, true, nil},
		"a table less":              {`{"destroyedTableIds":["tblB"]}`, true, nil},
		"an error":                  {`{"error":true,"code":"INVALID_HOOK"}`, true, nil},
		"a payload without a table": {`{"timestamp":"2026-01-01T00:00:00.000Z"}`, true, nil},
	} {
		var p payloadPage
		if err := json.Unmarshal([]byte(`{"payloads":[`+c.payloads+`],"cursor":2}`), &p); err != nil {
			t.Fatal(err)
		}
		if got := p.changed(); got.any != c.any || cmp.Diff(c.tables, got.tables) != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
