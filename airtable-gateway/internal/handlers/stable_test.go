package handlers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/clocktest"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/emulator"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/filestest"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/stable"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/jobs"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// farFiles is an Airtable with attachments, a table "Docs" in the base appFiles, and
// a fleet that may connect to it.
type farFiles struct {
	*httptest.Server
	t     *testing.T
	now   *clocktest.Clock
	fleet *fleet

	mu    sync.Mutex
	calls []string // for the API
	files int      // requests for files
}

const farDocs = "/v0/appFiles/Docs"

func newFarFiles(t *testing.T) *farFiles {
	t.Helper()
	f := &farFiles{t: t, now: clocktest.New(time.Now())}
	now := f.now.Now
	pool := pgtest.New(t, "airtable-gateway", repository.Migrations)
	f.Server = httptest.NewUnstartedServer(nil)
	address := "http://" + f.Listener.Addr().String()
	keeper := filestest.Keeper(t, pool, address+emulator.FilesPrefix, now)
	queue, err := jobs.New(pool, nil, jobs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store := local.New(pool, local.Options{Now: now, Files: keeper, Enqueue: queue.Insert, FetchWait: time.Minute})
	seed := emulator.Seed{Bases: []emulator.SeedBase{{ID: "appFiles", Name: "Far", Tables: []emulator.SeedTable{{
		ID: "tblDocs", Name: "Docs", Fields: []emulator.SeedField{
			{Name: "Name", Type: models.SingleLineText}, {Name: "Files", Type: models.MultipleAttachments}, {Name: "More", Type: models.MultipleAttachments},
		},
	}}}}}
	if err := seed.Plant(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	far := emulator.New(emulator.Options{Store: store, Files: keeper, Now: time.Now})
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		if strings.HasPrefix(r.URL.Path, "/v0/") {
			f.calls = append(f.calls, r.Method+" "+r.URL.Path)
		} else {
			f.files++
		}
		f.mu.Unlock()
		far.ServeHTTP(w, r)
	})
	f.Start()
	t.Cleanup(f.Close)
	f.fleet = newFleet(t, f.URL)
	return f
}

// later is when both sides are from now on.
func (f *farFiles) later(d time.Duration) {
	f.now.Advance(d)
	f.fleet.now.Advance(d)
}

func (f *farFiles) counts() (calls, files int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.calls), f.files
}

// direct asks the far side without the gateway.
func (f *farFiles) direct(method, path, body string) reply {
	f.t.Helper()
	return send(f.t, f.URL, accountToken, method, path, body)
}

// attach makes a record with files at the far side, and returns it.
func (f *farFiles) attach(urls ...string) attached {
	f.t.Helper()
	var list []string
	for _, u := range urls {
		list = append(list, fmt.Sprintf(`{"url":%q}`, u))
	}
	var rec attached
	f.direct("POST", farDocs, `{"fields":{"Files":[`+strings.Join(list, ",")+`]}}`).ok(f.t, &rec)
	return rec
}

// lasting is a connection to the far side whose links do not expire.
func lasting(t *testing.T, p person, far *farFiles) airtableapi.Connection {
	t.Helper()
	c := connect(t, p, far.URL, accountToken)
	on := true
	must(t, p, airtableapi.UpdateConnection, airtableapi.ConnectionUpdate{
		ConnectionPath: airtableapi.ConnectionPath{ID: c.ID}, Body: airtableapi.ConnectionPatch{Settings: airtableapi.ConnectionSettingsPatch{StableAttachments: &on}},
	})
	return c
}

// copyAll works the jobs that copy until none is left.
func (f *fleet) copyAll(t *testing.T) {
	t.Helper()
	workers := river.NewWorkers()
	river.AddWorker(workers, &stable.CopyWorker{Links: f.stable})
	filestest.Queue(t, f.pool, workers)
	await.True(t, "all files to be copied", func() bool {
		var left int
		err := postgres.ForEveryTenant(f.pool).QueryRow(t.Context(), `SELECT count(*) FROM stable_files WHERE sum IS NULL`).Scan(&left)
		return err == nil && left == 0
	})
}

type picture struct {
	ID, URL, Filename string
	Size              int64
	Thumbnails        map[string]struct{ URL string }
}

type pictured struct {
	ID     string
	Fields struct{ Files, More []picture }
}

