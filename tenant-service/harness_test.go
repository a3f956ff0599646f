package tenantservice_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/apptest"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/redistest"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	tenantservice "github.com/pyairtable/pyairtable/tenant-service"
	"github.com/pyairtable/pyairtable/tenant-service/internal/repository"
)

// world is the whole service, running, with a database, a Redis and an issuer of its own.
type world struct {
	*apptest.Running
	t      testing.TB
	issuer *authtest.Issuer
	pool   *pgxpool.Pool
	env    map[string]string
}

func start(t testing.TB, vars map[string]string) *world {
	t.Helper()
	return startWith(t, authtest.New(t), vars)
}

func startWith(t testing.TB, issuer *authtest.Issuer, vars map[string]string) *world {
	t.Helper()
	w := &world{t: t, issuer: issuer}
	w.env = map[string]string{
		"AUTH_SERVICE_URL": w.issuer.URL, "DATABASE_URL": pgtest.URL(t, tenantapi.Service.Name, repository.Migrations), "REDIS_URL": redistest.URL(t),
		"PERMISSIONS": config.PermissionsByRole,
	}
	for k, v := range vars {
		w.env[k] = v
	}
	pool, err := postgres.Open(t.Context(), w.env["DATABASE_URL"], postgres.Options{AppName: "test"})
	w.ok(err)
	t.Cleanup(pool.Close)
	w.pool = pool
	w.Running = apptest.Start(t, tenantservice.Service, w.env)
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// person is a user with a token for one tenant.
type person struct {
	user   id.UserID
	tenant id.TenantID
	member string // the id of his membership, "" if he has none
	*rpc.Client
}

// in is the user with a token for the tenant.
func (w *world) in(tenant id.TenantID, user id.UserID, role string) person {
	w.t.Helper()
	token := w.issuer.Token(w.t, authtest.User(tenant, user, role))
	return person{user: user, tenant: tenant, Client: w.Client(auth.Principal{Token: token})}
}

// stranger is a user of whom the service has not heard.
func (w *world) stranger() person { return w.in(id.New[id.Tenant](), id.New[id.User](), "owner") }

// organisation is the owner of a new one.
func (w *world) organisation(name string) person {
	w.t.Helper()
	founder := w.stranger()
	made := must(w, founder, tenantapi.CreateTenant, tenantapi.NewTenant{Name: name})
	tenant, err := id.Parse[id.Tenant](made.Body.ID)
	w.ok(err)
	owner := w.in(tenant, founder.user, "owner")
	owner.member = must(w, owner, tenantapi.ListMembers, tenantapi.MembersQuery{TenantRef: owner.ref()}).Items[0].ID
	return owner
}

// join makes a new user a member of the person's tenant.
func (w *world) join(of person, role string) person {
	w.t.Helper()
	p := w.in(of.tenant, id.New[id.User](), role)
	p.member = id.New[any]().String()
	_, err := postgres.ForTenant(w.pool, of.tenant).Exec(w.t.Context(), `
		INSERT INTO members (tenant_id, id, user_id, kind, role, version, joined_at, updated_at)
		VALUES ($1, $2, $3, 'user', $4, 1, now(), now())`, p.tenant, p.member, p.user, role)
	w.ok(err)
	return p
}

func (p person) ref() tenantapi.TenantRef { return tenantapi.TenantRef{TenantID: p.tenant.String()} }

func (p person) memberRef(m person) tenantapi.MemberRef {
	return tenantapi.MemberRef{TenantRef: p.ref(), MemberID: m.member}
}

func call[In, Out any](w *world, p person, op api.Op[In, Out], in In) (Out, error) {
	return rpc.Call(w.t.Context(), p.Client, op, in)
}

// must is call for what has to succeed.
func must[In, Out any](w *world, p person, op api.Op[In, Out], in In) Out {
	w.t.Helper()
	out, err := call(w, p, op, in)
	if err != nil {
		w.t.Fatalf("%s: %v", op.Name, err)
	}
	return out
}

// refuse checks that a call is answered with the error.
func refuse[In, Out any](w *world, want *errs.Error, p person, op api.Op[In, Out], in In) {
	w.t.Helper()
	if _, err := call(w, p, op, in); !errors.Is(err, want) {
		w.t.Errorf("%s: got %v, want %s", op.Name, err, want.Code)
	}
}

// emitted counts the events of a type about the subject.
func (w *world) emitted(name, subject string) int {
	w.t.Helper()
	return w.count(`SELECT count(*) FROM outbox WHERE event::jsonb ->> 'type' = $1 AND event::jsonb ->> 'subject' = $2`, name, subject)
}

func (w *world) count(sql string, args ...any) (n int) {
	w.t.Helper()
	w.ok(postgres.ForEveryTenant(w.pool).QueryRow(w.t.Context(), sql, args...).Scan(&n))
	return n
}

// hear has the service consume the events, in that order.
func (w *world) hear(evs ...events.Event) {
	w.t.Helper()
	for _, e := range evs {
		w.ok(postgres.InTx(w.t.Context(), w.pool, func(tx pgx.Tx) error { return events.Emit(w.t.Context(), tx, e) }))
		await.True(w.t, e.Type+" is applied", func() bool {
			return w.count(`SELECT count(*) FROM inbox WHERE event_id = $1`, e.ID) == 1
		})
	}
}

func ptr[T any](v T) *T { return &v }

func shortGrace() map[string]string { return map[string]string{"DELETION_GRACE": time.Second.String()} }
