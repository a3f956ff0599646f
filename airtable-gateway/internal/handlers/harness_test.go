package handlers_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/allowance"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/clocktest"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/files"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/filestest"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/handlers"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/announce"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/budget"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/cache"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/coalesce"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/ledger"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/stable"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/policy"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/services"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/airtable"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/watch"
	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/apptest"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/jobs"
	"github.com/pyairtable/pyairtable/pkg/limits"
	"github.com/pyairtable/pyairtable/pkg/metrics"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/redistest"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	"github.com/pyairtable/pyairtable/pkg/seal"
	"github.com/pyairtable/pyairtable/pkg/tracing"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode) // Gin lists every route otherwise
	m.Run()
}

// fleet is the service on a real port and a real database, with an issuer of its
// own instead of auth-service.
type fleet struct {
	url     string
	pool    *pgxpool.Pool
	api     *httpx.API
	metrics *prometheus.Registry
	logs    *apptest.Log
	client  *rpc.Client
	key     ed25519.PrivateKey
	now     *clocktest.Clock
	ledger  *ledger.Ledger
	stable  *stable.Links
	watcher *watch.Watcher

	plans     *plans
	counter   *limits.Client
	within    *allowance.Allowance
	keeper    *files.Keeper
	dir       string // of its files
	directory *repository.Directory
	people    *services.People
	snapshots *services.Snapshots
	erasures  *services.Erasures
	queue     *jobs.Client // of which nobody works the jobs
	users     *userService
}

type staticKeys ed25519.PublicKey

func (k staticKeys) Key(context.Context, string) (ed25519.PublicKey, error) {
	return ed25519.PublicKey(k), nil
}
func (staticKeys) Generation() uint64 { return 1 }

// publicURL is what links begin with; tests open them at the fleet's own address.
const publicURL = "http://public.test"

// newFleet starts the service; connections may point at the allowed addresses. The role
// in the token decides.
func newFleet(t *testing.T, allowed ...string) *fleet {
	t.Helper()
	return newFleetOf(t, permit.ByRole{}, allowed...)
}

