package workspaceservice_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

// scene is what an operation is tried on: a workspace of its own, in which the caller has
// a role, made and changed by the tenant's owner.
type scene struct {
	*world
	owner, caller person
	home          workspaceapi.Workspace
}

func (s scene) project() workspaceapi.Project { return s.world.project(s.owner, s.home, "P") }

func (s scene) base() workspaceapi.Base {
	return s.world.base(s.owner, s.home, newBase())
}

// newBase is an id that no base has.
func newBase() string {
	unique := strings.ReplaceAll(id.New[any]().String(), "-", "")
	return "app" + unique[len(unique)-14:]
}

func (s scene) link() workspaceapi.ShareLinkRef {
	return workspaceapi.ShareLinkRef{LinkID: s.world.link(s.owner, workspaceapi.NewShareLink{WorkspaceID: s.home.ID}).ID}
}

// row is who may do an operation.
type row struct {
	need string // the action on the workspace: an action, or self, member, public
	// unseen: who may not do it finds nothing.
	unseen bool
	try    func(s scene) error
}

const (
	self   = "self"   // everybody for himself
	member = "member" // whoever is more than a guest in his tenant
	public = "public"
)

func does[In, Out any](need string, op api.Op[In, Out], in func(s scene) In) row {
	return row{need: need, try: func(s scene) error {
		_, err := rpc.Call(s.t.Context(), s.caller.Client, op, in(s))
		return err
	}}
}

func hidden(r row) row {
	r.unseen = true
	return r
}

func home(s scene) workspaceapi.WorkspaceRef { return ref(s.home) }

func trashed(s scene) workspaceapi.WorkspaceRef {
	must(s.world, s.owner, workspaceapi.TrashWorkspace, ref(s.home))
	return ref(s.home)
}

func aProject(s scene) workspaceapi.ProjectRef { return pref(s.project()) }

func trashedProject(s scene) workspaceapi.ProjectRef {
	p := s.project()
	must(s.world, s.owner, workspaceapi.TrashProject, pref(p))
	return pref(p)
}

func aBase(s scene) workspaceapi.BaseRef { return bref(s.base()) }

func aField(s scene) workspaceapi.FieldRef {
	return workspaceapi.FieldRef{BaseRef: aBase(s), TableID: "tbl1", FieldID: "fld1"}
}

func aSubject() workspaceapi.SubjectRef {
	return workspaceapi.SubjectRef{Subject: "user:" + id.New[any]().String()}
}

