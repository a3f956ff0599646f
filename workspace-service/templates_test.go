package workspaceservice_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/apptest"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/permit"
	workspaceservice "github.com/pyairtable/pyairtable/workspace-service"
)

func templateOf(base string) (in workspaceapi.NewTemplate) {
	in.Body.BaseID, in.Body.TemplateBody = base, workspaceapi.TemplateBody{
		Name: "Onboarding", Description: "What a new client needs.", Category: "Clients", Tags: []string{"clients", " new "}, Icon: "🚀",
	}
	return in
}

func tref(key string) workspaceapi.TemplateRef { return workspaceapi.TemplateRef{TemplateID: key} }

func use(key string, in workspaceapi.Workspace) workspaceapi.TemplateUse {
	u := workspaceapi.TemplateUse{TemplateRef: tref(key)}
	u.Body.WorkspaceID = in.ID
	return u
}

// published waits until the newest edition of the template has ended.
func (w *world) published(p person, key string) (out workspaceapi.Template) {
	w.t.Helper()
	await.True(w.t, "the edition has ended", func() bool {
		out = must(w, p, workspaceapi.GetTemplate, tref(key)).Body
		return out.Status != workspaceapi.TemplatePublishing
	})
	return out
}

// published is an owner's workspace with the base appOld, and a template made of that.
func published(t *testing.T) (*world, person, workspaceapi.Workspace, workspaceapi.Template) {
	t.Helper()
	w := start(t, nil)
	anna := w.owner()
	home := w.workspace(anna, "Home")
	w.base(anna, home, "appOld")
	return w, anna, home, w.publishes(anna, "appOld")
}

// publishes is a template that the person makes of the base.
func (w *world) publishes(p person, base string) workspaceapi.Template {
	w.t.Helper()
	return w.published(p, must(w, p, workspaceapi.CreateTemplate, templateOf(base)).Body.ID)
}

// holds are the contents that airtable-gateway keeps.
func (w *world) holds() (list []airtableapi.SnapshotTakeBody) {
	w.airtable.lock.Lock()
	defer w.airtable.lock.Unlock()
	for _, in := range w.airtable.kept {
		list = append(list, in)
	}
	return list
}

func TestTemplates_ArePublishedUsedChangedAndDeleted(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	anna := w.owner()
	home := w.workspace(anna, "Home")
	plans := w.project(anna, home, "Plans")
	w.base(anna, home, "appOld")
	in := templateOf("appOld")
	in.Body.SkipRecords = true
	made := must(w, anna, workspaceapi.CreateTemplate, in)
	if made.Location != "/api/v1/templates/"+made.Body.ID || made.Body.Status != workspaceapi.TemplatePublishing || made.Body.Edition != 0 || made.Body.Version != 1 {
		t.Errorf("made %+v", made)
	}
	first := w.published(anna, made.Body.ID)
	if first.Status != workspaceapi.TemplateReady || first.Edition != 1 || first.Records != 3 || len(first.Tables) != 1 || first.PublishedAt.IsZero() ||
		first.BaseID != "appOld" || first.BuiltIn || strings.Join(first.Tags, ",") != "clients,new" || !first.SkipRecords {
		t.Errorf("published %+v", first)
	}
	if kept := w.holds(); len(kept) != 1 || !kept[0].SkipRecords || kept[0].Comments || kept[0].BaseID != "appOld" || kept[0].UserID != anna.user.String() {
		t.Errorf("kept %+v", kept)
	}
	// It is in no list of snapshots: nothing prunes it.
	if n := w.count(`SELECT count(*) FROM snapshots`); n != 0 {
		t.Errorf("%d snapshots of the base", n)
	}

	update := workspaceapi.TemplateUpdate{TemplateRef: tref(first.ID), Body: workspaceapi.TemplatePatch{Name: ptr("Welcome"), Tags: ptr([]string{"x"})}}
	update.IfMatch = `"1"`
	refuse(w, errs.ErrPreconditionFailed, anna, workspaceapi.UpdateTemplate, update)
	update.IfMatch = ""
	if got := must(w, anna, workspaceapi.UpdateTemplate, update).Body; got.Name != "Welcome" || got.Icon != "🚀" || got.Tags[0] != "x" || got.Version != first.Version+1 {
		t.Errorf("updated %+v", got)
	}

	want := use(first.ID, home)
	want.Body.ProjectID, want.Body.Name = plans.ID, "Client one"
	ended := w.ended(anna, must(w, anna, workspaceapi.UseTemplate, want).Body)
	if ended.Status != airtableapi.RestoreDone || ended.Error != nil || ended.Kind != workspaceapi.RestoreTemplate {
		t.Fatalf("used %+v", ended)
	}
	if b := must(w, anna, workspaceapi.GetBase, workspaceapi.BaseRef{BaseID: ended.BaseID}).Body; b.WorkspaceID != home.ID || b.ProjectID != plans.ID {
		t.Errorf("the new base %+v", b)
	}
	if got := w.airtable.restored[0]; got.Kind != airtableapi.RestoreBase || !got.Fresh || got.SnapshotID != w.holds()[0].ID || got.Name != "Client one" {
		t.Errorf("asked for %+v", got)
	}

	before := w.holds()[0].ID
	must(w, anna, workspaceapi.PublishTemplate, tref(first.ID))
	if again := w.published(anna, first.ID); again.Edition != 2 || again.Name != "Welcome" {
		t.Errorf("published again %+v", again)
	}
	await.True(t, "the first edition is gone", func() bool { kept := w.holds(); return len(kept) == 1 && kept[0].ID != before })
	must(w, anna, workspaceapi.DeleteTemplate, tref(first.ID))
	refuse(w, errs.ErrNotFound, anna, workspaceapi.GetTemplate, tref(first.ID))
	refuse(w, errs.ErrNotFound, anna, workspaceapi.DeleteTemplate, tref(first.ID))
	refuse(w, errs.ErrNotFound, anna, workspaceapi.UseTemplate, want)
	await.True(t, "its content is gone", func() bool { return len(w.holds()) == 0 })
	for name, n := range map[string]int{"template.created": 1, "template.updated": 1, "template.published": 2, "template.deleted": 1} {
		if got := w.emitted(name, first.ID); got != n {
			t.Errorf("%s: %d events", name, got)
		}
	}
	if n, m := w.emitted("template.used", ended.ID), w.emitted("snapshot.restored", ended.ID); n != 1 || m != 0 {
		t.Errorf("events: used %d, restored %d", n, m)
	}
}

