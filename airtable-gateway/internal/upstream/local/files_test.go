package local_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/files"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/filestest"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/jobs"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// gallery is a bench whose store keeps attachments, in a table "Docs" with the field
// "Files", and works its jobs.
type gallery struct {
	*bench
	keeper *files.Keeper
	site   *filestest.Site
}

func newGallery(t *testing.T, wait time.Duration) *gallery {
	t.Helper()
	g := &gallery{bench: newBench(t), site: filestest.NewSite(t)}
	g.keeper = filestest.Keeper(t, g.pool, filestest.Base, g.now)
	var queue *jobs.Client
	g.store = local.New(g.pool, local.Options{
		Now: g.now, Files: g.keeper, FetchWait: wait, Box: newBox(t),
		Enqueue: func(ctx context.Context, tx pgx.Tx, args river.JobArgs) error { return queue.Insert(ctx, tx, args) },
	})
	workers := river.NewWorkers()
	river.AddWorker(workers, &local.FetchWorker{Store: g.store})
	queue = filestest.Queue(t, g.pool, workers)
	var err error
	g.base, err = g.store.CreateBase(t.Context(), g.who, models.BaseSpec{Name: "Docs", Tables: []models.TableSpec{{
		ID: "tblDocs", Name: "Docs", Fields: []models.FieldSpec{
			{ID: "fldName", Name: "Name", Type: models.SingleLineText},
			{ID: "fldFiles", Name: "Files", Type: models.MultipleAttachments},
			{ID: "fldMore", Name: "More", Type: models.MultipleAttachments},
		},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// fileOf are the attachments of a record's cell.
func fileOf(t *testing.T, rec object, field string) []object {
	t.Helper()
	list, _ := rec["fields"].(object)[field].([]any)
	out := make([]object, len(list))
	for i, item := range list {
		out[i] = item.(object)
	}
	return out
}

func names(list []object) []string {
	out := []string{}
	for _, f := range list {
		out = append(out, f["filename"].(string))
	}
	return out
}

// download opens an address that the store made.
func (g *gallery) download(address string, header ...string) *http.Response {
	g.t.Helper()
	rest, ok := strings.CutPrefix(address, filestest.Base)
	if !ok {
		g.t.Fatalf("address %s", address)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	g.keeper.ServeHTTP(w, r, rest)
	return w.Result()
}

func (g *gallery) content(address string) string {
	g.t.Helper()
	resp := g.download(address)
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		g.t.Fatalf("%d %s %v", resp.StatusCode, body, err)
	}
	return string(body)
}

func (g *gallery) record(recID any) object {
	g.t.Helper()
	return g.ok(upstream.Call{Op: upstream.GetRecord, Method: "GET", Table: "Docs", Record: recID.(string)})
}

func TestAttachments_AreFetchedKeptAndShown(t *testing.T) {
	t.Parallel()
	g := newGallery(t, time.Minute)
	png := filestest.Picture(t, 800, 600)
	cat := g.site.Put("/pics/cat.png", "image/png", png)
	note := g.site.Put("/note", "text/plain; charset=utf-8", []byte("hello"))
	rec := g.ok(create("Docs", fmt.Sprintf(`{"fields":{"Files":[{"url":%q},{"url":%q,"filename":"n.txt"}]}}`, cat, note)))
	if rec["details"] != nil {
		t.Errorf("details: %v", rec["details"])
	}
	got := fileOf(t, rec, "Files")
	if d := cmp.Diff([]string{"cat.png", "n.txt"}, names(got)); d != "" {
		t.Fatalf("(-want +got):\n%s", d)
	}
	picture, text := got[0], got[1]
	if !models.IsID("att", picture["id"].(string)) || picture["type"] != "image/png" || picture["size"] != float64(len(png)) ||
		picture["width"] != 800.0 || picture["height"] != 600.0 {
		t.Errorf("picture %v", picture)
	}
	if text["type"] != "text/plain" || text["size"] != 5.0 || text["width"] != nil || text["thumbnails"] != nil {
		t.Errorf("text %v", text)
	}
	if g.content(picture["url"].(string)) != string(png) || g.content(text["url"].(string)) != "hello" {
		t.Error("what is downloaded is not what was attached")
	}
	thumbs := picture["thumbnails"].(object)
	for name, want := range map[string][2]float64{"small": {36, 27}, "large": {512, 384}, "full": {800, 600}} {
		thumb := thumbs[name].(object)
		if thumb["width"] != want[0] || thumb["height"] != want[1] {
			t.Errorf("%s: %v", name, thumb)
		}
		if body := g.content(thumb["url"].(string)); !strings.HasPrefix(body, "\x89PNG") || (body == string(png)) != (name == "full") {
			t.Errorf("%s is no small picture", name)
		}
	}
	again := fileOf(t, g.record(rec["id"]), "Files")
	if d := cmp.Diff(got, again); d != "" {
		t.Errorf("read again (-want +got):\n%s", d)
	}
	byID := g.ok(upstream.Call{Op: upstream.GetRecord, Method: "GET", Table: "Docs", Record: rec["id"].(string),
		RawQuery: "cellFormat=string&timeZone=utc&userLocale=en"})
	want := fmt.Sprintf("cat.png (%s), n.txt (%s)", picture["url"], text["url"])
	if got := byID["fields"].(object)["Files"]; got != want {
		t.Errorf("as text: %v\nwant %v", got, want)
	}
}

func TestAttachments_AreReplacedAsAWholeAndKeptByID(t *testing.T) {
	t.Parallel()
	g := newGallery(t, time.Minute)
	a, b := g.site.Put("/a", "text/plain", []byte("a")), g.site.Put("/b", "text/plain", []byte("b"))
	rec := g.ok(create("Docs", fmt.Sprintf(`{"fields":{"Files":[{"url":%q},{"url":%q}]}}`, a, b)))
	recID := rec["id"].(string)
	first := fileOf(t, rec, "Files")
	// What was read is sent back as it is, the other way round, with a new one between.
	body := object{"fields": object{"Files": []any{first[1], object{"url": a, "filename": "new"}, object{"id": first[0]["id"]}}}}
	changed := fileOf(t, g.ok(patch("Docs", recID, string(models.Marshal(body)))), "Files")
	if d := cmp.Diff([]string{"b", "new", "a"}, names(changed)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if changed[0]["id"] != first[1]["id"] || changed[2]["id"] != first[0]["id"] || changed[1]["id"] == first[0]["id"] {
		t.Errorf("ids: %v of %v", changed, first)
	}
	// Another cell may have them too, and keeps them.
	body = object{"fields": object{"More": []any{object{"id": first[0]["id"]}}, "Files": nil}}
	rec = g.ok(patch("Docs", recID, string(models.Marshal(body))))
	if got := names(fileOf(t, rec, "More")); !cmp.Equal(got, []string{"a"}) || rec["fields"].(object)["Files"] != nil {
		t.Errorf("moved: %v", rec)
	}
	if g.content(first[0]["url"].(string)) != "a" {
		t.Error("the moved file is lost")
	}
	if resp := g.download(first[1]["url"].(string)); resp.StatusCode != http.StatusNotFound {
		t.Errorf("the link of a removed attachment: %d", resp.StatusCode)
	}
	g.ok(patch("Docs", recID, `{"fields":{"Name":"x"}}`))
	if got := names(fileOf(t, g.record(recID), "More")); !cmp.Equal(got, []string{"a"}) {
		t.Errorf("after a write elsewhere: %v", got)
	}
	g.ok(upstream.Call{Op: upstream.DeleteRecords, Method: "DELETE", Table: "Docs", Record: recID})
	if resp := g.download(first[0]["url"].(string)); resp.StatusCode != http.StatusNotFound {
		t.Errorf("the link of a deleted record's attachment: %d", resp.StatusCode)
	}
}

func TestAttachments_RefuseWhatIsNeitherURLNorID(t *testing.T) {
	t.Parallel()
	g := newGallery(t, time.Minute)
	url := g.site.Put("/a", "text/plain", []byte("a"))
	rec := g.ok(create("Docs", fmt.Sprintf(`{"fields":{"Files":[{"url":%q}]}}`, url)))
	att := fileOf(t, rec, "Files")[0]["id"]
	hits := g.site.Hits("/a")
	for _, bad := range []string{
		`[{"url":"data:text/plain,hello"}]`, `[{"url":"file:///etc/passwd"}]`, `[{"url":""}]`, `[{"url":7}]`, `[{}]`, `["` + url + `"]`,
		`[{"id":"nonsense"}]`, `[{"id":"attUnknown00000001"}]`, `[{"url":"` + url + `","filename":7}]`,
	} {
		g.refused(patch("Docs", rec["id"].(string), `{"fields":{"Files":`+bad+`}}`), 422, "INVALID_ATTACHMENT_OBJECT")
	}
	g.refused(create("Docs", fmt.Sprintf(`{"fields":{"Files":[{"url":%q},{"id":%q}]}}`, url, att)), 422, "INVALID_ATTACHMENT_OBJECT")
	g.refused(patch("Docs", "recUnknown", fmt.Sprintf(`{"fields":{"Files":[{"url":%q}]}}`, url)), 404, "MODEL_ID_NOT_FOUND")
	g.refused(patch("Docs", rec["id"].(string), `{"fields":{"Files":"`+url+`"}}`), 422, "INVALID_VALUE_FOR_COLUMN")
	if g.site.Hits("/a") != hits {
		t.Error("a refused write has fetched its files")
	}
	stranger := g.as(upstream.Caller{Tenant: id.New[id.Tenant](), User: id.New[id.User]()})
	base, err := g.store.CreateBase(t.Context(), stranger.who, models.BaseSpec{Name: "Theirs", Tables: []models.TableSpec{{Name: "Docs", Fields: []models.FieldSpec{
		{Name: "Name", Type: models.SingleLineText}, {Name: "Files", Type: models.MultipleAttachments}}}}})
	if err != nil {
		t.Fatal(err)
	}
	stranger.base = base
	theirs := stranger.ok(create("Docs", `{"fields":{"Name":"x"}}`))
	stranger.refused(patch("Docs", theirs["id"].(string), fmt.Sprintf(`{"fields":{"Files":[{"id":%q}]}}`, att)), 422, "INVALID_ATTACHMENT_OBJECT")
	ok := g.ok(patch("Docs", rec["id"].(string), fmt.Sprintf(`{"fields":{"Files":%q},"typecast":true}`, url)))
	if len(fileOf(t, ok, "Files")) != 1 {
		t.Errorf("with typecast: %v", ok)
	}
}

// A file that cannot be had does not fail the write; the answer says so.
func TestAttachments_ThatCannotBeFetchedAreLeftOut(t *testing.T) {
	t.Parallel()
	g := newGallery(t, time.Minute)
	good := g.site.Put("/good", "text/plain", []byte("good"))
	loop := g.site.Handle("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	huge := g.site.Handle("/huge", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(models.MaxFetchedFile+1))
	})
	for name, bad := range map[string]string{
		"missing": g.site.URL + "/missing", "four redirects": loop, "too large": huge,
		"inside": "http://10.0.0.1/x", "metadata": "http://169.254.169.254/latest", "no such host": "http://nowhere.invalid/x",
	} {
		rec := g.ok(create("Docs", fmt.Sprintf(`{"records":[{"fields":{"Files":[{"url":%q},{"url":%q}]}}]}`, bad, good)))
		if d := cmp.Diff(object{"message": "partialSuccess", "reasons": []any{"attachmentsFailedUploading"}}, rec["details"]); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		if got := names(fileOf(t, rec["records"].([]any)[0].(object), "Files")); !cmp.Equal(got, []string{"good"}) {
			t.Errorf("%s: %v", name, got)
		}
		single := g.ok(create("Docs", fmt.Sprintf(`{"fields":{"Files":[{"url":%q}]}}`, bad)))
		if single["details"] == nil || single["fields"].(object)["Files"] != nil {
			t.Errorf("%s: %v", name, single)
		}
	}
}

func TestAttachments_ThatTakeLongArriveLater(t *testing.T) {
	t.Parallel()
	g := newGallery(t, 50*time.Millisecond)
	open := make(chan struct{})
	var once sync.Once
	release := func() { once.Do(func() { close(open) }) }
	t.Cleanup(release)
	slow := func(content string, status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-open:
				w.WriteHeader(status)
				_, _ = io.WriteString(w, content)
			case <-r.Context().Done():
			}
		}
	}
	good, bad := g.site.Handle("/slow.txt", slow("at last", 200)), g.site.Handle("/gone", slow("no", 404))
	rec := g.ok(create("Docs", fmt.Sprintf(`{"fields":{"Files":[{"url":%q},{"url":%q,"filename":"bad"}]}}`, good, bad)))
	early := fileOf(t, rec, "Files")
	if len(early) != 2 || early[0]["filename"] != "slow.txt" || early[0]["size"] != nil || early[0]["url"] == nil {
		t.Fatalf("before it is here: %v", early)
	}
	if resp := g.download(early[0]["url"].(string)); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("the link of a file on its way: %d", resp.StatusCode)
	}
	// Sent back meanwhile, as pyairtable does when it saves a record.
	g.ok(patch("Docs", rec["id"].(string), string(models.Marshal(object{"fields": object{"Files": []any{early[1], early[0]}}}))))
	release()
	await.True(t, "the good file to arrive and the bad one to be given up", func() bool {
		now := fileOf(t, g.record(rec["id"]), "Files")
		return len(now) == 1 && now[0]["size"] == 7.0
	})
	now := fileOf(t, g.record(rec["id"]), "Files")[0]
	if now["id"] != early[0]["id"] || now["type"] != "text/plain" || g.content(early[0]["url"].(string)) != "at last" {
		t.Errorf("arrived: %v", now)
	}
	var events int
	if err := g.pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox WHERE tenant_id = $1`, g.who.Tenant).Scan(&events); err != nil || events != 4 {
		t.Errorf("%d events (%v), want one for each change of the record", events, err)
	}
}

func TestUpload_AppendsToTheCell(t *testing.T) {
	t.Parallel()
	g := newGallery(t, time.Minute)
	rec := g.ok(create("Docs", `{"fields":{"Name":"x"}}`))
	upload := func(field, file string) upstream.Call {
		return upstream.Call{Op: upstream.UploadAttachment, Method: "POST", Record: rec["id"].(string), Field: field,
			Body: models.Marshal(object{"contentType": "text/plain", "filename": "a.txt", "file": file})}
	}
	long := strings.Repeat("Hello world ", 20)
	lines := base64.StdEncoding.EncodeToString([]byte(long))
	lines = lines[:76] + "\n" + lines[76:152] + "\r\n" + lines[152:] + "\n"
	got := g.ok(upload("Files", lines))
	if d := cmp.Diff([]string{"a.txt"}, names(fileOf(t, got, "fldFiles"))); d != "" || len(got["fields"].(object)) != 1 {
		t.Fatalf("%v", got)
	}
	for i, text := range []string{"SGk=", "SGk", "", "SGk=\n"} { // padding or none
		got = g.ok(upload("fldFiles", text))
		if n := len(fileOf(t, got, "fldFiles")); n != i+2 {
			t.Fatalf("%q: %d files", text, n)
		}
	}
	all := fileOf(t, got, "fldFiles")
	if all[0]["size"] != float64(len(long)) || all[0]["type"] != "text/plain" || g.content(all[0]["url"].(string)) != long ||
		g.content(all[1]["url"].(string)) != "Hi" || all[3]["size"] != 0.0 {
		t.Errorf("%v", all)
	}
	g.ok(upload("Files", base64.StdEncoding.EncodeToString(make([]byte, models.MaxUploadedFile))))
	g.refused(upload("Files", base64.StdEncoding.EncodeToString(make([]byte, models.MaxUploadedFile+3))), 413, "REQUEST_TOO_LARGE")
	g.refused(upload("Files", "not base64!"), 422, "INVALID_REQUEST_UNKNOWN")
	g.refused(upload("Nope", "SGk="), 422, "UNKNOWN_FIELD_NAME")
	g.refused(upload("Name", "SGk="), 422, "INVALID_VALUE_FOR_COLUMN")
	unknown := upload("Files", "SGk=")
	unknown.Record = "recUnknown"
	g.refused(unknown, 404, "MODEL_ID_NOT_FOUND")
	g.refused(upstream.Call{Op: upstream.UploadAttachment, Method: "POST", Record: rec["id"].(string), Field: "Files", Body: []byte(`{"file":"SGk="}`)}, 422, "INVALID_REQUEST_UNKNOWN")
}

func TestUpload_ConcurrentOnesAllStay(t *testing.T) {
	t.Parallel()
	g := newGallery(t, time.Minute)
	rec := g.ok(create("Docs", `{"fields":{}}`))
	const many = 12
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			a, err := g.store.Do(t.Context(), upstream.Call{Op: upstream.UploadAttachment, Method: "POST", Caller: g.who, Base: string(g.base.ID),
				Record: rec["id"].(string), Field: "Files",
				Body: models.Marshal(object{"contentType": "text/plain", "filename": fmt.Sprint(i), "file": "SGk="})})
			if err != nil || a.Status != 200 {
				t.Errorf("%d %s %v", a.Status, a.Body, err)
			}
		})
	}
	all.Wait()
	if n := len(fileOf(t, g.record(rec["id"]), "Files")); n != many {
		t.Errorf("%d of %d files", n, many)
	}
	var stored int
	if err := postgres.ForEveryTenant(g.pool).QueryRow(t.Context(), `SELECT count(*) FROM blobs`).Scan(&stored); err != nil || stored != 1 {
		t.Errorf("the same bytes are stored %d times (%v)", stored, err)
	}
}

func TestAttachments_AreSortedAndFilteredByName(t *testing.T) {
	t.Parallel()
	g := newGallery(t, time.Minute)
	for _, name := range []string{"z11", "", "z2", "A"} {
		body := `{"fields":{"Name":"` + name + `"}}`
		if name != "" {
			body = fmt.Sprintf(`{"fields":{"Name":%q,"Files":[{"url":%q,"filename":%q}]}}`, name, g.site.Put("/f", "text/plain", []byte(name)), name)
		}
		g.ok(create("Docs", body))
	}
	list := func(query string) []string {
		out := []string{}
		page := g.ok(upstream.Call{Op: upstream.ListRecords, Method: "GET", Table: "Docs", RawQuery: query})
		for _, r := range page["records"].([]any) {
			name, _ := r.(object)["fields"].(object)["Name"].(string)
			out = append(out, name)
		}
		return out
	}
	if d := cmp.Diff([]string{"", "A", "z2", "z11"}, list("sort[0][field]=Files")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for formula, want := range map[string][]string{
		"Files": {"z11", "z2", "A"}, "Files%3D%22z2%22": {"z2"}, "NOT(Files)": {""}, "FIND(%22z%22,Files)": {"z11", "z2"},
	} {
		if d := cmp.Diff(want, list("filterByFormula="+formula)); d != "" {
			t.Errorf("%s (-want +got):\n%s", formula, d)
		}
	}
}

// A lookup of attachments shows them with links that open; formulas see their names.
func TestAttachments_AreLookedUp(t *testing.T) {
	t.Parallel()
	g := newGallery(t, time.Minute)
	var err error
	g.base, err = g.store.CreateBase(t.Context(), g.who, models.BaseSpec{Name: "Both", Tables: []models.TableSpec{
		{ID: "tblPeople", Name: "People", Fields: []models.FieldSpec{
			{ID: "fldWho", Name: "Who", Type: models.SingleLineText},
			{ID: "fldPics", Name: "Pics", Type: models.MultipleAttachments}}},
		{ID: "tblCards", Name: "Cards", Fields: []models.FieldSpec{
			{ID: "fldNo", Name: "No", Type: models.SingleLineText},
			{ID: "fldOwner", Name: "Owner", Type: models.MultipleRecordLinks, Options: option("linkedTableId", "tblPeople")},
			{ID: "fldSeen", Name: "Seen", Type: models.Lookup, Options: option("recordLinkFieldId", "fldOwner", "fieldIdInLinkedTable", "fldPics")},
			{ID: "fldText", Name: "Text", Type: models.Formula, Options: option("formula", "{Seen} & '!'")},
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	person := g.ok(create("People", fmt.Sprintf(`{"fields":{"Pics":[{"url":%q},{"url":%q}]}}`,
		g.site.Put("/a.txt", "text/plain", []byte("a")), g.site.Put("/b.txt", "text/plain", []byte("b")))))
	card := g.ok(create("Cards", fmt.Sprintf(`{"fields":{"Owner":[%q]}}`, person["id"])))
	if d := cmp.Diff(fileOf(t, person, "Pics"), fileOf(t, card, "Seen")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := card["fields"].(object)["Text"]; got != "a.txt, b.txt!" {
		t.Errorf("in a formula: %v", got)
	}
	shown := g.ok(upstream.Call{Op: upstream.GetRecord, Method: "GET", Table: "Cards", Record: card["id"].(string),
		RawQuery: "cellFormat=string&timeZone=utc&userLocale=en"})["fields"].(object)["Seen"].(string)
	if !strings.HasPrefix(shown, "a.txt (http") || !strings.Contains(shown, "), b.txt (http") {
		t.Errorf("as text: %s", shown)
	}
}

// Links expire as Airtable's do; reading again gives new ones.
func TestLinks_ExpireAfterTwoHours(t *testing.T) {
	t.Parallel()
	g := newGallery(t, time.Minute)
	rec := g.ok(create("Docs", fmt.Sprintf(`{"fields":{"Files":[{"url":%q}]}}`, g.site.Put("/a.txt", "text/plain", []byte("0123456789")))))
	address := fileOf(t, rec, "Files")[0]["url"].(string)
	*g.clock = g.clock.Add(files.Lifetime)
	if g.content(address) != "0123456789" {
		t.Error("the link died before its time")
	}
	*g.clock = g.clock.Add(16 * time.Minute)
	if resp := g.download(address); resp.StatusCode != http.StatusGone {
		t.Errorf("after its time: %d", resp.StatusCode)
	}
	// An expired link is no way to attach the file again, a fresh one is.
	failed := g.ok(create("Docs", fmt.Sprintf(`{"fields":{"Files":[{"url":%q}]}}`, address)))
	if failed["details"] == nil {
		t.Errorf("by an expired link: %v", failed)
	}
	fresh := fileOf(t, g.record(rec["id"]), "Files")[0]["url"].(string)
	copied := fileOf(t, g.ok(create("Docs", fmt.Sprintf(`{"fields":{"Files":[{"url":%q}]}}`, fresh))), "Files")
	if d := cmp.Diff([]string{"a.txt"}, names(copied)); d != "" || g.content(copied[0]["url"].(string)) != "0123456789" {
		t.Errorf("by a link of ours: %v", copied)
	}
	if g.site.Hits("/a.txt") != 1 {
		t.Error("a link of ours was called")
	}
}

func TestDownload_ServesRangesAndLetsNothingRun(t *testing.T) {
	t.Parallel()
	g := newGallery(t, time.Minute)
	html := g.site.Put("/evil.html", "text/html", []byte("<script>alert(1)</script>"))
	svg := g.site.Put("/evil.svg", "image/svg+xml", []byte("<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>"))
	fake := g.site.Put("/fake.png", "image/png", []byte("<script>alert(1)</script>"))
	text := g.site.Put("/a.txt", "text/plain", []byte("0123456789"))
	rec := g.ok(create("Docs", fmt.Sprintf(`{"fields":{"Files":[{"url":%q},{"url":%q},{"url":%q},{"url":%q,"filename":"ü\"\r\n.txt"}]}}`, html, svg, fake, text)))
	list := fileOf(t, rec, "Files")
	for _, f := range list[:3] {
		h := g.download(f["url"].(string)).Header
		if !strings.HasPrefix(h.Get("Content-Disposition"), "attachment") || h.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.Contains(h.Get("Content-Security-Policy"), "sandbox") || h.Get("Content-Type") == "image/png" {
			t.Errorf("%s: %v", f["filename"], h)
		}
	}
	address := list[3]["url"].(string)
	whole := g.download(address)
	if got := whole.Header.Get("Content-Disposition"); !strings.HasPrefix(got, "inline; filename*=utf-8''") || strings.ContainsAny(got, "\r\n") {
		t.Errorf("disposition %q", got)
	}
	if got := whole.Header.Get("Cache-Control"); !strings.HasPrefix(got, "private, max-age=") {
		t.Errorf("caching %q", got)
	}
	part := g.download(address, "Range", "bytes=2-4")
	body, _ := io.ReadAll(part.Body)
	if part.StatusCode != http.StatusPartialContent || string(body) != "234" || part.Header.Get("Content-Range") != "bytes 2-4/10" {
		t.Errorf("a range: %d %s %v", part.StatusCode, body, part.Header)
	}
	if known := g.download(address, "If-None-Match", whole.Header.Get("ETag")); known.StatusCode != http.StatusNotModified {
		t.Errorf("known: %d", known.StatusCode)
	}
	if beyond := g.download(address, "Range", "bytes=20-"); beyond.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("beyond: %d", beyond.StatusCode)
	}
}

// A picture that claims billions of pixels is a file without thumbnails.
func TestThumbnails_AreNotMadeOfBombs(t *testing.T) {
	t.Parallel()
	g := newGallery(t, time.Minute)
	cut := filestest.Picture(t, 100, 100)
	cut = cut[:len(cut)/2]
	rec := g.ok(create("Docs", fmt.Sprintf(`{"fields":{"Files":[{"url":%q}]}}`, g.site.Put("/cut.png", "image/png", cut))))
	f := fileOf(t, rec, "Files")[0]
	small := f["thumbnails"].(object)["small"].(object)["url"].(string)
	if resp := g.download(small); resp.StatusCode != http.StatusNotFound {
		t.Errorf("the thumbnail of a broken picture: %d", resp.StatusCode)
	}
	if !bytes.Equal([]byte(g.content(f["url"].(string))), cut) {
		t.Error("the broken picture itself is lost")
	}
}
