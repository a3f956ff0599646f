package userservice_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/redistest"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	"github.com/pyairtable/pyairtable/pkg/seal"
	userservice "github.com/pyairtable/pyairtable/user-service"
	"github.com/pyairtable/pyairtable/user-service/internal/repository"
)

const patience = 20 * time.Second

// world is the whole service, running, with a database, a Redis and an issuer of
// its own.
type world struct {
	*testing.T
	issuer *authtest.Issuer
	pool   *pgxpool.Pool
	url    string
	client *rpc.Client
}

func start(t *testing.T) *world {
	t.Helper()
	return startWith(t, authtest.New(t), nil)
}

func startWith(t *testing.T, issuer *authtest.Issuer, vars map[string]string) *world {
	t.Helper()
	database := pgtest.URL(t, userapi.Service.Name, repository.Migrations)
	w := &world{T: t, issuer: issuer}
	pool, err := postgres.Open(t.Context(), database, postgres.Options{AppName: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	w.pool = pool

	env := config.Overlay(vars, config.Overlay(map[string]string{
		"DATABASE_URL": database, "REDIS_URL": redistest.URL(t), "AUTH_SERVICE_URL": w.issuer.URL,
		"PORT": "0", "SEAL_KEYS": seal.NewKey(), "SERVICE_SECRET": strings.Repeat("s", 32), "LOG_LEVEL": "error",
		"PERMISSIONS": config.PermissionsByRole,
	}, func(string) (string, bool) { return "", false }))
	ctx, stop := context.WithCancel(context.Background())
	address, ready, ended := make(chan string, 1), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- userservice.Service.Run(ctx, app.Options{
			Env: env, Log: io.Discard,
			Started: func(a string) { address <- a }, Ready: func() { close(ready) },
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the service ended with %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatalf("the service did not start: %v", err)
	case <-time.After(patience):
		t.Fatal("the service did not start in time")
	}
	w.url = "http://" + <-address
	w.client = rpc.New(rpc.Options{Callee: userapi.Service.Name, Addresses: []string{w.url}})
	return w
}

// person is somebody with a token.
type person struct {
	id     id.UserID
	tenant id.TenantID
	token  string
	*rpc.Client
}

func (w *world) as(claims auth.Claims) *person {
	w.Helper()
	p := &person{token: w.issuer.Token(w, claims)}
	_ = p.id.UnmarshalText([]byte(claims.Subject)) // a service has none
	_ = p.tenant.UnmarshalText([]byte(claims.Tenant))
	p.Client = w.client.As(auth.Principal{Token: p.token})
	return p
}

// newcomer is a new user in the tenant, of whom the service has not heard.
func (w *world) newcomer(tenant id.TenantID, role string) *person {
	w.Helper()
	return w.as(authtest.User(tenant, id.New[id.User](), role))
}

// member is a new user in the tenant who has a profile.
func (w *world) member(tenant id.TenantID, role string) *person {
	w.Helper()
	p := w.newcomer(tenant, role)
	w.me(p)
	return p
}

func (w *world) me(p *person) userapi.UserAnswer {
	w.Helper()
	return must(w, func() (userapi.UserAnswer, error) { return rpc.Call(w.Context(), p.Client, userapi.GetMe, struct{}{}) })
}

func (w *world) named(p *person, name string) userapi.UserAnswer {
	w.Helper()
	return must(w, func() (userapi.UserAnswer, error) {
		return rpc.Call(w.Context(), p.Client, userapi.ReplaceMe, userapi.MeUpdate{Body: profile(name)})
	})
}

func profile(name string) userapi.User { return userapi.User{Profile: userapi.Profile{Name: name}} }

func must[T any](w *world, f func() (T, error)) T {
	w.Helper()
	v, err := f()
	if err != nil {
		w.Fatal(err)
	}
	return v
}

// registered is auth-service's event about the person.
func registered(ctx context.Context, p *person, email, name string) events.Event {
	return authapi.UserRegistered.New(ctx, p.tenant, p.id.String(), 1, authapi.UserRegisteredData{
		UserID: p.id.String(), TenantID: p.tenant.String(), Email: email, Name: name,
	})
}

// publish sends the events the whole way: outbox, relay, Redis, consumer.
func (w *world) publish(evs ...events.Event) {
	w.Helper()
	err := postgres.InTx(w.Context(), w.pool, func(tx pgx.Tx) error { return events.Emit(w.Context(), tx, evs...) })
	if err != nil {
		w.Fatal(err)
	}
}

// consumed waits until the service has applied the events.
func (w *world) consumed(evs ...events.Event) {
	w.Helper()
	for _, e := range evs {
		w.until("event "+e.Type+" applied", func() bool {
			return w.count(`SELECT count(*) FROM inbox WHERE event_id = $1`, e.ID) == 1
		})
	}
}

func (w *world) count(sql string, args ...any) (n int) {
	w.Helper()
	if err := postgres.ForEveryTenant(w.pool).QueryRow(w.Context(), sql, args...).Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

// emitted counts the events of a type about the user.
func (w *world) emitted(name string, user id.UserID) int {
	w.Helper()
	return w.count(`SELECT count(*) FROM outbox WHERE event::jsonb ->> 'type' = $1 AND event::jsonb ->> 'subject' = $2`, name, user.String())
}

func (w *world) until(what string, holds func() bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			w.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

// raw sends what the typed client cannot.
func (w *world) raw(p *person, method, path, body string) (status int, answer string) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if p != nil {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// code is what an error says on the wire, "" for none.
func code(err error) string {
	if err == nil {
		return ""
	}
	var e *errs.Error
	if !errors.As(err, &e) {
		return fmt.Sprintf("not of the house: %v", err)
	}
	return e.Code
}
