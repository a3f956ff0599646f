package local_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/blobs"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/filestest"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// album is a bench that takes and restores snapshots; the test itself does the work of
// the jobs.
type album struct {
	*gallery
	repo *repository.Snapshots
	book *local.Snapshots
}

func newAlbum(t *testing.T) *album {
	t.Helper()
	a := &album{gallery: newGallery(t, time.Minute)}
	a.repo = repository.NewSnapshots(a.pool, func(context.Context, pgx.Tx, river.JobArgs) error { return nil })
	a.book = local.NewSnapshots(a.store, a.repo)
	return a
}

// everything is a base that has a field of every type, in two tables that link to each
// other and the first also to itself, views, files and comments. What is left for
// others is that records are missing in the middle.
func (a *album) everything() *album {
	a.t.Helper()
	date, clock := option("name", "iso"), option("name", "24hour")
	moment := option("dateFormat", date, "timeFormat", clock, "timeZone", "Europe/Berlin")
	choices := option("choices", []any{option("name", "Todo"), option("name", "Done")})
	base, err := a.store.CreateBase(a.t.Context(), a.who, models.BaseSpec{Name: "Everything", Tables: []models.TableSpec{
		{ID: "tblTasks000000001", Name: "Tasks", Description: "what is to do", Fields: []models.FieldSpec{
			{ID: "fldName000000001", Name: "Name", Type: models.SingleLineText, Description: "of the task"},
			{Name: "Long", Type: models.MultilineText}, {Name: "Rich", Type: models.RichText}, {Name: "Mail", Type: models.Email},
			{Name: "Page", Type: models.URL}, {Name: "Phone", Type: models.PhoneNumber},
			{ID: "fldQty0000000001", Name: "Qty", Type: models.Number, Options: option("precision", 2)},
			{Name: "Cost", Type: models.Currency, Options: option("precision", 2, "symbol", "€")},
			{Name: "Share", Type: models.Percent, Options: option("precision", 1)},
			{Name: "Stars", Type: models.Rating, Options: option("icon", "star", "max", 5, "color", "yellowBright")},
			{Name: "Took", Type: models.Duration, Options: option("durationFormat", "h:mm:ss")},
			{Name: "Paid", Type: models.Checkbox, Options: option("icon", "check", "color", "greenBright")},
			{Name: "Due", Type: models.Date, Options: option("dateFormat", date)},
			{Name: "At", Type: models.DateTime, Options: moment},
			{ID: "fldState00000001", Name: "State", Type: models.SingleSelect, Options: choices},
			{Name: "Tags", Type: models.MultipleSelects, Options: choices},
			{ID: "fldWho0000000001", Name: "Who", Type: models.MultipleRecordLinks, Options: option("linkedTableId", "People", "inverseLinkFieldId", "fldTasksOf000001")},
			{Name: "Needs", Type: models.MultipleRecordLinks, Options: option("linkedTableId", "tblTasks000000001")},
			{Name: "Made", Type: models.CreatedTime}, {Name: "Changed", Type: models.LastModifiedTime},
			{Name: "State changed", Type: models.LastModifiedTime, Options: option("referencedFieldIds", []any{"fldState00000001"}, "result", option("type", "dateTime", "options", moment))},
			{Name: "By", Type: models.CreatedBy}, {Name: "Last by", Type: models.LastModifiedBy}, {Name: "No", Type: models.AutoNumber},
			{Name: "Double", Type: models.Formula, Options: option("formula", `IF({Qty}, {Qty} * 2, "none: {Qty}")`)},
			{Name: "Names", Type: models.Lookup, Options: option("recordLinkFieldId", "Who", "fieldIdInLinkedTable", "Person")},
			{Name: "Ages", Type: models.Rollup, Options: option("recordLinkFieldId", "Who", "fieldIdInLinkedTable", "Age", "formula", "SUM(values)")},
			{Name: "How many", Type: models.Count, Options: option("recordLinkFieldId", "Who")},
			{Name: "Files", Type: models.MultipleAttachments},
			{Name: "Owner", Type: models.SingleCollaborator, Options: option()}, {Name: "Team", Type: models.MultipleCollaborators},
			{Name: "Code", Type: models.Barcode}, {Name: "Open", Type: models.Button},
			{Name: "Summary", Type: models.AIText, Options: option("prompt", []any{"Sum up ", option("field", option("fieldId", "fldName000000001"))}, "referencedFieldIds", []any{"fldName000000001"})},
			{Name: "Source", Type: models.ExternalSyncSource, Options: option("choices", []any{option("name", "CRM")})},
			{Name: "Sort", Type: models.ManualSort},
		}},
		{ID: "tblPeople00000001", Name: "People", Fields: []models.FieldSpec{
			{Name: "Person", Type: models.SingleLineText}, {Name: "Age", Type: models.Number, Options: option("precision", 0)},
			{Name: "Busy", Type: models.Formula, Options: option("formula", `{Person} & ": " & {Tasks}`)},
		}},
	}})
	if err != nil {
		a.t.Fatal(err)
	}
	a.base = base
	a.person("usrAnn0000000001", "Ann")
	picture := a.site.Put("/cat.png", "image/png", filestest.Picture(a.t, 40, 30))
	ann, bob := a.made("People", `{"Person":"Ann","Age":41}`), a.made("People", `{"Person":"Bob","Age":7}`)
	first := a.made("Tasks", `{"Name":"first"}`)
	gone := a.made("Tasks", `{"Name":"gone"}`)
	a.ok(patch("Tasks", first, fmt.Sprintf(`{"fields":{"Long":"a\nb","Rich":"**b**","Mail":"a@example.com","Page":"https://example.com","Phone":"1",
		"Qty":2.5,"Cost":9.99,"Share":0.5,"Stars":4,"Took":90,"Paid":true,"Due":"2026-05-04","At":"2026-05-04T10:00:00Z","State":"Done",
		"Tags":["Done","Todo"],"Who":[%q,%q],"Files":[{"url":%q}],"Owner":{"id":"usrAnn0000000001"},"Team":[{"id":"usrAnn0000000001"}],"Code":{"text":"4711","type":"ean8"}}}`, bob, ann, picture)))
	imported := []local.ImportRecord{{Fields: object{
		"Name": "imported", "Who": []string{ann}, "Needs": []string{first}, "Open": object{"label": "Go", "url": "https://example.com"},
		"Summary": object{"state": "generated", "isStale": false, "value": "short"}, "Source": "CRM", "Sort": "a1",
	}}}
	if _, err := a.store.ImportRecords(a.t.Context(), a.who, base.ID, "Tasks", imported, false); err != nil {
		a.t.Fatal(err)
	}
	a.ok(remove("Tasks", gone))
	said := a.ok(comment(first, `{"text":"Look, @[usrAnn0000000001]"}`))
	a.ok(comment(first, fmt.Sprintf(`{"text":"Yes","parentCommentId":%q}`, said["id"])))
	_, _, err = a.store.CreateView(a.t.Context(), a.who, local.ViewAt{Base: base.ID, Table: "Tasks"}, local.ViewDraft{Name: "Open", ViewPatch: local.ViewPatch{
		Filter: ptr(`{State} != "Todo"`), Sort: []models.SortBy{{Field: "Qty", Desc: true}}, Hidden: []string{"Long"}, Order: []string{"Name", "State"},
	}})
	if err != nil {
		a.t.Fatal(err)
	}
	return a
}

