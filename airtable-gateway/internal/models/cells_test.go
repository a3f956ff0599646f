package models_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
)

// field makes a field of the type; options are JSON.
func field(t *testing.T, kind models.FieldType, options string) *models.Field {
	t.Helper()
	var in map[string]any
	if options != "" {
		in = object(t, options)
	}
	o, err := models.ParseOptions(kind, "F", in)
	if err != nil {
		t.Fatal(err)
	}
	return &models.Field{ID: "fldF", Table: "tblT", Name: "F", Type: kind, Options: o}
}

func object(t *testing.T, s string) map[string]any {
	t.Helper()
	out, err := models.DecodeObject([]byte(s))
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return out
}

const (
	choices  = `{"choices":[{"id":"selA","name":"a"},{"id":"selB","name":"B b"}]}`
	dates    = `{"dateFormat":{"name":"us"}}`
	european = `{"dateFormat":{"name":"european"}}`
	utc      = `{"dateFormat":{"name":"iso"},"timeFormat":{"name":"24hour"},"timeZone":"utc"}`
	paris    = `{"dateFormat":{"name":"friendly"},"timeFormat":{"name":"12hour"},"timeZone":"Europe/Paris"}`
	stars    = `{"icon":"star","max":5,"color":"redBright"}`
	check    = `{"icon":"check","color":"redBright"}`
	hmm      = `{"durationFormat":"h:mm"}`
	hmmss    = `{"durationFormat":"h:mm:ss.SS"}`
	euro     = `{"precision":2,"symbol":"€"}`
	links    = `{"linkedTableId":"tblU"}`
)