func TestTemplates_ComeWithTheProduct(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	anna := w.owner()
	home := w.workspace(anna, "Home")
	w.base(anna, home, "appOld")
	own := []workspaceapi.Template{w.publishes(anna, "appOld"), w.publishes(anna, "appOld")}
	list := func(p person, q workspaceapi.TemplatesQuery) string {
		t.Helper()
		var all []workspaceapi.Template
		for q.Limit = 2; ; {
			page := must(w, p, workspaceapi.ListTemplates, q)
			all = append(all, page.Items...)
			if q.Cursor = page.NextCursor; q.Cursor == "" {
				return names(all, func(t workspaceapi.Template) string { return t.ID })
			}
		}
	}
	const builtIn = "content-calendar project-tracker sales-crm"
	mine := own[1].ID + " " + own[0].ID
	for _, c := range []struct {
		q    workspaceapi.TemplatesQuery
		want string
	}{
		{workspaceapi.TemplatesQuery{}, builtIn + " " + mine},
		{workspaceapi.TemplatesQuery{Origin: "own"}, mine},
		{workspaceapi.TemplatesQuery{Origin: "built_in"}, builtIn},
		{workspaceapi.TemplatesQuery{Category: "Sales"}, "sales-crm"},
		{workspaceapi.TemplatesQuery{Category: "Clients"}, mine},
		{workspaceapi.TemplatesQuery{Tag: "tasks"}, "project-tracker"},
		{workspaceapi.TemplatesQuery{Tag: "new"}, mine},
		{workspaceapi.TemplatesQuery{Text: "CLIENT"}, mine},
		{workspaceapi.TemplatesQuery{Text: "Pipeline"}, "sales-crm"},
		{workspaceapi.TemplatesQuery{Text: "100%_"}, ""},
	} {
		if got := list(anna, c.q); got != c.want {
			t.Errorf("%+v: %s, want %s", c.q, got, c.want)
		}
	}
	guest := w.other(anna, "guest")
	if got := list(guest, workspaceapi.TemplatesQuery{}); got != builtIn {
		t.Errorf("a guest sees %s", got)
	}
	tracker := must(w, guest, workspaceapi.GetTemplate, tref("project-tracker")).Body
	if !tracker.BuiltIn || tracker.Status != workspaceapi.TemplateReady || tracker.Edition != 1 || len(tracker.Tables) != 3 || tracker.Records == 0 || tracker.BaseID != "" {
		t.Errorf("a template of the product: %+v", tracker)
	}
	refuse(w, workspaceapi.ErrTemplateBuiltIn, anna, workspaceapi.UpdateTemplate, workspaceapi.TemplateUpdate{TemplateRef: tref("sales-crm")})
	refuse(w, workspaceapi.ErrTemplateBuiltIn, anna, workspaceapi.PublishTemplate, tref("sales-crm"))
	refuse(w, workspaceapi.ErrTemplateBuiltIn, anna, workspaceapi.DeleteTemplate, tref("sales-crm"))
	refuse(w, errs.ErrNotFound, anna, workspaceapi.UseTemplate, use("sales", home))

	w.airtable.hold(true)
	made := must(w, anna, workspaceapi.UseTemplate, use("sales-crm", home)).Body
	var content string
	await.True(t, "the content is brought", func() bool {
		for _, in := range w.holds() {
			content += in.Content
		}
		return content != ""
	})
	var head struct{ Base struct{ Name string } }
	if line, _, _ := strings.Cut(content, "\n"); json.Unmarshal([]byte(line), &head) != nil || head.Base.Name != "Sales CRM" {
		t.Errorf("the content begins %.100s", content)
	}
	w.airtable.hold(false)
	if out := w.ended(anna, made); out.Status != airtableapi.RestoreDone || w.emitted("template.used", out.ID) != 1 {
		t.Errorf("used %+v", out)
	}
	if kept := w.holds(); len(kept) != len(own) {
		t.Errorf("kept afterwards: %d", len(kept))
	}
	await.True(t, "the metric counts it", func() bool {
		answer, err := http.Get(w.URL + "/metrics")
		w.ok(err)
		defer func() { _ = answer.Body.Close() }()
		text, err := io.ReadAll(answer.Body)
		w.ok(err)
		return strings.Contains(string(text), `workspace_template_bases_total{outcome="done",template="sales-crm"} 1`)
	})
}

