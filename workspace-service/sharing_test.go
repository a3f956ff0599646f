package workspaceservice_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

func TestShares_OneRoleASubjectGivenAndTaken(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	creator, guest := w.other(owner, "member"), w.other(owner, "guest")
	in := w.workspace(owner, "A")
	put := func(of person, role string, until time.Time) workspaceapi.WorkspaceSharePut {
		return workspaceapi.WorkspaceSharePut{
			WorkspaceRef: ref(in), SubjectRef: workspaceapi.SubjectRef{Subject: "user:" + of.user.String()}, Body: workspaceapi.NewShare{Role: role, ExpiresAt: until},
		}
	}
	taken := func(of person) workspaceapi.WorkspaceShareRef {
		return workspaceapi.WorkspaceShareRef{WorkspaceRef: ref(in), SubjectRef: workspaceapi.SubjectRef{Subject: "user:" + of.user.String()}}
	}
	refuse(w, errs.ErrNotFound, guest, workspaceapi.PutWorkspaceShare, put(guest, "owner", time.Time{}))
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	if s := must(w, owner, workspaceapi.PutWorkspaceShare, put(guest, "viewer", until)); s.Role != "viewer" || !s.ExpiresAt.Equal(until) || s.GrantedBy != owner.user.String() {
		t.Errorf("shared: %+v", s)
	}
	must(w, guest, workspaceapi.GetWorkspace, ref(in))
	refuse(w, errs.ErrForbidden, guest, workspaceapi.ListWorkspaceShares, workspaceapi.WorkspaceSharesQuery{WorkspaceRef: ref(in)})
	must(w, owner, workspaceapi.PutWorkspaceShare, put(creator, "creator", time.Time{}))
	must(w, creator, workspaceapi.PutWorkspaceShare, put(guest, "editor", time.Time{})) // in the place of the other one
	refuse(w, permissionapi.ErrTooStrong, creator, workspaceapi.PutWorkspaceShare, put(guest, "owner", time.Time{}))
	refuse(w, permissionapi.ErrTooStrong, creator, workspaceapi.PutWorkspaceShare, put(owner, "viewer", time.Time{}))
	refuse(w, permissionapi.ErrTooStrong, creator, workspaceapi.DeleteWorkspaceShare, taken(owner))
	refuse(w, workspaceapi.ErrExpiry, owner, workspaceapi.PutWorkspaceShare, put(guest, "viewer", time.Now().Add(-time.Hour)))
	var all []workspaceapi.Share
	for q := (workspaceapi.WorkspaceSharesQuery{WorkspaceRef: ref(in)}); ; {
		page := must(w, creator, workspaceapi.ListWorkspaceShares, q)
		all = append(all, page.Items...)
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			break
		}
	}
	if got := names(all, func(s workspaceapi.Share) string { return s.Role }); got != "owner creator editor" {
		t.Errorf("listed: %s", got)
	}
	must(w, creator, workspaceapi.DeleteWorkspaceShare, taken(guest))
	must(w, creator, workspaceapi.DeleteWorkspaceShare, taken(guest))
	refuse(w, errs.ErrNotFound, guest, workspaceapi.GetWorkspace, ref(in))

	b := w.base(owner, in, "appOne")
	subject := workspaceapi.SubjectRef{Subject: "user:" + guest.user.String()}
	must(w, owner, workspaceapi.PutBaseShare, workspaceapi.BaseSharePut{BaseRef: bref(b), SubjectRef: subject, Body: workspaceapi.NewShare{Role: "viewer"}})
	must(w, guest, workspaceapi.GetBase, bref(b))
	if page := must(w, owner, workspaceapi.ListBaseShares, workspaceapi.BaseSharesQuery{BaseRef: bref(b)}); len(page.Items) != 1 {
		t.Errorf("the base is shared with %+v", page.Items)
	}
	must(w, owner, workspaceapi.DeleteBaseShare, workspaceapi.BaseShareRef{BaseRef: bref(b), SubjectRef: subject})
	refuse(w, errs.ErrNotFound, guest, workspaceapi.GetBase, bref(b))
}