// Each line: what is written as JSON, what is read back as JSON ("" = the cell is
// empty, or the type of the refusal), and how it is shown as text.
func TestWrite_EveryType(t *testing.T) {
	t.Parallel()
	const (
		bad      = "INVALID_VALUE_FOR_COLUMN"
		noChoice = "INVALID_MULTIPLE_CHOICE_OPTIONS"
		badID    = "INVALID_RECORD_ID"
		want     = "new choices"
	)
	type lines [][3]string
	for _, tt := range []struct {
		kind     models.FieldType
		options  string
		plain    lines
		typecast lines
	}{
		{models.SingleLineText, "", lines{{`"x"`, `"x"`, "x"}, {`""`, "", ""}, {`null`, "", ""}, {`[]`, "", ""}, {`5`, bad, ""}, {`true`, bad, ""}, {`{}`, bad, ""}, {`"a\u0000b"`, `"ab"`, "ab"}, {`"\u0000"`, "", ""}},
			lines{{`5.0`, `"5"`, "5"}, {`true`, `"true"`, "true"}, {`{"a":1}`, bad, ""}, {`[1]`, bad, ""}}},
		{models.MultilineText, "", lines{{`"x\ny"`, `"x\ny"`, "x\ny"}}, lines{{`1e3`, `"1000"`, "1000"}}},
		{models.RichText, "", lines{
			{`"**x**"`, `"**x**\n"`, "**x**\n"}, {`"* a\n  * b\n*c*\n"`, `"- a\n  - b\n*c*\n"`, "- a\n  - b\n*c*\n"},
		}, nil},
		{models.Email, "", lines{{`"not checked"`, `"not checked"`, "not checked"}, {`1`, bad, ""}}, nil},
		{models.URL, "", lines{{`"x"`, `"x"`, "x"}}, nil},
		{models.PhoneNumber, "", lines{{`"+1"`, `"+1"`, "+1"}}, lines{{`123`, `"123"`, "123"}}},
		{models.Number, `{"precision":1}`, lines{{`2.0`, `2`, "2.0"}, {`0`, `0`, "0.0"}, {`-0`, `0`, "0.0"}, {`1.25`, `1.25`, "1.2"}, {`"1"`, bad, ""}, {`true`, bad, ""}, {`1e999`, bad, ""}, {`null`, "", ""}, {`""`, "", ""}, {`12345678901234567890`, `12345678901234567000`, "12345678901234567168.0"}},
			lines{{`"12.5"`, `12.5`, "12.5"}, {`" $1,234.5 "`, `1234.5`, "1234.5"}, {`"-3"`, `-3`, "-3.0"}, {`"x"`, bad, ""}, {`"NaN"`, bad, ""}, {`"Infinity"`, bad, ""}, {`"1e999"`, bad, ""}, {`true`, bad, ""}}},
		{models.Currency, euro, lines{{`-1.5`, `-1.5`, "-€1.50"}, {`0`, `0`, "€0.00"}}, lines{{`"€12.50"`, `12.5`, "€12.50"}}},
		{models.Percent, `{"precision":0}`, lines{{`0.5`, `0.5`, "50%"}, {`"50%"`, bad, ""}}, lines{{`"50%"`, `0.5`, "50%"}, {`"0.25"`, `0.25`, "25%"}}},
		{models.Rating, stars, lines{{`5`, `5`, "5"}, {`0`, "", ""}, {`6`, bad, ""}, {`1.5`, bad, ""}, {`-1`, bad, ""}}, lines{{`"3"`, `3`, "3"}}},
		{models.Duration, hmm, lines{{`5400`, `5400`, "1:30"}, {`-90`, `-90`, "-0:02"}, {`0.5`, `0.5`, "0:00"}}, lines{{`"1:30"`, `5400`, "1:30"}, {`"90"`, `90`, "0:02"}, {`"1:2:3:4"`, bad, ""}, {`"x:y"`, bad, ""}}},
		{models.Duration, hmmss, lines{{`3723.456`, `3723.456`, "1:02:03.46"}, {`59.999`, `59.999`, "0:01:00.00"}}, lines{{`"1:02:03.5"`, `3723.5`, "1:02:03.50"}, {`"2:30"`, `150`, "0:02:30.00"}}},
		{models.Checkbox, check, lines{{`true`, `true`, "checked"}, {`false`, "", ""}, {`1`, bad, ""}, {`"true"`, bad, ""}}, lines{{`"checked"`, `true`, "checked"}, {`"1"`, `true`, "checked"}, {`1`, `true`, "checked"}, {`"no"`, "", ""}, {`"maybe"`, bad, ""}, {`7`, bad, ""}}},
		{models.Date, dates, lines{{`"2026-05-01"`, `"2026-05-01"`, "5/1/2026"}, {`"2026-05-01T23:30:00.000Z"`, `"2026-05-01"`, "5/1/2026"}, {`"5/1/2026"`, bad, ""}, {`"2026-02-30"`, bad, ""}, {`"0000-01-01"`, bad, ""}, {`5`, bad, ""}},
			lines{{`"5/1/2026"`, `"2026-05-01"`, "5/1/2026"}, {`"May 1, 2026"`, `"2026-05-01"`, "5/1/2026"}, {`"soon"`, bad, ""}}},
		{models.Date, european, nil, lines{{`"5/1/2026"`, `"2026-01-05"`, "5/1/2026"}}},
		{models.DateTime, utc, lines{{`"2026-05-01T10:00:00+02:00"`, `"2026-05-01T08:00:00.000Z"`, "2026-05-01 08:00"}, {`"2026-05-01T10:00"`, `"2026-05-01T10:00:00.000Z"`, "2026-05-01 10:00"}, {`"2026-05-01"`, `"2026-05-01T00:00:00.000Z"`, "2026-05-01 00:00"}, {`1640520000000`, `"2021-12-26T12:00:00.000Z"`, "2021-12-26 12:00"}, {`1e300`, bad, ""}, {`"x"`, bad, ""}, {`"9999-12-31T23:59:59-12:00"`, bad, ""}, {`"2026-05-01T10:00:00.5Z"`, `"2026-05-01T10:00:00.500Z"`, "2026-05-01 10:00"}}, nil},
		{models.DateTime, paris, lines{{`"2026-05-01T10:00:00"`, `"2026-05-01T08:00:00.000Z"`, "May 1, 2026 10:00am"}, {`"2026-05-01T10:00:00Z"`, `"2026-05-01T10:00:00.000Z"`, "May 1, 2026 12:00pm"}}, lines{{`"1 May 2026 3:04pm"`, `"2026-05-01T13:04:00.000Z"`, "May 1, 2026 3:04pm"}}},
		{models.SingleSelect, choices, lines{{`"a"`, `"a"`, "a"}, {`" B b "`, `"B b"`, "B b"}, {`"A"`, noChoice, ""}, {`""`, "", ""}, {`5`, bad, ""}, {`["a"]`, bad, ""}}, lines{{`"c"`, want, ""}, {`5`, want, ""}, {`{}`, bad, ""}}},
		{models.MultipleSelects, choices, lines{{`["B b","a","B b"]`, `["B b","a"]`, "B b, a"}, {`["c"]`, noChoice, ""}, {`"a"`, bad, ""}, {`[5]`, bad, ""}, {`[""]`, bad, ""}, {`[]`, "", ""}}, lines{{`"a"`, `["a"]`, "a"}, {`"a, B b"`, want, ""}, {`["a","c"]`, want, ""}}},
		{models.MultipleRecordLinks, links, lines{{`["recB","recA","recB"]`, `["recB","recA"]`, "Bob, Ann"}, {`[{"id":"recA"}]`, `["recA"]`, "Ann"}, {`"recA"`, bad, ""}, {`["Ann"]`, badID, ""}, {`[7]`, bad, ""}, {`[{"id":7}]`, bad, ""}, {`null`, "", ""}}, nil},
		{models.Barcode, "", lines{
			{`{"text":"4006381333931","type":"ean13"}`, `{"text":"4006381333931","type":"ean13"}`, "4006381333931"}, {`{"text":"x","type":null}`, `{"text":"x"}`, "x"},
			{`{"text":""}`, "", ""}, {`{}`, bad, ""}, {`"x"`, bad, ""}, {`{"text":5}`, bad, ""}, {`{"text":"x","type":5}`, bad, ""}, {`{"text":"x","colour":"red"}`, bad, ""},
		}, lines{{`"x"`, `{"text":"x"}`, "x"}, {`12`, `{"text":"12"}`, "12"}, {`["x"]`, bad, ""}}},
		{models.SingleCollaborator, "", lines{{`5`, bad, ""}, {`"Ann"`, bad, ""}, {`{}`, bad, ""}, {`{"id":"recA"}`, bad, ""}, {`{"id":7,"email":7}`, bad, ""}, {`["usrA"]`, bad, ""}, {`null`, "", ""}}, lines{{`5`, bad, ""}, {`"  "`, bad, ""}}},
		{models.MultipleCollaborators, "", lines{{`"usrA"`, bad, ""}, {`{"id":"usrA"}`, bad, ""}, {`[5]`, bad, ""}, {`["Ann"]`, bad, ""}, {`[]`, "", ""}}, lines{{`[5]`, bad, ""}, {`[[]]`, bad, ""}}},
		{models.CreatedBy, "", lines{{`{"id":"usrA"}`, bad, ""}}, nil},
		{models.LastModifiedBy, "{}", lines{{`{"id":"usrA"}`, bad, ""}}, nil},
		{models.Button, "", lines{{`{"label":"Open","url":null}`, bad, ""}}, nil},
		{models.AIText, "", lines{{`{"state":"empty"}`, bad, ""}}, nil},
		{models.ExternalSyncSource, choices, lines{{`"a"`, bad, ""}}, lines{{`"a"`, bad, ""}}},
		{models.AutoNumber, "", lines{{`1`, bad, ""}}, nil},
		{models.CreatedTime, "", lines{{`"2026-05-01"`, bad, ""}, {`null`, bad, ""}}, nil},
	} {
		f := field(t, tt.kind, tt.options)
		for i, all := range []lines{tt.plain, tt.typecast} {
			for _, line := range all {
				got, text := roundTrip(t, f, line[0], i == 1)
				if diff := cmp.Diff(line[1:], []string{got, text}); diff != "" {
					t.Errorf("%s %s, typecast %v: %s", tt.kind, line[0], i == 1, diff)
				}
			}
		}
	}
}

