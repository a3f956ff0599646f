package models_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
)

func TestErrors_HaveAirtablesBodies(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]*models.Error{
		`{"error":"NOT_FOUND"}`:                                    models.ErrNoRoute,
		`{"error":{"type":"NOT_FOUND"}}`:                           models.ErrNoSchema,
		`{"error":{"type":"LIST_RECORDS_ITERATOR_NOT_AVAILABLE"}}`: models.ErrIteratorGone,
		`{"errors":[{"error":"RATE_LIMIT_REACHED","message":"Rate limit exceeded. Please try again later"}]}`:                             models.ErrRateLimited,
		`{"error":{"type":"UNKNOWN_FIELD_NAME","message":"Unknown field name: \"Caf\"é <&>\""}}`:                                          models.UnknownField(`Caf"é <&>`),
		`{"error":{"type":"INVALID_VALUE_FOR_COLUMN","message":"Field \"X\" cannot accept the provided value"}}`:                          models.InvalidValue("X"),
		`{"error":{"type":"INVALID_VALUE_FOR_COLUMN","message":"Cannot parse value \"V\" for field X"}}`:                                  models.Unparsable("V", "X"),
		`{"error":{"type":"ROW_DOES_NOT_EXIST","message":"Record ID recX does not exist in this table"}}`:                                 models.NoSuchRow("recX"),
		`{"error":{"type":"VIEW_NAME_NOT_FOUND","message":"View v%d not found"}}`:                                                         models.ViewNotFound("v%d"),
		`{"error":{"type":"INVALID_VALUE_FOR_COLUMN","message":"Field \"X\" cannot accept a value because the field is computed"}}`:       models.ComputedField("X"),
		`{"error":{"type":"INVALID_MULTIPLE_CHOICE_OPTIONS","message":"Insufficient permissions to create new select option \"\"X\"\""}}`: models.UnknownChoice("X"),
	} {
		if got := string(err.Body()); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestParseList_SpellingsOfAQueryAndABodyMeanTheSame(t *testing.T) {
	t.Parallel()
	want := models.ListParams{
		PageSize: 5, MaxRecords: 9, View: "Grid view", Fields: []string{"a b", "c"}, Sort: []models.SortBy{{Field: "x"}, {Field: "y", Desc: true}},
		Output: models.Output{ByFieldID: true, Zone: time.UTC},
	}
	for query, body := range map[string]string{
		"pageSize=5&maxRecords=9&view=Grid+view&fields[]=a+b&fields[]=c&sort[0][field]=x&sort[1][direction]=desc&sort[1][field]=y&returnFieldsByFieldId=1":                 "",
		"limit=5&maxRecords=9&view=Grid%20view&fields%5B1%5D=c&fields%5B0%5D=a%20b&sort[10][field]=y&sort[10][direction]=desc&sort[2][field]=x&returnFieldsByFieldId=true": "",
		"pageSize=7&offset=itrX": `{"pageSize":5,"maxRecords":9,"view":"Grid view","fields":["a b","c"],"sort":[{"field":"x"},{"field":"y","direction":"desc"}],"returnFieldsByFieldId":true,"method":"post"}`,
		"pageSize=5&maxRecords=9&view=Grid+view&fields=a+b&fields=c&offset=&sort[0][field]=x&sort[0][direction]=asc&sort[1][field]=y&sort[1][direction]=desc&returnFieldsByFieldId=1&filterByFormula=": "",
	} {
		var raw []byte
		if body != "" {
			raw = []byte(body)
		}
		got, err := models.ParseList(query, raw)
		if err != nil {
			t.Errorf("%s: %v", query, err)
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() })); diff != "" {
			t.Errorf("%s %s: %s", query, body, diff)
		}
	}
}

func TestParseList_ZoneAndLocaleComeFromTheQuery(t *testing.T) {
	t.Parallel()
	p, err := models.ParseList("timeZone=Europe/Paris&userLocale=de", []byte(`{"cellFormat":"string","timeZone":"utc","userLocale":"en"}`))
	if err != nil || p.Output.Zone.String() != "Europe/Paris" || p.Output.Locale != "de" {
		t.Errorf("%v %v", p.Output, err)
	}
	if _, err := models.ParseList("cellFormat=string", nil); err == nil {
		t.Error("cellFormat=string without zone was taken")
	}
	if _, err := models.ParseList("timeZone=Local", nil); err == nil {
		t.Error("the server's own zone was taken")
	}
}

func TestOffset_RoundTripsAndRefusesOthers(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for _, o := range []models.Offset{
		{After: 1, Sent: 100, Expires: now.Add(time.Minute)}, {After: 200_000_000_000_000, Sent: 900_000_000, Expires: now.Add(time.Minute)},
		{Iterator: "itrAAAAAAAAAAAAAA", Sent: 12345},
	} {
		s := o.String("p")
		got, err := models.ParseOffset(s, "p", now)
		if diff := cmp.Diff(o, got); err != nil || diff != "" || len(s) != 35 {
			t.Errorf("%s: %v %s", s, err, diff)
		}
		if o.Iterator != "" {
			continue
		}
		if _, err := models.ParseOffset(s, "q", now); !errors.Is(err, models.ErrIteratorGone) {
			t.Errorf("another list's offset: %v", err)
		}
		if _, err := models.ParseOffset(s, "p", now.Add(time.Minute)); !errors.Is(err, models.ErrIteratorGone) {
			t.Errorf("an expired offset: %v", err)
		}
	}
}

func FuzzParseOffset(f *testing.F) {
	f.Add("itrAAAAAAAAAAAAAA/recAAAAAAAAAAAAAA")
	f.Add("itrAAAAAAAAAAAAAA/recB999999999999z")
	f.Fuzz(func(t *testing.T, s string) {
		if o, err := models.ParseOffset(s, "p", time.Unix(0, 0)); err == nil && o.String("p") != s {
			t.Errorf("%q reads as %q", s, o.String("p"))
		}
	})
}

func TestIDs_HaveAirtablesShapeAndDoNotRepeat(t *testing.T) {
	t.Parallel()
	for name, ids := range map[string]*models.IDs{"unguessable": nil, "seeded": models.SeededIDs(1, 1)} {
		seen := map[models.RecordID]bool{}
		for range 10_000 {
			recID := ids.Record()
			if !models.IsID("rec", string(recID)) || len(recID) != 17 || seen[recID] {
				t.Fatalf("%s: bad id %s", name, recID)
			}
			seen[recID] = true
		}
	}
}

func TestIDs_DependOnSeedAndStreamAlone(t *testing.T) {
	t.Parallel()
	series := func(ids *models.IDs) string { return ids.New("rec") + ids.New("fld") + ids.New("com") }
	first := series(models.SeededIDs(7, 1))
	if again := series(models.SeededIDs(7, 1)); again != first {
		t.Errorf("%s, then %s", first, again)
	}
	for _, other := range []*models.IDs{models.SeededIDs(8, 1), models.SeededIDs(7, 2), nil} {
		if series(other) == first {
			t.Errorf("another source gives %s too", first)
		}
	}
}