func ptr[T any](v T) *T { return &v }

func (a *album) take() models.BaseSnapshot {
	a.t.Helper()
	snap := models.BaseSnapshot{
		Tenant: a.who.Tenant, ID: newSnapshotID(a.t), Base: a.base.ID, Status: airtableapi.SnapshotTaking, Comments: true, CreatedAt: a.now(),
	}
	if _, err := a.repo.CreateSnapshot(a.t.Context(), snap, nil); err != nil {
		a.t.Fatal(err)
	}
	if err := a.book.Take(a.t.Context(), snap.Tenant, snap.ID); err != nil {
		a.t.Fatal(err)
	}
	return a.snapshot(snap.ID)
}

func (a *album) snapshot(key models.SnapshotID) models.BaseSnapshot {
	a.t.Helper()
	out, err := a.repo.Snapshot(a.t.Context(), a.who.Tenant, key)
	if err != nil {
		a.t.Fatal(err)
	}
	return out
}

func newSnapshotID(t testing.TB) (out models.SnapshotID) {
	t.Helper()
	if err := out.UnmarshalText([]byte(id.New[id.Session]().String())); err != nil {
		t.Fatal(err)
	}
	return out
}

func newRestoreID(t testing.TB) (out models.RestoreID) {
	t.Helper()
	if err := out.UnmarshalText([]byte(id.New[id.Session]().String())); err != nil {
		t.Fatal(err)
	}
	return out
}

