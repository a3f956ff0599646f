package app_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/apptest"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

// The tests run under a real name of the catalog, with another Wire.
const name = "airtable-gateway"

var ping = api.Op[struct{}, pong]{Name: "ping", Method: http.MethodGet, Path: "/api/v1/ping", Access: api.Public}

type pong struct {
	Text string `json:"text"`
}

func wire(ctx context.Context, a *app.App, _ config.Base) error {
	if _, err := a.Postgres(ctx, nil); err != nil {
		return err
	}
	httpx.Handle(a.API, ping, func(context.Context, auth.Principal, struct{}) (pong, error) { return pong{"pong"}, nil })
	return nil
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestService_ServesWhatEveryServiceServes(t *testing.T) {
	t.Parallel()
	r := apptest.Start(t, app.Define(name, wire), nil)
	if got, err := rpc.Call(t.Context(), r.Client(auth.Principal{}), ping, struct{}{}); err != nil || got.Text != "pong" {
		t.Fatalf("%v, %v", got, err)
	}
	for path, want := range map[string]string{
		"/health": `"ok"`, "/ready": `"postgres":"ok"`, "/openapi.json": `"/api/v1/ping"`, "/metrics": `http_requests_total{method="GET",op="ping",status="200"} 1`,
	} {
		if status, body := get(t, r.URL+path); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d, no %s in %.300s", path, status, want, body)
		}
	}
	for _, want := range []string{"postgres_pool_max_connections", "events_outbox", "go_goroutines"} {
		if _, body := get(t, r.URL+"/metrics"); !strings.Contains(body, want) {
			t.Errorf("no metric %s", want)
		}
	}
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
	var line struct{ Service, Msg string }
	first, _, _ := strings.Cut(r.Log(), "\n")
	if err := json.Unmarshal([]byte(first), &line); err != nil || line.Service != name {
		t.Errorf("log line %q: %v", first, err)
	}
}

// collector is an OTLP/HTTP receiver that keeps what it is sent.
func collector(t *testing.T) (string, func() string) {
	t.Helper()
	var mu sync.Mutex
	var got bytes.Buffer
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			body = z
		}
		mu.Lock()
		defer mu.Unlock()
		got.WriteString(r.URL.Path + " ")
		_, _ = got.ReadFrom(body)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() string {
		mu.Lock()
		defer mu.Unlock()
		return got.String()
	}
}

func TestService_SendsItsSpansInTheCallersTrace(t *testing.T) {
	t.Parallel()
	url, got := collector(t)
	r := apptest.Start(t, app.Define(name, wire), map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.URL+ping.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := r.Stop(); err != nil { // a stop sends what is buffered
		t.Error(err)
	}
	trace, err := hex.DecodeString("0af7651916cd43dd8448eb211c80319c")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/v1/traces ", "ping", name, string(trace)} {
		if !strings.Contains(got(), want) {
			t.Errorf("the collector got no %q", want)
		}
	}
}

func TestService_SaysWhyItDoesNotStart(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	_, port, err := net.SplitHostPort(busy.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for want, env := range map[string]map[string]string{
		"AIRTABLE_GATEWAY_PORT": {"PORT": port},
		"LOG_LEVEL":             {"LOG_LEVEL": "loud"},
		"DATABASE_URL":          {"PORT": "0"},
		"SEAL_KEYS":             {"PORT": "0", "DATABASE_URL": "x", "SEAL_KEYS": "nonsense"},
	} {
		svc := app.Define(name, func(ctx context.Context, a *app.App, _ config.Base) error {
			if _, err := a.Seal(); err != nil && want == "SEAL_KEYS" {
				return err
			}
			_, err := a.Postgres(ctx, nil)
			return err
		})
		err := svc.Run(t.Context(), app.Options{Env: config.Overlay(env, func(string) (string, bool) { return "", false }), Log: io.Discard})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func TestService_StopsWhenALoopFails(t *testing.T) {
	t.Parallel()
	fail := make(chan struct{})
	broken := errors.New("broken")
	r := start(t, func(_ context.Context, a *app.App, _ config.Base) error {
		a.Go("loop", func(ctx context.Context) error {
			select {
			case <-fail:
				return broken
			case <-ctx.Done():
				return nil
			}
		})
		return nil
	})
	close(fail)
	if err := <-r.ended; !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestService_FinishesRequestsInFlight(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	r := start(t, func(_ context.Context, a *app.App, _ config.Base) error {
		a.Router.GET("/slow", func(c *gin.Context) {
			close(entered)
			<-release
			c.String(200, "done")
		})
		return nil
	})
	answered := make(chan string, 1)
	go func() {
		resp, err := http.Get(r.url + "/slow")
		if err != nil {
			answered <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		answered <- string(b)
	}()
	<-entered
	r.cancel()
	close(release)
	if got := <-answered; got != "done" {
		t.Errorf("the request in flight got %q", got)
	}
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}

func TestService_AnswersProbesWhileItStarts(t *testing.T) {
	t.Parallel()
	proceed := make(chan struct{})
	started := make(chan string, 1)
	svc := app.Define(name, func(context.Context, *app.App, config.Base) error { <-proceed; return nil })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- svc.Run(ctx, options(func(a string) { started <- "http://" + a }, nil)) }()
	url := <-started
	if status, _ := get(t, url+"/health"); status != 200 {
		t.Errorf("/health: %d", status)
	}
	if status, body := get(t, url+"/ready"); status != 503 || !strings.Contains(body, "starting") {
		t.Errorf("/ready: %d %s", status, body)
	}
	close(proceed)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

type running struct {
	url    string
	cancel func()
	ended  chan error
}

// start runs a service that needs no database.
func start(t *testing.T, wire app.Wire[config.Base]) running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := running{cancel: cancel, ended: make(chan error, 1)}
	started, ready := make(chan string, 1), make(chan struct{})
	go func() {
		r.ended <- app.Define(name, wire).Run(ctx, options(func(a string) { started <- a }, func() { close(ready) }))
	}()
	select {
	case <-ready:
	case err := <-r.ended:
		t.Fatal(err)
	}
	r.url = "http://" + <-started
	t.Cleanup(cancel)
	return r
}

func options(started func(string), ready func()) app.Options {
	return app.Options{
		Env:     config.Overlay(map[string]string{"PORT": "0"}, func(string) (string, bool) { return "", false }),
		Log:     io.Discard,
		Started: started, Ready: ready,
	}
}
