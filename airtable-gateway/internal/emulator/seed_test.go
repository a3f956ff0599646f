package emulator_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/emulator"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
)

func get(t *testing.T, h http.Handler, token, path string) string {
	t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Body.String()
}

func TestSeed_GivesTheChosenIdsAndItsLinksPointForward(t *testing.T) {
	t.Parallel()
	store := local.New(pgtest.New(t, "airtable-gateway", repository.Migrations), local.Options{Now: time.Now})
	const text = `{"bases":[
		{"id":"appA","name":"A","tables":[
			{"id":"tblFirst","name":"First","fields":[{"id":"fldName","name":"Name","type":"singleLineText"},
				{"id":"fldNext","name":"Next","type":"multipleRecordLinks","options":{"linkedTableId":"tblSecond","inverseLinkFieldId":"fldBack"}}],
			 "records":[{"id":"recOne","createdTime":"2026-01-01T09:00:00Z","fields":{"Name":"one","Next":["recTwo"]}}]},
			{"id":"tblSecond","name":"Second","fields":[{"id":"fldName2","name":"Name","type":"singleLineText"}],
			 "records":[{"id":"recTwo","fields":{"Name":"two"}}]}]},
		{"id":"appB","name":"B","tables":[{"name":"T","fields":[{"name":"N","type":"singleLineText"}]}]}]}`
	seed, err := emulator.ReadSeed(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds what the first left
		if err := seed.Plant(t.Context(), store); err != nil {
			t.Fatal(err)
		}
	}
	e := emulator.New(emulator.Options{Store: store, Now: time.Now, Tokens: []emulator.Token{
		{Token: "patAll", Scopes: []string{"*"}, Bases: []string{"*"}},
		{Token: "patB", Scopes: []string{"schema.bases:read"}, Bases: []string{"appB"}},
	}})
	if got, want := get(t, e, "patAll", "/v0/appA/First/recOne"),
		`{"id":"recOne","createdTime":"2026-01-01T09:00:00.000Z","fields":{"Name":"one","Next":["recTwo"]}}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := get(t, e, "patB", "/v0/meta/bases"), `{"bases":[{"id":"appB","name":"B","permissionLevel":"create"}]}`; got != want {
		t.Errorf("bases of a token for one: %s", got)
	}
	if got := get(t, e, "patB", "/v0/appA/First"); !strings.Contains(got, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND") {
		t.Errorf("a base that the token does not see: %s", got)
	}
}

func TestSeed_OfTheSampleIsServed(t *testing.T) {
	t.Parallel()
	store := local.New(pgtest.New(t, "airtable-gateway", repository.Migrations), local.Options{Now: time.Now})
	if err := emulator.SampleSeed().Plant(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	e := emulator.New(emulator.Options{Store: store, Now: time.Now})
	if got := get(t, e, "patAny", "/v0/appEmulator000001/People/recGrace000000001"); !strings.Contains(got, `["recTask0000000001"]`) {
		t.Errorf("got %s", got)
	}
	if got := get(t, e, "patAny", "/v0/appEmulator000001/Tasks?view=viwTasksOpen00001"); !strings.Contains(got, "Note G") || strings.Contains(got, "Write the compiler") {
		t.Errorf("through the view: %s", got)
	}
	got, want := get(t, e, "patAny", "/v0/meta/bases/appEmulator000001/views/viwTasksOpen00001?include=visibleFieldIds"),
		`{"id":"viwTasksOpen00001","name":"Open, largest first","type":"grid","visibleFieldIds":["fldTasksName00001","fldTasksPts000001","fldTasksOwner0001"]}`
	if got != want {
		t.Errorf("the view is %s", got)
	}
}

func TestSeed_AMisspeltKeyIsTold(t *testing.T) {
	t.Parallel()
	if _, err := emulator.ReadSeed(strings.NewReader(`{"basis":[]}`)); err == nil || !strings.Contains(err.Error(), "basis") {
		t.Errorf("err = %v", err)
	}
}

const teamSeed = `{
	"collaborators":[{"id":"usrAnn","email":"ann@example.com","name":"Ann"},{"id":"usrBob","email":"bob@example.com","name":"Bob"}],
	"tokens":[{"token":"patAnn","scopes":["*"],"bases":["*"]},{"token":"patBob","scopes":["data.recordComments:read","data.recordComments:write","data.records:read","data.records:write"],"bases":["*"],"user":"usrBob"},
		{"token":"patReader","scopes":["data.records:read"],"bases":["*"]}],
	"bases":[{"id":"appT","name":"T","tables":[{"name":"T","fields":[{"name":"N","type":"singleLineText"},{"name":"Owner","type":"singleCollaborator"},
		{"name":"By","type":"createdBy"},{"name":"Sum","type":"aiText","options":{"prompt":["x"]}}],
		"records":[{"id":"recOne","fields":{"N":"n","Owner":{"id":"usrBob"},"Sum":{"state":"generated","isStale":true,"value":"v"}}}]}]}]}`

func TestSeed_CollaboratorsAreNamedAndOwnTheirTokens(t *testing.T) {
	t.Parallel()
	store := local.New(pgtest.New(t, "airtable-gateway", repository.Migrations), local.Options{Now: time.Now})
	seed, err := emulator.ReadSeed(strings.NewReader(teamSeed))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := seed.Plant(t.Context(), store); err != nil {
			t.Fatal(err)
		}
	}
	e := emulator.New(emulator.Options{Store: store, Now: time.Now, Tokens: seed.Tokens, Collaborators: seed.Collaborators})
	for token, want := range map[string]string{
		"patAnn": `{"id":"usrAnn","email":"ann@example.com"}`, "patBob": `{"id":"usrBob"}`, "patReader": `{"id":"usrAnn"}`,
	} {
		if got := get(t, e, token, "/v0/meta/whoami"); got != want {
			t.Errorf("%s is %s, want %s", token, got, want)
		}
	}
	if got, want := get(t, e, "patAnn", "/v0/appT/T/recOne"), `"fields":{"N":"n","Owner":{"email":"bob@example.com","id":"usrBob","name":"Bob"},`+
		`"By":{"email":"ann@example.com","id":"usrAnn","name":"Ann"},"Sum":{"isStale":true,"state":"generated","value":"v"}}}`; !strings.HasSuffix(got, want) {
		t.Errorf("got %s", got)
	}
	send := func(token, method, path, body string) (int, string) {
		t.Helper()
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	const comments = "/v0/appT/T/recOne/comments"
	if status, body := send("patBob", "POST", comments, `{"text":"Hi @[usrAnn]"}`); status != 200 || !strings.Contains(body, `"author":{"email":"bob@example.com","id":"usrBob","name":"Bob"}`) ||
		!strings.Contains(body, `"displayName":"Ann"`) {
		t.Errorf("%d %s", status, body)
	}
	var page struct{ Comments []struct{ ID string } }
	if _, body := send("patAnn", "GET", comments, ""); json.Unmarshal([]byte(body), &page) != nil || len(page.Comments) != 1 {
		t.Fatalf("comments: %s", body)
	}
	for token, method := range map[string]string{"patAnn": "PATCH", "patReader": "GET"} {
		path := comments
		if method == "PATCH" {
			path += "/" + page.Comments[0].ID
		}
		if status, body := send(token, method, path, `{"text":"mine now"}`); status != 403 {
			t.Errorf("%s by %s: %d %s", method, token, status, body)
		}
	}
	if _, body := send("patBob", "POST", "/v0/appT/T", `{"fields":{}}`); !strings.Contains(body, `"By":{"email":"bob@example.com"`) {
		t.Errorf("made by Bob: %s", body)
	}
}

func TestSeed_BadCollaboratorsAreTold(t *testing.T) {
	t.Parallel()
	for text, word := range map[string]string{
		`{"collaborators":[{"id":"Ann"}]}`:                         "Ann",
		`{"collaborators":[{"id":"usrA"},{"id":"usrA"}]}`:          "usrA",
		`{"tokens":[{"token":"patX","user":"usrNobody"}]}`:         "usrNobody",
		`{"collaborators":[{"id":"usrA","mail":"a@example.com"}]}`: "mail",
	} {
		if _, err := emulator.ReadSeed(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