func TestTemplates_AreForThoseWhoMay(t *testing.T) {
	t.Parallel()
	w, anna, home, tpl := published(t)
	stranger, bob, admin, guest := w.owner(), w.other(anna, "member"), w.other(anna, "admin"), w.other(anna, "guest")
	change := workspaceapi.TemplateUpdate{TemplateRef: tref(tpl.ID), Body: workspaceapi.TemplatePatch{Name: ptr("Mine")}}
	theirs := w.workspace(stranger, "Theirs")
	for _, p := range []person{stranger, guest} {
		refuse(w, errs.ErrNotFound, p, workspaceapi.GetTemplate, tref(tpl.ID))
		refuse(w, errs.ErrNotFound, p, workspaceapi.UpdateTemplate, change)
		refuse(w, errs.ErrNotFound, p, workspaceapi.PublishTemplate, tref(tpl.ID))
		refuse(w, errs.ErrNotFound, p, workspaceapi.DeleteTemplate, tref(tpl.ID))
		refuse(w, errs.ErrNotFound, p, workspaceapi.UseTemplate, use(tpl.ID, theirs))
	}
	if page := must(w, stranger, workspaceapi.ListTemplates, workspaceapi.TemplatesQuery{Origin: "own"}); len(page.Items) != 0 {
		t.Errorf("a stranger sees %+v", page.Items)
	}
	// A member sees it, without the base that he may not see, and may not change it.
	if got := must(w, bob, workspaceapi.GetTemplate, tref(tpl.ID)).Body; got.BaseID != "" || got.Name != tpl.Name {
		t.Errorf("a member sees %+v", got)
	}
	refuse(w, workspaceapi.ErrTemplateOthers, bob, workspaceapi.UpdateTemplate, change)
	refuse(w, workspaceapi.ErrTemplateOthers, bob, workspaceapi.PublishTemplate, tref(tpl.ID))
	refuse(w, workspaceapi.ErrTemplateOthers, bob, workspaceapi.DeleteTemplate, tref(tpl.ID))
	if got := must(w, admin, workspaceapi.UpdateTemplate, change).Body; got.Name != "Mine" || got.BaseID != "appOld" {
		t.Errorf("an admin's change: %+v", got)
	}
	// He makes one of a base that he may create in.
	refuse(w, errs.ErrNotFound, bob, workspaceapi.CreateTemplate, templateOf("appOld"))
	w.grant(bob, permissionapi.RoleViewer, permit.Base(anna.tenant, "appOld"))
	refuse(w, errs.ErrForbidden, bob, workspaceapi.CreateTemplate, templateOf("appOld"))
	w.grant(bob, permissionapi.RoleCreator, permit.Base(anna.tenant, "appOld"))
	must(w, bob, workspaceapi.CreateTemplate, templateOf("appOld"))
	w.grant(guest, permissionapi.RoleCreator, permit.Base(anna.tenant, "appOld"))
	refuse(w, workspaceapi.ErrTemplateGuests, guest, workspaceapi.CreateTemplate, templateOf("appOld"))
	refuse(w, workspaceapi.ErrNoBase, anna, workspaceapi.CreateTemplate, templateOf("appNone"))
	w.permissions.mu.Lock()
	w.permissions.hidden = []permissionapi.TablePolicy{{TableID: "tblA", Hidden: []string{"fldA"}}}
	w.permissions.mu.Unlock()
	refuse(w, workspaceapi.ErrMasked, bob, workspaceapi.CreateTemplate, templateOf("appOld"))
	// It is used where he may create.
	refuse(w, errs.ErrNotFound, bob, workspaceapi.UseTemplate, use(tpl.ID, home))
	w.grant(bob, permissionapi.RoleViewer, permit.Workspace(home.ID))
	refuse(w, errs.ErrForbidden, bob, workspaceapi.UseTemplate, use(tpl.ID, home))
	refuse(w, errs.ErrForbidden, bob, workspaceapi.UseTemplate, use("sales-crm", home))
	refuse(w, errs.ErrNotFound, anna, workspaceapi.UseTemplate, use(tpl.ID, theirs))
	w.grant(bob, permissionapi.RoleCreator, permit.Workspace(home.ID))
	if out := w.ended(bob, must(w, bob, workspaceapi.UseTemplate, use(tpl.ID, home)).Body); out.Status != airtableapi.RestoreDone {
		t.Errorf("used by a member: %+v", out)
	}
	w.grant(guest, permissionapi.RoleCreator, permit.Workspace(home.ID))
	if out := w.ended(guest, must(w, guest, workspaceapi.UseTemplate, use("sales-crm", home)).Body); out.Status != airtableapi.RestoreDone {
		t.Errorf("used by a guest: %+v", out)
	}
}

