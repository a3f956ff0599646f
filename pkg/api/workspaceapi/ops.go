package workspaceapi

import (
	"net/http"
	"slices"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

const (
	workspaces = "/api/v1/workspaces"
	workspace  = workspaces + "/{workspace_id}"
	projects   = "/api/v1/projects"
	project    = projects + "/{project_id}"
	bases      = "/api/v1/bases"
	base       = bases + "/{base_id}"
	fieldNotes = base + "/field-notes"
	fieldNote  = fieldNotes + "/{table_id}/{field_id}"
	favourites = "/api/v1/favourites"
	favourite  = favourites + "/{kind}/{object_id}"
	shareLinks = "/api/v1/share-links"
	shareLink  = shareLinks + "/{link_id}"
	shared     = "/api/v1/shared"
)

// The scopes by which personal access tokens open what is here, named as Airtable names
// them. manage is for the trash and for what cannot be undone. Shares, and redeeming a
// link, are for people.
const (
	scopeRead   = "workspacesAndBases:read"
	scopeWrite  = "workspacesAndBases:write"
	scopeManage = "workspacesAndBases:manage"
	scopeShare  = "workspacesAndBases.shares:manage"
)

var none = errs.ErrNotFound

// Workspaces. Owners, admins and members of the tenant make them, and own what they made;
// who may manage one changes it.
var (
	CreateWorkspace = api.Op[NewWorkspace, WorkspaceMade]{
		Name: "createWorkspace", Scope: scopeWrite, Method: http.MethodPost, Path: workspaces, Status: http.StatusCreated, Idempotent: true,
		Summary: "Make a workspace", Description: "It comes last, and the caller is its owner.", Errors: []*errs.Error{ErrGuests, ErrTooMany, ErrBlankName},
	}
	ListWorkspaces = api.Op[StatusQuery, WorkspacePage]{
		Name: "listWorkspaces", Scope: scopeRead, Method: http.MethodGet, Path: workspaces,
		Summary: "List the workspaces that the caller may see", Description: "In the tenant's order. Those in the trash are listed to who may restore them.",
	}
	GetWorkspace = api.Op[WorkspaceRef, WorkspaceAnswer]{
		Name: "getWorkspace", Scope: scopeRead, Method: http.MethodGet, Path: workspace, Summary: "Show a workspace", Errors: []*errs.Error{none},
	}
	UpdateWorkspace = api.Op[WorkspaceUpdate, WorkspaceAnswer]{
		Name: "updateWorkspace", Scope: scopeWrite, Method: http.MethodPatch, Path: workspace, Summary: "Rename or describe a workspace",
		Errors: []*errs.Error{none, ErrArchived, ErrTrashed, ErrBlankName, errs.ErrPreconditionFailed},
	}
	OrderWorkspace = api.Op[WorkspaceOrder, WorkspaceAnswer]{
		Name: "orderWorkspace", Scope: scopeWrite, Method: http.MethodPost, Path: workspace + "/order", Summary: "Put a workspace behind another one",
		Errors: []*errs.Error{none, ErrTrashed, ErrNoSibling},
	}
	ArchiveWorkspace = api.Op[WorkspaceRef, WorkspaceAnswer]{
		Name: "archiveWorkspace", Scope: scopeWrite, Method: http.MethodPost, Path: workspace + "/archive", Summary: "Archive a workspace",
		Description: "It can be read and not be changed. Again changes nothing.", Errors: []*errs.Error{none, ErrTrashed},
	}
	UnarchiveWorkspace = api.Op[WorkspaceRef, WorkspaceAnswer]{
		Name: "unarchiveWorkspace", Scope: scopeWrite, Method: http.MethodPost, Path: workspace + "/unarchive", Summary: "Take a workspace out of the archive",
		Errors: []*errs.Error{none, ErrTrashed},
	}
	TrashWorkspace = api.Op[WorkspaceRef, WorkspaceAnswer]{
		Name: "trashWorkspace", Scope: scopeManage, Method: http.MethodDelete, Path: workspace, Summary: "Put a workspace into the trash",
		Description: "It is purged at purge_at, unless it is restored before. No base loses its content, but those in it answer nobody meanwhile. Again changes nothing.", Errors: []*errs.Error{none},
	}
	RestoreWorkspace = api.Op[WorkspaceRef, WorkspaceAnswer]{
		Name: "restoreWorkspace", Scope: scopeManage, Method: http.MethodPost, Path: workspace + "/restore", Summary: "Take a workspace out of the trash",
		Errors: []*errs.Error{none},
	}
	PurgeWorkspace = api.Op[WorkspaceRef, struct{}]{
		Name: "purgeWorkspace", Scope: scopeManage, Method: http.MethodPost, Path: workspace + "/purge", Status: http.StatusNoContent,
		Summary: "Delete a workspace in the trash for good", Description: "Its bases are in no workspace then; what is in them stays.",
		Errors: []*errs.Error{none, ErrNotTrashed},
	}
	DuplicateWorkspace = api.Op[WorkspaceCopy, WorkspaceMade]{
		Name: "duplicateWorkspace", Scope: scopeWrite, Method: http.MethodPost, Path: workspace + "/duplicate", Status: http.StatusCreated, Idempotent: true,
		Summary: "Make a workspace with the projects of this one", Description: "Its bases and its shares stay where they are.",
		Errors: []*errs.Error{none, ErrGuests, ErrTooMany, ErrBlankName},
	}
)

// Projects. Who may create in the workspace makes and changes them.
var (
	CreateProject = api.Op[NewProject, ProjectMade]{
		Name: "createProject", Scope: scopeWrite, Method: http.MethodPost, Path: workspace + "/projects", Status: http.StatusCreated, Idempotent: true,
		Summary: "Make a project", Description: "It comes last.", Errors: []*errs.Error{none, ErrArchived, ErrTrashed, ErrTooManyHere, ErrBlankName},
	}
	ListProjects = api.Op[ProjectsQuery, ProjectPage]{
		Name: "listProjects", Scope: scopeRead, Method: http.MethodGet, Path: workspace + "/projects", Summary: "List the projects of a workspace",
		Description: "In their order.", Errors: []*errs.Error{none},
	}
	GetProject = api.Op[ProjectRef, ProjectAnswer]{
		Name: "getProject", Scope: scopeRead, Method: http.MethodGet, Path: project, Summary: "Show a project", Errors: []*errs.Error{none},
	}
	UpdateProject = api.Op[ProjectUpdate, ProjectAnswer]{
		Name: "updateProject", Scope: scopeWrite, Method: http.MethodPatch, Path: project, Summary: "Rename or describe a project",
		Errors: []*errs.Error{none, ErrArchived, ErrTrashed, ErrBlankName, errs.ErrPreconditionFailed},
	}
	OrderProject = api.Op[ProjectOrder, ProjectAnswer]{
		Name: "orderProject", Scope: scopeWrite, Method: http.MethodPost, Path: project + "/order", Summary: "Put a project behind another one of its workspace",
		Errors: []*errs.Error{none, ErrArchived, ErrTrashed, ErrNoSibling},
	}
	ArchiveProject = api.Op[ProjectRef, ProjectAnswer]{
		Name: "archiveProject", Scope: scopeWrite, Method: http.MethodPost, Path: project + "/archive", Summary: "Archive a project", Errors: []*errs.Error{none, ErrArchived, ErrTrashed},
	}
	UnarchiveProject = api.Op[ProjectRef, ProjectAnswer]{
		Name: "unarchiveProject", Scope: scopeWrite, Method: http.MethodPost, Path: project + "/unarchive", Summary: "Take a project out of the archive",
		Errors: []*errs.Error{none, ErrArchived, ErrTrashed},
	}
	TrashProject = api.Op[ProjectRef, ProjectAnswer]{
		Name: "trashProject", Scope: scopeManage, Method: http.MethodDelete, Path: project, Summary: "Put a project into the trash",
		Description: "Its bases are not listed meanwhile, and answer nobody. When it is purged they stay in the workspace, in no project.",
		Errors:      []*errs.Error{none, ErrArchived, ErrTrashed},
	}
	RestoreProject = api.Op[ProjectRef, ProjectAnswer]{
		Name: "restoreProject", Scope: scopeManage, Method: http.MethodPost, Path: project + "/restore", Summary: "Take a project out of the trash",
		Errors: []*errs.Error{none, ErrArchived, ErrTrashed},
	}
	PurgeProject = api.Op[ProjectRef, struct{}]{
		Name: "purgeProject", Scope: scopeManage, Method: http.MethodPost, Path: project + "/purge", Status: http.StatusNoContent,
		Summary: "Delete a project in the trash for good", Errors: []*errs.Error{none, ErrArchived, ErrTrashed, ErrNotTrashed},
	}
	DuplicateProject = api.Op[ProjectCopy, ProjectMade]{
		Name: "duplicateProject", Scope: scopeWrite, Method: http.MethodPost, Path: project + "/duplicate", Status: http.StatusCreated, Idempotent: true,
		Summary: "Make a project like this one in its workspace", Description: "Its bases stay where they are.",
		Errors: []*errs.Error{none, ErrArchived, ErrTrashed, ErrTooManyHere, ErrBlankName},
	}
)

// Bases. Who links one has to be able to create in the workspace and to manage the base;
// who may create in a base says what there is to say of it.
var (
	ListOffers = api.Op[OffersQuery, OfferPage]{
		Name: "listOfferedBases", Scope: scopeRead, Method: http.MethodGet, Path: "/api/v1/offered-bases", Summary: "List the bases that connections offer",
		Description: "Of what the caller may see at airtable-gateway, in the order of the ids.",
	}
	LinkBase = api.Op[BaseLink, BaseMade]{
		Name: "linkBase", Scope: scopeWrite, Method: http.MethodPost, Path: workspace + "/bases", Status: http.StatusCreated, Idempotent: true,
		Summary: "Link a base into a workspace", Description: "It comes last. What was said of it when it was in a workspace before is found again.",
		Errors: []*errs.Error{none, ErrArchived, ErrTrashed, ErrTooManyHere, ErrNoProject, ErrNoBase, ErrLinked},
	}
	ListBases = api.Op[BasesQuery, BasePage]{
		Name: "listLinkedBases", Scope: scopeRead, Method: http.MethodGet, Path: bases, Summary: "List the bases in workspaces that the caller may see",
		Errors: []*errs.Error{none},
	}
	GetBase = api.Op[BaseRef, BaseAnswer]{
		Name: "getLinkedBase", Scope: scopeRead, Method: http.MethodGet, Path: base, Summary: "Show a base with what is said of it", Errors: []*errs.Error{none},
	}
	UpdateBase = api.Op[BaseUpdate, BaseAnswer]{
		Name: "updateLinkedBase", Scope: scopeWrite, Method: http.MethodPatch, Path: base, Summary: "Name, describe and tag a base, or change its owner",
		Errors: []*errs.Error{none, ErrArchived, ErrTrashed, ErrBlankName, ErrBadTags, ErrBadOwner, errs.ErrPreconditionFailed},
	}
	MoveBase = api.Op[BaseMove, BaseAnswer]{
		Name: "moveBase", Scope: scopeWrite, Method: http.MethodPost, Path: base + "/move", Summary: "Put a base elsewhere",
		Description: "Within its workspace, by who may create there; into another one by who may manage the base and create there. Its own shares stay.",
		Errors:      []*errs.Error{none, ErrArchived, ErrTrashed, ErrTooManyHere, ErrNoProject, ErrNoSibling},
	}
	ArchiveBase = api.Op[BaseRef, BaseAnswer]{
		Name: "archiveBase", Scope: scopeWrite, Method: http.MethodPost, Path: base + "/archive", Summary: "Archive a base",
		Description: "What is said of it cannot be changed, nor its place; its records can.", Errors: []*errs.Error{none, ErrArchived, ErrTrashed},
	}
	UnarchiveBase = api.Op[BaseRef, BaseAnswer]{
		Name: "unarchiveBase", Scope: scopeWrite, Method: http.MethodPost, Path: base + "/unarchive", Summary: "Take a base out of the archive",
		Errors: []*errs.Error{none, ErrArchived, ErrTrashed},
	}
	TrashBase = api.Op[BaseRef, BaseAnswer]{
		Name: "trashBase", Scope: scopeManage, Method: http.MethodDelete, Path: base, Summary: "Put a base's link into the trash",
		Description: "The base answers nobody meanwhile. When it is purged the base is in no workspace; what is in it stays.", Errors: []*errs.Error{none, ErrArchived, ErrTrashed},
	}
	RestoreBase = api.Op[BaseRef, BaseAnswer]{
		Name: "restoreBase", Scope: scopeManage, Method: http.MethodPost, Path: base + "/restore", Summary: "Take a base's link out of the trash",
		Errors: []*errs.Error{none, ErrArchived, ErrTrashed},
	}
	UnlinkBase = api.Op[BaseRef, struct{}]{
		Name: "unlinkBase", Scope: scopeManage, Method: http.MethodPost, Path: base + "/unlink", Status: http.StatusNoContent, Summary: "Take a base out of its workspace",
		Description: "With the shares of the base itself. What is in it stays.", Errors: []*errs.Error{none},
	}
	ListFieldNotes = api.Op[FieldNotesQuery, FieldNotePage]{
		Name: "listFieldNotes", Scope: scopeRead, Method: http.MethodGet, Path: fieldNotes, Summary: "List the documentation of a base's fields",
		Description: "By table and field; not of fields that are hidden from the caller.", Errors: []*errs.Error{none},
	}
	PutFieldNote = api.Op[FieldNotePut, FieldNote]{
		Name: "putFieldNote", Scope: scopeWrite, Method: http.MethodPut, Path: fieldNote, Summary: "Document a field",
		Errors: []*errs.Error{none, ErrArchived, ErrTrashed, ErrTooManyHere},
	}
	DeleteFieldNote = api.Op[FieldRef, struct{}]{
		Name: "deleteFieldNote", Scope: scopeWrite, Method: http.MethodDelete, Path: fieldNote, Status: http.StatusNoContent, Summary: "Delete the documentation of a field",
		Errors: []*errs.Error{none, ErrArchived, ErrTrashed},
	}
)

// Favourites and the feed are each caller's own.
var (
	ListFavourites = api.Op[api.PageQuery, FavouritePage]{
		Name: "listFavourites", Scope: scopeRead, Method: http.MethodGet, Path: favourites, Summary: "List the caller's favourites",
		Description: "Newest first; of those that he may still see.",
	}
	PutFavourite = api.Op[FavouriteRef, struct{}]{
		Name: "putFavourite", Scope: scopeWrite, Method: http.MethodPut, Path: favourite, Status: http.StatusNoContent, Summary: "Mark a favourite",
		Errors: []*errs.Error{none, ErrTooManyHere},
	}
	DeleteFavourite = api.Op[FavouriteRef, struct{}]{
		Name: "deleteFavourite", Scope: scopeWrite, Method: http.MethodDelete, Path: favourite, Status: http.StatusNoContent, Summary: "Unmark a favourite",
	}
	ListActivity = api.Op[ActivityQuery, ActivityPage]{
		Name: "listActivity", Scope: scopeRead, Method: http.MethodGet, Path: "/api/v1/activity", Summary: "What happened in workspaces and bases",
		Description: "Newest first, of what the caller may see; who was given access, and members of the tenant, are for those who may share.",
		Errors:      []*errs.Error{none},
	}
)

// Service is workspace-service.
var Service = api.Service{
	Name: "workspace-service", Title: "Workspace", Port: 8005, Database: "pyairtable_workspaces", Phase: 2,
	Needs:   []string{"auth-service", "airtable-gateway", "permission-service"},
	Streams: []string{stream},
	Ops: append([]api.Spec{
		CreateWorkspace.Spec(), ListWorkspaces.Spec(), GetWorkspace.Spec(), UpdateWorkspace.Spec(), OrderWorkspace.Spec(), ArchiveWorkspace.Spec(),
		UnarchiveWorkspace.Spec(), TrashWorkspace.Spec(), RestoreWorkspace.Spec(), PurgeWorkspace.Spec(), DuplicateWorkspace.Spec(),
		CreateProject.Spec(), ListProjects.Spec(), GetProject.Spec(), UpdateProject.Spec(), OrderProject.Spec(), ArchiveProject.Spec(),
		UnarchiveProject.Spec(), TrashProject.Spec(), RestoreProject.Spec(), PurgeProject.Spec(), DuplicateProject.Spec(),
		ListOffers.Spec(), LinkBase.Spec(), ListBases.Spec(), GetBase.Spec(), UpdateBase.Spec(), MoveBase.Spec(), ArchiveBase.Spec(),
		UnarchiveBase.Spec(), TrashBase.Spec(), RestoreBase.Spec(), UnlinkBase.Spec(),
		ListFieldNotes.Spec(), PutFieldNote.Spec(), DeleteFieldNote.Spec(),
		ListFavourites.Spec(), PutFavourite.Spec(), DeleteFavourite.Spec(), ListActivity.Spec(),
		TakeSnapshot.Spec(), ListSnapshots.Spec(), GetSnapshot.Spec(), DeleteSnapshot.Spec(), RestoreSnapshot.Spec(), DuplicateBase.Spec(),
		GetRestore.Spec(), GetSchedule.Spec(), PutSchedule.Spec(), DeleteSchedule.Spec(),
	}, slices.Concat(sharingOps, templateOps)...),
}