func TestShares_WithoutPermissionServiceThereAreNone(t *testing.T) {
	t.Parallel()
	w := start(t, map[string]string{"PERMISSIONS": "role"})
	owner := w.owner()
	in := w.workspace(owner, "A")
	refuse(w, workspaceapi.ErrOffline, owner, workspaceapi.ListWorkspaceShares, workspaceapi.WorkspaceSharesQuery{WorkspaceRef: ref(in)})
	must(w, w.other(owner, "member"), workspaceapi.GetWorkspace, ref(in))
	refuse(w, errs.ErrNotFound, w.other(owner, "guest"), workspaceapi.GetWorkspace, ref(in))
}

// nobody has no token.
func (w *world) nobody() person { return person{Client: w.Client(auth.Principal{})} }

func (w *world) link(p person, in workspaceapi.NewShareLink) workspaceapi.ShareLink {
	w.t.Helper()
	return must(w, p, workspaceapi.CreateShareLink, in).Body
}

// open gives the grant of a link.
func (w *world) open(l workspaceapi.ShareLink, password string) workspaceapi.Granted {
	w.t.Helper()
	return workspaceapi.Granted{Grant: must(w, w.nobody(), workspaceapi.OpenShare, workspaceapi.OpenShareRequest{Secret: l.Secret, Password: password}).Grant}
}

func TestShareLink_ShowsWhatItsMakerSeesToWhoeverHasIt(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	in := w.workspace(owner, "A")
	one, two := w.base(owner, in, "appOne"), w.base(owner, in, "appTwo")
	elsewhere := w.base(owner, w.workspace(owner, "B"), "appElse")
	l := w.link(owner, workspaceapi.NewShareLink{WorkspaceID: in.ID})
	opened := must(w, w.nobody(), workspaceapi.OpenShare, workspaceapi.OpenShareRequest{Secret: l.Secret})
	if opened.Kind != "workspace" || opened.Name != "A" || opened.Role != "viewer" || time.Until(opened.ExpiresAt) > 15*time.Minute {
		t.Errorf("opened %+v", opened)
	}
	grant := workspaceapi.Granted{Grant: opened.Grant}
	page := must(w, w.nobody(), workspaceapi.ListSharedBases, workspaceapi.SharedBasesQuery{Granted: grant})
	if got := names(page.Items, func(b workspaceapi.SharedBase) string { return b.ID }); got != "appOne appTwo" {
		t.Errorf("it shows %s", got)
	}
	tables := must(w, w.nobody(), workspaceapi.ListSharedTables, workspaceapi.SharedTablesQuery{Granted: grant, BaseRef: bref(two)})
	if want := "appTwo for " + owner.user.String(); len(tables.Items) != 1 || tables.Items[0].Name != want {
		t.Errorf("tables %+v, want %s", tables.Items, want)
	}
	records := must(w, w.nobody(), workspaceapi.ListSharedRecords, workspaceapi.SharedRecordsQuery{Granted: grant, BaseRef: bref(one), TableID: "tbl1", View: "Main"})
	if f := records.Items[0].Fields; f["of"] != "appOne/tbl1" || f["for"] != owner.user.String() || f["view"] != "Main" {
		t.Errorf("records %+v", records.Items)
	}
	refuse(w, errs.ErrNotFound, w.nobody(), workspaceapi.ListSharedTables, workspaceapi.SharedTablesQuery{Granted: grant, BaseRef: bref(elsewhere)})
	ofBase := w.open(w.link(owner, workspaceapi.NewShareLink{BaseID: one.ID}), "")
	must(w, w.nobody(), workspaceapi.ListSharedTables, workspaceapi.SharedTablesQuery{Granted: ofBase, BaseRef: bref(one)})
	refuse(w, errs.ErrNotFound, w.nobody(), workspaceapi.ListSharedTables, workspaceapi.SharedTablesQuery{Granted: ofBase, BaseRef: bref(two)})
	for _, bad := range []string{"x", opened.Grant + "A", strings.Repeat("A", 100)} {
		refuse(w, workspaceapi.ErrShareGrant, w.nobody(), workspaceapi.ListSharedBases, workspaceapi.SharedBasesQuery{Granted: workspaceapi.Granted{Grant: bad}})
	}
	for _, bad := range []string{"x", l.Secret + "A", owner.tenant.String() + ".", id.New[any]().String() + l.Secret[36:]} {
		refuse(w, errs.ErrNotFound, w.nobody(), workspaceapi.OpenShare, workspaceapi.OpenShareRequest{Secret: bad})
	}
	again := must(w, owner, workspaceapi.GetShareLink, workspaceapi.ShareLinkRef{LinkID: l.ID}).Body
	if again.Secret != l.Secret || again.Opened != 1 || w.emitted("share_link.opened", l.ID) != 1 {
		t.Errorf("then %+v", again)
	}
	if n := w.count(`SELECT count(*) FROM share_links WHERE position(convert_to($1, 'UTF8') IN secret) > 0`, l.Secret[40:]); n != 0 {
		t.Error("the secret can be read in the database")
	}
}