func TestStable_LinksOpenNextMonthThoughTheAttachmentIsGone(t *testing.T) {
	t.Parallel()
	far := newFarFiles(t)
	f := far.fleet
	site := filestest.NewSite(t)
	png := filestest.Picture(t, 800, 600)
	rec := far.attach(site.Put("/cat.png", "image/png", png), site.Put("/a.txt", "text/plain", []byte("hello")))
	p := f.owner(t)
	lasting(t, p, far)
	var got pictured
	p.v0(t, "GET", farDocs+"/"+rec.ID, "").ok(t, &got)
	if len(got.Fields.Files) != 2 || !strings.HasPrefix(got.Fields.Files[0].URL, publicURL+airtableapi.Files.Prefix) || got.Fields.Files[0].ID != rec.Fields["Files"][0].ID {
		t.Fatalf("%+v", got)
	}
	f.copyAll(t)
	far.direct("DELETE", farDocs+"/"+rec.ID, "").ok(t, nil)
	far.Close()
	far.later(31 * 24 * time.Hour)
	cat, text := got.Fields.Files[0], got.Fields.Files[1]
	if r := f.open(t, "GET", cat.URL); r.status != 200 || r.body != string(png) || r.header.Get("Content-Type") != "image/png" {
		t.Errorf("the picture: %d %v", r.status, r.header)
	}
	if r := f.open(t, "GET", text.URL, "Range", "bytes=1-2"); r.status != 206 || r.body != "el" {
		t.Errorf("the text: %d %s", r.status, r.body)
	}
	for _, name := range []string{"small", "large", "full"} {
		if r := f.open(t, "GET", cat.Thumbnails[name].URL); r.status != 200 || !strings.HasPrefix(r.body, "\x89PNG") {
			t.Errorf("the thumbnail %s: %d", name, r.status)
		}
	}
}

func TestStable_LinksAreTheSameWheneverTheyAreRead(t *testing.T) {
	t.Parallel()
	far := newFarFiles(t)
	f := far.fleet
	site := filestest.NewSite(t)
	rec := far.attach(site.Put("/a.txt", "text/plain", []byte("a")))
	p := f.owner(t)
	lasting(t, p, far)
	read := func() string {
		r := p.v0(t, "GET", farDocs+"/"+rec.ID, "")
		r.ok(t, nil)
		return r.body
	}
	first := read()
	direct := far.direct("GET", farDocs+"/"+rec.ID, "").body
	far.later(5 * time.Hour)
	if again := read(); again != first {
		t.Errorf("got  %s\nwant %s", again, first)
	}
	if far.direct("GET", farDocs+"/"+rec.ID, "").body == direct {
		t.Error("the far side's links do not change: the test shows less than it says")
	}
	// All but the link is as the far side wrote it.
	blank := func(s string) string {
		var r attached
		reply{status: 200, body: s}.ok(t, &r)
		return strings.ReplaceAll(s, r.Fields["Files"][0].URL, "LINK")
	}
	if d := cmp.Diff(blank(direct), blank(first)); d != "" {
		t.Errorf("(-far +here):\n%s", d)
	}
	var page struct{ Records []attached }
	p.v0(t, "GET", farDocs+"?pageSize=10", "").ok(t, &page)
	var one attached
	reply{status: 200, body: first}.ok(t, &one)
	if page.Records[0].Fields["Files"][0].URL != one.Fields["Files"][0].URL {
		t.Error("a list has another link than its record")
	}
}

// Nobody copied the file yet, and Airtable's link has died: the record is asked for
// another one.
func TestStable_AnUncopiedFileIsFetchedWhenItIsAskedFor(t *testing.T) {
	t.Parallel()
	far := newFarFiles(t)
	f := far.fleet
	site := filestest.NewSite(t)
	fresh, old := far.attach(site.Put("/a.txt", "text/plain", []byte("a"))), far.attach(site.Put("/b.txt", "text/plain", []byte("b")))
	p := f.owner(t)
	lasting(t, p, far)
	link := func(rec attached) string {
		t.Helper()
		var got attached
		p.v0(t, "GET", farDocs+"/"+rec.ID, "").ok(t, &got)
		return got.Fields["Files"][0].URL
	}
	a, b := link(fresh), link(old)
	calls, _ := far.counts()
	var all sync.WaitGroup
	for range 8 { // one copy serves all
		all.Go(func() {
			if r := f.open(t, "GET", a); r.status != 200 || r.body != "a" {
				t.Errorf("fresh: %d %s", r.status, r.body)
			}
		})
	}
	all.Wait()
	if now, files := far.counts(); now != calls || files != 1 {
		t.Errorf("%d calls, %d downloads for a fresh link, want 0 and 1", now-calls, files)
	}
	far.later(40 * 24 * time.Hour)
	if r := f.open(t, "GET", b); r.status != 200 || r.body != "b" {
		t.Errorf("expired: %d %s", r.status, r.body)
	}
	if now, _ := far.counts(); now != calls+1 {
		t.Errorf("%d calls for an expired link, want 1: %q", now-calls, far.calls[calls:])
	}
	gone := far.attach(site.Put("/c.txt", "text/plain", []byte("c")))
	c := link(gone)
	far.direct("DELETE", farDocs+"/"+gone.ID, "").ok(t, nil)
	far.later(3 * time.Hour)
	if r := f.open(t, "GET", c); r.status != 404 {
		t.Errorf("gone before it was copied: %d %s", r.status, r.body)
	}
}

