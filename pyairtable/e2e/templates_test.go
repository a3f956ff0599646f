package e2e

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

// shape is what /v0 says of a base.
type shape struct {
	Tables []struct {
		ID, Name string
		Fields   []struct {
			ID, Name, Type string
			Options        struct{ IsValid *bool }
		}
		Views []struct{ ID, Name string }
	}
}

// Each template that comes with the product makes a base that works as it stands, and so
// does one that is published from such a base.
func TestTemplates_MakeBasesThatWork(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	_, who := w.user(t)
	gateway := w.gateway(auth.Principal{Token: who.Token})
	var home workspaceapi.Workspace
	await.True(t, "the owner may make a workspace", func() bool {
		made, err := rpc.Call(t.Context(), gateway, workspaceapi.CreateWorkspace, workspaceapi.NewWorkspace{Name: "Home"})
		home = made.Body
		return err == nil
	})
	made := func(key string) string {
		t.Helper()
		in := workspaceapi.TemplateUse{TemplateRef: workspaceapi.TemplateRef{TemplateID: key}}
		in.Body.WorkspaceID = home.ID
		began, err := rpc.Call(t.Context(), gateway, workspaceapi.UseTemplate, in)
		if err != nil {
			t.Fatal(key, err)
		}
		var out workspaceapi.Restore
		await.True(t, key+" is a base", func() bool {
			out, err = rpc.Call(t.Context(), gateway, workspaceapi.GetRestore, workspaceapi.RestoreRef{RestoreID: began.Body.ID})
			return err == nil && out.Status != airtableapi.RestoreRunning
		})
		if out.Status != airtableapi.RestoreDone || out.Error != nil {
			t.Fatalf("%s: %+v", key, out)
		}
		return out.BaseID
	}
	page, err := rpc.Call(t.Context(), gateway, workspaceapi.ListTemplates, workspaceapi.TemplatesQuery{Origin: "built_in"})
	if err != nil || len(page.Items) < 3 {
		t.Fatal(page, err)
	}
	var last string
	for _, tpl := range page.Items {
		last = made(tpl.ID)
		if got := w.works(t, who.Token, last); got != tpl.Records {
			t.Errorf("%s has %d records, of %d", tpl.ID, got, tpl.Records)
		}
	}
	in := workspaceapi.NewTemplate{}
	in.Body.BaseID, in.Body.Name = last, "Ours"
	own, err := rpc.Call(t.Context(), gateway, workspaceapi.CreateTemplate, in)
	if err != nil {
		t.Fatal(err)
	}
	ref := workspaceapi.TemplateRef{TemplateID: own.Body.ID}
	await.True(t, "the base is published", func() bool {
		now, err := rpc.Call(t.Context(), gateway, workspaceapi.GetTemplate, ref)
		return err == nil && now.Body.Status == workspaceapi.TemplateReady
	})
	if got, want := w.works(t, who.Token, made(own.Body.ID)), w.works(t, who.Token, last); got != want {
		t.Errorf("the copy has %d records, of %d", got, want)
	}
	_, stranger := w.user(t)
	if _, err := rpc.Call(t.Context(), w.gateway(auth.Principal{Token: stranger.Token}), workspaceapi.GetTemplate, ref); err == nil {
		t.Error("a stranger is shown the template")
	}
}

// works checks that all fields of the base are valid, that each view shows its records and
// that no cell is a fault, and counts the records.
func (w *world) works(t *testing.T, token, base string) (count int64) {
	t.Helper()
	read := func(path string, into any) {
		t.Helper()
		status, answer := request(t, "GET", w.urls[catalog.Gateway.Name]+"/v0/"+path, token, "")
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, status, answer)
		}
		if err := json.Unmarshal([]byte(answer), into); err != nil {
			t.Fatal(err)
		}
	}
	var s shape
	read("meta/bases/"+base+"/tables", &s)
	for _, table := range s.Tables {
		filled := map[string]bool{}
		for _, f := range table.Fields {
			if f.Options.IsValid != nil && !*f.Options.IsValid {
				t.Errorf("%s: the field %s is not valid", table.Name, f.Name)
			}
		}
		for i, v := range table.Views {
			var list struct {
				Records []struct{ Fields map[string]any }
			}
			read(base+"/"+table.ID+"?view="+v.ID, &list)
			if i > 0 {
				continue
			}
			count += int64(len(list.Records))
			for _, r := range list.Records {
				for name, cell := range r.Fields {
					filled[name] = true
					if fault, _ := cell.(map[string]any); fault["error"] != nil || fault["specialValue"] != nil {
						t.Errorf("%s: %s holds %v", table.Name, name, cell)
					}
				}
			}
		}
		for _, f := range table.Fields {
			if !filled[f.Name] {
				t.Errorf("%s: nothing is in %s", table.Name, f.Name)
			}
		}
	}
	return count
}
