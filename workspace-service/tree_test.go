package workspaceservice_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/apptest"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

func TestService_ServesWhatItDeclares(t *testing.T) {
	t.Parallel()
	apptest.Operations(t, start(t, nil).URL, workspaceapi.Service)
}

func TestWorkspace_ItsMakerOwnsItAtOnce(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	member, other := w.other(owner, "member"), w.other(owner, "member")
	made := must(w, member, workspaceapi.CreateWorkspace, workspaceapi.NewWorkspace{Name: " Sales ", Description: "deals"})
	if made.Body.Name != "Sales" || made.Body.Status != "active" || made.Body.CreatedBy != member.user.String() ||
		made.Location != "/api/v1/workspaces/"+made.Body.ID || made.ETag != `"1"` {
		t.Errorf("made %+v", made)
	}
	must(w, member, workspaceapi.UpdateWorkspace, workspaceapi.WorkspaceUpdate{WorkspaceRef: ref(made.Body), Body: workspaceapi.NamePatch{Name: ptr("Deals")}})
	refuse(w, errs.ErrNotFound, other, workspaceapi.GetWorkspace, ref(made.Body))
	if w.emitted("workspace.created", made.Body.ID) != 1 || w.emitted("workspace.updated", made.Body.ID) != 1 {
		t.Error("it was not announced")
	}
	refuse(w, workspaceapi.ErrGuests, w.other(owner, "guest"), workspaceapi.CreateWorkspace, workspaceapi.NewWorkspace{Name: "X"})
	refuse(w, workspaceapi.ErrBlankName, member, workspaceapi.CreateWorkspace, workspaceapi.NewWorkspace{Name: "  "})
	refuse(w, errs.ErrNotFound, w.owner(), workspaceapi.GetWorkspace, ref(made.Body))
}

func TestWorkspace_IsMadeWhilePermissionServiceIsDeaf(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.permissions.deaf = true
	made := w.workspace(w.owner(), "Sales")
	if w.emitted("workspace.created", made.ID) != 1 {
		t.Error("the event does not tell it")
	}
}

func TestWorkspace_AsManyAsTheTenantMay(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{"MAX_WORKSPACES": "2"})
	owner := w.owner()
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() { _, _ = call(w, owner, workspaceapi.CreateWorkspace, workspaceapi.NewWorkspace{Name: "X"}) })
	}
	all.Wait()
	if n := w.count(`SELECT count(*) FROM workspaces`); n != 2 {
		t.Errorf("%d workspaces", n)
	}
	refuse(w, workspaceapi.ErrTooMany, owner, workspaceapi.CreateWorkspace, workspaceapi.NewWorkspace{Name: "X"})
	w.workspace(w.owner(), "another tenant's")
}

func TestWorkspace_UpdateIsGuardedByETag(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	made := w.workspace(owner, "A")
	in := workspaceapi.WorkspaceUpdate{WorkspaceRef: ref(made), Precondition: workspaceapi.Precondition{IfMatch: `"1"`}, Body: workspaceapi.NamePatch{Description: ptr("x")}}
	if now := must(w, owner, workspaceapi.UpdateWorkspace, in); now.ETag != `"2"` || now.Body.Name != "A" || now.Body.Description != "x" {
		t.Errorf("now %+v", now)
	}
	refuse(w, errs.ErrPreconditionFailed, owner, workspaceapi.UpdateWorkspace, in)
	in.IfMatch = ""
	if same := must(w, owner, workspaceapi.UpdateWorkspace, in); same.Body.Version != 2 || w.emitted("workspace.updated", made.ID) != 1 {
		t.Errorf("nothing changed, but the version is %d", same.Body.Version)
	}
	in.Body.Name = ptr(" ")
	refuse(w, workspaceapi.ErrBlankName, owner, workspaceapi.UpdateWorkspace, in)
}