// newFleetOf is newFleet where permits decides.
func newFleetOf(t *testing.T, permits permit.Authority, allowed ...string) *fleet {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	box, err := seal.New(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	tracer, err := tracing.Start(t.Context(), "airtable-gateway", "")
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{
		pool: pgtest.New(t, "airtable-gateway", repository.Migrations), metrics: metrics.New(), logs: &apptest.Log{}, key: private,
		now: clocktest.New(time.Now()),
	}
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(f.logs), zap.DebugLevel))
	engine := gin.New()
	engine.UseRawPath, engine.UnescapePathValues, engine.RedirectTrailingSlash = true, true, false
	engine.ContextWithFallback = true
	f.api = httpx.New(engine, httpx.Options{
		Service: "airtable-gateway", Title: "Airtable Gateway", Log: log, Metrics: metrics.NewHTTP(f.metrics), Tracer: tracer,
		Verifier: auth.NewVerifier("pyairtable", staticKeys(public), nil),
	})
	client := airtable.New(5 * time.Second)
	queue, err := jobs.New(f.pool, log, jobs.Options{}) // nobody works the jobs unless a test does
	if err != nil {
		t.Fatal(err)
	}
	f.queue = queue
	f.plans = newPlans()
	f.counter = limits.NewFrom(f.plans.source(), f.metrics, time.Now)
	f.within = allowance.New(f.counter, repository.NewUses(f.pool))
	f.dir = t.TempDir()
	keeper := filestest.KeeperIn(t, f.dir, f.within, f.pool, publicURL+airtableapi.Files.Prefix, f.now.Now)
	f.keeper = keeper
	store := local.New(f.pool, local.Options{Now: time.Now, Box: box, Files: keeper, Enqueue: queue.Insert, Allowance: f.within})
	origins := models.AllowedURLs{airtable.DefaultURL}
	for _, address := range allowed {
		origins = append(origins, strings.TrimSuffix(address, "/"))
	}
	rdb := redistest.New(t)
	spare := budget.New(t.Context(), budget.Options{Redis: rdb, Log: log, Metrics: f.metrics, Wait: time.Minute})
	spent := ledger.New(repository.NewUsage(f.pool), log, f.metrics, f.now.Now)
	f.ledger = spent
	kept, err := cache.New(t.Context(), cache.Options{
		Redis: rdb, Box: box, Log: log, Metrics: f.metrics, Ledger: spent, Front: 8 << 20, Site: 8 << 20, Now: f.now.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var loops sync.WaitGroup
	told := announce.New(repository.NewJournal(f.pool), log, f.metrics, time.Now)
	batches := coalesce.New(t.Context(), coalesce.Options{Log: log, Metrics: f.metrics, Wait: time.Minute})
	for _, run := range []func(context.Context) error{spare.Run, spent.Run, told.Run, batches.Run, kept.Run} {
		loops.Go(func() {
			if err := run(running); err != nil {
				t.Error(err)
			}
		})
	}
	accounts := repository.NewConnections(f.pool)
	var upstreams *services.Upstreams
	f.stable = stable.New(stable.Options{
		Files: keeper, Repo: repository.NewStableFiles(f.pool, queue.Insert), Now: f.now.Now,
		Reach: func(ctx context.Context, tenant id.TenantID, connection models.ConnectionID) (upstream.Upstream, error) {
			return upstreams.Account(ctx, accounts, tenant, connection)
		},
	})
	server := httptest.NewUnstartedServer(engine)
	f.watcher = watch.New(watch.Options{
		Repo: repository.NewWatches(f.pool, queue.Insert), Connections: accounts, Cache: kept, Box: box,
		At:      func(c models.Connection) (upstream.Upstream, error) { return upstreams.Bare(c) },
		Address: "http://" + server.Listener.Addr().String() + strings.TrimSuffix(airtableapi.Pings.Prefix, "/"),
		Now:     f.now.Now, Metrics: f.metrics,
	})
	upstreams = services.NewUpstreams(services.Parts{
		Local: store, Airtable: client, Cache: kept, Budget: spare, Ledger: spent,
		Coalesce: batches, Announce: told, Stable: f.stable, Watch: f.watcher, Box: box, Allowed: origins, Metrics: f.metrics,
	})
	connections := services.NewConnections(accounts, repository.NewPlaces(f.pool), upstreams, f.now.Now)
	f.directory, f.users = repository.NewDirectory(f.pool, f.now.Now), &userService{cards: map[id.UserID]userapi.UserCard{}}
	f.people = services.NewPeople(f.directory, f.users, log)
	snapshotRepo := repository.NewSnapshots(f.pool, queue.Insert)
	f.snapshots = services.NewSnapshots(connections, local.NewSnapshots(store, snapshotRepo), snapshotRepo, time.Now)
	f.erasures = &services.Erasures{
		Repo: repository.NewErasures(f.pool, queue.Insert, services.NewEraseTenant, f.now.Now), Files: keeper, Cache: kept, Watch: f.watcher,
	}
	guard := policy.New(permits, store.Views)
	later := func(ctx context.Context, o policy.Ownership) error {
		return postgres.InTx(ctx, f.pool, func(tx pgx.Tx) error { return queue.Insert(ctx, tx, o) })
	}
	handlers.Register(f.api, handlers.Deps{
		Gateway: services.NewGateway(connections, upstreams, f.people, guard, f.within, later), Connections: connections,
		Demo: services.NewDemo(connections, store), Views: services.NewViews(connections, store, guard), History: services.NewHistory(connections, store, guard), Usage: services.NewUsage(repository.NewUsage(f.pool), connections, f.now.Now), Files: keeper, Watcher: f.watcher, APIURL: airtable.DefaultURL,
		Snapshots: f.snapshots,
	})
	server.Start()
	f.url = server.URL
	f.client = rpc.New(rpc.Options{Callee: "airtable-gateway", Addresses: []string{server.URL}, Metrics: rpc.NewMetrics(metrics.New())})
	t.Cleanup(func() {
		server.Close()
		stop()
		loops.Wait()
		client.Close()
	})
	return f
}

// person is somebody with a token.
type person struct {
	f      *fleet
	tenant id.TenantID
	user   id.UserID
	role   string
	token  string
}

// owner is the owner of a tenant of his own, signed in.
func (f *fleet) owner(t *testing.T) person {
	t.Helper()
	return f.person(t, func(*auth.Claims) {})
}

func (f *fleet) person(t *testing.T, change func(*auth.Claims)) person {
	t.Helper()
	p := person{f: f}
	c := auth.Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: "pyairtable", Audience: jwt.ClaimStrings{auth.AudienceUser}, Subject: uid(), ID: uid(),
			IssuedAt: jwt.NewNumericDate(time.Now()), ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)),
		},
		Tenant: uid(), Session: uid(), Role: "owner", Scope: auth.Any,
	}
	change(&c)
	p.token, p.role = f.sign(t, c), c.Role
	if err := p.user.UnmarshalText([]byte(c.Subject)); err != nil {
		t.Fatal(err)
	}
	if err := p.tenant.UnmarshalText([]byte(c.Tenant)); err != nil {
		t.Fatal(err)
	}
	return p
}

