// Package apptest runs a whole service inside a test: its own database, key
// space and port, the real kit around it.
package apptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
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
	log  *buffer
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
	r := &Running{log: &buffer{}}
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

// SameOperations reports, as an error, what of the declared operations is not
// served, and what is served undeclared.
func SameOperations(declared api.Service, served []string) error {
	want := map[string]bool{}
	for _, op := range declared.Ops {
		want[op.Method+" "+op.Path] = true
	}
	for _, raw := range declared.Raw {
		want["ANY "+raw.Prefix] = true
	}
	var faults []error
	for _, s := range served {
		if !want[s] {
			faults = append(faults, fmt.Errorf("%s is served and not declared", s))
		}
		delete(want, s)
	}
	for s := range want {
		faults = append(faults, fmt.Errorf("%s is declared and not served", s))
	}
	return errors.Join(faults...)
}

// buffer is a bytes.Buffer that may be read while a service writes to it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
