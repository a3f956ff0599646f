package workspaceservice_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/eventstest"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/permit"
)

func baseNames(list []workspaceapi.Base) string {
	return names(list, func(b workspaceapi.Base) string { return b.ID })
}

func TestLink_OpensABaseToTheWorkspacesPeople(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	creator, viewer := w.other(owner, "member"), w.other(owner, "guest")
	in := w.workspace(owner, "A")
	connection := w.offer(owner.tenant, "appOne")
	w.grant(creator, permissionapi.RoleCreator, permit.Workspace(in.ID))
	w.grant(viewer, permissionapi.RoleViewer, permit.Workspace(in.ID))
	refuse(w, errs.ErrForbidden, viewer, workspaceapi.LinkBase, link(in, "appOne"))
	refuse(w, errs.ErrNotFound, creator, workspaceapi.LinkBase, link(in, "appOne")) // the base is not his
	refuse(w, workspaceapi.ErrNoBase, owner, workspaceapi.LinkBase, link(in, "appNone"))
	made := must(w, owner, workspaceapi.LinkBase, link(in, "appOne"))
	if b := made.Body; b.ConnectionID != connection || b.Name != "Base appOne" || b.OwnerID != owner.user.String() || made.Location != "/api/v1/bases/appOne" {
		t.Errorf("linked %+v", made)
	}
	refuse(w, workspaceapi.ErrLinked, owner, workspaceapi.LinkBase, link(w.workspace(owner, "B"), "appOne"))
	must(w, viewer, workspaceapi.GetBase, bref(made.Body))
	if w.emitted("base.linked", "appOne") != 1 {
		t.Error("it was not announced")
	}
	stranger := w.owner()
	refuse(w, errs.ErrNotFound, stranger, workspaceapi.GetBase, bref(made.Body))
	refuse(w, errs.ErrNotFound, stranger, workspaceapi.UnlinkBase, bref(made.Body))
	refuse(w, errs.ErrForbidden, creator, workspaceapi.UnlinkBase, bref(made.Body))
	must(w, owner, workspaceapi.UnlinkBase, bref(made.Body))
	refuse(w, errs.ErrNotFound, owner, workspaceapi.UnlinkBase, bref(made.Body))
	refuse(w, errs.ErrNotFound, viewer, workspaceapi.GetBase, bref(made.Body))
}

func TestLink_RacesAndOneWorkspaceHasIt(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	w.offer(owner.tenant, "appOne")
	a, b := w.workspace(owner, "A"), w.workspace(owner, "B")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			_, _ = call(w, owner, workspaceapi.LinkBase, link([]workspaceapi.Workspace{a, b}[i%2], "appOne"))
		})
	}
	all.Wait()
	if w.emitted("base.linked", "appOne") != 1 || w.count(`SELECT count(*) FROM bases`) != 1 {
		t.Error("it was linked more than once, or not at all")
	}
}