func (f *fleet) sign(t *testing.T, c auth.Claims) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	token.Header["kid"] = "k1"
	signed, err := token.SignedString(f.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// pat is a personal access token of p with the scopes and bases.
func (p person) pat(t *testing.T, scopes string, bases ...string) person {
	t.Helper()
	return p.f.person(t, func(c *auth.Claims) {
		c.Role = p.role
		c.Subject, c.Tenant, c.Session, c.PAT, c.Scope, c.Bases = p.user.String(), p.tenant.String(), "", uid(), scopes, bases
	})
}

// member is another user of p's tenant.
func (p person) member(t *testing.T) person {
	t.Helper()
	return p.f.person(t, func(c *auth.Claims) { c.Tenant, c.Role = p.tenant.String(), "member" })
}

func uid() string { return id.New[struct{}]().String() }

// reply is what came back from /v0.
type reply struct {
	status int
	header http.Header
	body   string
}

// v0 sends a request to the Airtable surface; body may be nil or a string of JSON.
func (p person) v0(t *testing.T, method, path, body string) reply {
	t.Helper()
	return send(t, p.f.url, p.token, method, path, body)
}

func send(t *testing.T, base, token, method, path, body string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return receive(t, req)
}

func receive(t *testing.T, req *http.Request) reply {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(got)}
}

// ok fails the test unless the reply is a 200, and reads it into out.
func (r reply) ok(t *testing.T, out any) {
	t.Helper()
	if r.status != http.StatusOK {
		t.Fatalf("status %d: %s", r.status, r.body)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(r.body), out); err != nil {
			t.Fatalf("%v in %s", err, r.body)
		}
	}
}

// refused fails the test unless the reply is that refusal.
func (r reply) refused(t *testing.T, status int, body string) {
	t.Helper()
	if r.status != status || r.body != body {
		t.Errorf("got %d %s\nwant %d %s", r.status, r.body, status, body)
	}
	if got := r.header.Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Errorf("Content-Type = %q", got)
	}
}

// call calls an operation as p.
func call[In, Out any](t *testing.T, p person, op api.Op[In, Out], in In) (Out, error) {
	t.Helper()
	return rpc.Call(t.Context(), p.f.client.As(auth.Principal{Token: p.token}), op, in)
}

// must is call for what has to succeed.
func must[In, Out any](t *testing.T, p person, op api.Op[In, Out], in In) Out {
	t.Helper()
	out, err := call(t, p, op, in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// shop makes a base with a table "Orders/2" and returns the base's id.
func (p person) shop(t *testing.T) string {
	t.Helper()
	var made struct{ ID string }
	p.v0(t, "POST", "/v0/meta/bases", `{"name":"Shop","workspaceId":"wspAAAAAAAAAAAAAA","tables":[
		{"name":"Customers","fields":[{"name":"Name","type":"singleLineText"}]},
		{"name":"Orders/2","fields":[{"name":"No","type":"singleLineText"},{"name":"Qty","type":"number","options":{"precision":0}},
			{"name":"State","type":"singleSelect","options":{"choices":[{"name":"new"},{"name":"done"}]}}]}]}`).ok(t, &made)
	return made.ID
}