// roundTrip writes value, passes the stored form through JSON as the database
// does, and reads it.
func roundTrip(t *testing.T, f *models.Field, value string, typecast bool) (read, text string) {
	t.Helper()
	w, err := f.Write(object(t, `{"v":`+value+`}`)["v"], typecast)
	if refusal, ok := models.AsError(err); ok {
		return refusal.Type, ""
	} else if err != nil {
		t.Fatal(err)
	}
	if len(w.NewChoices) > 0 {
		return "new choices", ""
	}
	rec := &models.Record{Cells: map[models.FieldID]any{}, Links: map[models.FieldID][]models.RecordID{}}
	if w.Value != nil {
		if err := json.Unmarshal(models.Marshal(map[models.FieldID]any{f.ID: w.Value}), &rec.Cells); err != nil {
			t.Fatal(err)
		}
	}
	for _, ref := range w.Links {
		rec.Links[f.ID] = append(rec.Links[f.ID], ref.ID)
	}
	v, err := f.Read(rec)
	if err != nil {
		t.Fatal(err)
	}
	if v == nil {
		return "", ""
	}
	titles := map[models.RecordID]string{"recA": "Ann", "recB": "Bob"}
	return string(models.Marshal(v)), f.Text(v, models.Display{Zone: time.UTC, Locale: "en-us", Titles: titles})
}