func TestMove_ChangesPlaceAndOrder(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	creator := w.other(owner, "member")
	a, b := w.workspace(owner, "A"), w.workspace(owner, "B")
	p := w.project(owner, b, "P")
	one, two, three := w.base(owner, a, "appOne"), w.base(owner, a, "appTwo"), w.base(owner, a, "appThree")
	w.grant(creator, permissionapi.RoleCreator, permit.Workspace(a.ID))
	w.grant(creator, permissionapi.RoleCreator, permit.Workspace(b.ID))
	list := func(q workspaceapi.BasesQuery) string {
		t.Helper()
		var all []workspaceapi.Base
		for q.Limit = 2; ; {
			page := must(w, owner, workspaceapi.ListBases, q)
			all = append(all, page.Items...)
			if q.Cursor = page.NextCursor; q.Cursor == "" {
				return baseNames(all)
			}
		}
	}
	must(w, creator, workspaceapi.MoveBase, moveTo(three, "", nil, ptr("")))
	must(w, creator, workspaceapi.MoveBase, moveTo(one, "", nil, ptr(two.ID)))
	if got := list(workspaceapi.BasesQuery{WorkspaceID: a.ID}); got != "appThree appTwo appOne" {
		t.Errorf("the order is %s", got)
	}
	refuse(w, errs.ErrForbidden, creator, workspaceapi.MoveBase, moveTo(one, b.ID, nil, nil)) // he does not own it
	refuse(w, workspaceapi.ErrNoProject, owner, workspaceapi.MoveBase, moveTo(one, a.ID, &p.ID, nil))
	refuse(w, workspaceapi.ErrNoSibling, owner, workspaceapi.MoveBase, moveTo(one, b.ID, nil, ptr(two.ID)))
	refuse(w, errs.ErrNotFound, owner, workspaceapi.MoveBase, moveTo(one, w.workspace(w.owner(), "X").ID, nil, nil))
	moved := must(w, owner, workspaceapi.MoveBase, moveTo(one, b.ID, &p.ID, nil)).Body
	if moved.WorkspaceID != b.ID || moved.ProjectID != p.ID || w.emitted("base.moved", one.ID) != 2 {
		t.Errorf("moved %+v", moved)
	}
	if got := list(workspaceapi.BasesQuery{ProjectID: p.ID}) + "|" + list(workspaceapi.BasesQuery{}); got != "appOne|appOne appThree appTwo" {
		t.Errorf("lists %s", got)
	}
	must(w, owner, workspaceapi.TrashProject, pref(p))
	if got := list(workspaceapi.BasesQuery{}); got != "appThree appTwo" {
		t.Errorf("with its project in the trash: %s", got)
	}
	must(w, owner, workspaceapi.RestoreProject, pref(p))
	must(w, owner, workspaceapi.MoveBase, moveTo(moved, "", ptr(""), nil))
	same := must(w, owner, workspaceapi.MoveBase, moveTo(moved, "", ptr(""), nil)).Body
	if same.ProjectID != "" || w.emitted("base.moved", one.ID) != 3 {
		t.Errorf("nothing moved: %+v", same)
	}
}