// access is the whole of what the service offers to people.
var access = map[string]row{
	"createWorkspace": does(member, workspaceapi.CreateWorkspace, func(scene) workspaceapi.NewWorkspace { return workspaceapi.NewWorkspace{Name: "N"} }),
	"listWorkspaces":  does(self, workspaceapi.ListWorkspaces, func(scene) (in workspaceapi.StatusQuery) { return in }),
	"getWorkspace":    does(permissionapi.Read, workspaceapi.GetWorkspace, home),
	"updateWorkspace": does(permissionapi.Manage, workspaceapi.UpdateWorkspace, func(s scene) workspaceapi.WorkspaceUpdate {
		return workspaceapi.WorkspaceUpdate{WorkspaceRef: home(s), Body: workspaceapi.NamePatch{Name: ptr("N")}}
	}),
	"orderWorkspace":     does(permissionapi.Manage, workspaceapi.OrderWorkspace, func(s scene) workspaceapi.WorkspaceOrder { return workspaceapi.WorkspaceOrder{WorkspaceRef: home(s)} }),
	"archiveWorkspace":   does(permissionapi.Manage, workspaceapi.ArchiveWorkspace, home),
	"unarchiveWorkspace": does(permissionapi.Manage, workspaceapi.UnarchiveWorkspace, home),
	"trashWorkspace":     does(permissionapi.Manage, workspaceapi.TrashWorkspace, home),
	"restoreWorkspace":   hidden(does(permissionapi.Manage, workspaceapi.RestoreWorkspace, trashed)),
	"purgeWorkspace":     hidden(does(permissionapi.Manage, workspaceapi.PurgeWorkspace, trashed)),
	"duplicateWorkspace": does(permissionapi.Read, workspaceapi.DuplicateWorkspace, func(s scene) workspaceapi.WorkspaceCopy {
		return workspaceapi.WorkspaceCopy{WorkspaceRef: home(s), Body: workspaceapi.Copy{Name: "N"}}
	}),
	"createProject": does(permissionapi.Create, workspaceapi.CreateProject, func(s scene) workspaceapi.NewProject {
		return workspaceapi.NewProject{WorkspaceRef: home(s), Body: workspaceapi.NewWorkspace{Name: "N"}}
	}),
	"listProjects": does(permissionapi.Read, workspaceapi.ListProjects, func(s scene) workspaceapi.ProjectsQuery { return workspaceapi.ProjectsQuery{WorkspaceRef: home(s)} }),
	"getProject":   does(permissionapi.Read, workspaceapi.GetProject, aProject),
	"updateProject": does(permissionapi.Create, workspaceapi.UpdateProject, func(s scene) workspaceapi.ProjectUpdate {
		return workspaceapi.ProjectUpdate{ProjectRef: aProject(s), Body: workspaceapi.NamePatch{Name: ptr("N")}}
	}),
	"orderProject":     does(permissionapi.Create, workspaceapi.OrderProject, func(s scene) workspaceapi.ProjectOrder { return workspaceapi.ProjectOrder{ProjectRef: aProject(s)} }),
	"archiveProject":   does(permissionapi.Create, workspaceapi.ArchiveProject, aProject),
	"unarchiveProject": does(permissionapi.Create, workspaceapi.UnarchiveProject, aProject),
	"trashProject":     does(permissionapi.Create, workspaceapi.TrashProject, aProject),
	"restoreProject":   hidden(does(permissionapi.Create, workspaceapi.RestoreProject, trashedProject)),
	"purgeProject":     hidden(does(permissionapi.Create, workspaceapi.PurgeProject, trashedProject)),
	"duplicateProject": does(permissionapi.Create, workspaceapi.DuplicateProject, func(s scene) workspaceapi.ProjectCopy {
		return workspaceapi.ProjectCopy{ProjectRef: aProject(s), Body: workspaceapi.Copy{Name: "N"}}
	}),
	"listOfferedBases": does(self, workspaceapi.ListOffers, func(scene) (in workspaceapi.OffersQuery) { return in }),
	"linkBase": does(permissionapi.Manage, workspaceapi.LinkBase, func(s scene) workspaceapi.BaseLink {
		ref := newBase()
		s.offer(s.owner.tenant, ref)
		s.grantAgain(permit.Base(s.owner.tenant, ref))
		return link(s.home, ref)
	}),
	"listLinkedBases": does(self, workspaceapi.ListBases, func(scene) (in workspaceapi.BasesQuery) { return in }),
	"getLinkedBase":   does(permissionapi.Read, workspaceapi.GetBase, aBase),
	"updateLinkedBase": does(permissionapi.Create, workspaceapi.UpdateBase, func(s scene) workspaceapi.BaseUpdate {
		return workspaceapi.BaseUpdate{BaseRef: aBase(s), Body: workspaceapi.BasePatch{Name: ptr("N")}}
	}),
	"moveBase":        does(permissionapi.Create, workspaceapi.MoveBase, func(s scene) workspaceapi.BaseMove { return workspaceapi.BaseMove{BaseRef: aBase(s)} }),
	"archiveBase":     does(permissionapi.Manage, workspaceapi.ArchiveBase, aBase),
	"unarchiveBase":   does(permissionapi.Manage, workspaceapi.UnarchiveBase, aBase),
	"trashBase":       does(permissionapi.Manage, workspaceapi.TrashBase, aBase),
	"restoreBase":     does(permissionapi.Manage, workspaceapi.RestoreBase, aBase),
	"unlinkBase":      does(permissionapi.Manage, workspaceapi.UnlinkBase, aBase),
	"listFieldNotes":  does(permissionapi.Read, workspaceapi.ListFieldNotes, func(s scene) workspaceapi.FieldNotesQuery { return workspaceapi.FieldNotesQuery{BaseRef: aBase(s)} }),
	"deleteFieldNote": does(permissionapi.Create, workspaceapi.DeleteFieldNote, aField),
	"putFieldNote": does(permissionapi.Create, workspaceapi.PutFieldNote, func(s scene) workspaceapi.FieldNotePut {
		in := workspaceapi.FieldNotePut{FieldRef: aField(s)}
		in.Body.Text = "x"
		return in
	}),
	"listFavourites": does(self, workspaceapi.ListFavourites, func(scene) (in api.PageQuery) { return in }),
	"putFavourite": does(permissionapi.Read, workspaceapi.PutFavourite, func(s scene) workspaceapi.FavouriteRef {
		return workspaceapi.FavouriteRef{Kind: "workspace", ObjectID: s.home.ID}
	}),
	"deleteFavourite": does(self, workspaceapi.DeleteFavourite, func(s scene) workspaceapi.FavouriteRef {
		return workspaceapi.FavouriteRef{Kind: "workspace", ObjectID: s.home.ID}
	}),
	"listActivity":   does(permissionapi.Read, workspaceapi.ListActivity, func(s scene) workspaceapi.ActivityQuery { return workspaceapi.ActivityQuery{WorkspaceID: s.home.ID} }),
	"takeSnapshot":   does(permissionapi.Create, workspaceapi.TakeSnapshot, func(s scene) workspaceapi.SnapshotTake { return workspaceapi.SnapshotTake{BaseRef: aBase(s)} }),
	"listSnapshots":  does(permissionapi.Create, workspaceapi.ListSnapshots, func(s scene) workspaceapi.SnapshotsQuery { return workspaceapi.SnapshotsQuery{BaseRef: aBase(s)} }),
	"getSnapshot":    hidden(does(permissionapi.Create, workspaceapi.GetSnapshot, aSnapshot)),
	"deleteSnapshot": hidden(does(permissionapi.Create, workspaceapi.DeleteSnapshot, aSnapshot)),
	"restoreSnapshot": hidden(does(permissionapi.Create, workspaceapi.RestoreSnapshot, func(s scene) workspaceapi.SnapshotRestore {
		in := restoreOf(aSnapshot(s).SnapshotID, airtableapi.RestoreBase)
		in.Body.WorkspaceID = s.home.ID
		return in
	})),
	"duplicateBase": does(permissionapi.Create, workspaceapi.DuplicateBase, func(s scene) workspaceapi.BaseCopy {
		in := workspaceapi.BaseCopy{BaseRef: aBase(s)}
		in.Body.WorkspaceID = s.home.ID
		return in
	}),
	"getBaseRestoration": { // its requester's alone
		need: "nobody else", unseen: true, try: func(s scene) error {
			in := workspaceapi.BaseCopy{BaseRef: aBase(s)}
			in.Body.WorkspaceID = s.home.ID
			made := must(s.world, s.owner, workspaceapi.DuplicateBase, in).Body
			_, err := call(s.world, s.caller, workspaceapi.GetRestore, workspaceapi.RestoreRef{RestoreID: made.ID})
			return err
		},
	},
	"getSnapshotSchedule":    does(permissionapi.Create, workspaceapi.GetSchedule, aSchedule),
	"putSnapshotSchedule":    does(permissionapi.Create, workspaceapi.PutSchedule, func(s scene) workspaceapi.SchedulePut { return schedule(aBase(s)) }),
	"deleteSnapshotSchedule": does(permissionapi.Create, workspaceapi.DeleteSchedule, aSchedule),
	"listWorkspaceShares": does(permissionapi.Share, workspaceapi.ListWorkspaceShares, func(s scene) workspaceapi.WorkspaceSharesQuery {
		return workspaceapi.WorkspaceSharesQuery{WorkspaceRef: home(s)}
	}),
	"putWorkspaceShare": does(permissionapi.Share, workspaceapi.PutWorkspaceShare, func(s scene) workspaceapi.WorkspaceSharePut {
		return workspaceapi.WorkspaceSharePut{WorkspaceRef: home(s), SubjectRef: aSubject(), Body: workspaceapi.NewShare{Role: "viewer"}}
	}),
	"deleteWorkspaceShare": does(permissionapi.Share, workspaceapi.DeleteWorkspaceShare, func(s scene) workspaceapi.WorkspaceShareRef {
		return workspaceapi.WorkspaceShareRef{WorkspaceRef: home(s), SubjectRef: aSubject()}
	}),
	"listBaseShares": does(permissionapi.Share, workspaceapi.ListBaseShares, func(s scene) workspaceapi.BaseSharesQuery { return workspaceapi.BaseSharesQuery{BaseRef: aBase(s)} }),
	"putBaseShare": does(permissionapi.Share, workspaceapi.PutBaseShare, func(s scene) workspaceapi.BaseSharePut {
		return workspaceapi.BaseSharePut{BaseRef: aBase(s), SubjectRef: aSubject(), Body: workspaceapi.NewShare{Role: "viewer"}}
	}),
	"deleteBaseShare": does(permissionapi.Share, workspaceapi.DeleteBaseShare, func(s scene) workspaceapi.BaseShareRef {
		return workspaceapi.BaseShareRef{BaseRef: aBase(s), SubjectRef: aSubject()}
	}),
	"createShareLink": does(permissionapi.Share, workspaceapi.CreateShareLink, func(s scene) workspaceapi.NewShareLink { return workspaceapi.NewShareLink{WorkspaceID: s.home.ID} }),
	"listShareLinks": does(permissionapi.Share, workspaceapi.ListShareLinks, func(s scene) workspaceapi.ShareLinksQuery {
		return workspaceapi.ShareLinksQuery{WorkspaceID: s.home.ID}
	}),
	"getShareLink": hidden(does(permissionapi.Share, workspaceapi.GetShareLink, scene.link)),
	"updateShareLink": hidden(does(permissionapi.Share, workspaceapi.UpdateShareLink, func(s scene) workspaceapi.ShareLinkUpdate {
		return workspaceapi.ShareLinkUpdate{ShareLinkRef: s.link()}
	})),
	"revokeShareLink": hidden(does(permissionapi.Share, workspaceapi.RevokeShareLink, scene.link)),
	"createTemplate": does(permissionapi.Create, workspaceapi.CreateTemplate, func(s scene) (in workspaceapi.NewTemplate) {
		in.Body.Name, in.Body.BaseID = "N", aBase(s).BaseID
		return in
	}),
	"listTemplates": does(self, workspaceapi.ListTemplates, func(scene) (in workspaceapi.TemplatesQuery) { return in }),
	"getTemplate":   does(self, workspaceapi.GetTemplate, builtIn),
	// Those that come with the product are nobody's to change; of a tenant's own see the templates' tests.
	"updateTemplate": does("nobody", workspaceapi.UpdateTemplate, func(s scene) workspaceapi.TemplateUpdate {
		return workspaceapi.TemplateUpdate{TemplateRef: builtIn(s), Body: workspaceapi.TemplatePatch{Name: ptr("N")}}
	}),
	"publishTemplate": does("nobody", workspaceapi.PublishTemplate, builtIn),
	"deleteTemplate":  does("nobody", workspaceapi.DeleteTemplate, builtIn),
	"createBaseFromTemplate": does(permissionapi.Create, workspaceapi.UseTemplate, func(s scene) workspaceapi.TemplateUse {
		in := workspaceapi.TemplateUse{TemplateRef: builtIn(s)}
		in.Body.WorkspaceID = s.home.ID
		return in
	}),
	"redeemShare": {need: "nobody", unseen: true, try: func(s scene) error { // by a secret that opens nothing
		_, err := call(s.world, s.caller, workspaceapi.RedeemShare, workspaceapi.OpenShareRequest{Secret: "x"})
		return err
	}},
	"openShare":        does(public, workspaceapi.OpenShare, func(scene) workspaceapi.OpenShareRequest { return workspaceapi.OpenShareRequest{Secret: "x"} }),
	"listSharedBases":  does(public, workspaceapi.ListSharedBases, func(scene) (in workspaceapi.SharedBasesQuery) { in.Grant = "x"; return in }),
	"listSharedTables": does(public, workspaceapi.ListSharedTables, func(s scene) (in workspaceapi.SharedTablesQuery) { in.Grant, in.BaseID = "x", "appOne"; return in }),
	"listSharedRecords": does(public, workspaceapi.ListSharedRecords, func(scene) (in workspaceapi.SharedRecordsQuery) {
		in.Grant, in.BaseID, in.TableID = "x", "appOne", "tbl1"
		return in
	}),
}

