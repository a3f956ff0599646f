package services

import (
	"context"
	"errors"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
)

// Limits are how much there may be of what.
type Limits struct {
	Workspaces int // of a tenant
}

// Limits of what is in one place.
const (
	mostProjects   = 1_000  // in a workspace
	mostBases      = 5_000  // in a workspace
	mostNotes      = 20_000 // of a base's fields
	mostFavourites = 1_000  // of a user
)

// Tree is the workspaces with what is in them.
type Tree struct {
	repo     *repository.Repository
	rights   *Rights
	airtable *rpc.Client // of airtable-gateway
	limits   Limits
	now      func() time.Time
}

// NewTree returns the service on the repository. airtable calls airtable-gateway.
func NewTree(repo *repository.Repository, rights *Rights, airtable *rpc.Client, limits Limits, now func() time.Time) *Tree {
	return &Tree{repo, rights, airtable, limits, now}
}

// CreateWorkspace makes a workspace that the caller owns.
func (t *Tree) CreateWorkspace(ctx context.Context, who auth.Principal, name, description string) (models.Workspace, error) {
	w, err := models.NewWorkspace(who.TenantID, who.UserID, name, description, t.now())
	if err != nil {
		return w, err
	}
	return t.found(ctx, who, w, nil)
}

// found stores a new workspace with its projects.
func (t *Tree) found(ctx context.Context, who auth.Principal, w models.Workspace, projects []models.Project) (models.Workspace, error) {
	switch who.Role {
	case "owner", "admin", "member":
	default:
		return w, workspaceapi.ErrGuests
	}
	if !who.MaySeeBase(auth.Any) {
		return w, errs.ErrForbidden.Saying("A token for certain bases makes no workspaces.")
	}
	evs := []events.Event{repository.WorkspaceEvent(ctx, workspaceapi.WorkspaceCreated, w, nil, who.UserID)}
	for _, p := range projects {
		evs = append(evs, repository.ProjectEvent(ctx, workspaceapi.ProjectCreated, p, nil, who.UserID))
	}
	w, err := t.repo.CreateWorkspace(ctx, w, projects, t.limits.Workspaces, evs)
	if err != nil {
		return w, err
	}
	object, actor := string(workspaceObject(w.ID)), who.UserID.String()
	t.rights.tell(ctx, permissionapi.WriteRequest{
		TenantID: who.TenantID.String(), ActorID: actor,
		Places: []permissionapi.Place{{Object: object, Parent: string(permit.Tenant(who.TenantID)), Version: w.Version}},
		Grants: []permissionapi.Grant{{Subject: permit.Subject(who), Object: object, Role: permissionapi.RoleOwner}},
	})
	return w, nil
}

// DuplicateWorkspace makes a workspace with the same projects, those in the trash left out.
func (t *Tree) DuplicateWorkspace(ctx context.Context, who auth.Principal, ref models.WorkspaceID, name string) (models.Workspace, error) {
	from, err := t.Workspace(ctx, who, ref)
	if err != nil {
		return from, err
	}
	w, err := models.NewWorkspace(who.TenantID, who.UserID, name, from.Description, t.now())
	if err != nil {
		return w, err
	}
	var copies []models.Project
	for after := (repository.Place[models.ProjectID]{}); ; {
		list, err := t.repo.Projects(ctx, who.TenantID, ref, workspaceapi.StatusActive, after, scan)
		if err != nil {
			return w, err
		}
		for _, p := range list {
			c, err := models.NewProject(w.Tenant, w.ID, who.UserID, p.Name, p.Description, t.now())
			if err != nil {
				return w, err
			}
			copies = append(copies, c)
			after = repository.Place[models.ProjectID]{Position: p.Position, ID: p.ID}
		}
		if len(list) < scan {
			return t.found(ctx, who, w, copies)
		}
	}
}

// Workspace returns the workspace if the caller may see it; one in the trash is seen by
// those who may restore it.
func (t *Tree) Workspace(ctx context.Context, who auth.Principal, ref models.WorkspaceID) (models.Workspace, error) {
	if err := t.rights.Check(ctx, who, permissionapi.Read, workspaceObject(ref)); err != nil {
		return models.Workspace{}, err
	}
	w, err := t.repo.Workspace(ctx, who.TenantID, ref)
	if err == nil && !w.TrashedAt.IsZero() {
		err = unseen(t.rights.Check(ctx, who, permissionapi.Manage, workspaceObject(ref)))
	}
	if err != nil {
		return models.Workspace{}, err
	}
	return w, nil
}