// Bases that cross each other's way between two workspaces: nobody waits for ever, and
// each is in one place.
func TestMove_CrossingMovesDoNotBlockEachOther(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	a, b := w.workspace(owner, "A"), w.workspace(owner, "B")
	var bases []workspaceapi.Base
	for i := range 4 {
		bases = append(bases, w.base(owner, a, fmt.Sprintf("app%d", i)))
	}
	var all sync.WaitGroup
	for i, base := range bases {
		all.Go(func() {
			for j := range 6 {
				if _, err := call(w, owner, workspaceapi.MoveBase, moveTo(base, []string{a.ID, b.ID}[(i+j)%2], nil, ptr(""))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := w.count(`SELECT count(DISTINCT (workspace_id, position)) FROM bases`); n != 4 {
		t.Errorf("%d places of 4 bases", n)
	}
}

func TestBase_WhatIsSaidOfItStandsBesideAirtable(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	creator, editor := w.other(owner, "member"), w.other(owner, "member")
	in := w.workspace(owner, "A")
	b := w.base(owner, in, "appOne")
	w.grant(creator, permissionapi.RoleCreator, permit.Workspace(in.ID))
	w.grant(editor, permissionapi.RoleEditor, permit.Base(owner.tenant, b.ID))
	say := func(match string, body workspaceapi.BasePatch) workspaceapi.BaseUpdate {
		return workspaceapi.BaseUpdate{BaseRef: bref(b), Precondition: workspaceapi.Precondition{IfMatch: match}, Body: body}
	}
	now := must(w, creator, workspaceapi.UpdateBase, say(`"1"`, workspaceapi.BasePatch{
		Name: ptr("Atlas"), Description: ptr("the world"), Tags: &[]string{" geo ", "demo", "geo"},
	}))
	if now.Body.Name != "Atlas" || now.Body.Description != "the world" || fmt.Sprint(now.Body.Tags) != "[geo demo]" || now.ETag != `"2"` {
		t.Errorf("now %+v", now)
	}
	refuse(w, errs.ErrPreconditionFailed, creator, workspaceapi.UpdateBase, say(`"1"`, workspaceapi.BasePatch{Name: ptr("X")}))
	refuse(w, workspaceapi.ErrBadTags, creator, workspaceapi.UpdateBase, say("", workspaceapi.BasePatch{Tags: &[]string{" "}}))
	refuse(w, errs.ErrForbidden, editor, workspaceapi.UpdateBase, say("", workspaceapi.BasePatch{Name: ptr("X")}))
	refuse(w, errs.ErrForbidden, creator, workspaceapi.UpdateBase, say("", workspaceapi.BasePatch{OwnerID: ptr(creator.user.String())}))
	refuse(w, workspaceapi.ErrBadOwner, owner, workspaceapi.UpdateBase, say("", workspaceapi.BasePatch{OwnerID: ptr(id.New[any]().String())}))
	if b := must(w, owner, workspaceapi.UpdateBase, say("", workspaceapi.BasePatch{OwnerID: ptr(editor.user.String())})); b.Body.OwnerID != editor.user.String() {
		t.Errorf("the owner is %s", b.Body.OwnerID)
	}
	if page := must(w, editor, workspaceapi.ListBases, workspaceapi.BasesQuery{Tag: "demo"}); baseNames(page.Items) != "appOne" {
		t.Errorf("by its tag: %+v", page.Items)
	}
	if page := must(w, editor, workspaceapi.ListBases, workspaceapi.BasesQuery{Tag: "none"}); len(page.Items) != 0 {
		t.Errorf("by another tag: %+v", page.Items)
	}
	if w.emitted("base.updated", b.ID) != 2 {
		t.Error("it was not announced")
	}
}

func TestFieldNotes_AreNotShownOfHiddenFields(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	viewer := w.other(owner, "guest")
	b := w.base(owner, w.workspace(owner, "A"), "appOne")
	for i := range 5 {
		must(w, owner, workspaceapi.PutFieldNote, document(b, fmt.Sprintf("fld%d", i), "said"))
	}
	must(w, owner, workspaceapi.PutFieldNote, document(b, "fld4", "said again"))
	w.grant(viewer, permissionapi.RoleViewer, permit.Base(owner.tenant, b.ID))
	refuse(w, errs.ErrForbidden, viewer, workspaceapi.PutFieldNote, document(b, "fld0", "mine"))
	w.permissions.mu.Lock()
	w.permissions.hidden = []permissionapi.TablePolicy{{TableID: "tbl1", Hidden: []string{"fld1", "fld2"}, ReadOnly: []string{}, Rows: []string{}}}
	w.permissions.mu.Unlock()
	var all []workspaceapi.FieldNote
	q := workspaceapi.FieldNotesQuery{BaseRef: bref(b), PageQuery: api.PageQuery{Limit: 2}}
	for {
		page := must(w, viewer, workspaceapi.ListFieldNotes, q)
		all = append(all, page.Items...)
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			break
		}
	}
	if got := names(all, func(n workspaceapi.FieldNote) string { return n.FieldID }); got != "fld0 fld3 fld4" || all[2].Text != "said again" {
		t.Errorf("shown: %s", got)
	}
	refuse(w, errs.ErrNotFound, owner, workspaceapi.PutFieldNote, document(b, "fld1", "guess"))
	must(w, owner, workspaceapi.DeleteFieldNote, document(b, "fld0", "").FieldRef)
	must(w, owner, workspaceapi.DeleteFieldNote, document(b, "fld0", "").FieldRef)
	if page := must(w, owner, workspaceapi.ListFieldNotes, workspaceapi.FieldNotesQuery{BaseRef: bref(b), TableID: "tbl2"}); len(page.Items) != 0 {
		t.Errorf("of another table: %+v", page.Items)
	}
}

func TestFavourites_AreEachUsersAndOfWhatHeSees(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	member := w.other(owner, "member")
	in := w.workspace(owner, "A")
	p, b := w.project(owner, in, "P"), w.base(owner, in, "appOne")
	mark := func(kind, object string) workspaceapi.FavouriteRef {
		return workspaceapi.FavouriteRef{Kind: kind, ObjectID: object}
	}
	refuse(w, errs.ErrNotFound, member, workspaceapi.PutFavourite, mark("workspace", in.ID))
	refuse(w, errs.ErrNotFound, owner, workspaceapi.PutFavourite, mark("project", "none"))
	w.grant(member, permissionapi.RoleViewer, permit.Workspace(in.ID))
	for _, f := range []workspaceapi.FavouriteRef{mark("workspace", in.ID), mark("project", p.ID), mark("base", b.ID), mark("workspace", in.ID)} {
		must(w, member, workspaceapi.PutFavourite, f)
	}
	list := func(p person) string {
		t.Helper()
		var all []workspaceapi.Favourite
		for q := (api.PageQuery{Limit: 2}); ; {
			page := must(w, p, workspaceapi.ListFavourites, q)
			all = append(all, page.Items...)
			if q.Cursor = page.NextCursor; q.Cursor == "" {
				return names(all, func(f workspaceapi.Favourite) string { return f.Kind + ":" + f.Name })
			}
		}
	}
	if got := list(member); got != "base:Base appOne project:P workspace:A" || list(owner) != "" {
		t.Errorf("his are %s", got)
	}
	must(w, member, workspaceapi.DeleteFavourite, mark("project", p.ID))
	must(w, owner, workspaceapi.TrashBase, bref(b))
	if got := list(member); got != "workspace:A" {
		t.Errorf("then %s", got)
	}
	w.revoke(member)
	if got := list(member); got != "" {
		t.Errorf("he sees %s", got)
	}
	w.hear(tenantapi.MemberRemoved.New(t.Context(), owner.tenant, id.New[any]().String(), 2, tenantapi.MemberChanged{
		TenantID: owner.tenant.String(), UserID: member.user.String(),
	}))
	if n := w.count(`SELECT count(*) FROM favourites`); n != 0 {
		t.Errorf("%d are left", n)
	}
}

func TestOffers_TellWhatConnectionsHaveAndWhereItIs(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	guest := w.other(owner, "guest")
	in := w.workspace(owner, "A")
	w.base(owner, in, "appB")
	connection := w.offer(owner.tenant, "appA", "appC")
	list := func(p person, connection string) (all []workspaceapi.Offer) {
		t.Helper()
		for q := (workspaceapi.OffersQuery{ConnectionID: connection}); ; {
			page := must(w, p, workspaceapi.ListOffers, q)
			all = append(all, page.Items...)
			if q.Cursor = page.NextCursor; q.Cursor == "" {
				return all
			}
		}
	}
	tell := func(o workspaceapi.Offer) string {
		return fmt.Sprintf("%s %v %v %v", o.BaseID, o.Linked, o.Linkable, o.WorkspaceID != "")
	}
	if got := names(list(owner, ""), tell); got != "appA false true false appB true true true appC false true false" {
		t.Errorf("the owner is offered %s", got)
	}
	if got := names(list(owner, connection), tell); got != "appA false true false appC false true false" {
		t.Errorf("by the connection: %s", got)
	}
	if got := list(guest, ""); len(got) != 0 {
		t.Errorf("a guest is offered %+v", got)
	}
	w.grant(guest, permissionapi.RoleEditor, permit.Base(owner.tenant, "appB"))
	if got := names(list(guest, ""), tell); got != "appB true false false" {
		t.Errorf("a guest with a base is offered %s", got)
	}
}

func TestEvents_AreTheirSamples(t *testing.T) {
	t.Parallel()
	eventstest.Sample(t, workspaceapi.WorkspaceUpdated, `{"workspace_id":"0193","tenant_id":"0194","name":"A","status":"active","changed":["name"],"actor_id":"0195"}`)
	eventstest.Sample(t, workspaceapi.ProjectCreated, `{"project_id":"0192","workspace_id":"0193","tenant_id":"0194","name":"P","status":"active","changed":[],"actor_id":"0195"}`)
	eventstest.Sample(t, workspaceapi.BaseMoved, `{"tenant_id":"0194","base_id":"app1","connection_id":"0196","workspace_id":"0193","project_id":"0192","status":"active","former_workspace_id":"0197","actor_id":"0195"}`)
	eventstest.Sample(t, workspaceapi.BaseUpdated, `{"tenant_id":"0194","base_id":"app1","workspace_id":"0193","project_id":"0192","name":"B","status":"archived","changed":["status"],"actor_id":"0195"}`)
	eventstest.Sample(t, workspaceapi.ShareLinkCreated, `{"share_link_id":"0198","tenant_id":"0194","object":"workspace:0193","role":"viewer","actor_id":"0195"}`)
}