// begin asks for a restore.
func (a *album) begin(r models.BaseRestore) models.BaseRestore {
	a.t.Helper()
	r.Tenant, r.ID, r.CreatedAt, r.RequestedBy = a.who.Tenant, newRestoreID(a.t), a.now(), a.who.User
	if r.Base == "" {
		r.Base = models.BaseID(models.DerivedID("app", r.ID.String()))
	}
	if r.Source != "" {
		r.Snapshot = newSnapshotID(a.t)
	}
	out, err := a.repo.CreateRestore(a.t.Context(), r, nil, func(models.BaseSnapshot) error { return nil })
	if err != nil {
		a.t.Fatal(err)
	}
	return out
}

func (a *album) restore(r models.BaseRestore) models.BaseRestore {
	a.t.Helper()
	out, err := a.book.Restore(a.t.Context(), a.who.Tenant, a.begin(r).ID, "wspRestored000001")
	if err != nil {
		a.t.Fatal(err)
	}
	return out
}

// of is the album at another base.
func (a *album) of(base models.BaseID) *album {
	other, g, b := *a, *a.gallery, *a.bench
	b.base = &models.Base{ID: base}
	g.bench = &b
	other.gallery = &g
	return &other
}

var (
	idPattern  = regexp.MustCompile(`\b(app|tbl|fld|viw|rec|att|com)[A-Za-z0-9]{13,14}\b`)
	refPattern = regexp.MustCompile(`"isValid":true,"referencedFieldIds":\[[^\]]*\]`) // by ascending id
	urlPattern = regexp.MustCompile(`http://files\.test[^"]*`)
)

// portrait is all that the API shows of a base, each id by the place of its first
// appearance and without links to files.
func (a *album) portrait() string {
	a.t.Helper()
	var all strings.Builder
	schema := upstream.Call{Op: upstream.BaseSchema, Method: "GET", RawQuery: "include=visibleFieldIds"}
	_, body := a.do(schema)
	all.WriteString(body)
	for _, t := range a.ok(schema)["tables"].([]any) {
		table := t.(object)["id"].(string)
		for _, v := range t.(object)["views"].([]any) {
			_, body := a.do(list(table, "view", v.(object)["id"].(string), "recordMetadata[]", "commentCount", "returnFieldsByFieldId", "true"))
			all.WriteString("\n" + body)
		}
		for _, r := range records(a.ok(list(table))) {
			_, body := a.do(upstream.Call{Op: upstream.ListComments, Method: "GET", Table: table, Record: r["id"].(string)})
			all.WriteString("\n" + body)
		}
	}
	seen := map[string]string{}
	text := refPattern.ReplaceAllString(all.String(), `"isValid":true`)
	out := idPattern.ReplaceAllStringFunc(text, func(s string) string {
		if seen[s] == "" {
			seen[s] = fmt.Sprint(s[:3], len(seen))
		}
		return seen[s]
	})
	return urlPattern.ReplaceAllString(out, "link")
}