func TestTemplates_RefuseWhatCannotBe(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	anna := w.owner()
	home, other := w.workspace(anna, "Home"), w.workspace(anna, "Other")
	there := w.project(anna, other, "There")
	w.base(anna, home, "appOld")
	tpl := w.publishes(anna, "appOld")
	for want, in := range map[*errs.Error]func(*workspaceapi.NewTemplate){
		workspaceapi.ErrBlankName: func(in *workspaceapi.NewTemplate) { in.Body.Name = "  " },
		workspaceapi.ErrBadTags:   func(in *workspaceapi.NewTemplate) { in.Body.Tags = []string{" "} },
		errs.ErrInvalid:           func(in *workspaceapi.NewTemplate) { in.Body.BaseID = "tblOld" },
	} {
		bad := templateOf("appOld")
		in(&bad)
		refuse(w, want, anna, workspaceapi.CreateTemplate, bad)
	}
	blank := workspaceapi.TemplateUpdate{TemplateRef: tref(tpl.ID), Body: workspaceapi.TemplatePatch{Name: ptr(" ")}}
	refuse(w, workspaceapi.ErrBlankName, anna, workspaceapi.UpdateTemplate, blank)
	elsewhere := use(tpl.ID, home)
	elsewhere.Body.ProjectID = there.ID
	refuse(w, workspaceapi.ErrNoProject, anna, workspaceapi.UseTemplate, elsewhere)
	elsewhere.Body.ProjectID = tpl.ID
	refuse(w, workspaceapi.ErrNoProject, anna, workspaceapi.UseTemplate, elsewhere)
	must(w, anna, workspaceapi.ArchiveWorkspace, ref(other))
	refuse(w, workspaceapi.ErrArchived, anna, workspaceapi.UseTemplate, use(tpl.ID, other))
	must(w, anna, workspaceapi.TrashWorkspace, ref(other))
	refuse(w, workspaceapi.ErrTrashed, anna, workspaceapi.UseTemplate, use(tpl.ID, other))
	// The cursor of one list is none of another.
	page := must(w, anna, workspaceapi.ListTemplates, workspaceapi.TemplatesQuery{PageQuery: api.PageQuery{Limit: 1}})
	_, err := call(w, anna, workspaceapi.ListTemplates, workspaceapi.TemplatesQuery{PageQuery: api.PageQuery{Limit: 1, Cursor: page.NextCursor}, Tag: "x"})
	if errs.From(err).Kind != errs.Invalid {
		t.Errorf("a cursor of another list: %v", err)
	}
	// What is in the trash is not published.
	must(w, anna, workspaceapi.TrashBase, workspaceapi.BaseRef{BaseID: "appOld"})
	refuse(w, workspaceapi.ErrTrashed, anna, workspaceapi.PublishTemplate, tref(tpl.ID))
	refuse(w, workspaceapi.ErrTrashed, anna, workspaceapi.CreateTemplate, templateOf("appOld"))
	// A base of an account is no template.
	w.offer(anna.tenant, "appFar")
	far := w.publishes(anna, "appFar")
	if far.Status != workspaceapi.TemplateFailed || far.Error == nil || far.Error.Code != airtableapi.ErrNotLocal.Code || far.Edition != 0 {
		t.Errorf("of an account: %+v", far)
	}
	refuse(w, workspaceapi.ErrTemplateNotReady, anna, workspaceapi.UseTemplate, use(far.ID, home))
	must(w, anna, workspaceapi.DeleteTemplate, tref(far.ID))
}