// aSnapshot is ready, as far as its own row says.
func aSnapshot(s scene) workspaceapi.SnapshotRef {
	n := must(s.world, s.owner, workspaceapi.TakeSnapshot, workspaceapi.SnapshotTake{BaseRef: aBase(s)}).Body
	_, err := postgres.ForTenant(s.pool, s.owner.tenant).Exec(s.t.Context(), `UPDATE snapshots SET status = 'ready' WHERE id = $1`, n.ID)
	s.ok(err)
	return workspaceapi.SnapshotRef{SnapshotID: n.ID}
}

func builtIn(scene) workspaceapi.TemplateRef {
	return workspaceapi.TemplateRef{TemplateID: "project-tracker"}
}

func schedule(b workspaceapi.BaseRef) workspaceapi.SchedulePut {
	return workspaceapi.SchedulePut{BaseRef: b, Body: workspaceapi.ScheduleBody{Every: "daily", TimeZone: "UTC", Keep: 1}}
}

func aSchedule(s scene) workspaceapi.BaseRef {
	b := aBase(s)
	must(s.world, s.owner, workspaceapi.PutSchedule, schedule(b))
	return b
}

// grantAgain gives the caller on the object what he has on the workspace.
func (s scene) grantAgain(object permit.Object) {
	if role := s.has(s.caller, permit.Workspace(s.home.ID)); role != "" {
		s.grant(s.caller, role, object)
	}
}

