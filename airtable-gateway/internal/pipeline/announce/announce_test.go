package announce_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/clocktest"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/emulator"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/announce"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
)

// desk is an announcer in front of an Airtable, with a database of its own.
type desk struct {
	a    *announce.Announcer
	up   upstream.Upstream
	pool *pgxpool.Pool
	far  *recorder
	now  *clocktest.Clock
}

// recorder keeps the calls that arrive.
type recorder struct {
	do func(ctx context.Context, c upstream.Call) (upstream.Answer, error)

	mu    sync.Mutex
	calls []upstream.Call
}

func (r *recorder) Do(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	r.mu.Lock()
	r.calls = append(r.calls, c)
	r.mu.Unlock()
	return r.do(ctx, c)
}

func (r *recorder) ops() (out []upstream.Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.calls {
		out = append(out, c.Op)
	}
	return out
}

var (
	tenant    = id.New[id.Tenant]()
	anna, bea = id.New[id.User](), id.New[id.User]()
)

// store is the sample base, in the base store: an Airtable without limits.
func store(t *testing.T) func(context.Context, upstream.Call) (upstream.Answer, error) {
	t.Helper()
	s := local.New(pgtest.New(t, "airtable-gateway", repository.Migrations), local.Options{Now: time.Now})
	if err := emulator.SampleSeed().Plant(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	e := emulator.New(emulator.Options{Store: s, Now: time.Now})
	return func(_ context.Context, c upstream.Call) (upstream.Answer, error) { return through(e, c), nil }
}

func newDesk(t *testing.T, images bool, far func(context.Context, upstream.Call) (upstream.Answer, error)) *desk {
	t.Helper()
	d := &desk{pool: pgtest.New(t, "airtable-gateway", repository.Migrations), far: &recorder{do: far}, now: clocktest.New(time.Now())}
	d.a = announce.New(repository.NewJournal(d.pool), zap.NewNop(), prometheus.NewRegistry(), d.now.Now)
	d.up = d.a.Of(d.far, announce.Account{Key: "a", BeforeImages: images})
	return d
}

func call(method, path, body string) upstream.Call {
	path, query, _ := strings.Cut(path, "?")
	c, ok := v0.Parse(method, "/v0/appEmulator000001/"+path)
	if !ok {
		panic(path)
	}
	c.RawQuery, c.Body, c.Header, c.Caller = query, []byte(body), http.Header{}, upstream.Caller{Tenant: tenant, User: anna}
	return c
}

func (d *desk) ok(t *testing.T, c upstream.Call) string {
	t.Helper()
	a, err := d.up.Do(t.Context(), c)
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("%s %s: %d %s %v", c.Method, c.Path, a.Status, a.Body, err)
	}
	return string(a.Body)
}

// told is an event as it is in the outbox.
type told struct {
	kind string
	airtableapi.RecordChanged
}

func (d *desk) told(t *testing.T) (out []told) {
	t.Helper()
	rows, err := d.pool.Query(t.Context(), `SELECT event FROM outbox WHERE tenant_id = $1 ORDER BY seq`, tenant)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	versions := map[string]int64{}
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			t.Fatal(err)
		}
		var e events.Event
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		var c told
		if err := json.Unmarshal(e.Data, &c.RecordChanged); err != nil {
			t.Fatal(err)
		}
		if e.Subject != c.RecordID || e.Version <= versions[e.Subject] {
			t.Errorf("version %d of %s after %d", e.Version, e.Subject, versions[e.Subject])
		}
		versions[e.Subject] = e.Version
		c.kind = strings.TrimSuffix(strings.TrimPrefix(e.Type, "com.pyairtable.record."), ".v1")
		out = append(out, c)
	}
	return out
}

const (
	name, points, state, owner = "fldTasksName00001", "fldTasksPts000001", "fldTasksState0001", "fldTasksOwner0001"
	tasks                      = "tblTasks000000001"
	first                      = "recTask0000000001"
)

type cells = map[string]json.RawMessage

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func changed(kind, record string, fields []string, old, now cells) told {
	return told{kind, airtableapi.RecordChanged{
		BaseID: "appEmulator000001", TableID: tasks, RecordID: record, ActorID: anna.String(),
		ChangedFieldIDs: fields, OldCells: old, NewCells: now,
	}}
}

func recordID(t *testing.T, body string) string {
	t.Helper()
	var r struct{ ID string }
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		t.Fatal(err)
	}
	return r.ID
}