func (w *world) workspaces(p person, status string) string {
	w.t.Helper()
	var all []workspaceapi.Workspace
	q := workspaceapi.StatusQuery{PageQuery: api.PageQuery{Limit: 2}, Status: status}
	for {
		page := must(w, p, workspaceapi.ListWorkspaces, q)
		all = append(all, page.Items...)
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			return names(all, func(w workspaceapi.Workspace) string { return w.Name })
		}
	}
}

func TestWorkspaces_AreListedInOrderToThoseWhoMaySeeThem(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	guest := w.other(owner, "guest")
	made := map[string]workspaceapi.Workspace{}
	for _, name := range []string{"A", "B", "C", "D", "E"} {
		made[name] = w.workspace(owner, name)
	}
	put := func(name, after string) {
		t.Helper()
		must(w, owner, workspaceapi.OrderWorkspace, workspaceapi.WorkspaceOrder{WorkspaceRef: ref(made[name]), Body: workspaceapi.Order{After: made[after].ID}})
	}
	put("E", "")
	put("B", "D")
	put("B", "D") // again
	if got := w.workspaces(owner, ""); got != "E A C D B" {
		t.Errorf("the order is %s", got)
	}
	if got := w.workspaces(guest, ""); got != "" {
		t.Errorf("a guest sees %s", got)
	}
	w.grant(guest, permissionapi.RoleViewer, permit.Workspace(made["B"].ID))
	w.grant(guest, permissionapi.RoleOwner, permit.Workspace(made["A"].ID))
	if got := w.workspaces(guest, ""); got != "A B" {
		t.Errorf("a guest with two sees %s", got)
	}
	order := workspaceapi.WorkspaceOrder{WorkspaceRef: ref(made["B"]), Body: workspaceapi.Order{After: ""}}
	refuse(w, errs.ErrForbidden, guest, workspaceapi.OrderWorkspace, order)
	order = workspaceapi.WorkspaceOrder{WorkspaceRef: ref(made["A"]), Body: workspaceapi.Order{After: made["C"].ID}}
	refuse(w, workspaceapi.ErrNoSibling, guest, workspaceapi.OrderWorkspace, order) // he does not see C
	order.Body.After = made["A"].ID
	refuse(w, workspaceapi.ErrNoSibling, owner, workspaceapi.OrderWorkspace, order)
	order.Body.After = w.workspace(w.owner(), "another tenant's").ID
	refuse(w, workspaceapi.ErrNoSibling, owner, workspaceapi.OrderWorkspace, order)
}