// Every operation by every kind of caller. A new operation fails until it has its row.
func TestAccess_EveryOperationByEveryRole(t *testing.T) {
	t.Parallel()
	var declared []string
	for _, op := range workspaceapi.Service.Ops {
		if op.Access == api.User || op.Access == api.Public {
			declared = append(declared, op.Name)
		}
	}
	slices.Sort(declared)
	if diff := cmp.Diff(declared, slices.Sorted(maps.Keys(access))); diff != "" {
		t.Fatal(diff)
	}
	w := start(t, map[string]string{"MAX_WORKSPACES": "5000"})
	owner := w.owner()
	for name, c := range map[string]struct{ role, grant string }{
		"nobody": {}, "stranger": {role: "owner"}, "guest": {role: "guest"}, "member": {role: "member"}, "tenant admin": {role: "admin"},
		"viewer": {"guest", permissionapi.RoleViewer}, "editor": {"member", permissionapi.RoleEditor},
		"creator": {"member", permissionapi.RoleCreator}, "owner": {"member", permissionapi.RoleOwner},
	} {
		for op, r := range access {
			s := scene{world: w, owner: owner, home: w.workspace(owner, "A")}
			switch name {
			case "nobody":
				s.caller = w.nobody()
			case "stranger":
				s.caller = w.owner()
			default:
				s.caller = w.other(owner, c.role)
			}
			if c.grant != "" {
				w.grant(s.caller, c.grant, permit.Workspace(s.home.ID))
			}
			if got, want := codeOf(r.try(s)), r.want(name, c.role, c.grant, op); got != want {
				t.Errorf("%s by %s: %s, want %s", op, name, got, want)
			}
		}
	}
}