func TestWrite_TextLimitCountsAsAirtable(t *testing.T) {
	t.Parallel()
	f := field(t, models.SingleLineText, "")
	for s, ok := range map[string]bool{
		strings.Repeat("x", models.MaxText): true, strings.Repeat("x", models.MaxText+1): false,
		strings.Repeat("é", models.MaxText): true, strings.Repeat("🚀", models.MaxText/2+1): false,
	} {
		if _, err := f.Write(s, false); (err == nil) != ok {
			t.Errorf("%d bytes: %v", len(s), err)
		}
	}
}

func TestWrite_LinksByTextOnlyWithTypecast(t *testing.T) {
	t.Parallel()
	f := field(t, models.MultipleRecordLinks, links)
	w, err := f.Write(object(t, `{"v":["Ann","recAAAAAAAAAAAAAA","recent news",5]}`)["v"], true)
	if err != nil {
		t.Fatal(err)
	}
	want := []models.LinkRef{{Text: "Ann"}, {ID: "recAAAAAAAAAAAAAA"}, {Text: "recent news"}, {Text: "5"}}
	if diff := cmp.Diff(want, w.Links); diff != "" {
		t.Error(diff)
	}
	if w, _ = f.Write(" Ann, Bob,", true); len(w.Links) != 2 {
		t.Errorf("comma list gave %v", w.Links)
	}
}

func TestRead_ComputedFieldsAndNewerChoices(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	rec := &models.Record{Number: 7, CreatedAt: at, Cells: map[models.FieldID]any{"fldF": "selNew"}}
	for kind, want := range map[models.FieldType]any{models.AutoNumber: int64(7), models.CreatedTime: "2026-05-01T10:00:00.000Z", models.LastModifiedTime: nil} {
		if got, _ := field(t, kind, "").Read(rec); got != want {
			t.Errorf("%s reads %v", kind, got)
		}
	}
	day := field(t, models.CreatedTime, `{"result":{"type":"date","options":{"dateFormat":{"name":"us"}}}}`)
	if got, _ := day.Read(rec); got != "2026-05-01" || day.Text(got, models.Display{}) != "5/1/2026" {
		t.Errorf("a created day reads %v", got)
	}
	if _, err := field(t, models.SingleSelect, choices).Read(rec); !errors.Is(err, models.ErrUnknownChoice) {
		t.Errorf("an unknown choice gave %v", err)
	}
}

func TestOptions_RoundTripInAirtablesForm(t *testing.T) {
	t.Parallel()
	for kind, options := range map[models.FieldType]string{
		models.Number: `{"precision":3}`, models.Currency: euro, models.Percent: `{"precision":0}`, models.Rating: stars, models.Checkbox: check, models.Duration: hmm,
		models.Date:                `{"dateFormat":{"name":"us","format":"M/D/YYYY"}}`,
		models.DateTime:            `{"dateFormat":{"name":"local","format":"l"},"timeFormat":{"name":"12hour","format":"h:mma"},"timeZone":"client"}`,
		models.SingleSelect:        `{"choices":[{"id":"selA","name":"a","color":"blueLight2"},{"id":"selB","name":"b","color":"redDark1"}]}`,
		models.MultipleRecordLinks: `{"linkedTableId":"tblU","isReversed":false,"prefersSingleRecordLink":false,"inverseLinkFieldId":"fldX"}`,
		models.CreatedTime:         `{"result":{"type":"date","options":{"dateFormat":{"name":"iso","format":"YYYY-MM-DD"}}}}`,
	} {
		var want, got any
		if err := errors.Join(json.Unmarshal([]byte(options), &want), json.Unmarshal(models.Marshal(field(t, kind, options).WireOptions()), &got)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", kind, diff)
		}
	}
	_, err := models.ParseOptions(models.Date, "Due", nil)
	if refusal, _ := models.AsError(err); refusal == nil || refusal.Message != "Failed schema validation: Due.options is missing" {
		t.Errorf("missing options: %v", err)
	}
}