func TestWrites_AreToldWithOldAndNewCells(t *testing.T) {
	t.Parallel()
	d := newDesk(t, true, store(t))
	made := recordID(t, d.ok(t, call("POST", "Tasks", `{"fields":{"Name":"n","Points":1}}`)))
	d.ok(t, call("PATCH", tasks+"/"+made, `{"fields":{"Points":2,"Name":"n"}}`))
	d.ok(t, call("PATCH", "Tasks", `{"records":[{"id":"`+made+`","fields":{"fldTasksState0001":"todo"}}],"returnFieldsByFieldId":true}`))
	d.ok(t, call("PUT", "Tasks/"+made, `{"fields":{"Name":"m"}}`))
	d.ok(t, call("PATCH", "Tasks/"+made, `{"fields":{"Name":"m"}}`)) // changes nothing
	d.ok(t, call("DELETE", "Tasks?records[]="+made, ""))
	d.ok(t, call("DELETE", "Tasks/"+first, ""))
	want := []told{
		changed("created", made, []string{name, points}, cells{}, cells{name: raw(`"n"`), points: raw("1")}),
		changed("updated", made, []string{points}, cells{points: raw("1")}, cells{points: raw("2")}),
		changed("updated", made, []string{state}, cells{}, cells{state: raw(`"todo"`)}),
		changed("updated", made, []string{name, points, state}, cells{name: raw(`"n"`), points: raw("2"), state: raw(`"todo"`)}, cells{name: raw(`"m"`)}),
		changed("deleted", made, []string{name}, cells{name: raw(`"m"`)}, cells{}),
		changed("deleted", first, []string{name, points, state, owner}, cells{
			name: raw(`"Write the compiler"`), points: raw("8"), state: raw(`"done"`), owner: raw(`["recGrace000000001"]`)}, cells{}),
	}
	if diff := cmp.Diff(want, d.told(t), cmp.AllowUnexported(told{})); diff != "" {
		t.Error(diff)
	}
	reads := slices.DeleteFunc(d.far.ops(), func(o upstream.Op) bool { return o != upstream.BaseSchema && o != upstream.ListRecords })
	if len(reads) != 1+6 {
		t.Errorf("the schema is read once and the records once a write, not %v", reads)
	}
}

func TestWrites_WithoutBeforeImagesTheOldCellsAreUnknown(t *testing.T) {
	t.Parallel()
	d := newDesk(t, false, store(t))
	d.ok(t, call("PATCH", "Tasks/"+first, `{"fields":{"Points":2}}`))
	d.ok(t, call("PUT", "Tasks/"+first, `{"fields":{"Points":3}}`))
	d.ok(t, call("DELETE", "Tasks/"+first, ""))
	want := []told{
		changed("updated", first, []string{points}, cells{}, cells{points: raw("2")}),
		changed("updated", first, []string{name, points, state, owner}, cells{}, cells{points: raw("3")}),
		changed("deleted", first, []string{}, cells{}, cells{}),
	}
	for i := range want {
		want[i].OldCellsUnknown = true
	}
	if diff := cmp.Diff(want, d.told(t), cmp.AllowUnexported(told{})); diff != "" {
		t.Error(diff)
	}
	if got := d.far.ops(); slices.Contains(got, upstream.ListRecords) {
		t.Errorf("records were read: %v", got)
	}
}

func TestUpserts_TellTheCreatedFromTheUpdatedAndWhoDidIt(t *testing.T) {
	t.Parallel()
	d := newDesk(t, true, store(t))
	c := call("PATCH", "Tasks", `{"performUpsert":{"fieldsToMergeOn":["Name"]},"records":[{"fields":{"Name":"Note G","Points":6}},{"fields":{"Name":"new"}}]}`)
	c.Authors = []id.UserID{bea, anna}
	d.ok(t, c)
	got := d.told(t)
	if len(got) != 2 {
		t.Fatalf("%+v", got)
	}
	update := changed("updated", "recTask0000000002", []string{name, points}, cells{}, cells{name: raw(`"Note G"`), points: raw("6")})
	update.ActorID, update.OldCellsUnknown = bea.String(), true
	create := changed("created", got[1].RecordID, []string{name}, cells{}, cells{name: raw(`"new"`)})
	if diff := cmp.Diff([]told{update, create}, got, cmp.AllowUnexported(told{})); diff != "" {
		t.Error(diff)
	}
}

