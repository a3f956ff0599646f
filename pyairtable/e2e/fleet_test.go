// Package e2e tests the whole of PyAirtable: every service, the gateway before
// them, real PostgreSQL and Redis, real clients.
package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/apptest"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/redistest"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	"github.com/pyairtable/pyairtable/pkg/seal"
	"github.com/pyairtable/pyairtable/pyairtable"
	"github.com/pyairtable/pyairtable/pyairtable/internal/fleet"
)

// world is a fleet that serves, all of it in this process.
type world struct {
	urls      map[string]string // by service
	databases map[string]string // by service
	log       *apptest.Log
}

const (
	password      = "a pass phrase for tests"
	serviceSecret = "a secret of tests, 32 bytes or more"
)

// start starts every service, each with a database of its own, and stops them at
// the test's end.
func start(t *testing.T, vars map[string]string) *world {
	t.Helper()
	w := &world{urls: map[string]string{}, databases: map[string]string{}, log: &apptest.Log{}}
	shared := map[string]string{
		"SEAL_KEYS": seal.NewKey(), "SERVICE_SECRET": serviceSecret, "REDIS_URL": redistest.URL(t),
		// The tests come from one address, and do in seconds what a person does in a day.
		"API_GATEWAY_RATE_LIMIT": "100000/1s", "API_GATEWAY_RATE_LIMIT_AUTH": "100000/1s",
	}
	for name := range catalog.Ports() {
		w.urls[name] = "http://" + freeAddress(t)
		shared[config.Prefix(name)+"URL"] = w.urls[name]
	}
	// Attachments come from servers of the tests, and lead through the gateway.
	shared["AIRTABLE_EGRESS_ALLOWED"], shared["AIRTABLE_BLOB_URL"] = "127.0.0.0/8", "file://"+t.TempDir()
	shared["PUBLIC_URL"] = w.urls[catalog.Gateway.Name]
	maps.Copy(shared, vars)
	var members []fleet.Member
	for _, s := range pyairtable.Services {
		declared, _ := catalog.Find(s.Name)
		own := maps.Clone(shared)
		_, own["PORT"], _ = net.SplitHostPort(strings.TrimPrefix(w.urls[s.Name], "http://"))
		if declared.Database != "" {
			w.databases[s.Name] = pgtest.URL(t, s.Name, nil)
			own["DATABASE_URL"] = w.databases[s.Name]
		}
		env := config.Overlay(own, func(string) (string, bool) { return "", false })
		members = append(members, fleet.InProcess(s, w.urls[s.Name], app.Options{Env: env, Log: w.log}))
	}
	f := fleet.Start(t.Context(), members)
	t.Cleanup(func() {
		if err := f.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", tail(w.log))
		}
	})
	if err := f.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// freeAddress is a loopback address that nothing listens on. Its port is none that the
// system gives to outgoing connections, of which the fleet makes many before it listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}

// gateway calls operations through the gateway as who.
func (w *world) gateway(who auth.Principal) *rpc.Client {
	return client(w.urls[catalog.Gateway.Name], who)
}

func client(url string, who auth.Principal) *rpc.Client {
	return rpc.New(rpc.Options{Callee: "e2e", Addresses: []string{url}}).As(who)
}

// user registers somebody and signs in.
func (w *world) user(t *testing.T) (authapi.User, auth.Principal) {
	t.Helper()
	email := id.New[any]().String() + "@example.com"
	c := w.gateway(auth.Principal{})
	u, err := rpc.Call(t.Context(), c, authapi.Register, authapi.RegisterRequest{Email: email, Password: password, Name: "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	in, err := rpc.Call(t.Context(), c, authapi.Login, authapi.LoginRequest{Email: email, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	return u, auth.Principal{Token: in.AccessToken}
}

// pat makes a personal access token of who.
func (w *world) pat(t *testing.T, who auth.Principal, scopes ...string) string {
	t.Helper()
	a, err := rpc.Call(t.Context(), w.gateway(who), authapi.CreateToken, authapi.TokenRequest{Name: "e2e", Scopes: scopes, Bases: []string{auth.Any}})
	if err != nil {
		t.Fatal(err)
	}
	return a.Body.Token
}

// demo loads the demo base for who.
func (w *world) demo(t *testing.T, who auth.Principal) airtableapi.Demo {
	t.Helper()
	d, err := rpc.Call(t.Context(), w.gateway(who), airtableapi.LoadDemo, struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// request sends one request and returns the status and the body.
func request(t *testing.T, method, url, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b.String()
}

// run runs a program in the repository's directory dir and fails the test with
// its output if it fails. It returns the output.
func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = filepath.Join(top(t), dir), append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", name, err, out)
	}
	t.Logf("%s\n%s", name, out)
	return string(out)
}

func top(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// tail is the end of what was logged.
func tail(log *apptest.Log) string {
	text := log.String()
	return fmt.Sprintf("… %s", text[max(0, len(text)-4000):])
}
