package workspaceservice_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// A create that is repeated with its key is the first one; with another body it is
// refused. Each operation that says so is tried.
func TestIdempotency_EveryCreateRepeatedIsTheFirst(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	token := w.issuer.Token(t, authtest.User(owner.tenant, owner.user, "owner"))
	send := func(path, key, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.URL+path, strings.NewReader(body))
		w.ok(err)
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", key)
		resp, err := http.DefaultClient.Do(req)
		w.ok(err)
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		w.ok(err)
		return resp.StatusCode, string(got)
	}
	s := scene{world: w, owner: owner, caller: owner, home: w.workspace(owner, "A")}
	p, b, snap, fresh := s.project(), s.base(), aSnapshot(s), newBase()
	w.offer(owner.tenant, fresh)
	named := `{"name":"N"}`
	into := `{"workspace_id":"` + s.home.ID + `"}`
	tries := map[string]struct{ path, body, other, table string }{
		"createWorkspace":    {"/api/v1/workspaces", named, `{"name":"M"}`, "workspaces"},
		"duplicateWorkspace": {"/api/v1/workspaces/" + s.home.ID + "/duplicate", named, `{"name":"M"}`, "workspaces"},
		"createProject":      {"/api/v1/workspaces/" + s.home.ID + "/projects", named, `{"name":"M"}`, "projects"},
		"duplicateProject":   {"/api/v1/projects/" + p.ID + "/duplicate", named, `{"name":"M"}`, "projects"},
		"linkBase":           {"/api/v1/workspaces/" + s.home.ID + "/bases", `{"base_id":"` + fresh + `"}`, `{"base_id":"` + newBase() + `"}`, "bases"},
		"createShareLink":    {"/api/v1/share-links", into, `{"base_id":"` + b.ID + `"}`, "share_links"},
		"takeSnapshot":       {"/api/v1/bases/" + b.ID + "/snapshots", `{}`, `{"label":"M"}`, "snapshots"},
		"restoreSnapshot": {"/api/v1/snapshots/" + snap.SnapshotID + "/restores", `{"kind":"` + airtableapi.RestoreBase + `","workspace_id":"` + s.home.ID + `"}`,
			`{"kind":"` + airtableapi.RestoreBase + `","workspace_id":"` + s.home.ID + `","name":"M"}`, "restores"},
		"createTemplate":         {"/api/v1/templates", `{"name":"N","base_id":"` + b.ID + `"}`, `{"name":"M","base_id":"` + b.ID + `"}`, "templates"},
		"createBaseFromTemplate": {"/api/v1/templates/project-tracker/bases", into, `{"workspace_id":"` + s.home.ID + `","name":"M"}`, "restores"},
		"duplicateBase":          {"/api/v1/bases/" + b.ID + "/duplicate", into, `{"workspace_id":"` + s.home.ID + `","name":"M"}`, "restores"},
	}
	for _, op := range workspaceapi.Service.Ops {
		c, known := tries[op.Name]
		if op.Idempotent != known {
			t.Errorf("%s: idempotent %v, tried %v", op.Name, op.Idempotent, known)
		}
		if !known {
			continue
		}
		key := id.New[any]().String()
		rows := `SELECT count(*) FROM ` + c.table
		before := w.count(rows)
		status, first := send(c.path, key, c.body)
		if status != http.StatusCreated && status != http.StatusAccepted {
			t.Errorf("%s: %d %s", op.Name, status, first)
			continue
		}
		after := w.count(rows)
		if again, second := send(c.path, key, c.body); again != status || second != first {
			t.Errorf("%s again: %d %s, first %d %s", op.Name, again, second, status, first)
		}
		if got, _ := send(c.path, key, c.other); got != http.StatusUnprocessableEntity {
			t.Errorf("%s with another body: %d", op.Name, got)
		}
		// New bases come into the workspace by restores, later.
		if n := w.count(rows); after <= before || c.table != "bases" && c.table != "snapshots" && n != after {
			t.Errorf("%s: %d rows, then %d and %d", op.Name, before, after, n)
		}
	}
}