func TestShareLink_DiesWithAllThatItFollowsFrom(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	maker, other := w.other(owner, "member"), w.other(owner, "member")
	in := w.workspace(owner, "A")
	b := w.base(owner, in, "appOne")
	give := func() { w.grant(maker, permissionapi.RoleCreator, permit.Workspace(in.ID)) }
	give()
	w.grant(other, permissionapi.RoleCreator, permit.Workspace(in.ID))
	for name, c := range map[string]struct {
		end, undo func(l workspaceapi.ShareLink)
	}{
		"revoked": {func(l workspaceapi.ShareLink) {
			must(w, other, workspaceapi.RevokeShareLink, workspaceapi.ShareLinkRef{LinkID: l.ID})
		}, nil},
		"base in the trash":    {func(workspaceapi.ShareLink) { must(w, owner, workspaceapi.TrashBase, bref(b)) }, func(workspaceapi.ShareLink) { must(w, owner, workspaceapi.RestoreBase, bref(b)) }},
		"workspace in the bin": {func(workspaceapi.ShareLink) { must(w, owner, workspaceapi.TrashWorkspace, ref(in)) }, func(workspaceapi.ShareLink) { must(w, owner, workspaceapi.RestoreWorkspace, ref(in)) }},
		"maker lost his right": {func(workspaceapi.ShareLink) { w.revoke(maker) }, func(workspaceapi.ShareLink) { give() }},
		"it has ended": {func(l workspaceapi.ShareLink) {
			_, err := postgres.ForTenant(w.pool, owner.tenant).Exec(t.Context(), `UPDATE share_links SET expires_at = now() - interval '1 second' WHERE id = $1`, l.ID)
			w.ok(err)
		}, nil},
	} {
		l := w.link(maker, workspaceapi.NewShareLink{BaseID: b.ID})
		grant := w.open(l, "")
		bases := workspaceapi.SharedBasesQuery{Granted: grant}
		must(w, w.nobody(), workspaceapi.ListSharedBases, bases)
		c.end(l)
		if _, err := call(w, w.nobody(), workspaceapi.ListSharedBases, bases); !errors.Is(err, errs.ErrNotFound) {
			t.Errorf("%s: its grant gives %v", name, err)
		}
		if _, err := call(w, w.nobody(), workspaceapi.OpenShare, workspaceapi.OpenShareRequest{Secret: l.Secret}); !errors.Is(err, errs.ErrNotFound) {
			t.Errorf("%s: it opens, %v", name, err)
		}
		if c.undo != nil {
			c.undo(l)
			must(w, w.nobody(), workspaceapi.ListSharedBases, bases)
		}
	}
	// Out of the tenant, or without the object, it is gone for good.
	l := w.link(maker, workspaceapi.NewShareLink{WorkspaceID: in.ID})
	w.hear(tenantapi.MemberRemoved.New(t.Context(), owner.tenant, id.New[any]().String(), 2, tenantapi.MemberChanged{
		TenantID: owner.tenant.String(), UserID: maker.user.String(),
	}))
	refuse(w, errs.ErrNotFound, w.nobody(), workspaceapi.OpenShare, workspaceapi.OpenShareRequest{Secret: l.Secret})
	l = w.link(other, workspaceapi.NewShareLink{BaseID: b.ID})
	must(w, owner, workspaceapi.UnlinkBase, bref(b))
	must(w, owner, workspaceapi.LinkBase, link(in, b.ID))
	refuse(w, errs.ErrNotFound, w.nobody(), workspaceapi.OpenShare, workspaceapi.OpenShareRequest{Secret: l.Secret})
	if w.emitted("share_link.revoked", l.ID) != 1 {
		t.Error("its end was not announced")
	}
}