func TestStable_LinksSentBackMeanTheSameAttachment(t *testing.T) {
	t.Parallel()
	far := newFarFiles(t)
	f := far.fleet
	site := filestest.NewSite(t)
	rec := far.attach(site.Put("/a.txt", "text/plain", []byte("a")), site.Put("/b.txt", "text/plain", []byte("b")))
	p := f.owner(t)
	lasting(t, p, far)
	path := farDocs + "/" + rec.ID
	r := p.v0(t, "GET", path, "")
	var got struct{ Fields map[string]json.RawMessage }
	r.ok(t, &got)
	cell := got.Fields["Files"]
	ids := func(rec attached, field string) (out []string) {
		for _, file := range rec.Fields[field] {
			out = append(out, file.ID)
		}
		return out
	}
	want := ids(rec, "Files")
	// As pyairtable saves a record: the whole cell.
	var saved attached
	p.v0(t, "PATCH", path, `{"fields":{"Files":`+string(cell)+`}}`).ok(t, &saved)
	if d := cmp.Diff(want, ids(saved, "Files")); d != "" {
		t.Errorf("sent back whole (-want +got):\n%s", d)
	}
	// The addresses alone, the other way round.
	far.later(6 * time.Hour)
	bare := func(field, one, two string) string {
		return fmt.Sprintf(`{"fields":{%q:[{"url":%q},{"url":%q}]}}`, field, one, two)
	}
	a, b := saved.Fields["Files"][0].URL, saved.Fields["Files"][1].URL
	p.v0(t, "PATCH", path, bare("Files", b, a)).ok(t, &saved)
	slices.Reverse(want)
	if d := cmp.Diff(want, ids(saved, "Files")); d != "" {
		t.Errorf("sent back bare (-want +got):\n%s", d)
	}
	if saved.Fields["Files"][1].URL != a {
		t.Error("the link of an attachment that was kept has changed")
	}
	// Into another record: a file of its own, from an address of Airtable's that is fresh.
	var other attached
	p.v0(t, "POST", farDocs, bare("More", a, b)).ok(t, &other)
	if len(other.Fields["More"]) != 2 || slices.Contains(want, other.Fields["More"][0].ID) {
		t.Fatalf("into another record: %+v", other)
	}
	for i, content := range []string{"a", "b"} {
		if r := f.open(t, "GET", other.Fields["More"][i].URL); r.body != content {
			t.Errorf("copied file %d is %q", i, r.body)
		}
	}
}

func TestStable_LinksKeepTenantsAndConnectionsApart(t *testing.T) {
	t.Parallel()
	far := newFarFiles(t)
	f := far.fleet
	site := filestest.NewSite(t)
	rec := far.attach(site.Put("/a.txt", "text/plain", []byte("a")))
	p, stranger := f.owner(t), f.owner(t)
	conn := lasting(t, p, far)
	connect(t, stranger, far.URL, accountToken)
	link := func(p person) string {
		t.Helper()
		var got attached
		p.v0(t, "GET", farDocs+"/"+rec.ID, "").ok(t, &got)
		return got.Fields["Files"][0].URL
	}
	mine, theirs := link(p), link(stranger)
	if !strings.HasPrefix(theirs, far.URL) {
		t.Errorf("without the setting the link is %s", theirs)
	}
	// A stranger who has the link may open it, but it is not his to attach from: it stays
	// an address like any other, which Airtable has to reach by itself.
	var got attached
	stranger.v0(t, "PATCH", farDocs+"/"+rec.ID, fmt.Sprintf(`{"fields":{"More":[{"url":%q}]}}`, mine)).ok(t, &got)
	if len(got.Fields["More"]) != 0 {
		t.Errorf("attached from another tenant's link: %+v", got)
	}
	if r := f.open(t, "GET", mine); r.status != 200 {
		t.Errorf("%d", r.status)
	}
	if _, err := call(t, p, airtableapi.DeleteConnection, airtableapi.ConnectionDelete{ConnectionPath: airtableapi.ConnectionPath{ID: conn.ID}}); err != nil {
		t.Fatal(err)
	}
	if r := f.open(t, "GET", mine); r.status != 404 {
		t.Errorf("the connection is gone, its copies are not: %d", r.status)
	}
}

// A link that cannot be stored is not handed out: Airtable's own is.
func TestStable_WithoutTheDatabaseAnswersKeepTheLinksOfAirtable(t *testing.T) {
	t.Parallel()
	far := newFarFiles(t)
	f := far.fleet
	rec := far.attach(filestest.NewSite(t).Put("/a.txt", "text/plain", []byte("a")))
	p := f.owner(t)
	lasting(t, p, far)
	if err := pgx.BeginFunc(context.WithoutCancel(t.Context()), f.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `ALTER TABLE stable_files RENAME TO stable_files_away`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var got attached
	p.v0(t, "GET", farDocs+"/"+rec.ID, "").ok(t, &got)
	if url := got.Fields["Files"][0].URL; !strings.HasPrefix(url, far.URL) {
		t.Errorf("link %s", url)
	}
}
