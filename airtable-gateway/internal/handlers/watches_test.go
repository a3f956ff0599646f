package handlers_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/clocktest"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/emulator"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/filestest"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/services"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/watch"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/jobs"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// farHooks is an Airtable that pings, with a gateway before it whose jobs are worked.
type farHooks struct {
	*httptest.Server
	t     *testing.T
	fleet *fleet
	owner person
	conn  airtableapi.Connection
	queue *jobs.Client
	now   *clocktest.Clock

	mu    sync.Mutex
	calls map[string]int // by method and last part of the path
	deny  func(*http.Request) (status int, body string)
}

const farWebhooks = "/v0/bases/appEmulator000001/webhooks"

func newFarHooks(t *testing.T) *farHooks {
	t.Helper()
	f := &farHooks{t: t, now: clocktest.New(time.Now()), calls: map[string]int{}}
	store := local.New(pgtest.New(t, "airtable-gateway", repository.Migrations), local.Options{Now: f.now.Now, Box: emulator.Box(), Egress: emulator.Everywhere()})
	if err := emulator.SampleSeed().Plant(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	pinger := local.NewPinger(store, local.PingerOptions{Now: time.Now, Log: zap.NewNop(), Metrics: prometheus.NewRegistry()})
	pinging, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := pinger.Run(pinging); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); running.Wait() })
	far := emulator.New(emulator.Options{Store: store, Now: time.Now})
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.calls[r.Method+" "+r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]]++
		deny := f.deny
		f.mu.Unlock()
		if deny != nil {
			if status, body := deny(r); status != 0 {
				w.WriteHeader(status)
				_, _ = w.Write([]byte(body))
				return
			}
		}
		far.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	f.fleet = newFleet(t, f.URL)
	workers := river.NewWorkers()
	f.fleet.watcher.AddWorkers(workers)
	river.AddWorker(workers, &services.EraseTenantWorker{Erasures: f.fleet.erasures})
	river.AddWorker(workers, &services.EraseTenantsWorker{Repo: f.fleet.erasures.Repo})
	river.AddWorker(workers, &services.TakeSnapshotWorker{Snapshots: f.fleet.snapshots})
	river.AddWorker(workers, &services.RestoreSnapshotWorker{Snapshots: f.fleet.snapshots})
	f.queue = filestest.Queue(t, f.fleet.pool, workers)
	f.owner = f.fleet.owner(t)
	f.conn = connect(t, f.owner, f.URL, accountToken)
	f.set(airtableapi.ConnectionSettingsPatch{FreshnessSeconds: new(24 * 3600)})
	return f
}

func (f *farHooks) set(s airtableapi.ConnectionSettingsPatch) {
	f.t.Helper()
	must(f.t, f.owner, airtableapi.UpdateConnection, airtableapi.ConnectionUpdate{
		ConnectionPath: airtableapi.ConnectionPath{ID: f.conn.ID}, Body: airtableapi.ConnectionPatch{Settings: s},
	})
}

