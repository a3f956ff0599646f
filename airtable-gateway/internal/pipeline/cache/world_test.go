package cache_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/clocktest"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/emulator"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/cache"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/ledger"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/airtable"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/redistest"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// The base that the tests read: two tables linked to each other and one by itself,
// which is long enough to be walked.
const (
	base   = "/v0/appCache000000001"
	tasks  = base + "/Tasks"
	task   = tasks + "/recTask0000000001"
	people = base + "/People"
	alone  = base + "/Numbers"
	schema = "/v0/meta/bases/appCache000000001/tables"
)

const (
	numbers   = 25
	siteBytes = 256 << 10
)

func seed() emulator.Seed {
	text := `{"bases":[{"id":"appCache000000001","name":"Cached","tables":[
		{"id":"tblPeople00000001","name":"People","fields":[{"id":"fldPeopleName0001","name":"Name","type":"singleLineText"}],
		 "records":[{"id":"recAda00000000001","fields":{"Name":"Ada"}}]},
		{"id":"tblTasks000000001","name":"Tasks","fields":[{"id":"fldTasksName00001","name":"Name","type":"singleLineText"},
			{"id":"fldTasksPts000001","name":"Points","type":"number","options":{"precision":0}},
			{"id":"fldTasksOwner0001","name":"Owner","type":"multipleRecordLinks","options":{"linkedTableId":"tblPeople00000001","inverseLinkFieldId":"fldPeopleTasks001"}}],
		 "records":[{"id":"recTask0000000001","fields":{"Name":"One","Points":0,"Owner":["recAda00000000001"]}}]},
		{"id":"tblNumbers0000001","name":"Numbers","fields":[{"id":"fldNumbersName001","name":"Name","type":"singleLineText"}],"records":[`
	for i := range numbers {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf(`{"id":"recNumber%08d","fields":{"Name":"n%02d"}}`, i, i)
	}
	s, err := emulator.ReadSeed(strings.NewReader(text + `]}]}]}`))
	if err != nil {
		panic(err)
	}
	return s
}

// world is an Airtable, a Redis and a clock.
type world struct {
	t    testing.TB
	pool *pgxpool.Pool
	far  *httptest.Server
	emu  *emulator.Emulator
	rdb  goredis.UniversalClient
	box  *seal.Box
	now  *clocktest.Clock
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldOn(t, redistest.New(t))
}

