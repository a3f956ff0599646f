package workspaceapi

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
)

// States of workspaces, projects and bases.
const (
	StatusActive   = "active"
	StatusArchived = "archived" // readable, and not to be changed
	StatusTrashed  = "trashed"  // seen by those who may restore it, until it is purged
	StatusDeleted  = "deleted"
)

// Standing is how an object is now.
type Standing struct {
	Status     string    `json:"status" enum:"active,archived,trashed"`
	ArchivedAt time.Time `json:"archived_at,omitzero"`
	TrashedAt  time.Time `json:"trashed_at,omitzero"`
	PurgeAt    time.Time `json:"purge_at,omitzero" doc:"When it is gone for good, unless it is restored."`
	Version    int64     `json:"version" doc:"Rises with every change; the ETag is made of it."`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
}

// Workspace holds projects and bases.
type Workspace struct {
	ID          string `json:"id" format:"uuid"`
	Name        string `json:"name"`
	Description string `json:"description"`
	CreatedBy   string `json:"created_by" format:"uuid"`
	Standing
}

// NewWorkspace is what a workspace is made of.
type NewWorkspace struct {
	Name        string `json:"name" minLength:"1" maxLength:"200" example:"Marketing"`
	Description string `json:"description,omitempty" maxLength:"10000"`
}

// WorkspaceMade answers CreateWorkspace.
type WorkspaceMade struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     Workspace
}

// WorkspaceAnswer is a workspace with its ETag, to be sent as If-Match with an update.
type WorkspaceAnswer struct {
	ETag string `header:"ETag"`
	Body Workspace
}

// WorkspaceRef names a workspace.
type WorkspaceRef struct {
	WorkspaceID string `path:"workspace_id" format:"uuid"`
}

// Precondition makes an update fail if the object is not the one that was read.
type Precondition struct {
	IfMatch string `header:"If-Match" required:"false" maxLength:"1000" doc:"An ETag; without it the last update wins."`
}

// NamePatch is a JSON merge patch of a workspace or project: what is absent stays.
type NamePatch struct {
	Name        *string `json:"name,omitempty" minLength:"1" maxLength:"200"`
	Description *string `json:"description,omitempty" maxLength:"10000"`
}

// WorkspaceUpdate changes some of a workspace.
type WorkspaceUpdate struct {
	WorkspaceRef
	Precondition
	Body NamePatch
}

// Order says where to put an object among those beside it.
type Order struct {
	After string `json:"after" maxLength:"100" doc:"The id of the one to be put behind; empty for the first place."`
}

// WorkspaceOrder puts a workspace elsewhere.
type WorkspaceOrder struct {
	WorkspaceRef
	Body Order
}

// Copy names a duplicate.
type Copy struct {
	Name string `json:"name" minLength:"1" maxLength:"200"`
}

// WorkspaceCopy duplicates a workspace.
type WorkspaceCopy struct {
	WorkspaceRef
	Body Copy
}

// StatusQuery selects by status.
type StatusQuery struct {
	api.PageQuery
	Status string `query:"status" default:"active" enum:"active,archived,trashed"`
}

// WorkspacePage is a page of workspaces.
type WorkspacePage = api.Page[Workspace]

// Project orders bases of its workspace.
type Project struct {
	ID          string `json:"id" format:"uuid"`
	WorkspaceID string `json:"workspace_id" format:"uuid"`
	Name        string `json:"name"`
	Description string `json:"description"`
	CreatedBy   string `json:"created_by" format:"uuid"`
	Standing
}

// NewProject makes a project in a workspace.
type NewProject struct {
	WorkspaceRef
	Body NewWorkspace
}

// ProjectMade answers CreateProject.
type ProjectMade struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     Project
}

// ProjectAnswer is a project with its ETag.
type ProjectAnswer struct {
	ETag string `header:"ETag"`
	Body Project
}