func TestWrites_RefusedOrUnknownAreNotTold(t *testing.T) {
	t.Parallel()
	errBroken := errors.New("broken")
	far := store(t)
	d := newDesk(t, false, func(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
		a, err := far(ctx, c)
		if c.Op == upstream.CreateRecords && strings.Contains(string(c.Body), "lost") {
			return upstream.Answer{}, errBroken
		}
		return a, err
	})
	if a, err := d.up.Do(t.Context(), call("POST", "Tasks", `{"fields":{"No":1}}`)); a.Status != 422 || err != nil {
		t.Errorf("%d %v", a.Status, err)
	}
	if _, err := d.up.Do(t.Context(), call("POST", "Tasks", `{"fields":{"Name":"lost"}}`)); !errors.Is(err, errBroken) {
		t.Error(err)
	}
	if got := d.told(t); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestSchema_IsReadAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	d := newDesk(t, false, store(t))
	count := func() (n int) {
		for _, op := range d.far.ops() {
			if op == upstream.BaseSchema {
				n++
			}
		}
		return n
	}
	patch := func() {
		d.ok(t, call("PATCH", "Tasks/"+first, `{"fields":{"Points":2}}`))
	}
	patch()
	patch()
	if n := count(); n != 1 {
		t.Errorf("read %d times", n)
	}
	field, _ := v0.Parse("POST", "/v0/meta/bases/appEmulator000001/tables/"+tasks+"/fields")
	field.Body, field.Caller = []byte(`{"name":"Extra","type":"singleLineText"}`), upstream.Caller{Tenant: tenant, User: anna}
	d.ok(t, field)
	d.ok(t, call("PATCH", "Tasks/"+first, `{"fields":{"Extra":"x"}}`))
	got := d.told(t)
	if last := got[len(got)-1]; count() != 2 || last.NewCellsUnknown || len(last.NewCells) != 1 {
		t.Errorf("read %d times: %+v", count(), last)
	}
	// Somebody else renames a field: the first write that meets it tells less.
	rename, _ := v0.Parse("PATCH", "/v0/meta/bases/appEmulator000001/tables/"+tasks+"/fields/"+points)
	rename.Body, rename.Caller = []byte(`{"name":"Score"}`), upstream.Caller{Tenant: tenant, User: anna}
	if a, err := d.far.do(t.Context(), rename); err != nil || a.Status != 200 {
		t.Fatal(a.Status, err)
	}
	d.now.Advance(time.Minute)
	d.ok(t, call("PATCH", "Tasks/"+first, `{"fields":{"Score":4}}`))
	d.ok(t, call("PATCH", "Tasks/"+first, `{"fields":{"Score":5}}`))
	got = d.told(t)
	if a, b := got[len(got)-2], got[len(got)-1]; !a.NewCellsUnknown || len(a.NewCells) != 0 || b.NewCellsUnknown || string(b.NewCells[points]) != "5" {
		t.Errorf("%+v\n%+v", a, b)
	}
}

func TestSchema_ThatIsRefusedLeavesTheIDsThatAreKnown(t *testing.T) {
	t.Parallel()
	far := store(t)
	d := newDesk(t, false, func(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
		if c.Op == upstream.BaseSchema {
			return v0.Refuse(models.ErrModelNotFound), nil
		}
		return far(ctx, c)
	})
	d.ok(t, call("PATCH", "Tasks/"+first, `{"fields":{"Points":2}}`))
	d.ok(t, call("PATCH", tasks+"/"+first, `{"fields":{"fldTasksPts000001":3},"returnFieldsByFieldId":true}`))
	byName := changed("updated", first, []string{}, cells{}, cells{})
	byName.TableID, byName.OldCellsUnknown, byName.NewCellsUnknown = "Tasks", true, true
	byID := changed("updated", first, []string{points}, cells{}, cells{points: raw("3")})
	byID.OldCellsUnknown = true
	if diff := cmp.Diff([]told{byName, byID}, d.told(t), cmp.AllowUnexported(told{})); diff != "" {
		t.Error(diff)
	}
	if n := len(d.far.ops()); n != 3 {
		t.Errorf("the refusal is not remembered: %v", d.far.ops())
	}
}

