// Package apptest runs a whole service inside a test: its own database, key
// space and port, the real kit around it.
package apptest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/redistest"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// startLimit is how long a service may take to get ready on a busy machine.
const startLimit = time.Minute

// Running is a service that serves.
type Running struct {
	URL  string
	stop func() error
	log  *Log
}

// Start runs svc until the test ends, and returns when it is ready. vars go
// before what Start sets: DATABASE_URL, REDIS_URL, SEAL_KEYS, SERVICE_SECRET and
// PORT. The test fails if the service does not start, or does not stop in order.
func Start(t testing.TB, svc app.Service, vars map[string]string) *Running {
	t.Helper()
	env := map[string]string{"SEAL_KEYS": seal.NewKey(), "SERVICE_SECRET": "a secret of tests, 32 bytes or more", "PORT": "0"}
	maps.Copy(env, vars)
	if _, ok := env["DATABASE_URL"]; !ok {
		env["DATABASE_URL"] = pgtest.URL(t, svc.Name, nil)
	}
	if _, ok := env["REDIS_URL"]; !ok {
		env["REDIS_URL"] = redistest.URL(t)
	}
	r := &Running{log: &Log{}}
	ctx, cancel := context.WithCancel(context.Background())
	address, ready, ended := make(chan string, 1), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- svc.Run(ctx, app.Options{
			Env: config.Overlay(env, func(string) (string, bool) { return "", false }), Log: r.log,
			Started: func(a string) { address <- a }, Ready: func() { close(ready) },
		})
	}()
	r.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	select {
	case <-ready:
		r.URL = "http://" + <-address
	case err := <-ended:
		cancel()
		t.Fatalf("%s did not start: %v\n%s", svc.Name, err, r.log)
	case <-time.After(startLimit):
		cancel()
		t.Fatalf("%s is not ready after %s\n%s", svc.Name, startLimit, r.log)
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%s did not stop in order: %v", svc.Name, err)
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", svc.Name, r.log)
		}
	})
	return r
}

// Stop stops the service before the test's end, and returns what Run returned.
func (r *Running) Stop() error { return r.stop() }

// Log is what the service has logged so far.
func (r *Running) Log() string { return r.log.String() }

// Client calls the service as who; the zero Principal is nobody.
func (r *Running) Client(who auth.Principal) *rpc.Client {
	return rpc.New(rpc.Options{Callee: "test", Addresses: []string{r.URL}}).As(who)
}

// Operations checks that the service at url describes, in its OpenAPI document, the
// operations that it declares and no others. The document is made of what is served.
func Operations(t testing.TB, url string, declared api.Service) {
	t.Helper()
	resp, err := http.Get(url + "/openapi.json") //nolint:noctx // it ends with the service, which ends with the test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var doc struct {
		Paths map[string]map[string]struct{}
	}
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, op := range declared.Ops {
		want[op.Method+" "+op.Path] = true
	}
	for path, methods := range doc.Paths {
		for method := range methods {
			served := strings.ToUpper(method) + " " + path
			if !want[served] {
				t.Errorf("%s is served and not declared", served)
			}
			delete(want, served)
		}
	}
	for op := range want {
		t.Errorf("%s is declared and not served", op)
	}
}

// Log keeps what services write to it. It may be read meanwhile.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is everything that was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