// ProjectRef names a project.
type ProjectRef struct {
	ProjectID string `path:"project_id" format:"uuid"`
}

// ProjectUpdate changes some of a project.
type ProjectUpdate struct {
	ProjectRef
	Precondition
	Body NamePatch
}

// ProjectOrder puts a project elsewhere in its workspace.
type ProjectOrder struct {
	ProjectRef
	Body Order
}

// ProjectCopy duplicates a project.
type ProjectCopy struct {
	ProjectRef
	Body Copy
}

// ProjectsQuery selects projects of a workspace.
type ProjectsQuery struct {
	WorkspaceRef
	StatusQuery
}

// ProjectPage is a page of projects.
type ProjectPage = api.Page[Project]

// Base is a base in a workspace, with what the workspace's people say of it.
type Base struct {
	ID           string   `json:"id" example:"appWorldAtlas0001" doc:"Airtable's id, app…"`
	ConnectionID string   `json:"connection_id" format:"uuid"`
	WorkspaceID  string   `json:"workspace_id" format:"uuid"`
	ProjectID    string   `json:"project_id,omitempty" format:"uuid"`
	Name         string   `json:"name" doc:"As it was called when it was linked, unless it was renamed here."`
	Description  string   `json:"description"`
	Tags         []string `json:"tags" nullable:"false"`
	OwnerID      string   `json:"owner_id" format:"uuid" doc:"Who answers for it."`
	LinkedBy     string   `json:"linked_by" format:"uuid"`
	Standing
}

// BaseLink links a base into a workspace.
type BaseLink struct {
	WorkspaceRef
	Body struct {
		BaseID    string `json:"base_id" pattern:"^app[A-Za-z0-9]{1,30}$"`
		ProjectID string `json:"project_id,omitempty" format:"uuid"`
	}
}

// BaseMade answers LinkBase.
type BaseMade struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     Base
}

// BaseAnswer is a base with its ETag.
type BaseAnswer struct {
	ETag string `header:"ETag"`
	Body Base
}

// BaseRef names a base.
type BaseRef struct {
	BaseID string `path:"base_id" maxLength:"64" doc:"app…"`
}

// BaseUpdate changes what is said of a base.
type BaseUpdate struct {
	BaseRef
	Precondition
	Body BasePatch
}

// BasePatch is a JSON merge patch of a base: what is absent stays. Nothing of it reaches
// Airtable.
type BasePatch struct {
	Name        *string   `json:"name,omitempty" minLength:"1" maxLength:"200"`
	Description *string   `json:"description,omitempty" maxLength:"100000"`
	Tags        *[]string `json:"tags,omitempty" maxItems:"50"`
	OwnerID     *string   `json:"owner_id,omitempty" format:"uuid" doc:"Changed by those who may manage the base."`
}

// BaseMove puts a base elsewhere.
type BaseMove struct {
	BaseRef
	Body struct {
		WorkspaceID string  `json:"workspace_id,omitempty" format:"uuid" doc:"Absent: it stays in its workspace."`
		ProjectID   *string `json:"project_id,omitempty" maxLength:"36" doc:"Empty for none. Absent: it stays in its project, or, in another workspace, in none."`
		After       *string `json:"after,omitempty" maxLength:"64" doc:"The base of the workspace to be put behind; empty for the first place. Absent: it stays, or, in another workspace, comes last."`
	}
}

// BasesQuery selects bases.
type BasesQuery struct {
	StatusQuery
	WorkspaceID string `query:"workspace_id" maxLength:"36" doc:"Those of this workspace, in its order. Absent: of all, by id."`
	ProjectID   string `query:"project_id" maxLength:"36"`
	Tag         string `query:"tag" maxLength:"100"`
}

// BasePage is a page of bases.
type BasePage = api.Page[Base]

// OffersQuery asks what the tenant's connections offer.
type OffersQuery struct {
	api.PageQuery
	ConnectionID string `query:"connection_id" maxLength:"36" doc:"Only what this connection offers; a page may then hold fewer bases than asked for."`
}