func TestShareLink_PasswordCannotBeGuessed(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	in := w.workspace(owner, "A")
	l := w.link(owner, workspaceapi.NewShareLink{WorkspaceID: in.ID, Password: "open sesame"})
	try := func(password string) error {
		_, err := call(w, w.nobody(), workspaceapi.OpenShare, workspaceapi.OpenShareRequest{Secret: l.Secret, Password: password})
		return err
	}
	if err := try(""); !errors.Is(err, workspaceapi.ErrPassword) {
		t.Errorf("without: %v", err)
	}
	w.open(l, "open sesame")
	// Guesses made at once count like guesses made one after the other.
	var compared, blocked atomic.Int32
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			switch err := try("wrong password"); {
			case errors.Is(err, workspaceapi.ErrPassword):
				compared.Add(1)
			case errors.Is(err, workspaceapi.ErrAttempts) && errs.From(err).RetryAfter > 0:
				blocked.Add(1)
			default:
				t.Errorf("a guess gave %v", err)
			}
		})
	}
	all.Wait()
	if compared.Load() < 5 || compared.Load() > 6 || compared.Load()+blocked.Load() != 12 {
		t.Errorf("%d guesses were compared, %d blocked", compared.Load(), blocked.Load())
	}
	await.True(t, "the right password opens it again", func() bool { return try("open sesame") == nil })
	if n := w.count(`SELECT failures FROM share_links`); n != 0 {
		t.Errorf("%d failures are remembered", n)
	}
}

