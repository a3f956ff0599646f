// Package handlers serves the operations of workspaceapi and hears what other services say.
package handlers

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
	"github.com/pyairtable/pyairtable/workspace-service/internal/services"
)

// Deps are what the handlers translate for.
type Deps struct {
	Tree      *services.Tree
	Shares    *services.Shares
	Links     *services.Links
	Snapshots *services.Snapshots
	Templates *services.Templates
	Retention time.Duration // of the trash
}

// Register serves every operation of workspaceapi on a.
func Register(a *httpx.API, d Deps) {
	v := view{d.Retention}

	w := workspaces{d.Tree, v}
	httpx.Handle(a, workspaceapi.CreateWorkspace, w.create)
	httpx.Handle(a, workspaceapi.ListWorkspaces, w.list)
	httpx.Handle(a, workspaceapi.GetWorkspace, w.workspace)
	httpx.Handle(a, workspaceapi.UpdateWorkspace, w.update)
	httpx.Handle(a, workspaceapi.OrderWorkspace, w.order)
	httpx.Handle(a, workspaceapi.ArchiveWorkspace, w.shift(models.Archive))
	httpx.Handle(a, workspaceapi.UnarchiveWorkspace, w.shift(models.Unarchive))
	httpx.Handle(a, workspaceapi.TrashWorkspace, w.shift(models.Trash))
	httpx.Handle(a, workspaceapi.RestoreWorkspace, w.shift(models.Restore))
	httpx.Handle(a, workspaceapi.PurgeWorkspace, w.purge)
	httpx.Handle(a, workspaceapi.DuplicateWorkspace, w.duplicate)

	p := projects{d.Tree, v}
	httpx.Handle(a, workspaceapi.CreateProject, p.create)
	httpx.Handle(a, workspaceapi.ListProjects, p.list)
	httpx.Handle(a, workspaceapi.GetProject, p.project)
	httpx.Handle(a, workspaceapi.UpdateProject, p.update)
	httpx.Handle(a, workspaceapi.OrderProject, p.order)
	httpx.Handle(a, workspaceapi.ArchiveProject, p.shift(models.Archive))
	httpx.Handle(a, workspaceapi.UnarchiveProject, p.shift(models.Unarchive))
	httpx.Handle(a, workspaceapi.TrashProject, p.shift(models.Trash))
	httpx.Handle(a, workspaceapi.RestoreProject, p.shift(models.Restore))
	httpx.Handle(a, workspaceapi.PurgeProject, p.purge)
	httpx.Handle(a, workspaceapi.DuplicateProject, p.duplicate)

	b := bases{d.Tree, v}
	httpx.Handle(a, workspaceapi.ListOffers, b.offers)
	httpx.Handle(a, workspaceapi.LinkBase, b.link)
	httpx.Handle(a, workspaceapi.ListBases, b.list)
	httpx.Handle(a, workspaceapi.GetBase, b.base)
	httpx.Handle(a, workspaceapi.UpdateBase, b.update)
	httpx.Handle(a, workspaceapi.MoveBase, b.move)
	httpx.Handle(a, workspaceapi.ArchiveBase, b.shift(models.Archive))
	httpx.Handle(a, workspaceapi.UnarchiveBase, b.shift(models.Unarchive))
	httpx.Handle(a, workspaceapi.TrashBase, b.shift(models.Trash))
	httpx.Handle(a, workspaceapi.RestoreBase, b.shift(models.Restore))
	httpx.Handle(a, workspaceapi.UnlinkBase, b.unlink)

	n := notes{d.Tree}
	httpx.Handle(a, workspaceapi.ListFieldNotes, n.list)
	httpx.Handle(a, workspaceapi.PutFieldNote, n.put)
	httpx.Handle(a, workspaceapi.DeleteFieldNote, n.delete)

	shots := snapshots{d.Snapshots}
	httpx.Handle(a, workspaceapi.TakeSnapshot, shots.take)
	httpx.Handle(a, workspaceapi.ListSnapshots, shots.list)
	httpx.Handle(a, workspaceapi.GetSnapshot, shots.snapshot)
	httpx.Handle(a, workspaceapi.DeleteSnapshot, shots.delete)
	httpx.Handle(a, workspaceapi.RestoreSnapshot, shots.restore)
	httpx.Handle(a, workspaceapi.DuplicateBase, shots.duplicate)
	httpx.Handle(a, workspaceapi.GetRestore, shots.restored)
	httpx.Handle(a, workspaceapi.GetSchedule, shots.schedule)
	httpx.Handle(a, workspaceapi.PutSchedule, shots.putSchedule)
	httpx.Handle(a, workspaceapi.DeleteSchedule, shots.deleteSchedule)

	tpl := templates{d.Templates}
	httpx.Handle(a, workspaceapi.CreateTemplate, tpl.create)
	httpx.Handle(a, workspaceapi.ListTemplates, tpl.list)
	httpx.Handle(a, workspaceapi.GetTemplate, tpl.template)
	httpx.Handle(a, workspaceapi.UpdateTemplate, tpl.update)
	httpx.Handle(a, workspaceapi.PublishTemplate, tpl.publish)
	httpx.Handle(a, workspaceapi.DeleteTemplate, tpl.delete)
	httpx.Handle(a, workspaceapi.UseTemplate, tpl.use)

	f := favourites{d.Tree}
	httpx.Handle(a, workspaceapi.ListFavourites, f.list)
	httpx.Handle(a, workspaceapi.PutFavourite, f.put)
	httpx.Handle(a, workspaceapi.DeleteFavourite, f.delete)

	httpx.Handle(a, workspaceapi.ListActivity, feed{d.Tree}.list)

	s := shares{d.Shares}
	httpx.Handle(a, workspaceapi.ListWorkspaceShares, s.listOfWorkspace)
	httpx.Handle(a, workspaceapi.PutWorkspaceShare, s.putWorkspace)
	httpx.Handle(a, workspaceapi.DeleteWorkspaceShare, s.deleteWorkspace)
	httpx.Handle(a, workspaceapi.ListBaseShares, s.listOfBase)
	httpx.Handle(a, workspaceapi.PutBaseShare, s.putBase)
	httpx.Handle(a, workspaceapi.DeleteBaseShare, s.deleteBase)

	l := links{d.Links}
	httpx.Handle(a, workspaceapi.CreateShareLink, l.create)
	httpx.Handle(a, workspaceapi.ListShareLinks, l.list)
	httpx.Handle(a, workspaceapi.GetShareLink, l.link)
	httpx.Handle(a, workspaceapi.UpdateShareLink, l.update)
	httpx.Handle(a, workspaceapi.RevokeShareLink, l.revoke)
	httpx.Handle(a, workspaceapi.OpenShare, l.open)
	httpx.Handle(a, workspaceapi.RedeemShare, l.redeem)
	httpx.Handle(a, workspaceapi.ListSharedBases, l.bases)
	httpx.Handle(a, workspaceapi.ListSharedTables, l.tables)
	httpx.Handle(a, workspaceapi.ListSharedRecords, l.records)
}