func (f *farHooks) refuse(deny func(*http.Request) (int, string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deny = deny
}

func (f *farHooks) count(call string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[call]
}

// direct asks Airtable without the gateway.
func (f *farHooks) direct(method, path, body string) reply {
	f.t.Helper()
	return send(f.t, f.URL, accountToken, method, path, body)
}

type farHook struct {
	ID, NotificationURL     string
	AreNotificationsEnabled bool
	ExpirationTime          time.Time
}

// hooks are the webhooks that Airtable has.
func (f *farHooks) hooks() []farHook {
	f.t.Helper()
	var out struct{ Webhooks []farHook }
	f.direct("GET", farWebhooks, "").ok(f.t, &out)
	return out.Webhooks
}

func (f *farHooks) watches() []airtableapi.Watch {
	f.t.Helper()
	return must(f.t, f.owner, airtableapi.ListWatches, airtableapi.WatchesQuery{ConnectionPath: airtableapi.ConnectionPath{ID: f.conn.ID}, PageQuery: page50}).Items
}

// in waits until the base's watch is in the state.
func (f *farHooks) in(state string) airtableapi.Watch {
	f.t.Helper()
	var got airtableapi.Watch
	await.True(f.t, "the watch is "+state, func() bool {
		list := f.watches()
		if len(list) == 1 {
			got = list[0]
		}
		return len(list) == 1 && got.State == state
	})
	return got
}

// idle waits until no job is left: one that has not quite ended keeps the next away.
func (f *farHooks) idle() {
	f.t.Helper()
	await.True(f.t, "no job is left", func() bool {
		var left int
		err := f.fleet.pool.QueryRow(f.t.Context(), `SELECT count(*) FROM river_job WHERE finalized_at IS NULL`).Scan(&left)
		return err == nil && left == 0
	})
}

// later is when both sides are from now on; what is due then is looked after.
func (f *farHooks) later(d time.Duration) {
	f.t.Helper()
	f.idle()
	f.now.Advance(d)
	f.fleet.now.Advance(d)
	if _, err := f.queue.Client.Insert(f.t.Context(), watch.Sweep{}, nil); err != nil {
		f.t.Fatal(err)
	}
}

// cached fails the test unless the answer comes from the cache.
func (f *farHooks) cached(path string) {
	f.t.Helper()
	if r := f.owner.get(f.t, path); r.status != 200 || r.header.Get("X-Cache") != "HIT" {
		f.t.Errorf("%s: %d %v", path, r.status, r.header)
	}
}

func (f *farHooks) awaitText(path, text string) {
	f.t.Helper()
	await.True(f.t, path+" tells "+text, func() bool { return strings.Contains(f.owner.get(f.t, path).body, text) })
}

const (
	oneTask   = emulated + "/recTask0000000001"
	onePerson = "/v0/appEmulator000001/People/recAda00000000001"
	farSchema = "/v0/meta/bases/appEmulator000001/tables"
)

func TestWatch_AChangeMadeElsewhereIsSeenThoughAnswersAreFreshForADay(t *testing.T) {
	t.Parallel()
	f := newFarHooks(t)
	f.owner.get(t, oneTask).ok(t, nil)
	at := f.in(airtableapi.WatchListening)
	if hooks := f.hooks(); len(hooks) != 1 || hooks[0].ID != at.WebhookID || at.BaseID != "appEmulator000001" {
		t.Errorf("%+v, %+v", hooks, at)
	}
	f.owner.get(t, farSchema).ok(t, nil)
	// A table that nothing links to stays.
	f.direct("POST", farSchema, `{"name":"Alone","fields":[{"name":"Name","type":"singleLineText"}]}`).ok(t, nil)
	f.awaitText(farSchema, "Alone")
	alone := "/v0/appEmulator000001/Alone"
	for _, path := range []string{oneTask, onePerson, alone, farSchema} {
		f.owner.get(t, path).ok(t, nil)
		f.cached(path)
	}
	f.direct("PATCH", oneTask, `{"fields":{"Points":55}}`).ok(t, nil)
	f.awaitText(oneTask, "55")
	f.cached(alone)
	f.cached(farSchema)
	// What is linked to it has dropped, too.
	if r := f.owner.get(t, onePerson); r.header.Get("X-Cache") != "MISS" {
		t.Errorf("a linked table: %v", r.header)
	}
	f.direct("POST", farSchema+"/tblTasks000000001/fields", `{"name":"Due","type":"date","options":{"dateFormat":{"name":"iso"}}}`).ok(t, nil)
	f.awaitText(farSchema, "Due")
	if heard := f.in(airtableapi.WatchListening).HeardAt; heard.IsZero() {
		t.Error("nobody knows that Airtable told of it")
	}
}

func TestWatch_AnswersFromBeforeTheWebhookAreNotKept(t *testing.T) {
	t.Parallel()
	f := newFarHooks(t)
	held := make(chan struct{})
	f.refuse(func(r *http.Request) (int, string) {
		if strings.HasSuffix(r.URL.Path, "/webhooks") {
			<-held
		}
		return 0, ""
	})
	f.owner.get(t, oneTask).ok(t, nil)
	f.cached(oneTask)
	f.direct("PATCH", oneTask, `{"fields":{"Points":56}}`).ok(t, nil) // of which no webhook tells
	close(held)
	f.awaitText(oneTask, "56")
}

func TestWatch_ManyChangesAreReadTogether(t *testing.T) {
	t.Parallel()
	f := newFarHooks(t)
	f.owner.get(t, oneTask).ok(t, nil)
	f.in(airtableapi.WatchListening)
	for i := range 120 { // more than a call tells of
		f.direct("PATCH", oneTask, fmt.Sprintf(`{"fields":{"Points":%d}}`, 1000+i)).ok(t, nil)
	}
	f.awaitText(oneTask, "1119")
	if n := f.count("GET payloads"); n > 20 {
		t.Errorf("120 changes took %d calls", n)
	}
}

func TestWatch_TakesPingsOfItsWebhookAlone(t *testing.T) {
	t.Parallel()
	f := newFarHooks(t)
	f.owner.get(t, oneTask).ok(t, nil)
	f.in(airtableapi.WatchListening)
	address := f.hooks()[0].NotificationURL
	other := f.fleet.owner(t)
	at := address[strings.LastIndex(address, "/"):]
	body := `{"base":{"id":"appEmulator000001"}}`
	forged := hmac.New(sha256.New, []byte("guess"))
	forged.Write([]byte(body))
	before := f.count("GET payloads")
	for name, c := range map[string]struct {
		method, url, body, mac string
		status                 int
	}{
		"no MAC":             {"POST", address, body, "", 403},
		"another key":        {"POST", address, body, "hmac-sha256=" + hex.EncodeToString(forged.Sum(nil)), 403},
		"no digits":          {"POST", address, body, "hmac-sha256=xyz", 403},
		"no watch":           {"POST", address[:len(address)-36] + uid(), body, "hmac-sha256=00", 404},
		"another tenant's":   {"POST", f.fleet.url + airtableapi.Pings.Prefix + other.tenant.String() + at, body, "hmac-sha256=00", 404},
		"no address":         {"POST", f.fleet.url + airtableapi.Pings.Prefix + "x/y/z", body, "hmac-sha256=00", 404},
		"nothing":            {"POST", f.fleet.url + airtableapi.Pings.Prefix, body, "hmac-sha256=00", 404},
		"read":               {"GET", address, "", "", 404},
		"more than is taken": {"POST", address, strings.Repeat("x", 65<<10), "hmac-sha256=00", 413},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, c.url, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(watch.MACHeader, c.mac)
		if r := receive(t, req); r.status != c.status || !strings.Contains(r.header.Get("Content-Type"), "problem+json") {
			t.Errorf("%s: %d %v %s", name, r.status, r.header, r.body)
		}
	}
	if n := f.count("GET payloads"); n != before {
		t.Errorf("%d readings after them", n-before)
	}
}

func TestWatch_IsLookedAfterEveryDay(t *testing.T) {
	t.Parallel()
	f := newFarHooks(t)
	f.owner.get(t, oneTask).ok(t, nil)
	first := f.in(airtableapi.WatchListening)
	f.later(25 * time.Hour)
	await.True(t, "the webhook lives longer", func() bool { return f.watches()[0].ExpiresAt.After(first.ExpiresAt) })

	// Switched off by Airtable, as after failures: what happened meanwhile is read.
	f.owner.get(t, oneTask)
	f.direct("POST", farWebhooks+"/"+first.WebhookID+"/enableNotifications", `{"enable":false}`).ok(t, nil)
	f.owner.get(t, oneTask)
	f.direct("PATCH", oneTask, `{"fields":{"Points":57}}`).ok(t, nil)
	f.later(25 * time.Hour)
	await.True(t, "it pings again", func() bool { h := f.hooks(); return len(h) == 1 && h[0].AreNotificationsEnabled })
	f.awaitText(oneTask, "57")

	// Deleted by somebody: another one is made.
	f.direct("DELETE", farWebhooks+"/"+first.WebhookID, "").ok(t, nil)
	f.direct("PATCH", oneTask, `{"fields":{"Points":58}}`).ok(t, nil)
	f.later(25 * time.Hour)
	await.True(t, "there is another", func() bool { h := f.hooks(); return len(h) == 1 && h[0].ID != first.WebhookID })
	f.awaitText(oneTask, "58")
}

func TestWatch_ARefusalIsToldAndTriedAgainTheNextDay(t *testing.T) {
	t.Parallel()
	f := newFarHooks(t)
	var others []string
	for range models.MaxWebhooks {
		var made struct{ ID string }
		f.direct("POST", farWebhooks, watchRecords).ok(t, &made)
		others = append(others, made.ID)
	}
	f.owner.get(t, oneTask).ok(t, nil)
	if at := f.in(airtableapi.WatchRefused); at.Reason == "" || at.WebhookID != "" {
		t.Errorf("%+v", at)
	}
	f.direct("DELETE", farWebhooks+"/"+others[0], "").ok(t, nil)
	f.later(25 * time.Hour)
	if at := f.in(airtableapi.WatchListening); at.Reason != "" {
		t.Errorf("%+v", at)
	}
	// The token may no longer see the base: the watch says so.
	f.refuse(func(*http.Request) (int, string) {
		return 403, `{"error":{"type":"INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND","message":"Invalid permissions."}}`
	})
	f.later(25 * time.Hour)
	if at := f.in(airtableapi.WatchRefused); !strings.Contains(at.Reason, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND") {
		t.Errorf("%+v", at)
	}
}

func TestWatch_LeavesNothingAtAirtable(t *testing.T) {
	t.Parallel()
	f := newFarHooks(t)
	gone := func(why string) {
		t.Helper()
		await.True(t, why, func() bool { return len(f.hooks()) == 0 })
	}
	f.owner.get(t, oneTask).ok(t, nil)
	first := f.in(airtableapi.WatchListening)
	f.later(6 * 24 * time.Hour)
	await.True(t, "the webhook lives longer", func() bool { return f.watches()[0].ExpiresAt.After(first.ExpiresAt) })
	f.later(2 * 24 * time.Hour)
	gone("nobody reads the base")
	await.True(t, "the watch is forgotten", func() bool { return len(f.watches()) == 0 })
	f.idle()

	f.owner.get(t, oneTask).ok(t, nil)
	f.in(airtableapi.WatchListening)
	f.set(airtableapi.ConnectionSettingsPatch{WatchChanges: new(false)})
	f.later(25 * time.Hour)
	gone("the connection watches no more")
	f.owner.get(t, emulated).ok(t, nil)
	if list := f.watches(); len(list) != 0 {
		t.Errorf("%+v", list)
	}

	f.set(airtableapi.ConnectionSettingsPatch{WatchChanges: new(true)})
	f.later(2 * time.Hour)
	f.owner.get(t, emulated+"?maxRecords=1").ok(t, nil)
	f.in(airtableapi.WatchListening)
	must(t, f.owner, airtableapi.DeleteConnection, airtableapi.ConnectionDelete{ConnectionPath: airtableapi.ConnectionPath{ID: f.conn.ID}})
	gone("the connection is deleted")
}

func TestWatch_AJobThatDiedIsReplacedByALaterPing(t *testing.T) {
	t.Parallel()
	f := newFarHooks(t)
	f.owner.get(t, oneTask).ok(t, nil)
	f.in(airtableapi.WatchListening)
	// As left behind by a process that was killed while it read.
	if _, err := postgres.ForEveryTenant(f.fleet.pool).Exec(t.Context(), `UPDATE watches SET pinged = pinged + 1, asked_at = $1`, f.fleet.now.Now()); err != nil {
		t.Fatal(err)
	}
	f.fleet.now.Advance(time.Minute)
	f.owner.get(t, oneTask).ok(t, nil)
	f.direct("PATCH", oneTask, `{"fields":{"Points":59}}`).ok(t, nil)
	f.awaitText(oneTask, "59")
}

func TestWatches_AreTheTenantsOwn(t *testing.T) {
	t.Parallel()
	f := newFarHooks(t)
	f.owner.get(t, oneTask).ok(t, nil)
	f.in(airtableapi.WatchListening)
	query := airtableapi.WatchesQuery{ConnectionPath: airtableapi.ConnectionPath{ID: f.conn.ID}, PageQuery: page50}
	if _, err := call(t, f.fleet.owner(t), airtableapi.ListWatches, query); !errors.Is(err, airtableapi.ErrConnectionNotFound) {
		t.Errorf("a stranger: %v", err)
	}
	query.Cursor = "nonsense"
	if _, err := call(t, f.owner, airtableapi.ListWatches, query); errs.From(err).Kind != errs.Invalid {
		t.Errorf("a cursor that nobody gave: %v", err)
	}
}