func TestTemplates_OutliveTheirBase(t *testing.T) {
	t.Parallel()
	w, anna, home, tpl := published(t)
	w.airtable.mu.Lock()
	w.airtable.bases[anna.tenant] = nil
	w.airtable.mu.Unlock()
	refuse(w, workspaceapi.ErrNoBase, anna, workspaceapi.PublishTemplate, tref(tpl.ID))
	if out := w.ended(anna, must(w, anna, workspaceapi.UseTemplate, use(tpl.ID, home)).Body); out.Status != airtableapi.RestoreDone {
		t.Errorf("used %+v", out)
	}
}

func TestTemplates_ContentStaysWhileABaseIsMadeOfIt(t *testing.T) {
	t.Parallel()
	w, anna, home, tpl := published(t)
	w.airtable.hold(true)
	made := must(w, anna, workspaceapi.UseTemplate, use(tpl.ID, home)).Body
	if made.Status != airtableapi.RestoreRunning {
		t.Errorf("made %+v", made)
	}
	must(w, anna, workspaceapi.DeleteTemplate, tref(tpl.ID))
	await.True(t, "its removal waits", func() bool {
		return w.count(`SELECT count(*) FROM river_job WHERE kind = 'drop_template_content' AND (metadata ->> 'snoozes')::int > 0`) == 1
	})
	if len(w.holds()) != 1 {
		t.Error("the content is gone")
	}
	w.airtable.hold(false)
	if out := w.ended(anna, made); out.Status != airtableapi.RestoreDone {
		t.Errorf("used %+v", out)
	}
	await.True(t, "the content is gone", func() bool { return len(w.holds()) == 0 })
}

func TestTemplates_OneEditionAtATime(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	anna := w.owner()
	w.base(anna, w.workspace(anna, "Home"), "appOld")
	tpl := w.publishes(anna, "appOld")
	w.airtable.hold(true)
	var both sync.WaitGroup
	answers := make([]error, 2)
	for i := range answers {
		both.Go(func() { _, answers[i] = call(w, anna, workspaceapi.PublishTemplate, tref(tpl.ID)) })
	}
	both.Wait()
	if !errors.Is(errors.Join(answers...), workspaceapi.ErrTemplateBusy) || answers[0] != nil && answers[1] != nil {
		t.Errorf("both: %v", answers)
	}
	w.airtable.hold(false)
	if got := w.published(anna, tpl.ID); got.Edition != 2 {
		t.Errorf("published %+v", got)
	}
	await.True(t, "one content is left", func() bool { return len(w.holds()) == 1 })
	// Deleted while it is published, nothing is left of either edition.
	w.airtable.hold(true)
	must(w, anna, workspaceapi.PublishTemplate, tref(tpl.ID))
	must(w, anna, workspaceapi.DeleteTemplate, tref(tpl.ID))
	w.airtable.hold(false)
	await.True(t, "nothing is left", func() bool {
		return len(w.holds()) == 0 && w.count(`SELECT count(*) FROM river_job WHERE finalized_at IS NULL AND kind IN ('drop_template_content', 'follow_template_edition')`) == 0
	})
}