func TestSnapshot_RestoredAsANewBaseAnswersTheSame(t *testing.T) {
	t.Parallel()
	a := newAlbum(t).everything()
	want := a.portrait()
	snap := a.take()
	if snap.Status != airtableapi.SnapshotReady || snap.Records != 4 || len(snap.Tables) != 2 || snap.Size == 0 || snap.BaseName != "Everything" {
		t.Fatalf("snapshot %+v", snap)
	}
	a.ok(patch("Tasks", records(a.ok(list("Tasks")))[0]["id"].(string), `{"fields":{"Name":"later"}}`))
	done := a.restore(models.BaseRestore{Kind: airtableapi.RestoreBase, Snapshot: snap.ID, Name: "Again"})
	if done.Status != airtableapi.RestoreDone || done.Records != 4 || done.DroppedLinks != 0 {
		t.Errorf("restore %+v", done)
	}
	b := a.of(done.Base)
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(b.portrait(), "\n")); diff != "" {
		t.Errorf("(-taken +restored):\n%s", diff)
	}
	// Nothing is shared but the content of files.
	old := map[string]bool{}
	for _, s := range idPattern.FindAllString(a.raw(), -1) {
		old[s] = true
	}
	for _, s := range idPattern.FindAllString(b.raw(), -1) {
		if old[s] {
			t.Errorf("both bases have %s", s)
		}
	}
	rec := records(b.ok(list("Tasks")))[0]
	if got := a.content(fileOf(t, rec, "Files")[0]["url"].(string)); len(got) == 0 {
		t.Error("the restored file is empty")
	}
	// What is new goes on where the old one stopped.
	if got := fields(b.ok(create("Tasks", `{"fields":{"Name":"next"}}`)))["No"]; got != 4.0 {
		t.Errorf("the next number is %v", got)
	}
}

func (a *album) raw() string {
	a.t.Helper()
	_, schema := a.do(upstream.Call{Op: upstream.BaseSchema, Method: "GET"})
	_, tasks := a.do(list("Tasks"))
	return strings.ReplaceAll(schema, "recordLinkFieldId", "") + tasks
}

