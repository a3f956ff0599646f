package policy

import (
	"testing"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
)

// What tells of the last change of any field tells of hidden ones; what names the fields
// that it looks at tells of these alone.
func TestCompile_TimesOfLastChangeAreHiddenWithWhatTheyTellOf(t *testing.T) {
	t.Parallel()
	s, err := readSchema(upstream.Answer{Body: []byte(`{"tables":[{"id":"tblA","name":"A","primaryFieldId":"fldName","fields":[
		{"id":"fldName","name":"Name","type":"singleLineText"},
		{"id":"fldPay","name":"Pay","type":"number"},
		{"id":"fldAny","name":"Any","type":"lastModifiedTime","options":{"isValid":true,"referencedFieldIds":[]}},
		{"id":"fldWho","name":"Who","type":"lastModifiedBy"},
		{"id":"fldOfName","name":"Of name","type":"lastModifiedTime","options":{"isValid":true,"referencedFieldIds":["fldName"]}},
		{"id":"fldOfPay","name":"Of pay","type":"lastModifiedTime","options":{"isValid":true,"referencedFieldIds":["fldPay"]}},
		{"id":"fldWhen","name":"When","type":"formula","options":{"formula":"DATESTR(last_modified_time( ))","referencedFieldIds":[]}},
		{"id":"fldWhenName","name":"When name","type":"formula","options":{"formula":"LAST_MODIFIED_TIME({fldName})","referencedFieldIds":["fldName"]}},
		{"id":"fldMade","name":"Made","type":"createdTime"}],"views":[{"id":"viwLate","name":"Late"},{"id":"viwNamed","name":"Named"}]},
		{"id":"tblB","name":"B","primaryFieldId":"fldB","fields":[{"id":"fldB","name":"B","type":"singleLineText"},
		{"id":"fldBAny","name":"Any","type":"lastModifiedTime"}],"views":[{"id":"viwLateB","name":"Late"}]}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	all := func(string) bool { return true }
	p := permissionapi.Policy{Tables: []permissionapi.TablePolicy{{TableID: "tblA", Hidden: []string{"fldPay"}}}}
	sight := compile(s, p, "usrA", all, all, func(id string) ([]string, bool) {
		v := models.View{Filter: "LAST_MODIFIED_TIME()>'2026-01-01'"}
		if id == "viwNamed" {
			v.Filter = "LAST_MODIFIED_TIME({fldName})>'2026-01-01'"
		}
		return fieldsOf(v), true
	})
	for id, seen := range map[string]bool{"viwLate": false, "viwNamed": true, "viwLateB": true} {
		if got := (&seer{sight: sight}).withView(id) != nil; got != seen {
			t.Errorf("%s seen: %v", id, got)
		}
	}
	for table, fields := range map[string]map[string]bool{
		"tblA": {"fldName": false, "fldPay": true, "fldAny": true, "fldWho": true, "fldOfName": false, "fldOfPay": true, "fldWhen": true, "fldWhenName": false, "fldMade": false},
		"tblB": {"fldB": false, "fldBAny": false},
	} {
		for f, hidden := range fields {
			if got := sight.tables[table].hidden[f]; got != hidden {
				t.Errorf("%s hidden: %v", f, got)
			}
		}
	}
	v := &seer{sight: sight, local: true}
	for text, ok := range map[string]bool{
		"LAST_MODIFIED_TIME()>'2026-01-01'": false, "IS_AFTER(Last_Modified_Time ( ),TODAY())": false, "LAST_MODIFIED_TIME({Name})>'2026-01-01'": true,
	} {
		if _, err := v.formula(sight.tables["tblA"], text); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := v.formula(sight.tables["tblB"], "LAST_MODIFIED_TIME()>'2026-01-01'"); err != nil {
		t.Errorf("where nothing is hidden: %v", err)
	}
}
