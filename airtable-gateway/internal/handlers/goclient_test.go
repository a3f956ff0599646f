package handlers_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	mehanizm "github.com/mehanizm/airtable"
)

// The Go client of Airtable's API, unchanged but for its base URL. The Python and
// the JavaScript one run through the whole fleet, in pyairtable/e2e.
func TestSurface_ServesTheGoClient(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna := f.owner(t)
	base := anna.shop(t)
	client := mehanizm.NewClient(anna.pat(t, "data.records:read data.records:write schema.bases:read", base).token)
	client.SetRateLimit(1000)
	if err := client.SetBaseURL(f.url + "/v0"); err != nil {
		t.Fatal(err)
	}
	bases, err := client.GetBases().WithOffset("").Do()
	if err != nil || len(bases.Bases) != 1 {
		t.Fatalf("bases: %v, %v", bases, err)
	}
	schema, err := client.GetBaseSchema(base).Do()
	if err != nil || len(schema.Tables) != 2 {
		t.Fatalf("schema: %v, %v", schema, err)
	}
	table := client.GetTable(base, "Customers")
	var ids []string
	for i := range 3 {
		records := &mehanizm.Records{}
		for j := range 8 {
			records.Records = append(records.Records, &mehanizm.Record{Fields: map[string]any{"Name": fmt.Sprint("c", i, j)}})
		}
		made, err := table.AddRecords(records)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range made.Records {
			ids = append(ids, r.ID)
		}
	}
	var got []string
	for offset := ""; ; {
		page, err := table.GetRecords().WithOffset(offset).PageSize(10).WithSort(struct{ FieldName, Direction string }{"Name", "asc"}).ReturnFields("Name").Do()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			got = append(got, r.ID)
		}
		if offset = page.Offset; offset == "" {
			break
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(ids) {
		t.Errorf("walked %v\nmade   %v", got, ids)
	}
	record, err := table.GetRecord(ids[0])
	if err != nil {
		t.Fatal(err)
	}
	if record, err = record.UpdateRecordPartial(map[string]any{"Name": "changed"}); err != nil || record.Fields["Name"] != "changed" {
		t.Errorf("update: %v, %v", record, err)
	}
	if _, err := table.DeleteRecords(ids[:10]); err != nil {
		t.Errorf("delete: %v", err)
	}
	var refused *mehanizm.HTTPClientError
	if _, err := client.GetTable(base, "Nowhere").GetRecords().Do(); !errors.As(err, &refused) || refused.StatusCode != http.StatusForbidden {
		t.Errorf("unknown table: %v", err)
	}
}