func TestShareLink_IsChangedByThoseWhoMayShare(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	viewer, creator := w.other(owner, "member"), w.other(owner, "member")
	in := w.workspace(owner, "A")
	w.grant(viewer, permissionapi.RoleViewer, permit.Workspace(in.ID))
	w.grant(creator, permissionapi.RoleCreator, permit.Workspace(in.ID))
	l := w.link(owner, workspaceapi.NewShareLink{WorkspaceID: in.ID})
	of := workspaceapi.ShareLinkRef{LinkID: l.ID}
	refuse(w, errs.ErrForbidden, viewer, workspaceapi.CreateShareLink, workspaceapi.NewShareLink{WorkspaceID: in.ID})
	refuse(w, errs.ErrNotFound, viewer, workspaceapi.GetShareLink, of)
	refuse(w, errs.ErrNotFound, viewer, workspaceapi.RevokeShareLink, of)
	refuse(w, errs.ErrNotFound, w.owner(), workspaceapi.GetShareLink, of)
	if seen := must(w, creator, workspaceapi.GetShareLink, of).Body; seen.Secret != "" { // the owner sees more than he
		t.Error("another one than its maker sees the secret")
	}
	refuse(w, workspaceapi.ErrOneObject, owner, workspaceapi.CreateShareLink, workspaceapi.NewShareLink{})
	refuse(w, workspaceapi.ErrOneObject, owner, workspaceapi.ListShareLinks, workspaceapi.ShareLinksQuery{WorkspaceID: in.ID, BaseID: "appOne"})
	refuse(w, workspaceapi.ErrExpiry, owner, workspaceapi.CreateShareLink, workspaceapi.NewShareLink{WorkspaceID: in.ID, ExpiresAt: time.Now().Add(-time.Second)})
	refuse(w, errs.ErrNotFound, owner, workspaceapi.CreateShareLink, workspaceapi.NewShareLink{BaseID: "appNone"})
	grant := w.open(l, "")
	change := workspaceapi.ShareLinkUpdate{ShareLinkRef: of, Precondition: workspaceapi.Precondition{IfMatch: `"1"`}}
	change.Body.Password, change.Body.ExpiresAt = ptr("long enough"), ptr(time.Now().Add(time.Hour))
	if now := must(w, creator, workspaceapi.UpdateShareLink, change); !now.Body.HasPassword || now.Body.ExpiresAt.IsZero() || now.ETag != `"2"` {
		t.Errorf("now %+v", now)
	}
	refuse(w, errs.ErrPreconditionFailed, creator, workspaceapi.UpdateShareLink, change)
	refuse(w, workspaceapi.ErrShareGrant, w.nobody(), workspaceapi.ListSharedBases, workspaceapi.SharedBasesQuery{Granted: grant})
	w.open(l, "long enough")
	change.IfMatch, change.Body.Password, change.Body.ExpiresAt, change.Body.Forever = "", ptr("short"), nil, true
	if _, err := call(w, owner, workspaceapi.UpdateShareLink, change); errs.From(err).Kind != errs.Invalid {
		t.Errorf("a short password: %v", err)
	}
	change.Body.Password = ptr("")
	if now := must(w, owner, workspaceapi.UpdateShareLink, change).Body; now.HasPassword || !now.ExpiresAt.IsZero() {
		t.Errorf("then %+v", now)
	}
	w.link(owner, workspaceapi.NewShareLink{WorkspaceID: in.ID})
	w.link(creator, workspaceapi.NewShareLink{WorkspaceID: in.ID})
	q := workspaceapi.ShareLinksQuery{WorkspaceID: in.ID, PageQuery: api.PageQuery{Limit: 2}}
	first := must(w, creator, workspaceapi.ListShareLinks, q)
	q.Cursor = first.NextCursor
	if second := must(w, creator, workspaceapi.ListShareLinks, q); len(first.Items) != 2 || len(second.Items) != 1 || second.Items[0].Secret == "" {
		t.Errorf("pages %+v and %+v", first, second)
	}
	must(w, owner, workspaceapi.TrashWorkspace, ref(in))
	refuse(w, workspaceapi.ErrTrashed, owner, workspaceapi.CreateShareLink, workspaceapi.NewShareLink{WorkspaceID: in.ID})
}

func (w *world) feed(p person, q workspaceapi.ActivityQuery) []workspaceapi.Activity {
	w.t.Helper()
	var all []workspaceapi.Activity
	for q.Limit = 3; ; {
		page := must(w, p, workspaceapi.ListActivity, q)
		all = append(all, page.Items...)
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			return all
		}
	}
}

// again delivers an event that was applied a second time.
func (w *world) again(e events.Event) {
	w.t.Helper()
	_, err := w.pool.Exec(w.t.Context(), `DELETE FROM outbox WHERE event_id = $1`, e.ID)
	w.ok(err)
	w.emit(e)
	await.True(w.t, "the event came twice", func() bool {
		resp, err := http.Get(w.URL + "/metrics")
		w.ok(err)
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		w.ok(err)
		return strings.Contains(string(text), `outcome="duplicate",type="`+e.Type+`"`)
	})
}