// Offer is a base that a connection offers.
type Offer struct {
	BaseID       string `json:"base_id"`
	Name         string `json:"name"`
	ConnectionID string `json:"connection_id" format:"uuid"`
	Linked       bool   `json:"linked" doc:"It is in a workspace."`
	WorkspaceID  string `json:"workspace_id,omitempty" format:"uuid" doc:"If the caller may see it."`
	Linkable     bool   `json:"linkable" doc:"The caller may link or move it."`
}

// OfferPage is a page of offers.
type OfferPage = api.Page[Offer]

// FieldNote documents a field.
type FieldNote struct {
	TableID   string    `json:"table_id"`
	FieldID   string    `json:"field_id"`
	Text      string    `json:"text"`
	UpdatedBy string    `json:"updated_by" format:"uuid"`
	UpdatedAt time.Time `json:"updated_at"`
}

// FieldNotesQuery asks for what is said of a base's fields.
type FieldNotesQuery struct {
	BaseRef
	api.PageQuery
	TableID string `query:"table_id" maxLength:"64"`
}

// FieldRef names a field.
type FieldRef struct {
	BaseRef
	TableID string `path:"table_id" pattern:"^tbl[A-Za-z0-9]{1,30}$" maxLength:"64"`
	FieldID string `path:"field_id" pattern:"^fld[A-Za-z0-9]{1,30}$" maxLength:"64"`
}

// FieldNotePut documents a field.
type FieldNotePut struct {
	FieldRef
	Body struct {
		Text string `json:"text" minLength:"1" maxLength:"20000"`
	}
}

// FieldNotePage is a page of notes.
type FieldNotePage = api.Page[FieldNote]

// Kinds of objects.
const (
	KindWorkspace = "workspace"
	KindProject   = "project"
	KindBase      = "base"
)

// Favourite is an object that the caller has marked for himself.
type Favourite struct {
	Kind     string    `json:"kind" enum:"workspace,project,base"`
	ObjectID string    `json:"object_id"`
	Name     string    `json:"name"`
	MarkedAt time.Time `json:"marked_at"`
}

// FavouriteRef names a favourite.
type FavouriteRef struct {
	Kind     string `path:"kind" enum:"workspace,project,base"`
	ObjectID string `path:"object_id" maxLength:"64"`
}

// FavouritePage is a page of favourites.
type FavouritePage = api.Page[Favourite]

// ActivityQuery selects entries of the feed.
type ActivityQuery struct {
	api.PageQuery
	WorkspaceID string `query:"workspace_id" maxLength:"36" doc:"Of this workspace and what is in it."`
	BaseID      string `query:"base_id" maxLength:"64" doc:"Of this base."`
}

// Activity is something that happened. Changes of records of one kind by one user in one
// table within five minutes are one entry.
type Activity struct {
	ID          string    `json:"id" format:"uuid"`
	At          time.Time `json:"at" doc:"When it began."`
	LastAt      time.Time `json:"last_at"`
	Kind        string    `json:"kind" example:"record.updated"`
	ActorID     string    `json:"actor_id,omitempty" doc:"The user who did it; absent if nobody did."`
	WorkspaceID string    `json:"workspace_id,omitempty"`
	ProjectID   string    `json:"project_id,omitempty"`
	BaseID      string    `json:"base_id,omitempty"`
	TableID     string    `json:"table_id,omitempty"`
	SubjectID   string    `json:"subject_id,omitempty" doc:"Who or what else it is about: a member, a group, a snapshot, a share link."`
	Name        string    `json:"name,omitempty" doc:"What its object was called then."`
	Role        string    `json:"role,omitempty"`
	Changed     []string  `json:"changed" nullable:"false"`
	Count       int       `json:"count" doc:"Of records or comments."`
}

// ActivityPage is a page of the feed.
type ActivityPage = api.Page[Activity]
