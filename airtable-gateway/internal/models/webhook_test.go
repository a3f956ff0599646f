package models_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
)

func watchedBase() *models.Base {
	b := &models.Base{ID: "app1", Tables: []*models.Table{{
		ID: "tbl1", Name: "T", Primary: "fld1",
		Fields: []*models.Field{{ID: "fld1", Table: "tbl1", Name: "Name", Type: models.SingleLineText}, {ID: "fld2", Table: "tbl1", Name: "N", Type: models.Number}},
		Views:  []models.View{{ID: "viw1", Table: "tbl1", Name: "Grid view", Type: models.GridType}},
	}}}
	b.Index()
	return b
}

func specification(filters, includes string) string {
	return `{"specification":{"options":{"filters":` + filters + includes + `}}}`
}

func TestParseWebhook_TakesAWholeSpecification(t *testing.T) {
	t.Parallel()
	text := `{"notificationUrl":"https://example.com/h","specification":{"options":{
		"filters":{"dataTypes":["tableData","tableFields","tableMetadata"],"recordChangeScope":"viw1","changeTypes":["add","remove","update"],
			"fromSources":["client","publicApi","formSubmission","formPageSubmission","automation","system","sync","anonymousUser","unknown"],
			"sourceOptions":{"formSubmission":{"viewId":"viw1"},"formPageSubmission":{"pageId":"pbd1"}},
			"watchDataInFieldIds":["fld1"],"watchSchemasOfFieldIds":["fld2"]},
		"includes":{"includeCellValuesInFieldIds":["fld2"],"includePreviousCellValues":true,"includePreviousFieldDefinitions":true}}}}`
	got, err := models.ParseWebhook([]byte(text), watchedBase())
	if err != nil {
		t.Fatal(err)
	}
	s := got.Spec
	if got.URL != "https://example.com/h" || s.Table != "tbl1" || s.View != "viw1" || !s.IncludePrevious || !s.IncludePreviousFields ||
		s.WatchesCell("fld2") || !s.WatchesCell("fld1") || s.WatchesSchema("fld1") || !s.Includes("fld2") || s.Includes("fld1") {
		t.Errorf("%+v", got)
	}
	var want struct{ Specification map[string]any }
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Specification, s.Wire()); diff != "" {
		t.Errorf("shown otherwise than given: %s", diff)
	}
}

func TestParseWebhook_AbsentNullAndEmptyRestrictNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		specification(`{"dataTypes":["tableData"]}`, ``),
		specification(`{"dataTypes":["tableData"],"recordChangeScope":null,"changeTypes":null,"fromSources":[],"sourceOptions":{},"watchDataInFieldIds":[]}`, `,"includes":{}`),
		specification(`{"dataTypes":["tableData"]}`, `,"includes":null`),
		`{"notificationUrl":null,` + specification(`{"dataTypes":["tableData"]}`, ``)[1:],
	} {
		got, err := models.ParseWebhook([]byte(text), watchedBase())
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for _, change := range []models.ChangeType{models.Added, models.Removed, models.Updated} {
			if !got.Spec.Hears(models.TableData, change) || got.Spec.Hears(models.TableFields, change) {
				t.Errorf("%s: %s", text, change)
			}
		}
		if !got.Spec.Concerns("tbl1") || !got.Spec.WatchesCell("fld2") || got.Spec.Includes("fld1") || got.URL != "" {
			t.Errorf("%s: %+v", text, got)
		}
	}
	all, err := models.ParseWebhook([]byte(specification(`{"dataTypes":["tableData"]}`, `,"includes":{"includeCellValuesInFieldIds":"all"}`)), watchedBase())
	if err != nil || !all.Spec.Includes("fld1") {
		t.Error(err)
	}
}

