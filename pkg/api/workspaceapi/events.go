package workspaceapi

import "github.com/pyairtable/pyairtable/pkg/events"

const (
	source = "/workspace-service"
	stream = "workspaces"
)

// The events of workspaces. The subject is the workspace's id, the version its own.
var (
	WorkspaceCreated = events.Type[WorkspaceChanged]{Name: "com.pyairtable.workspace.created.v1", Source: source, Stream: stream}
	// WorkspaceUpdated tells of every change, also into the archive or the trash and out.
	WorkspaceUpdated = events.Type[WorkspaceChanged]{Name: "com.pyairtable.workspace.updated.v1", Source: source, Stream: stream}
	WorkspaceDeleted = events.Type[WorkspaceChanged]{Name: "com.pyairtable.workspace.deleted.v1", Source: source, Stream: stream}
)

// WorkspaceChanged says how a workspace is now.
type WorkspaceChanged struct {
	WorkspaceID string   `json:"workspace_id"`
	TenantID    string   `json:"tenant_id"`
	Name        string   `json:"name"`
	Status      string   `json:"status"` // active, archived, trashed, deleted
	Changed     []string `json:"changed"`
	ActorID     string   `json:"actor_id,omitempty"`
}

// The events of projects, which order the bases of a workspace.
var (
	ProjectCreated = events.Type[ProjectChanged]{Name: "com.pyairtable.project.created.v1", Source: source, Stream: stream}
	ProjectUpdated = events.Type[ProjectChanged]{Name: "com.pyairtable.project.updated.v1", Source: source, Stream: stream}
	ProjectDeleted = events.Type[ProjectChanged]{Name: "com.pyairtable.project.deleted.v1", Source: source, Stream: stream}
)

// ProjectChanged says how a project is now.
type ProjectChanged struct {
	ProjectID   string   `json:"project_id"`
	WorkspaceID string   `json:"workspace_id"`
	TenantID    string   `json:"tenant_id"`
	Name        string   `json:"name"`
	Status      string   `json:"status"`
	Changed     []string `json:"changed"`
	ActorID     string   `json:"actor_id,omitempty"`
}

// The events of bases in workspaces. The subject is the base's id (app…), the version
// that of its place. A base is in one workspace at the most.
var (
	BaseLinked   = events.Type[BasePlaced]{Name: "com.pyairtable.base.linked.v1", Source: source, Stream: stream}
	BaseMoved    = events.Type[BasePlaced]{Name: "com.pyairtable.base.moved.v1", Source: source, Stream: stream}
	BaseUnlinked = events.Type[BasePlaced]{Name: "com.pyairtable.base.unlinked.v1", Source: source, Stream: stream}
	// BaseUpdated tells of what is said of a base, and of the archive and the trash. It
	// stays where it is.
	BaseUpdated = events.Type[BaseChanged]{Name: "com.pyairtable.base.updated.v1", Source: source, Stream: stream}
)

// BaseChanged says how a base is now beside its place. Changed names fields as in Base,
// field_notes for documentation of its fields.
type BaseChanged struct {
	TenantID    string   `json:"tenant_id"`
	BaseID      string   `json:"base_id"`
	WorkspaceID string   `json:"workspace_id"`
	ProjectID   string   `json:"project_id,omitempty"`
	Name        string   `json:"name"`
	Status      string   `json:"status"`
	Changed     []string `json:"changed"`
	ActorID     string   `json:"actor_id,omitempty"`
}

// BasePlaced says where a base is now. WorkspaceID is empty when it is nowhere.
type BasePlaced struct {
	TenantID     string `json:"tenant_id"`
	BaseID       string `json:"base_id"`
	ConnectionID string `json:"connection_id"`
	WorkspaceID  string `json:"workspace_id"`
	ProjectID    string `json:"project_id,omitempty"`
	Status       string `json:"status,omitempty"`
	FormerID     string `json:"former_workspace_id,omitempty"`
	ActorID      string `json:"actor_id,omitempty"`
}

// The events of what a workspace is used for. The subject is the snapshot's or the
// share link's id.
var (
	SnapshotTaken    = events.Type[SnapshotChanged]{Name: "com.pyairtable.snapshot.taken.v1", Source: source, Stream: stream}
	SnapshotRestored = events.Type[SnapshotChanged]{Name: "com.pyairtable.snapshot.restored.v1", Source: source, Stream: stream}
	ShareLinkCreated = events.Type[ShareLinkChanged]{Name: "com.pyairtable.share_link.created.v1", Source: source, Stream: stream}
	ShareLinkUpdated = events.Type[ShareLinkChanged]{Name: "com.pyairtable.share_link.updated.v1", Source: source, Stream: stream}
	ShareLinkOpened  = events.Type[ShareLinkChanged]{Name: "com.pyairtable.share_link.opened.v1", Source: source, Stream: stream}
	// ShareLinkRedeemed tells that the actor was given the link's role.
	ShareLinkRedeemed = events.Type[ShareLinkChanged]{Name: "com.pyairtable.share_link.redeemed.v1", Source: source, Stream: stream}
	ShareLinkRevoked  = events.Type[ShareLinkChanged]{Name: "com.pyairtable.share_link.revoked.v1", Source: source, Stream: stream}
)

// SnapshotChanged names a snapshot of a base.
type SnapshotChanged struct {
	SnapshotID string `json:"snapshot_id"`
	TenantID   string `json:"tenant_id"`
	BaseID     string `json:"base_id"`
	RestoredAs string `json:"restored_as,omitempty"` // the new base, or what was restored into the old one
	ActorID    string `json:"actor_id,omitempty"`
}

// ShareLinkChanged names a share link and never its secret.
type ShareLinkChanged struct {
	ShareLinkID string `json:"share_link_id"`
	TenantID    string `json:"tenant_id"`
	Object      string `json:"object"`
	Role        string `json:"role"`
	ActorID     string `json:"actor_id,omitempty"`
}