func TestSnapshot_IsOfOneMomentWhileOthersWrite(t *testing.T) {
	t.Parallel()
	a := newAlbum(t)
	// Each record and its partner are always written in one call: both or neither.
	const pairs = 40
	body := func(n, round int) string {
		return fmt.Sprintf(`{"records":[{"fields":{"Name":"%d-%d"}},{"fields":{"Name":"%d-%d"}}]}`, n, round, n, round)
	}
	var ids [pairs][]object
	for n := range pairs {
		ids[n] = records(a.ok(create("Docs", body(n, 0))))
	}
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for round := 1; ctx.Err() == nil; round++ {
				n := (w*10 + round) % pairs
				c := patch("Docs", "", fmt.Sprintf(`{"records":[{"id":%q,"fields":{"Name":"%d-%d-%d"}},{"id":%q,"fields":{"Name":"%d-%d-%d"}}]}`,
					ids[n][0]["id"], n, w, round, ids[n][1]["id"], n, w, round))
				c.Caller, c.Base = a.who, string(a.base.ID)
				if _, err := a.store.Do(context.WithoutCancel(ctx), c); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 5 {
		snap := a.take()
		done := a.restore(models.BaseRestore{Kind: airtableapi.RestoreBase, Snapshot: snap.ID})
		all := records(a.of(done.Base).ok(list("Docs")))
		if len(all) != 2*pairs {
			t.Fatalf("%d records", len(all))
		}
		for i := 0; i < len(all); i += 2 {
			if one, other := fields(all[i])["Name"], fields(all[i+1])["Name"]; one != other {
				t.Errorf("%v beside %v", one, other)
			}
		}
	}
	stop()
	writers.Wait()
}

func TestRestore_InterruptedLeavesNothingAndIsDoneByTheNextRun(t *testing.T) {
	t.Parallel()
	a := newAlbum(t).everything()
	want := a.portrait()
	snap := a.take()
	r := a.begin(models.BaseRestore{Kind: airtableapi.RestoreBase, Snapshot: snap.ID})
	// The run is cut off between any two of its statements, at the beginning and ever
	// later, until it gets through.
	through := false
	for n := 1; !through && n < 500; n++ {
		ctx, book, end := a.cutOff(n)
		_, err := book.Restore(ctx, a.who.Tenant, r.ID, "")
		through = err == nil
		end()
		if bases := len(a.bases()); !through && bases != 2 {
			t.Fatalf("cut off at statement %d: %d bases", n, bases)
		}
	}
	if diff := cmp.Diff(want, a.of(r.Base).portrait()); diff != "" {
		t.Errorf("(-taken +restored):\n%s", diff)
	}
	// Once done, another run does nothing.
	if again, err := a.book.Restore(t.Context(), a.who.Tenant, r.ID, ""); err != nil || again.Status != airtableapi.RestoreDone {
		t.Errorf("again: %+v, %v", again, err)
	}
	if bases := len(a.bases()); bases != 3 {
		t.Errorf("%d bases", bases)
	}
}

func (a *album) bases() []any {
	a.t.Helper()
	return a.ok(upstream.Call{Op: upstream.ListBases, Method: "GET"})["bases"].([]any)
}

// cutter ends a context at its n-th statement.
type cutter struct {
	left int
	cut  func()
}

// TraceQueryStart implements pgx.QueryTracer.
func (c *cutter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.step()
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (*cutter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *cutter) step() {
	if c.left--; c.left == 0 {
		c.cut()
	}
}

// cutOff is the album whose work ends at the n-th statement, with its context.
func (a *album) cutOff(n int) (context.Context, *local.Snapshots, func()) {
	a.t.Helper()
	ctx, cut := context.WithCancel(a.t.Context())
	config := a.pool.Config()
	config.MaxConns = 2
	config.ConnConfig.Tracer = &cutter{n, cut}
	pool, err := pgxpool.NewWithConfig(a.t.Context(), config)
	if err != nil {
		a.t.Fatal(err)
	}
	store := local.New(pool, local.Options{Now: a.now, Files: a.keeper, Box: newBox(a.t)})
	return ctx, local.NewSnapshots(store, repository.NewSnapshots(pool, nil)), func() { cut(); pool.Close() }
}

func TestRestore_OneTableBesideTheOthers(t *testing.T) {
	t.Parallel()
	a := newAlbum(t).everything()
	snap := a.take()
	a.ok(remove("People", records(a.ok(list("People")))[1]["id"].(string))) // Bob
	hook := a.hook(`{"dataTypes":["tableFields"]}`, "")
	done := a.restore(models.BaseRestore{Kind: airtableapi.RestoreTable, Snapshot: snap.ID, Base: a.base.ID, Table: "tblTasks000000001"})
	if done.Status != airtableapi.RestoreDone || done.Name != "Tasks 2" || done.NewTable == "" || done.DroppedLinks != 1 || done.Records != 2 {
		t.Fatalf("restore %+v", done)
	}
	got := records(a.ok(list("Tasks 2")))
	ann := records(a.ok(list("People")))[0]
	if diff := cmp.Diff([]any{ann["id"]}, fields(got[0])["Who"]); diff != "" {
		t.Error(diff)
	}
	if n, c := fields(got[0])["How many"], fields(got[0])["Ages"]; n != 1.0 || c != 41.0 {
		t.Errorf("count %v, rollup %v", n, c)
	}
	if diff := cmp.Diff([]any{got[0]["id"], got[1]["id"]}, fields(ann)["Tasks 2"]); diff != "" {
		t.Errorf("the other end: %s", diff)
	}
	if diff := cmp.Diff([]any{got[0]["id"]}, fields(got[1])["Needs"]); diff != "" {
		t.Errorf("links within: %s", diff)
	}
	if told, _ := a.payloadsFrom(hook, 1); len(told) != 1 || !strings.Contains(told[0], string(done.NewTable)) {
		t.Errorf("the webhook was told %v", told)
	}
}

func TestRestore_ContentsOfATableBecomeWhatTheyWere(t *testing.T) {
	t.Parallel()
	a := newAlbum(t).everything()
	a.ok(create("Tasks", `{"fields":{"Name":"untouched"}}`))
	before := records(a.ok(list("Tasks")))
	want := withoutTimes(before)
	snap := a.take()
	first, second := before[0]["id"].(string), before[1]["id"].(string)
	a.ok(patch("Tasks", first, `{"fields":{"Name":"other","Who":[],"Files":[],"State":null,"Qty":1}}`))
	a.ok(remove("Tasks", second))
	extra := a.made("Tasks", `{"Name":"new since"}`)
	hook := a.hook(`{"dataTypes":["tableData"]}`, "")
	done := a.restore(models.BaseRestore{Kind: airtableapi.RestoreContents, Snapshot: snap.ID, Base: a.base.ID, Table: "tblTasks000000001"})
	if done.Status != airtableapi.RestoreDone || done.DroppedLinks != 0 {
		t.Fatalf("restore %+v", done)
	}
	after := records(a.ok(list("Tasks")))
	if diff := cmp.Diff(want, withoutTimes(after)); diff != "" {
		t.Errorf("(-taken +restored):\n%s", diff)
	}
	for rec, kind := range map[string]string{first: "updated", second: "updated", extra: "deleted"} {
		if got := a.history("Tasks", rec, "")[0]; got.Kind != kind || got.By != a.who.User {
			t.Errorf("history of %s: %+v", rec, got)
		}
	}
	if got := a.history("Tasks", before[2]["id"].(string), ""); len(got) != 1 {
		t.Errorf("an untouched record was written: %v", told(got))
	}
	if payloads, _ := a.payloadsFrom(hook, 1); len(payloads) == 0 {
		t.Error("no webhook was told")
	}
}

func TestRestore_ARecordComesBackUnderItsID(t *testing.T) {
	t.Parallel()
	a := newAlbum(t).everything()
	before := records(a.ok(list("Tasks")))
	snap, first := a.take(), before[0]["id"].(string)
	again := models.BaseRestore{Kind: airtableapi.RestoreRecord, Snapshot: snap.ID, Base: a.base.ID, Table: "tblTasks000000001", Record: models.RecordID(first)}
	a.ok(remove("Tasks", first))
	a.restore(again)
	after := records(a.ok(list("Tasks")))
	if diff := cmp.Diff(withoutTimes(before), withoutTimes(after)); diff != "" {
		t.Errorf("deleted and restored (-before +after):\n%s", diff)
	}
	if got := a.ok(upstream.Call{Op: upstream.ListComments, Method: "GET", Table: "Tasks", Record: first})["comments"].([]any); len(got) != 2 {
		t.Errorf("%d comments", len(got))
	}
	revs := a.history("Tasks", first, "")
	if revs[0].Kind != airtableapi.RevisionCreated || revs[0].Version <= revs[1].Version {
		t.Errorf("history %v", told(revs))
	}
	a.ok(patch("Tasks", first, `{"fields":{"Name":"spoilt","Files":null}}`))
	a.restore(again)
	if diff := cmp.Diff(withoutTimes(before), withoutTimes(records(a.ok(list("Tasks"))))); diff != "" {
		t.Errorf("changed and restored (-before +after):\n%s", diff)
	}
	again.Record = "recNeverWas000001"
	if _, err := a.book.Restore(t.Context(), a.who.Tenant, a.begin(again).ID, ""); !errors.Is(err, airtableapi.ErrNotInSnapshot) {
		t.Errorf("a record that never was: %v", err)
	}
}

// withoutTimes are the records but for what tells of the last change, and for links.
func withoutTimes(list []object) []string {
	var out []string
	for _, r := range list {
		f := fields(r)
		for _, name := range []string{"Changed", "State changed", "Last by"} {
			delete(f, name)
		}
		out = append(out, urlPattern.ReplaceAllString(string(models.Marshal(r)), "link"))
	}
	return out
}

func TestCopy_WithAndWithoutRecords(t *testing.T) {
	t.Parallel()
	a := newAlbum(t).everything()
	whole := a.restore(models.BaseRestore{Kind: airtableapi.CopyBase, Source: a.base.ID, Comments: true})
	if diff := cmp.Diff(a.portrait(), a.of(whole.Base).portrait()); diff != "" {
		t.Errorf("(-original +copy):\n%s", diff)
	}
	bare := a.restore(models.BaseRestore{Kind: airtableapi.CopyBase, Source: a.base.ID, SkipRecords: true, Name: "Bare"})
	b := a.of(bare.Base)
	if got := records(b.ok(list("Tasks"))); len(got) != 0 || bare.Name != "Bare" {
		t.Errorf("%q has %d records", bare.Name, len(got))
	}
	if got := fields(b.ok(create("Tasks", `{"fields":{"Name":"x"}}`)))["No"]; got != 1.0 {
		t.Errorf("the first number is %v", got)
	}
	for _, r := range []models.BaseRestore{whole, bare} {
		if _, err := a.repo.Snapshot(t.Context(), a.who.Tenant, r.Snapshot); !errors.Is(err, errs.ErrNotFound) {
			t.Errorf("the copy's own snapshot: %v", err)
		}
	}
}

func TestRestore_FreshRecordsAreTheRequesters(t *testing.T) {
	t.Parallel()
	a := newAlbum(t).everything()
	snap := a.take()
	*a.clock = a.clock.Add(24 * time.Hour)
	done := a.restore(models.BaseRestore{Kind: airtableapi.RestoreBase, Snapshot: snap.ID, Fresh: true})
	b := a.of(done.Base)
	was, is := records(a.ok(list("Tasks"))), records(b.ok(list("Tasks", "recordMetadata[]", "commentCount")))
	if len(is) != len(was) {
		t.Fatalf("%d records of %d", len(is), len(was))
	}
	for i, r := range is {
		old, f := fields(was[i]), fields(r)
		if got := r["createdTime"]; got != a.clock.UTC().Format("2006-01-02T15:04:05.000Z") || got == was[i]["createdTime"] || f["Changed"] != nil {
			t.Errorf("%v was made at %v and changed at %v", f["Name"], got, f["Changed"])
		}
		if f["Name"] != old["Name"] || f["Double"] != old["Double"] {
			t.Errorf("record %v, was %v", r, old)
		}
		if n, _ := r["commentCount"].(float64); n != 0 {
			t.Errorf("%v comes with %v comments", f["Name"], n)
		}
	}
}

func TestSnapshot_WithoutRecordsIsTheSchema(t *testing.T) {
	t.Parallel()
	a := newAlbum(t).everything()
	snap := models.BaseSnapshot{Tenant: a.who.Tenant, ID: newSnapshotID(t), Base: a.base.ID, Status: airtableapi.SnapshotTaking, SkipRecords: true, CreatedAt: a.now()}
	if _, err := a.repo.CreateSnapshot(t.Context(), snap, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.book.Take(t.Context(), snap.Tenant, snap.ID); err != nil {
		t.Fatal(err)
	}
	if got := a.snapshot(snap.ID); got.Status != airtableapi.SnapshotReady || got.Records != 0 || len(got.Tables) != 2 {
		t.Errorf("snapshot %+v", got)
	}
	b := a.of(a.restore(models.BaseRestore{Kind: airtableapi.RestoreBase, Snapshot: snap.ID}).Base)
	if got := records(b.ok(list("Tasks"))); len(got) != 0 {
		t.Errorf("%d records of none", len(got))
	}
	if got := fields(b.ok(create("Tasks", `{"fields":{"Name":"x"}}`)))["No"]; got != 1.0 {
		t.Errorf("the first number is %v", got)
	}
}

func TestSnapshot_KeepsItsFilesWhileItLives(t *testing.T) {
	t.Parallel()
	a := newAlbum(t).everything()
	snap := a.take()
	first := records(a.ok(list("Tasks")))[0]["id"].(string)
	a.ok(patch("Tasks", first, `{"fields":{"Files":[]}}`))
	*a.clock = a.clock.Add(48 * time.Hour)
	if err := a.keeper.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	done := a.restore(models.BaseRestore{Kind: airtableapi.RestoreBase, Snapshot: snap.ID})
	file := fileOf(t, records(a.of(done.Base).ok(list("Tasks")))[0], "Files")[0]
	a.content(file["url"].(string))
	if err := a.repo.DeleteSnapshot(t.Context(), a.who.Tenant, snap.ID); err != nil {
		t.Fatal(err)
	}
	*a.clock = a.clock.Add(48 * time.Hour)
	if err := a.keeper.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.keeper.Open(t.Context(), a.who.Tenant, snap.Sum); !errors.Is(err, blobs.ErrGone) {
		t.Errorf("what the deleted snapshot was kept as: %v", err)
	}
	file = fileOf(t, records(a.of(done.Base).ok(list("Tasks")))[0], "Files")[0] // the link of before has expired
	a.content(file["url"].(string))
}

func TestSnapshot_ThatWasDeletedMeanwhileIsAbandoned(t *testing.T) {
	t.Parallel()
	a := newAlbum(t).everything()
	snap := models.BaseSnapshot{Tenant: a.who.Tenant, ID: newSnapshotID(t), Base: a.base.ID, Status: airtableapi.SnapshotTaking, CreatedAt: a.now()}
	if _, err := a.repo.CreateSnapshot(t.Context(), snap, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.repo.DeleteSnapshot(t.Context(), snap.Tenant, snap.ID); err != nil {
		t.Fatal(err)
	}
	if err := a.book.Take(t.Context(), snap.Tenant, snap.ID); err != nil {
		t.Errorf("taking what was abandoned: %v", err)
	}
	running := a.begin(models.BaseRestore{Kind: airtableapi.RestoreBase, Snapshot: a.take().ID})
	if err := a.repo.DeleteSnapshot(t.Context(), snap.Tenant, running.Snapshot); !errors.Is(err, repository.ErrInUse) {
		t.Errorf("deleting what is being restored: %v", err)
	}
}

func TestBring_RefusesWhatIsNoSnapshot(t *testing.T) {
	t.Parallel()
	a := newAlbum(t)
	head := `{"format":"pyairtable-snapshot","version":1,"base":{"name":"Seed"},"tables":[{"id":"tblA","name":"A","primary_field_id":"fldA","fields":[{"id":"fldA","name":"Name","type":"singleLineText"}],"views":[{"id":"viwA","name":"All","type":"grid"}]}]}` + "\n"
	row := `{"record":{"table":"tblA","id":"recA","number":1,"version":1,"created_at":"2026-01-01T00:00:00Z","cells":{"fldA":"one"}}}` + "\n"
	for name, content := range map[string]string{
		"nothing":            "",
		"no JSON":            "hello\n",
		"another version":    strings.Replace(head, `"version":1`, `"version":2`, 1) + `{"end":{"records":0}}` + "\n",
		"no end":             head + row,
		"a record too few":   head + row + `{"end":{"records":2}}` + "\n",
		"an id that is none": head + strings.Replace(row, "recA", "x", 1) + `{"end":{"records":1}}` + "\n",
		"of no table":        head + strings.Replace(row, "tblA", "tblB", 1) + `{"end":{"records":1}}` + "\n",
		"an unknown type":    strings.Replace(head, "singleLineText", "rainbow", 1) + `{"end":{"records":0}}` + "\n",
	} {
		snap := models.BaseSnapshot{Tenant: a.who.Tenant, ID: newSnapshotID(t)}
		if _, err := a.book.Bring(t.Context(), snap, content); !errors.Is(err, airtableapi.ErrSnapshotUnusable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good, err := a.book.Bring(t.Context(), models.BaseSnapshot{Tenant: a.who.Tenant, ID: newSnapshotID(t)}, head+row+`{"end":{"records":1}}`+"\n")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.repo.CreateSnapshot(t.Context(), good, nil); err != nil {
		t.Fatal(err)
	}
	done := a.restore(models.BaseRestore{Kind: airtableapi.RestoreBase, Snapshot: good.ID})
	if got := records(a.of(done.Base).ok(list("A"))); len(got) != 1 || fields(got[0])["Name"] != "one" {
		t.Errorf("restored %v", got)
	}
}