// Listen hears of what ends elsewhere, and of what the feed tells.
func Listen(c *events.Consumer, r *repository.Repository) {
	events.On(c, tenantapi.TenantDeleted, r.TenantDeleted)
	events.On(c, tenantapi.MemberAdded, r.MemberAdded)
	events.On(c, tenantapi.MemberUpdated, r.MemberUpdated)
	events.On(c, tenantapi.MemberRemoved, r.MemberRemoved)
	events.On(c, permissionapi.PermissionsChanged, r.PermissionsChanged)
	for _, t := range []events.Type[workspaceapi.WorkspaceChanged]{
		workspaceapi.WorkspaceCreated, workspaceapi.WorkspaceUpdated, workspaceapi.WorkspaceDeleted,
	} {
		events.On(c, t, r.WorkspaceChanged)
	}
	for _, t := range []events.Type[workspaceapi.ProjectChanged]{
		workspaceapi.ProjectCreated, workspaceapi.ProjectUpdated, workspaceapi.ProjectDeleted,
	} {
		events.On(c, t, r.ProjectChanged)
	}
	for _, t := range []events.Type[workspaceapi.BasePlaced]{workspaceapi.BaseLinked, workspaceapi.BaseMoved, workspaceapi.BaseUnlinked} {
		events.On(c, t, r.BasePlaced)
	}
	events.On(c, workspaceapi.BaseUpdated, r.BaseChanged)
	events.On(c, workspaceapi.SnapshotTaken, r.SnapshotChanged)
	events.On(c, workspaceapi.SnapshotRestored, r.SnapshotChanged)
	for _, t := range []events.Type[workspaceapi.TemplateChanged]{
		workspaceapi.TemplateCreated, workspaceapi.TemplateUpdated, workspaceapi.TemplatePublished, workspaceapi.TemplateDeleted,
	} {
		events.On(c, t, r.TemplateChanged)
	}
	events.On(c, workspaceapi.TemplateUsed, r.TemplateUsed)
	for _, t := range []events.Type[workspaceapi.ShareLinkChanged]{
		workspaceapi.ShareLinkCreated, workspaceapi.ShareLinkUpdated, workspaceapi.ShareLinkOpened, workspaceapi.ShareLinkRedeemed,
		workspaceapi.ShareLinkRevoked,
	} {
		events.On(c, t, r.ShareLinkChanged)
	}
	for _, t := range []events.Type[airtableapi.RecordChanged]{airtableapi.RecordCreated, airtableapi.RecordUpdated, airtableapi.RecordDeleted} {
		events.On(c, t, r.RecordChanged)
	}
	for _, t := range []events.Type[airtableapi.CommentChanged]{airtableapi.CommentCreated, airtableapi.CommentUpdated, airtableapi.CommentDeleted} {
		events.On(c, t, r.CommentChanged)
	}
}