// Whoever puts an item somewhere at the same time: none is lost, none is there twice, no
// two share a position, and it holds when gaps are used up.
func TestOrder_RacesLeaveEveryItemOnce(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	in := w.workspace(owner, "A")
	var items []workspaceapi.Project
	for i := range 6 {
		items = append(items, w.project(owner, in, fmt.Sprint(i)))
	}
	// All but one gap is gone.
	_, err := postgres.ForTenant(w.pool, owner.tenant).Exec(t.Context(), `
		UPDATE projects SET position = r.n FROM (SELECT id AS item, row_number() OVER (ORDER BY position) AS n FROM projects) r WHERE id = r.item`)
	w.ok(err)
	var all sync.WaitGroup
	for i := range items {
		all.Go(func() {
			for j := range 5 {
				after := items[(i+j+1)%len(items)].ID
				if (i+j)%3 == 0 {
					after = ""
				}
				if _, err := call(w, owner, workspaceapi.OrderProject, workspaceapi.ProjectOrder{ProjectRef: pref(items[i]), Body: workspaceapi.Order{After: after}}); err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() { w.project(owner, in, "new "+fmt.Sprint(i)) })
	}
	all.Wait()
	if n := w.count(`SELECT count(DISTINCT position) FROM projects`); n != 12 {
		t.Errorf("%d positions of 12 projects", n)
	}
	page := must(w, owner, workspaceapi.ListProjects, workspaceapi.ProjectsQuery{WorkspaceRef: ref(in)})
	if len(page.Items) != 12 {
		t.Errorf("%d are listed", len(page.Items))
	}
	last := workspaceapi.ProjectOrder{ProjectRef: pref(items[0]), Body: workspaceapi.Order{After: page.Items[11].ID}}
	if page.Items[11].ID == items[0].ID {
		last.Body.After = page.Items[10].ID
	}
	must(w, owner, workspaceapi.OrderProject, last)
	page = must(w, owner, workspaceapi.ListProjects, workspaceapi.ProjectsQuery{WorkspaceRef: ref(in)})
	if page.Items[11].ID != items[0].ID {
		t.Error("it is not the last one")
	}
}

// A walk that meets a list being put in another order skips nothing that stays where it is.
func TestOrder_AWalkGoesOnWhereItsLastItemIsNow(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	made := map[string]workspaceapi.Workspace{}
	for _, name := range []string{"A", "B", "C", "D"} {
		made[name] = w.workspace(owner, name)
	}
	q := workspaceapi.StatusQuery{PageQuery: api.PageQuery{Limit: 2}}
	first := must(w, owner, workspaceapi.ListWorkspaces, q)
	// All positions are others now, the order is the same.
	_, err := postgres.ForTenant(w.pool, owner.tenant).Exec(t.Context(), `UPDATE workspaces SET position = position / 1000`)
	w.ok(err)
	q.Cursor = first.NextCursor
	second := must(w, owner, workspaceapi.ListWorkspaces, q)
	if got := names(append(first.Items, second.Items...), func(w workspaceapi.Workspace) string { return w.Name }); got != "A B C D" {
		t.Errorf("the walk met %s", got)
	}
	refuse(w, errs.New(errs.Invalid, "bad_cursor", ""), owner, workspaceapi.ListWorkspaces,
		workspaceapi.StatusQuery{PageQuery: api.PageQuery{Cursor: q.Cursor}, Status: "trashed"})
}

func TestArchive_CanBeReadAndNotChanged(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	in := w.workspace(owner, "A")
	p := w.project(owner, in, "P")
	b := w.base(owner, in, "appOne")
	must(w, owner, workspaceapi.ArchiveWorkspace, ref(in))
	if again := must(w, owner, workspaceapi.ArchiveWorkspace, ref(in)); again.Body.Status != "archived" || again.Body.Version != 2 {
		t.Errorf("again: %+v", again.Body)
	}
	rename := workspaceapi.NamePatch{Name: ptr("N")}
	refuse(w, workspaceapi.ErrArchived, owner, workspaceapi.UpdateWorkspace, workspaceapi.WorkspaceUpdate{WorkspaceRef: ref(in), Body: rename})
	refuse(w, workspaceapi.ErrArchived, owner, workspaceapi.CreateProject, workspaceapi.NewProject{WorkspaceRef: ref(in), Body: workspaceapi.NewWorkspace{Name: "X"}})
	refuse(w, workspaceapi.ErrArchived, owner, workspaceapi.UpdateProject, workspaceapi.ProjectUpdate{ProjectRef: pref(p), Body: rename})
	refuse(w, workspaceapi.ErrArchived, owner, workspaceapi.TrashProject, pref(p))
	refuse(w, workspaceapi.ErrArchived, owner, workspaceapi.UpdateBase, workspaceapi.BaseUpdate{BaseRef: bref(b), Body: workspaceapi.BasePatch{Name: ptr("N")}})
	refuse(w, workspaceapi.ErrArchived, owner, workspaceapi.MoveBase, workspaceapi.BaseMove{BaseRef: bref(b)})
	w.offer(owner.tenant, "appTwo")
	refuse(w, workspaceapi.ErrArchived, owner, workspaceapi.LinkBase, link(in, "appTwo"))
	if got := w.workspaces(owner, "archived"); got != "A" || w.workspaces(owner, "") != "" {
		t.Errorf("in the archive: %s", got)
	}
	must(w, owner, workspaceapi.GetBase, bref(b))
	must(w, owner, workspaceapi.UnarchiveWorkspace, ref(in))
	must(w, owner, workspaceapi.ArchiveProject, pref(p))
	refuse(w, workspaceapi.ErrArchived, owner, workspaceapi.OrderProject, workspaceapi.ProjectOrder{ProjectRef: pref(p)})
	refuse(w, workspaceapi.ErrArchived, owner, workspaceapi.MoveBase, moveTo(b, "", &p.ID, nil))
	must(w, owner, workspaceapi.UnarchiveProject, pref(p))
	must(w, owner, workspaceapi.ArchiveBase, bref(b))
	refuse(w, workspaceapi.ErrArchived, owner, workspaceapi.UpdateBase, workspaceapi.BaseUpdate{BaseRef: bref(b), Body: workspaceapi.BasePatch{Name: ptr("N")}})
	must(w, owner, workspaceapi.UnarchiveBase, bref(b))
	must(w, owner, workspaceapi.MoveBase, moveTo(b, "", &p.ID, nil))
}

func moveTo(b workspaceapi.Base, workspace string, project, after *string) workspaceapi.BaseMove {
	m := workspaceapi.BaseMove{BaseRef: bref(b)}
	m.Body.WorkspaceID, m.Body.ProjectID, m.Body.After = workspace, project, after
	return m
}

func TestTrash_IsSeenByThoseWhoMayRestoreIt(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	viewer, keeper := w.other(owner, "member"), w.other(owner, "member")
	in := w.workspace(owner, "A")
	b := w.base(owner, in, "appOne")
	w.grant(viewer, permissionapi.RoleCreator, permit.Workspace(in.ID))
	w.grant(keeper, permissionapi.RoleOwner, permit.Workspace(in.ID))
	refuse(w, errs.ErrForbidden, viewer, workspaceapi.TrashWorkspace, ref(in))
	trashed := must(w, keeper, workspaceapi.TrashWorkspace, ref(in)).Body
	if trashed.Status != "trashed" || trashed.PurgeAt != trashed.TrashedAt.Add(30*24*time.Hour) {
		t.Errorf("trashed: %+v", trashed)
	}
	refuse(w, errs.ErrNotFound, viewer, workspaceapi.GetWorkspace, ref(in))
	refuse(w, errs.ErrNotFound, viewer, workspaceapi.RestoreWorkspace, ref(in))
	refuse(w, errs.ErrNotFound, viewer, workspaceapi.ListProjects, workspaceapi.ProjectsQuery{WorkspaceRef: ref(in)})
	refuse(w, errs.ErrNotFound, viewer, workspaceapi.GetBase, bref(b))
	if got := w.workspaces(viewer, "trashed") + w.workspaces(keeper, ""); got != "" || w.workspaces(keeper, "trashed") != "A" {
		t.Errorf("seen: %q", got)
	}
	if page := must(w, keeper, workspaceapi.ListBases, workspaceapi.BasesQuery{}); len(page.Items) != 0 {
		t.Errorf("its bases are listed: %+v", page.Items)
	}
	must(w, keeper, workspaceapi.GetBase, bref(b))
	refuse(w, workspaceapi.ErrTrashed, keeper, workspaceapi.ArchiveWorkspace, ref(in))
	refuse(w, workspaceapi.ErrTrashed, keeper, workspaceapi.UnarchiveWorkspace, ref(in))
	refuse(w, workspaceapi.ErrTrashed, keeper, workspaceapi.OrderWorkspace, workspaceapi.WorkspaceOrder{WorkspaceRef: ref(in)})
	refuse(w, workspaceapi.ErrTrashed, keeper, workspaceapi.UpdateWorkspace, workspaceapi.WorkspaceUpdate{WorkspaceRef: ref(in), Body: workspaceapi.NamePatch{Name: ptr("N")}})
	must(w, keeper, workspaceapi.RestoreWorkspace, ref(in))
	must(w, viewer, workspaceapi.GetWorkspace, ref(in))
	refuse(w, workspaceapi.ErrNotTrashed, keeper, workspaceapi.PurgeWorkspace, ref(in))
}

func TestPurge_TakesTheTreeAndLeavesTheBases(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	in := w.workspace(owner, "A")
	p := w.project(owner, in, "P")
	b := w.base(owner, in, "appOne")
	must(w, owner, workspaceapi.MoveBase, moveTo(b, "", &p.ID, nil))
	must(w, owner, workspaceapi.PutFavourite, workspaceapi.FavouriteRef{Kind: "workspace", ObjectID: in.ID})
	must(w, owner, workspaceapi.UpdateBase, workspaceapi.BaseUpdate{BaseRef: bref(b), Body: workspaceapi.BasePatch{Description: ptr("said")}})
	must(w, owner, workspaceapi.TrashWorkspace, ref(in))
	must(w, owner, workspaceapi.PurgeWorkspace, ref(in))
	refuse(w, errs.ErrNotFound, owner, workspaceapi.GetWorkspace, ref(in))
	refuse(w, errs.ErrNotFound, owner, workspaceapi.GetProject, pref(p))
	refuse(w, errs.ErrNotFound, owner, workspaceapi.GetBase, bref(b))
	if w.emitted("workspace.deleted", in.ID) != 1 || w.emitted("project.deleted", p.ID) != 1 || w.emitted("base.unlinked", b.ID) != 1 {
		t.Error("not all was announced")
	}
	if n := w.count(`SELECT (SELECT count(*) FROM favourites) + (SELECT count(*) FROM projects)`); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	// Linked again it has what was said of it, and a version above all before.
	again := must(w, owner, workspaceapi.LinkBase, link(w.workspace(owner, "B"), "appOne")).Body
	if again.Description != "said" || again.Version <= 3 || again.ProjectID != "" || again.Status != "active" {
		t.Errorf("again: %+v", again)
	}
}

func TestSweep_PurgesWhatWasInTheTrashForLong(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{"TRASH_RETENTION": "1s", "SWEEP_INTERVAL": "1s"})
	owner := w.owner()
	kept, gone := w.workspace(owner, "kept"), w.workspace(owner, "gone")
	p := w.project(owner, kept, "P")
	inProject, trashed := w.base(owner, kept, "appOne"), w.base(owner, kept, "appTwo")
	must(w, owner, workspaceapi.MoveBase, moveTo(inProject, "", &p.ID, nil))
	must(w, owner, workspaceapi.TrashWorkspace, ref(gone))
	must(w, owner, workspaceapi.TrashProject, pref(p))
	must(w, owner, workspaceapi.TrashBase, bref(trashed))
	await.True(t, "all three are purged", func() bool {
		return w.emitted("workspace.deleted", gone.ID) == 1 && w.emitted("project.deleted", p.ID) == 1 && w.emitted("base.unlinked", trashed.ID) == 1
	})
	if b := must(w, owner, workspaceapi.GetBase, bref(inProject)).Body; b.ProjectID != "" || b.WorkspaceID != kept.ID {
		t.Errorf("the project's base is at %+v", b)
	}
	must(w, owner, workspaceapi.GetWorkspace, ref(kept))
	refuse(w, errs.ErrNotFound, owner, workspaceapi.GetBase, bref(trashed))
}

func TestDuplicate_HasTheProjectsAndNoBases(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	member := w.other(owner, "member")
	in := w.workspace(owner, "A")
	var kept []workspaceapi.Project
	for _, name := range []string{"P", "Q", "R"} {
		kept = append(kept, w.project(owner, in, name))
	}
	must(w, owner, workspaceapi.OrderProject, workspaceapi.ProjectOrder{ProjectRef: pref(kept[2])})
	must(w, owner, workspaceapi.TrashProject, pref(kept[1]))
	w.base(owner, in, "appOne")
	in.Name = "B"
	dup := workspaceapi.WorkspaceCopy{WorkspaceRef: ref(in), Body: workspaceapi.Copy{Name: "B"}}
	refuse(w, errs.ErrNotFound, member, workspaceapi.DuplicateWorkspace, dup)
	w.grant(member, permissionapi.RoleViewer, permit.Workspace(in.ID))
	made := must(w, member, workspaceapi.DuplicateWorkspace, dup).Body
	page := must(w, member, workspaceapi.ListProjects, workspaceapi.ProjectsQuery{WorkspaceRef: ref(made)})
	if got := names(page.Items, func(p workspaceapi.Project) string { return p.Name }); got != "R P" {
		t.Errorf("projects %s", got)
	}
	if bases := must(w, member, workspaceapi.ListBases, workspaceapi.BasesQuery{WorkspaceID: made.ID}); len(bases.Items) != 0 {
		t.Errorf("bases %+v", bases.Items)
	}
	must(w, member, workspaceapi.TrashWorkspace, ref(made)) // he owns the copy
	copied := must(w, owner, workspaceapi.DuplicateProject, workspaceapi.ProjectCopy{ProjectRef: pref(kept[0]), Body: workspaceapi.Copy{Name: "P2"}})
	if copied.Body.WorkspaceID != in.ID || copied.Body.Name != "P2" {
		t.Errorf("the project's copy: %+v", copied.Body)
	}
	refuse(w, errs.ErrForbidden, member, workspaceapi.DuplicateProject, workspaceapi.ProjectCopy{ProjectRef: pref(kept[0]), Body: workspaceapi.Copy{Name: "P3"}})
}

func TestTenantDeleted_ErasesAllAndNothingComesAfter(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner, other := w.owner(), w.owner()
	in, _, _ := w.fill(owner)
	w.workspace(other, "other's")
	gone := tenantapi.TenantDeleted.New(t.Context(), owner.tenant, owner.tenant.String(), 2, tenantapi.TenantChanged{TenantID: owner.tenant.String(), Status: "deleted"})
	w.hear(gone)
	w.hear(workspaceapi.WorkspaceUpdated.New(t.Context(), owner.tenant, in.ID, 9, workspaceapi.WorkspaceChanged{WorkspaceID: in.ID})) // late
	for _, table := range tables {
		if n := w.count(`SELECT count(*) FROM `+table+` WHERE tenant_id = $1`, owner.tenant); n != 0 {
			t.Errorf("%s: %d rows are left", table, n)
		}
	}
	refuse(w, errs.ErrNotFound, owner, workspaceapi.CreateWorkspace, workspaceapi.NewWorkspace{Name: "late"})
	if w.workspaces(other, "") != "other's" {
		t.Error("another tenant lost his")
	}
}

// tables are those of tenants, but for the marks of deleted ones.
var tables = strings.Fields(`workspaces projects bases field_notes favourites share_links activities`)

func TestTables_ShowNothingToWhoNamesNoTenant(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	w.fill(owner)
	for _, table := range tables {
		var n int
		w.ok(w.pool.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&n))
		if all := w.count(`SELECT count(*) FROM ` + table); n != 0 || all == 0 {
			t.Errorf("%s: %d of %d rows are seen", table, n, all)
		}
		w.ok(postgres.ForTenant(w.pool, id.New[id.Tenant]()).QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&n))
		if n != 0 {
			t.Errorf("%s: another tenant sees %d rows", table, n)
		}
	}
}

// fill makes the person's tenant have something in every table.
func (w *world) fill(owner person) (in workspaceapi.Workspace, p workspaceapi.Project, b workspaceapi.Base) {
	w.t.Helper()
	in = w.workspace(owner, "A")
	p, b = w.project(owner, in, "P"), w.base(owner, in, "appOne")
	must(w, owner, workspaceapi.PutFavourite, workspaceapi.FavouriteRef{Kind: "base", ObjectID: b.ID})
	must(w, owner, workspaceapi.PutFieldNote, document(b, "fld1", "what it is"))
	must(w, owner, workspaceapi.CreateShareLink, workspaceapi.NewShareLink{WorkspaceID: in.ID})
	await.True(w.t, "the feed tells of it", func() bool { return w.count(`SELECT count(*) FROM activities WHERE kind = 'share_link.created'`) > 0 })
	return in, p, b
}

func document(b workspaceapi.Base, field, text string) workspaceapi.FieldNotePut {
	in := workspaceapi.FieldNotePut{FieldRef: workspaceapi.FieldRef{BaseRef: bref(b), TableID: "tbl1", FieldID: field}}
	in.Body.Text = text
	return in
}