func kinds(list []workspaceapi.Activity) string {
	return names(list, func(a workspaceapi.Activity) string { return a.Kind })
}

func TestFeed_TellsEachWhatHeMaySee(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	viewer, ofBase := w.other(owner, "member"), w.other(owner, "guest")
	in := w.workspace(owner, "A")
	one, two := w.base(owner, in, "appOne"), w.base(owner, in, "appTwo")
	w.workspace(owner, "B")
	w.grant(viewer, permissionapi.RoleViewer, permit.Workspace(in.ID))
	w.grant(ofBase, permissionapi.RoleViewer, permit.Base(owner.tenant, two.ID))
	changed := func(base string) events.Event {
		return airtableapi.RecordUpdated.New(t.Context(), owner.tenant, "rec1", 1, airtableapi.RecordChanged{
			BaseID: base, TableID: "tbl1", RecordID: "rec1", ActorID: owner.user.String(), ChangedFieldIDs: []string{"fld1"},
		})
	}
	at := time.Date(2026, 11, 22, 12, 1, 0, 0, time.UTC)
	for i, base := range []string{one.ID, one.ID, two.ID, "appInNoWorkspace"} {
		e := changed(base)
		e.Time = at.Add(time.Duration(i) * time.Second)
		w.hear(e)
	}
	later := changed(one.ID)
	later.Time = at.Add(10 * time.Minute)
	w.hear(later)
	w.again(later)
	w.permissions.mu.Lock()
	w.permissions.version = 100 // no answer may be older than what is announced
	w.permissions.mu.Unlock()
	w.hear(permissionapi.PermissionsChanged.New(t.Context(), owner.tenant, owner.tenant.String(), 99, permissionapi.Change{
		What: "granted", Object: "workspace:" + in.ID, Subject: "user:" + viewer.user.String(), Role: "viewer",
	}), tenantapi.MemberAdded.New(t.Context(), owner.tenant, id.New[any]().String(), 1, tenantapi.MemberChanged{UserID: viewer.user.String(), Role: "member"}))
	await.True(t, "the feed tells of all", func() bool { return w.count(`SELECT count(*) FROM activities`) == 9 })
	all := w.feed(owner, workspaceapi.ActivityQuery{})
	if len(all) != 9 || strings.Count(kinds(all), "workspace.created") != 2 || strings.Count(kinds(all), "member.added") != 1 {
		t.Errorf("the owner is told %s", kinds(all))
	}
	of := w.feed(owner, workspaceapi.ActivityQuery{BaseID: one.ID})
	if kinds(of) != "base.linked record.updated record.updated" || of[1].Count != 1 || of[2].Count != 2 || of[2].LastAt != at.Add(time.Second) || of[2].At != at {
		t.Errorf("of the base: %+v", of)
	}
	if got := kinds(w.feed(viewer, workspaceapi.ActivityQuery{WorkspaceID: in.ID})); strings.Contains(got, "access") || strings.Count(got, "record.updated") != 3 ||
		strings.Count(got, "workspace.created") != 1 || len(w.feed(viewer, workspaceapi.ActivityQuery{})) != 6 {
		t.Errorf("a viewer is told %s", got)
	}
	if got := kinds(w.feed(ofBase, workspaceapi.ActivityQuery{})); got != "base.linked record.updated" {
		t.Errorf("who has one base is told %s", got)
	}
	refuse(w, errs.ErrNotFound, ofBase, workspaceapi.ListActivity, workspaceapi.ActivityQuery{WorkspaceID: in.ID})
	refuse(w, errs.ErrNotFound, ofBase, workspaceapi.ListActivity, workspaceapi.ActivityQuery{BaseID: one.ID})
	if got := w.feed(w.owner(), workspaceapi.ActivityQuery{}); len(got) != 0 {
		t.Errorf("a stranger is told %s", kinds(got))
	}
}