func TestTemplates_TheSameKeyMakesOneBase(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	anna := w.owner()
	home := w.workspace(anna, "Home")
	token := w.issuer.Token(t, authtest.User(anna.tenant, anna.user, "owner"))
	ask := func() (int, workspaceapi.Restore) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", w.URL+"/api/v1/templates/sales-crm/bases", strings.NewReader(`{"workspace_id":"`+home.ID+`"}`))
		w.ok(err)
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", "once")
		res, err := http.DefaultClient.Do(req)
		w.ok(err)
		defer func() { _ = res.Body.Close() }()
		var out workspaceapi.Restore
		w.ok(json.NewDecoder(res.Body).Decode(&out))
		return res.StatusCode, out
	}
	_, first := ask()
	status, second := ask()
	if status != http.StatusAccepted || first.ID == "" || first.ID != second.ID {
		t.Errorf("%d: %+v, then %+v", status, first, second)
	}
	w.ended(anna, first)
	if n := w.count(`SELECT count(*) FROM bases`); n != 1 {
		t.Errorf("%d bases", n)
	}
}

func TestTemplates_AreGoneOnWithAfterARestart(t *testing.T) {
	t.Parallel()
	w, anna, home, tpl := published(t)
	w.airtable.hold(true)
	running := []workspaceapi.Restore{
		must(w, anna, workspaceapi.UseTemplate, use(tpl.ID, home)).Body, must(w, anna, workspaceapi.UseTemplate, use("project-tracker", home)).Body,
	}
	must(w, anna, workspaceapi.PublishTemplate, tref(tpl.ID))
	await.True(t, "all are under way", func() bool {
		w.airtable.lock.Lock()
		defer w.airtable.lock.Unlock()
		return len(w.airtable.running) == 2 && len(w.airtable.kept) == 3
	})
	w.ok(w.Stop())
	w.airtable.hold(false)
	w.Running = apptest.Start(t, workspaceservice.Service, w.env)
	anna = w.in(anna.tenant, anna.user, "owner")
	for _, made := range running {
		if out := w.ended(anna, made); out.Status != airtableapi.RestoreDone || out.Error != nil || w.emitted("template.used", out.ID) != 1 {
			t.Errorf("after the restart: %+v", out)
		}
	}
	if got := w.published(anna, tpl.ID); got.Edition != 2 {
		t.Errorf("published %+v", got)
	}
	if n := w.count(`SELECT count(*) FROM bases`); n != 3 {
		t.Errorf("%d bases", n)
	}
	await.True(t, "only what is used is kept", func() bool { return len(w.holds()) == 1 })
}

func TestTemplates_AreInTheFeedOfMembers(t *testing.T) {
	t.Parallel()
	w, anna, home, tpl := published(t)
	w.ended(anna, must(w, anna, workspaceapi.UseTemplate, use(tpl.ID, home)).Body)
	must(w, anna, workspaceapi.DeleteTemplate, tref(tpl.ID))
	await.True(t, "the feed tells all", func() bool {
		got := kinds(w.feed(anna, workspaceapi.ActivityQuery{}))
		return strings.Contains(got, "template.used") && strings.Contains(got, "template.deleted")
	})
	member, guest := w.other(anna, "member"), w.other(anna, "guest")
	if got := kinds(w.feed(member, workspaceapi.ActivityQuery{})); got != "template.deleted template.published template.created" {
		t.Errorf("a member reads %s", got)
	}
	if got := kinds(w.feed(guest, workspaceapi.ActivityQuery{})); got != "" {
		t.Errorf("a guest reads %s", got)
	}
	w.grant(guest, permissionapi.RoleViewer, permit.Workspace(home.ID))
	found := false
	for _, a := range w.feed(guest, workspaceapi.ActivityQuery{WorkspaceID: home.ID}) {
		found = found || a.Kind == "template.used" && a.SubjectID == tpl.ID && a.BaseID != "" && a.ActorID == anna.user.String()
	}
	if !found {
		t.Error("the workspace's feed does not tell of its use")
	}
}
