package workspaceapi_test

import (
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/eventstest"
)

// The samples are what other services, of another version maybe, read.
func TestEvents_AreTheirSamples(t *testing.T) {
	t.Parallel()
	samples(t, `{"workspace_id":"w","tenant_id":"t","name":"N","status":"active","changed":["name"],"actor_id":"u"}`,
		workspaceapi.WorkspaceCreated, workspaceapi.WorkspaceUpdated, workspaceapi.WorkspaceDeleted)
	samples(t, `{"project_id":"p","workspace_id":"w","tenant_id":"t","name":"N","status":"archived","changed":["status"],"actor_id":"u"}`,
		workspaceapi.ProjectCreated, workspaceapi.ProjectUpdated, workspaceapi.ProjectDeleted)
	samples(t, `{"tenant_id":"t","base_id":"appB","connection_id":"c","workspace_id":"w","project_id":"p","former_workspace_id":"f","actor_id":"u"}`,
		workspaceapi.BaseLinked, workspaceapi.BaseMoved, workspaceapi.BaseUnlinked)
	samples(t, `{"tenant_id":"t","base_id":"appB","workspace_id":"w","project_id":"p","name":"N","status":"trashed","changed":["status"],"actor_id":"u"}`,
		workspaceapi.BaseUpdated)
	samples(t, `{"snapshot_id":"s","tenant_id":"t","base_id":"appB","restored_as":"appC/tblA","actor_id":"u"}`,
		workspaceapi.SnapshotTaken, workspaceapi.SnapshotRestored)
	samples(t, `{"share_link_id":"l","tenant_id":"t","object":"base:t/appB","role":"viewer","actor_id":"u"}`,
		workspaceapi.ShareLinkCreated, workspaceapi.ShareLinkUpdated, workspaceapi.ShareLinkOpened, workspaceapi.ShareLinkRevoked)
	samples(t, `{"template_id":"m","tenant_id":"t","base_id":"appB","name":"N","edition":2,"changed":["tags"],"actor_id":"u"}`,
		workspaceapi.TemplateCreated, workspaceapi.TemplateUpdated, workspaceapi.TemplatePublished, workspaceapi.TemplateDeleted)
	samples(t, `{"restore_id":"r","template_id":"project-tracker","tenant_id":"t","base_id":"appB","workspace_id":"w","project_id":"p","actor_id":"u"}`,
		workspaceapi.TemplateUsed)
}

func samples[D any](t *testing.T, text string, kinds ...events.Type[D]) {
	t.Helper()
	for _, kind := range kinds {
		eventstest.Sample(t, kind, text)
	}
}
