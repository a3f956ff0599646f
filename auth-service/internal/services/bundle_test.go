package services_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"
	"github.com/riverqueue/river"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/auth-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/redistest"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

const password = "a long enough passphrase"

var (
	home  = models.Device{IP: "192.0.2.1", UserAgent: "test"}
	hotel = models.Device{IP: "198.51.100.7", UserAgent: "test"}
)

// bundle is the service without its transport, on a real database and Redis,
// with a clock that the test moves.
type bundle struct {
	*services.Auth
	t        *testing.T
	pool     *pgxpool.Pool
	all      postgres.Querier // sees the rows of every tenant
	rdb      goredis.UniversalClient
	box      *seal.Box
	repo     *repository.Repository
	keys     *services.Keys
	registry *prometheus.Registry
	clock    *clock
	asked    []models.AskMail // jobs to be worked
}

// clock starts at the real time, since tokens are verified against that.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return services.Clock().Add(c.ahead)
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

func newBundle(t *testing.T, change func(*services.Options)) *bundle {
	t.Helper()
	b := &bundle{
		t: t, pool: pgtest.New(t, "auth-service", repository.Migrations), rdb: redistest.New(t), clock: &clock{}, registry: prometheus.NewRegistry(),
	}
	b.all = postgres.ForEveryTenant(b.pool)
	var err error
	if b.box, err = seal.New(seal.NewKey()); err != nil {
		t.Fatal(err)
	}
	b.repo = b.repositoryWith(func(_ context.Context, _ pgx.Tx, args river.JobArgs) error {
		if ask, ok := args.(models.AskMail); ok {
			b.asked = append(b.asked, ask)
		}
		return nil
	})
	b.keys = services.NewKeys(b.repo, 30*24*time.Hour, b.clock.now)
	if err := b.keys.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	metrics := services.NewMetrics(b.registry)
	passwords, err := services.NewPasswords(4, 2, metrics)
	if err != nil {
		t.Fatal(err)
	}
	o := services.Options{
		Repo: b.repo, Attempts: repository.NewAttempts(b.rdb, zap.NewNop()), Keys: b.keys, Passwords: passwords,
		Announcer: services.NewAnnouncer(b.repo, repository.NewAnnouncements(b.rdb), b.clock.now), Metrics: metrics, Now: b.clock.now,
		Issuer: "pyairtable", Idle: 30 * 24 * time.Hour, Max: 180 * 24 * time.Hour, PublicURL: "http://localhost:8080",
		ServiceSecret: func(string) string { return "secret" }, KnownService: func(string) bool { return true },
	}
	if change != nil {
		change(&o)
	}
	b.Auth = services.New(o)
	return b
}

func (b *bundle) repositoryWith(enqueue repository.Enqueue) *repository.Repository {
	return repository.New(b.pool, b.box, enqueue, services.AccessTTL, b.clock.now)
}

func (b *bundle) register() models.User {
	b.t.Helper()
	u, err := b.Register(b.t.Context(), services.Registration{Email: "ada-" + id.New[id.User]().String() + "@example.com", Password: password, Name: "Ada"})
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

func (b *bundle) login(u models.User) services.SignedIn {
	b.t.Helper()
	in, err := b.Login(b.t.Context(), u.Email, password, home)
	if err != nil {
		b.t.Fatal(err)
	}
	return in
}

// who is the principal of an access token, which a clock that is ahead has made
// unusable as such.
func (b *bundle) who(in services.SignedIn) auth.Principal {
	b.t.Helper()
	var c auth.Claims
	if _, _, err := jwt.NewParser().ParseUnverified(in.Access, &c); err != nil {
		b.t.Fatal(err)
	}
	var p auth.Principal
	for text, into := range map[string]interface{ UnmarshalText([]byte) error }{c.Subject: &p.UserID, c.Tenant: &p.TenantID, c.Session: &p.SessionID} {
		b.ok(into.UnmarshalText([]byte(text)))
	}
	return p
}

// work works the jobs that ask for mails.
func (b *bundle) work() {
	b.t.Helper()
	for _, ask := range b.asked {
		b.ok(b.MailAsked(b.t.Context(), ask))
	}
	b.asked = nil
}

func (b *bundle) want(err error, want *errs.Error) {
	b.t.Helper()
	if !errors.Is(err, want) {
		b.t.Errorf("got %v, want %s", err, want.Code)
	}
}

func (b *bundle) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// metric is the sum of a counter's values, over those with the outcome, or all
// for "".
func (b *bundle) metric(name, outcome string) (sum float64) {
	b.t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if outcome == "" || len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == outcome {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// mail is the newest mail of the kind to the user; its token is "" if there is
// none.
func (b *bundle) mail(u models.User, kind models.MailKind) models.Mail {
	b.t.Helper()
	list, err := b.repo.Mails(b.t.Context(), u.Email, 100)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, m := range list {
		if m.Kind == kind {
			return m
		}
	}
	return models.Mail{}
}

func (b *bundle) mails(u models.User, kind models.MailKind) (n int) {
	b.t.Helper()
	list, err := b.repo.Mails(b.t.Context(), u.Email, 100)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, m := range list {
		if m.Kind == kind {
			n++
		}
	}
	return n
}

// events are the data of the outbox's events of a type.
func (b *bundle) events(name string) []map[string]any {
	b.t.Helper()
	rows, err := b.all.Query(b.t.Context(), `SELECT event FROM outbox WHERE event->>'type' = $1 ORDER BY seq`, name)
	if err != nil {
		b.t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (map[string]any, error) {
		var raw []byte
		if err := row.Scan(&raw); err != nil {
			return nil, err
		}
		var e struct{ Data map[string]any }
		err := json.Unmarshal(raw, &e)
		return e.Data, err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

func (b *bundle) announcements(rdb goredis.UniversalClient) *repository.Announcements {
	return repository.NewAnnouncements(rdb)
}

// kid names the key that signed a token.
func (b *bundle) kid(access string) string {
	b.t.Helper()
	token, _, err := jwt.NewParser().ParseUnverified(access, &auth.Claims{})
	if err != nil {
		b.t.Fatal(err)
	}
	return token.Header["kid"].(string)
}