// want is how the caller is answered.
func (r row) want(caller, role, grant, op string) string {
	sees := grant != "" || role == "admin"
	may := role == "admin" || grant != "" && strength(grant) >= strength(r.need)
	switch {
	case r.need == public && op == "openShare":
		return "not found"
	case r.need == public:
		return "forbidden" // by the grant, which is none
	case caller == "nobody":
		return "unauthenticated"
	case r.need == "nobody" && op != "redeemShare", op == "createTemplate" && role == "guest":
		return "forbidden"
	case r.need == self, caller == "stranger" && op == "listSnapshots", // none, of a base of his tenant by that id
		r.need == member && role != "guest":
		return "ok"
	case r.need == member:
		return "forbidden"
	case caller == "stranger", !sees, op == "getBaseRestoration", op == "redeemShare":
		return "not found"
	case op == "duplicateWorkspace" && role == "guest":
		return "forbidden"
	case may:
		return "ok"
	case r.unseen:
		return "not found"
	}
	return "forbidden"
}

func codeOf(err error) string {
	if err == nil {
		return "ok"
	}
	switch errs.From(err).Kind {
	case errs.Unauthenticated:
		return "unauthenticated"
	case errs.Forbidden:
		return "forbidden"
	case errs.NotFound:
		return "not found"
	}
	return err.Error()
}