func TestParseWebhook_RefusesWhatItWouldMisunderstand(t *testing.T) {
	t.Parallel()
	data := func(more string) string { return specification(`{"dataTypes":["tableData"],`+more+`}`, ``) }
	includes := func(more string) string {
		return specification(`{"dataTypes":["tableData"]}`, `,"includes":{`+more+`}`)
	}
	for text, want := range map[string]string{
		``:                                    "INVALID_REQUEST_BODY",
		`[]`:                                  "INVALID_REQUEST_BODY",
		`{}`:                                  "INVALID_REQUEST_UNKNOWN",
		`{"specification":{}}`:                "INVALID_REQUEST_UNKNOWN",
		`{"specification":"x"}`:               "INVALID_REQUEST_UNKNOWN",
		specification(`{}`, ``):               "INVALID_REQUEST_UNKNOWN",
		specification(`[]`, ``):               "INVALID_REQUEST_UNKNOWN",
		specification(`{"dataTypes":[]}`, ``): "INVALID_REQUEST_UNKNOWN",
		specification(`{"dataTypes":"tableData"}`, ``):                           "INVALID_REQUEST_UNKNOWN",
		specification(`{"dataTypes":["records"]}`, ``):                           "INVALID_REQUEST_UNKNOWN",
		specification(`{"dataTypes":[1]}`, ``):                                   "INVALID_REQUEST_UNKNOWN",
		specification(`{"dataTypes":["tableData"]}`, `,"x":1`):                   "INVALID_REQUEST_UNKNOWN",
		`{"notificationURL":"https://x.example",` + data(`"changeTypes":[]`)[1:]: "INVALID_REQUEST_UNKNOWN",
		`{"notificationUrl":1,` + data(`"changeTypes":[]`)[1:]:                   "INVALID_REQUEST_UNKNOWN",
		data(`"changeTypes":["delete"]`):                                         "INVALID_REQUEST_UNKNOWN",
		data(`"changeTypes":"add"`):                                              "INVALID_REQUEST_UNKNOWN",
		data(`"fromSources":["api"]`):                                            "INVALID_REQUEST_UNKNOWN",
		data(`"recordChangeScope":"T"`):                                          "INVALID_REQUEST_UNKNOWN",
		data(`"recordChangeScope":7`):                                            "INVALID_REQUEST_UNKNOWN",
		data(`"recordChangeScope":"tbl9"`):                                       "INVALID_REQUEST_UNKNOWN",
		data(`"recordChangeScope":"viw9"`):                                       "INVALID_REQUEST_UNKNOWN",
		data(`"recordChangeScope":"fld1"`):                                       "INVALID_REQUEST_UNKNOWN",
		data(`"watchDataInFieldIds":["Name"]`):                                   "INVALID_REQUEST_UNKNOWN",
		data(`"watchDataInFieldIds":["fld9"]`):                                   "INVALID_REQUEST_UNKNOWN",
		data(`"watchSchemasOfFieldIds":["fld9"]`):                                "INVALID_REQUEST_UNKNOWN",
		data(`"watchSchemasOfFieldIds":{}`):                                      "INVALID_REQUEST_UNKNOWN",
		data(`"watchDataInFields":["fld1"]`):                                     "INVALID_REQUEST_UNKNOWN",
		data(`"sourceOptions":[]`):                                               "INVALID_REQUEST_UNKNOWN",
		data(`"sourceOptions":{"form":{}}`):                                      "INVALID_REQUEST_UNKNOWN",
		data(`"sourceOptions":{"formSubmission":{}}`):                            "INVALID_REQUEST_UNKNOWN",
		data(`"sourceOptions":{"formSubmission":{"viewId":"viw9"}}`):             "INVALID_REQUEST_UNKNOWN",
		data(`"sourceOptions":{"formPageSubmission":{"pageId":"viw1"}}`):         "INVALID_REQUEST_UNKNOWN",
		includes(`"includeCellValuesInFieldIds":"some"`):                         "INVALID_REQUEST_UNKNOWN",
		includes(`"includeCellValuesInFieldIds":["all"]`):                        "INVALID_REQUEST_UNKNOWN",
		includes(`"includeCellValuesInFieldIds":["fld9"]`):                       "INVALID_REQUEST_UNKNOWN",
		includes(`"includePreviousCellValues":"yes"`):                            "INVALID_REQUEST_UNKNOWN",
		includes(`"includePreviousFieldDefinitions":1`):                          "INVALID_REQUEST_UNKNOWN",
		includes(`"includePrevious":true`):                                       "INVALID_REQUEST_UNKNOWN",
	} {
		_, err := models.ParseWebhook([]byte(text), watchedBase())
		if refusal, ok := models.AsError(err); !ok || refusal.Type != want || refusal.Status != 422 {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestParsePayloads_ReadsCursorAndLimit(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"": "1 50 <nil>", "cursor=&limit=": "1 50 <nil>", "cursor=12&limit=3": "12 3 <nil>", "limit=50": "1 50 <nil>",
	} {
		cursor, limit, err := models.ParsePayloads(query)
		if got := fmt.Sprint(cursor, limit, err); got != want {
			t.Errorf("%q: %s, want %s", query, got, want)
		}
	}
	for _, query := range []string{"cursor=0", "cursor=-1", "cursor=x", "limit=0", "limit=51", "limit=1.5", "cursor=99999999999999999999", "%"} {
		if _, _, err := models.ParsePayloads(query); err == nil {
			t.Errorf("%q is taken", query)
		}
	}
}

func TestParseEnable_TakesABoolean(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"enable":true}`: "true <nil>", `{"enable":false}`: "false <nil>",
	} {
		got, err := models.ParseEnable([]byte(body))
		if fmt.Sprint(got, err) != want {
			t.Errorf("%s: %v %v", body, got, err)
		}
	}
	for _, body := range []string{``, `{}`, `true`, `{"enable":"true"}`, `{"enable":null}`, `{"enable":true,"x":1}`} {
		if _, err := models.ParseEnable([]byte(body)); err == nil {
			t.Errorf("%s is taken", body)
		}
	}
}

func TestWebhook_IsActiveUntilItExpiresOrBreaks(t *testing.T) {
	t.Parallel()
	end := time.Date(2026, 5, 8, 0, 0, 0, 0, time.UTC)
	hook := models.Webhook{ExpiresAt: end}
	if !hook.Active(end.Add(-1)) || hook.Active(end) {
		t.Error("the end is another one")
	}
	hook.Broken = true
	if hook.Active(end.Add(-1)) {
		t.Error("a broken webhook is active")
	}
}

// What the API has no way to do yet, tables and fields that go, is told all the same.
func TestPayload_TellsOfTablesAndFieldsThatGo(t *testing.T) {
	t.Parallel()
	base := watchedBase()
	other := &models.Table{ID: "tbl2", Name: "Other", Fields: []*models.Field{{ID: "fld3", Table: "tbl2", Name: "X", Type: models.Number}}}
	base.Tables = append(base.Tables, other)
	tx := models.Transaction{User: &models.Person{ID: "usr1", Name: "Ann"}, Before: base.Snapshot()}
	base.Tables = base.Tables[:1]
	base.Tables[0].Fields = base.Tables[0].Fields[:1]
	tx.After = base.Snapshot()
	const action = `{"payloadFormat":"v0","actionMetadata":{"source":"publicApi","sourceMetadata":{"user":{"id":"usr1","permissionLevel":"create","name":"Ann"}}},`
	for filters, want := range map[string]string{
		`{"dataTypes":["tableFields","tableMetadata"]}`:                          action + `"changedTablesById":{"tbl1":{"destroyedFieldIds":["fld2"]}},"destroyedTableIds":["tbl2"]}`,
		`{"dataTypes":["tableFields"]}`:                                          action + `"changedTablesById":{"tbl1":{"destroyedFieldIds":["fld2"]}}}`,
		`{"dataTypes":["tableMetadata"],"changeTypes":["remove"]}`:               action + `"destroyedTableIds":["tbl2"]}`,
		`{"dataTypes":["tableFields","tableMetadata"],"changeTypes":["add"]}`:    ``,
		`{"dataTypes":["tableFields","tableMetadata"],"fromSources":["client"]}`: ``,
		`{"dataTypes":["tableData"]}`:                                            ``,
		`{"dataTypes":["tableFields"],"watchSchemasOfFieldIds":["fld1"]}`:        ``,
		`{"dataTypes":["tableMetadata"],"recordChangeScope":"tbl1"}`:             ``,
	} {
		var in map[string]any
		if err := json.Unmarshal([]byte(`{"options":{"filters":`+filters+`}}`), &in); err != nil {
			t.Fatal(err)
		}
		spec, err := models.ReadWebhookSpec(in, base)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tx.Payload(spec)
		if err != nil || string(got) != want {
			t.Errorf("%s:\ngot  %s %v\nwant %s", filters, got, err, want)
		}
	}
	if got := string(tx.BrokenPayload()); got != action+`"error":true,"code":"INVALID_HOOK"}` {
		t.Error(got)
	}
}

// Links do not outlive a payload: they are made when it is read. Texts that look like
// what stands for them stay texts.
func TestRelink_FindsAttachmentsAlone(t *testing.T) {
	t.Parallel()
	one := models.Attachment{ID: "att1", Filename: `a "b" \c.png`, Sum: "00", Size: 7, Type: "image/png", Width: 3, Height: 2}
	two := models.Attachment{ID: "att2", Filename: "on its way"}
	texts := []any{`"\u0000{}`, `\u0000{\"id\":\"att9\"}`, "\u0001", `"`, `\"\u0000`}
	body := models.Marshal(map[string]any{
		"one": models.Linkless(one), "list": models.Linkless([]models.Attachment{one, two}), "deep": models.Linkless([]any{[]any{two}, "x", 1.5}), "texts": texts,
	})
	show := func(out []byte, a models.Attachment) []byte {
		return append(out, `{"shown":`+string(models.Marshal(fmt.Sprintf("%+v", struct {
			models.AttachmentID
			N, S, T string
			Z       int64
			W, H    int
		}{a.ID, a.Filename, a.Sum, a.Type, a.Size, a.Width, a.Height})))+`}`...)
	}
	var got map[string]any
	if err := json.Unmarshal(models.Relink([]byte("{"), body[1:], show), &got); err != nil {
		t.Fatal(err)
	}
	first := map[string]any{"shown": `{AttachmentID:att1 N:a "b" \c.png S:00 T:image/png Z:7 W:3 H:2}`}
	second := map[string]any{"shown": `{AttachmentID:att2 N:on its way S: T: Z:0 W:0 H:0}`}
	want := map[string]any{"one": first, "list": []any{first, second}, "deep": []any{[]any{second}, "x", 1.5}, "texts": texts}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
