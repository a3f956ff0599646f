package handlers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/filestest"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// applied has the handler apply an event of p's tenant, and lets replicas forget what they
// knew.
func applied[D any](t *testing.T, p person, kind events.Type[D], subject string, version int64, d D,
	handler func(ctx context.Context, tx pgx.Tx, e events.Event, d D) error) {
	t.Helper()
	e := kind.New(t.Context(), p.tenant, subject, version, d)
	if err := postgres.InTx(t.Context(), p.f.pool, func(tx pgx.Tx) error { return handler(t.Context(), tx, e, d) }); err != nil {
		t.Fatal(err)
	}
	p.f.now.Advance(2 * time.Second)
}

// A base in the trash is an unknown one at every door, and is itself again when it is
// taken out.
func TestTrash_ABaseInItIsUnknownAtEveryDoor(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	p := f.owner(t)
	base, other := p.docs(t), p.docs(t)
	site := filestest.NewSite(t)
	var rec attached
	p.v0(t, "POST", "/v0/"+base+"/Docs", fmt.Sprintf(`{"fields":{"Files":[{"url":%q}]}}`, site.Put("/a.txt", "text/plain", []byte("secret")))).ok(t, &rec)
	var hook struct{ ID string }
	p.v0(t, "POST", "/v0/bases/"+base+"/webhooks", `{"specification":{"options":{"filters":{"dataTypes":["tableData"]}}}}`).ok(t, &hook)
	link := rec.Fields["Files"][0].URL
	doors := []struct{ method, path, body string }{
		{"GET", "/v0/" + base + "/Docs", ""},
		{"GET", "/v0/" + base + "/Docs/" + rec.ID, ""},
		{"POST", "/v0/" + base + "/Docs/listRecords", `{}`},
		{"POST", "/v0/" + base + "/Docs", `{"fields":{"Name":"x"}}`},
		{"PATCH", "/v0/" + base + "/Docs/" + rec.ID, `{"fields":{"Name":"x"}}`},
		{"DELETE", "/v0/" + base + "/Docs/" + rec.ID, ""},
		{"GET", "/v0/" + base + "/Docs/" + rec.ID + "/comments", ""},
		{"POST", "/v0/" + base + "/Docs/" + rec.ID + "/comments", `{"text":"x"}`},
		{"POST", "/v0/" + base + "/" + rec.ID + "/Files/uploadAttachment", `{"contentType":"text/plain","filename":"a","file":"SGk="}`},
		{"GET", "/v0/meta/bases/" + base + "/tables", ""},
		{"POST", "/v0/meta/bases/" + base + "/tables", `{"name":"T","fields":[{"name":"N","type":"singleLineText"}]}`},
		{"GET", "/v0/bases/" + base + "/webhooks", ""},
		{"GET", "/v0/bases/" + base + "/webhooks/" + hook.ID + "/payloads", ""},
		{"POST", "/v0/bases/" + base + "/webhooks", `{"specification":{"options":{"filters":{"dataTypes":["tableData"]}}}}`},
	}
	places := repository.NewPlaces(f.pool)
	workspace, project := uid(), uid()
	changed := func(version int64, status string) {
		t.Helper()
		applied(t, p, workspaceapi.BaseUpdated, base, version, workspaceapi.BaseChanged{
			BaseID: base, WorkspaceID: workspace, ProjectID: project, Status: status}, places.BaseChanged)
	}
	shelf := func(version int64, status string) {
		t.Helper()
		applied(t, p, workspaceapi.WorkspaceUpdated, workspace, version, workspaceapi.WorkspaceChanged{WorkspaceID: workspace, Status: status}, places.WorkspaceChanged)
	}
	drawer := func(version int64, status string) {
		t.Helper()
		applied(t, p, workspaceapi.ProjectUpdated, project, version, workspaceapi.ProjectChanged{ProjectID: project, Status: status}, places.ProjectChanged)
	}
	open := func(when string) {
		t.Helper()
		p.v0(t, "GET", "/v0/"+base+"/Docs/"+rec.ID, "").ok(t, nil)
		if got := f.open(t, "GET", link); got.status != 200 || got.body != "secret" {
			t.Errorf("%s: the link answers %d", when, got.status)
		}
		if got := p.v0(t, "GET", "/v0/meta/bases", ""); !strings.Contains(got.body, base) {
			t.Errorf("%s: the base is not listed", when)
		}
	}
	shut := func(when string) {
		t.Helper()
		for _, d := range doors {
			strange := p.v0(t, d.method, strings.ReplaceAll(d.path, base, "appUnknown0000000"), d.body)
			got := p.v0(t, d.method, d.path, d.body)
			if got.status != strange.status || got.body != strange.body || got.status < 400 {
				t.Errorf("%s: %s %s: %d %s, of an unknown base %d %s", when, d.method, d.path, got.status, got.body, strange.status, strange.body)
			}
		}
		if got := f.open(t, "GET", link); got.status != 404 {
			t.Errorf("%s: the link answers %d", when, got.status)
		}
		got := p.v0(t, "GET", "/v0/meta/bases", "")
		if strings.Contains(got.body, base) || !strings.Contains(got.body, other) {
			t.Errorf("%s: bases %s", when, got.body)
		}
		path := airtableapi.BasePath{BaseID: base}
		for name, err := range map[string]error{
			"base":       second(call(t, p, airtableapi.FetchBase, path)),
			"tables":     second(call(t, p, airtableapi.ListTables, airtableapi.TablesQuery{BasePath: path})),
			"records":    second(call(t, p, airtableapi.ListRecords, airtableapi.RecordsQuery{TablePath: at(base, "Docs")})),
			"views":      second(call(t, p, airtableapi.ListViews, airtableapi.ViewsQuery{TablePath: at(base, "Docs")})),
			"a snapshot": second(call(t, p.service(t), airtableapi.TakeSnapshot, p.takes(base))),
		} {
			if !errors.Is(err, airtableapi.ErrBaseNotFound) {
				t.Errorf("%s: %s: %v", when, name, err)
			}
		}
	}
	open("before")
	changed(3, workspaceapi.StatusTrashed)
	shut("the base in the trash")
	changed(2, workspaceapi.StatusActive)
	shut("older news")
	p.v0(t, "GET", "/v0/"+other+"/Docs", "").ok(t, nil)
	changed(4, workspaceapi.StatusArchived)
	open("out of the trash")
	shelf(2, workspaceapi.StatusTrashed)
	shut("the workspace in the trash")
	drawer(2, workspaceapi.StatusTrashed)
	shelf(3, workspaceapi.StatusActive)
	shut("the project in the trash")
	drawer(3, workspaceapi.StatusActive)
	open("all out of the trash")
	shelf(4, workspaceapi.StatusTrashed)
	applied(t, p, workspaceapi.BaseUnlinked, base, 5, workspaceapi.BasePlaced{BaseID: base}, places.BasePlaced)
	shelf(5, workspaceapi.StatusDeleted)
	open("in no workspace")
}

// Another tenant may have a base by the same id.
func TestTrash_OfOneTenantIsNotAnothers(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	p, stranger := f.owner(t), f.owner(t)
	base := p.docs(t)
	applied(t, stranger, workspaceapi.BaseUpdated, base, 9, workspaceapi.BaseChanged{BaseID: base, WorkspaceID: uid(), Status: workspaceapi.StatusTrashed},
		repository.NewPlaces(f.pool).BaseChanged)
	p.v0(t, "GET", "/v0/"+base+"/Docs", "").ok(t, nil)
}