func TestUpload_IsAnUpdateWithTheFilesThatWereThere(t *testing.T) {
	t.Parallel()
	d := newDesk(t, true, func(_ context.Context, c upstream.Call) (upstream.Answer, error) {
		if c.Op == upstream.BaseSchema {
			return upstream.Answer{Status: 200, Body: []byte(`{"tables":[{"id":"tbl1","name":"T","fields":[{"id":"fldF","name":"Files","type":"multipleAttachments"}]}]}`)}, nil
		}
		return upstream.Answer{Status: 200, Body: []byte(`{"id":"rec1","createdTime":"x","fields":{"fldF":[{"id":"att1"},{"id":"att2"}]}}`)}, nil
	})
	d.ok(t, call("POST", "rec1/Files/uploadAttachment", `{"file":""}`))
	want := told{"updated", airtableapi.RecordChanged{
		BaseID: "appEmulator000001", TableID: "tbl1", RecordID: "rec1", ActorID: anna.String(), ChangedFieldIDs: []string{"fldF"},
		OldCells: cells{"fldF": raw(`[{"id":"att1"}]`)}, NewCells: cells{"fldF": raw(`[{"id":"att1"},{"id":"att2"}]`)},
	}}
	if diff := cmp.Diff([]told{want}, d.told(t), cmp.AllowUnexported(told{})); diff != "" {
		t.Error(diff)
	}
}

func TestCells_OfAttachmentsAreComparedByTheirFiles(t *testing.T) {
	t.Parallel()
	url := 0
	d := newDesk(t, true, func(_ context.Context, c upstream.Call) (upstream.Answer, error) {
		url++
		rec := `{"id":"rec1","fields":{"fldF":[{"id":"att1","url":"` + strings.Repeat("x", url) + `"}],"fldN":` + map[bool]string{true: "1.0", false: "1"}[url%2 == 0] + `}}`
		switch c.Op {
		case upstream.BaseSchema:
			return upstream.Answer{Status: 200, Body: []byte(`{"tables":[{"id":"tbl1","name":"T","fields":[{"id":"fldF","name":"Files","type":"multipleAttachments"},{"id":"fldN","name":"N","type":"number"}]}]}`)}, nil
		case upstream.ListRecords:
			return upstream.Answer{Status: 200, Body: []byte(`{"records":[` + rec + `]}`)}, nil
		}
		return upstream.Answer{Status: 200, Body: []byte(rec)}, nil
	})
	d.ok(t, call("PATCH", "T/rec1", `{"fields":{"N":1}}`))
	if got := d.told(t); len(got) != 0 {
		t.Errorf("nothing was changed: %+v", got)
	}
}

func TestOutbox_AwayTheWriteStandsAndIsToldLater(t *testing.T) {
	t.Parallel()
	d := newDesk(t, false, store(t))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	if _, err := d.pool.Exec(t.Context(), `ALTER TABLE outbox RENAME TO outbox_gone`); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		d.ok(t, call("PATCH", "Tasks/"+first, `{"fields":{"Points":2}}`))
	}
	if _, err := d.pool.Exec(t.Context(), `ALTER TABLE outbox_gone RENAME TO outbox`); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(ended)
		_ = d.a.Run(ctx)
	}()
	await.True(t, "the events to be written", func() bool { return len(d.told(t)) == 3 })
	cancel()
	<-ended
}

func TestOutbox_WhatIsKeptIsWrittenAtTheEnd(t *testing.T) {
	t.Parallel()
	d := newDesk(t, false, store(t))
	if _, err := d.pool.Exec(t.Context(), `ALTER TABLE outbox RENAME TO outbox_gone`); err != nil {
		t.Fatal(err)
	}
	d.ok(t, call("PATCH", "Tasks/"+first, `{"fields":{"Points":2}}`))
	if _, err := d.pool.Exec(t.Context(), `ALTER TABLE outbox_gone RENAME TO outbox`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.a.Run(ctx); err != nil || len(d.told(t)) != 1 {
		t.Errorf("%v, %+v", err, d.told(t))
	}
}

func TestVersions_RiseThoughTheClockStandsStill(t *testing.T) {
	t.Parallel()
	d := newDesk(t, false, store(t)) // its clock stands still; told checks the versions
	for range 8 {
		d.ok(t, call("PATCH", "Tasks/"+first, `{"fields":{"Points":2}}`))
	}
	if got := d.told(t); len(got) != 8 {
		t.Errorf("%d events", len(got))
	}
}