// A personal access token opens what its scope is for, with the rights of its owner, and
// bases alone if it is for certain ones.
func TestAccess_PersonalAccessTokensOpenTheirScopes(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{"MAX_WORKSPACES": "5000"})
	owner := w.owner()
	with := func(scope string, bases ...string) person {
		return person{owner.user, owner.tenant, w.Client(auth.Principal{Token: w.issuer.Token(t, authtest.PAT(owner.tenant, owner.user, "owner", scope, bases...))})}
	}
	for _, op := range workspaceapi.Service.Ops {
		r := access[op.Name]
		if r.need == public || op.Name == "redeemShare" || op.Name == "getBaseRestoration" {
			continue
		}
		s := scene{world: w, owner: owner, caller: with("data.records:read", "*"), home: w.workspace(owner, "A")}
		if err := r.try(s); !errors.Is(err, errs.ErrForbidden) {
			t.Errorf("%s by a token without the scope: %v", op.Name, err)
		}
		s.caller, s.home = with("schema.bases:read workspacesAndBases:read workspacesAndBases:write workspacesAndBases:manage workspacesAndBases.shares:manage", "*"), w.workspace(owner, "A")
		err := r.try(s)
		if people := op.Scope == ""; people != errors.Is(err, errs.ErrForbidden) || !people && err != nil {
			t.Errorf("%s by a token with every scope: %v", op.Name, err)
		}
	}
	in := w.workspace(owner, "A")
	one, two := w.base(owner, in, "appOne"), w.base(owner, in, "appTwo")
	tight := with("workspacesAndBases:read workspacesAndBases:write", one.ID)
	must(w, tight, workspaceapi.GetBase, bref(one))
	refuse(w, errs.ErrNotFound, tight, workspaceapi.GetBase, bref(two))
	refuse(w, errs.ErrNotFound, tight, workspaceapi.GetWorkspace, ref(in))
	refuse(w, errs.ErrForbidden, tight, workspaceapi.CreateWorkspace, workspaceapi.NewWorkspace{Name: "B"})
	refuse(w, errs.ErrNotFound, tight, workspaceapi.MoveBase, workspaceapi.BaseMove{BaseRef: bref(one)})
	page := must(w, tight, workspaceapi.ListBases, workspaceapi.BasesQuery{})
	if got := names(page.Items, func(b workspaceapi.Base) string { return b.ID }); got != "appOne" {
		t.Errorf("it lists %s", got)
	}
}

// A group has what was shared with it, whoever is in it at the time.
func TestShares_WithAGroupFollowItsMembers(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	in := w.workspace(owner, "A")
	b, bob := w.base(owner, in, "appOne"), w.other(owner, "guest")
	group := "group:" + id.New[any]().String()
	put := workspaceapi.WorkspaceSharePut{WorkspaceRef: ref(in), SubjectRef: workspaceapi.SubjectRef{Subject: group}, Body: workspaceapi.NewShare{Role: "viewer"}}
	must(w, owner, workspaceapi.PutWorkspaceShare, put)
	refuse(w, errs.ErrNotFound, bob, workspaceapi.GetBase, bref(b))
	w.joins(bob, group)
	must(w, bob, workspaceapi.GetBase, bref(b))
	must(w, bob, workspaceapi.GetWorkspace, ref(in))
	refuse(w, errs.ErrForbidden, bob, workspaceapi.CreateProject, workspaceapi.NewProject{WorkspaceRef: ref(in), Body: workspaceapi.NewWorkspace{Name: "N"}})
	put.Body.Role = "creator"
	must(w, owner, workspaceapi.PutWorkspaceShare, put)
	must(w, bob, workspaceapi.CreateProject, workspaceapi.NewProject{WorkspaceRef: ref(in), Body: workspaceapi.NewWorkspace{Name: "N"}})
	w.joins(bob, "")
	refuse(w, errs.ErrNotFound, bob, workspaceapi.GetWorkspace, ref(in))
	w.joins(bob, group)
	must(w, owner, workspaceapi.DeleteWorkspaceShare, workspaceapi.WorkspaceShareRef{WorkspaceRef: ref(in), SubjectRef: put.SubjectRef})
	refuse(w, errs.ErrNotFound, bob, workspaceapi.GetWorkspace, ref(in))
}