// Workspaces are those with the status that the caller may see, behind after.
func (t *Tree) Workspaces(ctx context.Context, who auth.Principal, status string, after repository.Place[models.WorkspaceID], limit int) ([]models.Workspace, error) {
	action := permissionapi.Read
	if status == workspaceapi.StatusTrashed {
		action = permissionapi.Manage
	}
	return visible(ctx, t.rights, who, action, limit, func(last *models.Workspace, n int) ([]models.Workspace, error) {
		if last != nil {
			after = WorkspaceKey(*last)
		}
		return t.repo.Workspaces(ctx, who.TenantID, status, after, n)
	}, func(w models.Workspace) permit.Object { return workspaceObject(w.ID) })
}

// WorkspaceKey is the key of the page behind the workspace.
func WorkspaceKey(w models.Workspace) repository.Place[models.WorkspaceID] {
	return repository.Place[models.WorkspaceID]{Position: w.Position, ID: w.ID}
}

// manageWorkspace refuses whoever may not manage the workspace; one in the trash does not
// exist for those who may not.
func (t *Tree) manageWorkspace(ctx context.Context, who auth.Principal, ref models.WorkspaceID) error {
	err := t.rights.Check(ctx, who, permissionapi.Manage, workspaceObject(ref))
	if !errors.Is(err, errs.ErrForbidden) {
		return err
	}
	if w, failed := t.repo.Workspace(ctx, who.TenantID, ref); failed != nil {
		return failed
	} else if !w.TrashedAt.IsZero() {
		return errs.ErrNotFound
	}
	return err
}

func (t *Tree) changeWorkspace(ctx context.Context, who auth.Principal, ref models.WorkspaceID,
	rule func(*models.Workspace) ([]string, error)) (models.Workspace, error) {
	if err := t.manageWorkspace(ctx, who, ref); err != nil {
		return models.Workspace{}, err
	}
	return t.repo.ChangeWorkspace(ctx, who.TenantID, ref, t.workspaceRule(ctx, who, rule))
}

// workspaceRule tells what the rule changed.
func (t *Tree) workspaceRule(ctx context.Context, who auth.Principal, rule func(*models.Workspace) ([]string, error)) func(*models.Workspace) ([]events.Event, error) {
	return func(w *models.Workspace) ([]events.Event, error) {
		changed, err := rule(w)
		if err != nil || len(changed) == 0 {
			return nil, err
		}
		return []events.Event{repository.WorkspaceEvent(ctx, workspaceapi.WorkspaceUpdated, *w, changed, who.UserID)}, nil
	}
}

// UpdateWorkspace renames or describes a workspace, if match holds.
func (t *Tree) UpdateWorkspace(ctx context.Context, who auth.Principal, ref models.WorkspaceID, match etag.Match, n models.Naming) (models.Workspace, error) {
	return t.changeWorkspace(ctx, who, ref, func(w *models.Workspace) ([]string, error) {
		return n.Apply(&w.Standing, &w.Name, &w.Description, match, t.now())
	})
}

// ShiftWorkspace puts a workspace into the archive or the trash, or takes it out.
func (t *Tree) ShiftWorkspace(ctx context.Context, who auth.Principal, ref models.WorkspaceID, to models.Shift) (models.Workspace, error) {
	return t.changeWorkspace(ctx, who, ref, func(w *models.Workspace) ([]string, error) { return to(&w.Standing, t.now()) })
}

// OrderWorkspace puts a workspace behind another one, or before all for "".
func (t *Tree) OrderWorkspace(ctx context.Context, who auth.Principal, ref models.WorkspaceID, after string) (models.Workspace, error) {
	if err := t.manageWorkspace(ctx, who, ref); err != nil {
		return models.Workspace{}, err
	}
	if after != "" { // who may not see the other one must not learn that it is there
		if err := t.mayFollow(ctx, who, after); err != nil {
			return models.Workspace{}, err
		}
	}
	return t.repo.OrderWorkspace(ctx, who.TenantID, ref, after, t.workspaceRule(ctx, who, func(w *models.Workspace) ([]string, error) {
		if !w.TrashedAt.IsZero() {
			return nil, workspaceapi.ErrTrashed
		}
		w.Touch(t.now())
		return []string{"position"}, nil
	}))
}

func (t *Tree) mayFollow(ctx context.Context, who auth.Principal, after string) error {
	err := t.rights.Check(ctx, who, permissionapi.Read, permit.Workspace(after))
	if errors.Is(err, errs.ErrNotFound) {
		return workspaceapi.ErrNoSibling
	}
	return err
}

// PurgeWorkspace deletes a workspace in the trash for good.
func (t *Tree) PurgeWorkspace(ctx context.Context, who auth.Principal, ref models.WorkspaceID) error {
	if err := t.manageWorkspace(ctx, who, ref); err != nil {
		return err
	}
	return t.repo.PurgeWorkspace(ctx, who.TenantID, ref, who.UserID, func(w models.Workspace) error {
		if w.TrashedAt.IsZero() {
			return workspaceapi.ErrNotTrashed
		}
		return nil
	})
}