func newWorldOn(t testing.TB, rdb goredis.UniversalClient) *world {
	t.Helper()
	box, err := seal.New(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, rdb: rdb, box: box, now: clocktest.New(time.Now().Truncate(time.Millisecond)), pool: pgtest.New(t, "airtable-gateway", repository.Migrations)}
	store := local.New(w.pool, local.Options{Now: time.Now})
	if err := seed().Plant(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	w.emu = emulator.New(emulator.Options{Store: store, Now: time.Now})
	w.far = httptest.NewServer(w.emu)
	t.Cleanup(w.far.Close)
	return w
}

// replica is one process with a cache.
type replica struct {
	*world
	cache   *cache.Cache
	metrics *prometheus.Registry
	ledger  *ledger.Ledger
}

func (w *world) replica() *replica { return w.replicaOn(w.rdb) }

func (w *world) replicaOn(rdb goredis.UniversalClient) *replica {
	w.t.Helper()
	r := &replica{world: w, metrics: prometheus.NewRegistry()}
	r.ledger = ledger.New(repository.NewUsage(w.pool), zap.NewNop(), prometheus.NewRegistry(), w.now.Now)
	c, err := cache.New(w.t.Context(), cache.Options{
		Redis: rdb, Box: w.box, Log: zap.NewNop(), Metrics: r.metrics, Ledger: r.ledger, Front: 8 << 20, Site: siteBytes, Now: w.now.Now,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	r.cache = c
	ctx, stop := context.WithCancel(context.WithoutCancel(w.t.Context()))
	var loop sync.WaitGroup
	loop.Go(func() {
		if err := c.Run(ctx); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(func() {
		stop()
		loop.Wait()
	})
	return r
}

// link is a way to Airtable on which a test can stand.
type link struct {
	upstream.Upstream
	mu     sync.Mutex
	calls  []upstream.Call
	before func(upstream.Call) (upstream.Answer, error, bool) // true: this is what comes back
	after  func(upstream.Call)
}

func (l *link) Do(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	l.mu.Lock()
	l.calls = append(l.calls, c)
	before, after := l.before, l.after
	l.mu.Unlock()
	if before != nil {
		if a, err, is := before(c); is {
			return a, err
		}
	}
	a, err := l.Upstream.Do(ctx, c)
	if after != nil {
		after(c)
	}
	return a, err
}

func (l *link) on(before func(upstream.Call) (upstream.Answer, error, bool), after func(upstream.Call)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before, l.after = before, after
}

// count is how many calls have gone to Airtable since the last look.
func (l *link) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.calls)
	l.calls = nil
	return n
}

func (l *link) last() upstream.Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[len(l.calls)-1]
}

// client is somebody who calls through a replica by a connection.
type client struct {
	t    testing.TB
	conn models.Connection
	up   upstream.Upstream
	link *link
}

// connection is one of a tenant's own.
func (w *world) connection(freshness time.Duration) models.Connection {
	c := models.NewConnection(id.New[id.Tenant](), models.AirtableConnection, "far", w.now.Now())
	c.APIURL, c.Token, c.Settings.Freshness = w.far.URL, []byte("sealed "+c.ID.String()), freshness
	return c
}

func (r *replica) client(conn models.Connection) *client {
	l := &link{Upstream: airtable.New(30*time.Second).At(r.far.URL, "patAny")}
	return &client{t: r.t, conn: conn, link: l, up: r.cache.Of(l, conn)}
}

const freshness = 30 * time.Second

// one is a world with one replica and one client.
func one(t testing.TB) (*world, *client) {
	t.Helper()
	w := newWorld(t)
	return w, w.replica().client(w.connection(freshness))
}

func (c *client) call(method, target, body string, header ...string) upstream.Call {
	c.t.Helper()
	path, query, _ := strings.Cut(target, "?")
	call, ok := v0.Parse(method, path)
	if !ok {
		c.t.Fatalf("%s %s is no call", method, target)
	}
	call.RawQuery, call.Header, call.Caller = query, http.Header{}, upstream.Caller{Tenant: c.conn.Tenant}
	if body != "" {
		call.Body = []byte(body)
	}
	for i := 0; i < len(header); i += 2 {
		call.Header.Set(header[i], header[i+1])
	}
	return call
}

// do makes a call that has to be answered.
func (c *client) do(method, target, body string, header ...string) upstream.Answer {
	c.t.Helper()
	a, err := c.up.Do(c.t.Context(), c.call(method, target, body, header...))
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, target, err)
	}
	return a
}

func (c *client) get(target string, header ...string) upstream.Answer {
	c.t.Helper()
	return c.do("GET", target, "", header...)
}

// write makes a write that has to succeed.
func (c *client) write(method, target, body string) upstream.Answer {
	c.t.Helper()
	a := c.do(method, target, body)
	if a.Status != http.StatusOK {
		c.t.Fatalf("%s %s: %d %s", method, target, a.Status, a.Body)
	}
	return a
}

func (c *client) setPoints(n int) {
	c.t.Helper()
	c.write("PATCH", task, fmt.Sprintf(`{"fields":{"Points":%d}}`, n))
}

// is fails the test unless the answer is a 200 that came from there.
func is(t testing.TB, a upstream.Answer, state string) upstream.Answer {
	t.Helper()
	if got := a.Header.Get(cache.Header); a.Status != http.StatusOK || got != state {
		t.Errorf("%d %s, want 200 %s: %.120s", a.Status, got, state, a.Body)
	}
	return a
}

func points(t testing.TB, a upstream.Answer) int {
	t.Helper()
	var r struct{ Fields struct{ Points int } }
	if err := json.Unmarshal(a.Body, &r); err != nil {
		t.Fatal(err)
	}
	return r.Fields.Points
}

type page struct {
	Records []struct {
		ID     string
		Fields struct{ Name string }
	}
	Offset string
}

func pageOf(t testing.TB, a upstream.Answer) (p page) {
	t.Helper()
	if err := json.Unmarshal(a.Body, &p); err != nil || a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	return p
}
