package rpc_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/logging"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

type answer struct {
	Text string `json:"text"`
}

var (
	read  = api.Op[struct{}, answer]{Name: "read", Method: http.MethodGet, Path: "/read", Access: api.Public}
	write = api.Op[answer, answer]{Name: "write", Method: http.MethodPost, Path: "/write", Access: api.Internal}
	slow  = api.Op[struct{}, answer]{Name: "slow", Method: http.MethodGet, Path: "/slow", Access: api.Public, Timeout: 20 * time.Millisecond}
)

// callee answers with the statuses in turn, the last one for ever.
func callee(t *testing.T, statuses ...int) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	var n atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := min(int(n.Add(1)), len(statuses)) - 1
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			return
		}
		w.WriteHeader(statuses[i])
		_, _ = w.Write([]byte(`{"text":"` + r.Header.Get("X-Request-ID") + `|` + r.Header.Get("Authorization") + `|` + r.Header.Get("Traceparent") + `"}`))
	}))
	t.Cleanup(s.Close)
	return s, &n
}

func TestCall_RepeatsSafeCallsOnceAndOthersNever(t *testing.T) {
	t.Parallel()
	s, n := callee(t, 503, 200)
	c := rpc.New(rpc.Options{Callee: "x", Addresses: []string{s.URL}})
	if _, err := rpc.Call(t.Context(), c, read, struct{}{}); err != nil || n.Load() != 2 {
		t.Errorf("GET: %v after %d requests", err, n.Load())
	}
	s, n = callee(t, 503, 200)
	c = rpc.New(rpc.Options{Callee: "x", Addresses: []string{s.URL}})
	if _, err := rpc.Call(t.Context(), c, write, answer{}); !errors.Is(err, errs.ErrUnavailable) || n.Load() != 1 {
		t.Errorf("POST: %v after %d requests", err, n.Load())
	}
}

func TestCall_GoesOnAtAnotherAddress(t *testing.T) {
	t.Parallel()
	alive, _ := callee(t, 200)
	dead, _ := callee(t, 200)
	dead.Close()
	c := rpc.New(rpc.Options{Callee: "x", Addresses: []string{dead.URL, alive.URL}})
	for range 4 {
		if _, err := rpc.Call(t.Context(), c, read, struct{}{}); err != nil {
			t.Error(err)
		}
	}
}

func TestCall_BreakerStopsAskingTheDead(t *testing.T) {
	t.Parallel()
	s, n := callee(t, 500)
	reg := prometheus.NewRegistry()
	c := rpc.New(rpc.Options{Callee: "x", Addresses: []string{s.URL}, Metrics: rpc.NewMetrics(reg)})
	for range 20 {
		if _, err := rpc.Call(t.Context(), c, write, answer{}); !errors.Is(err, errs.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if got := n.Load(); got != 5 {
		t.Errorf("%d requests reached a callee that fails", got)
	}
	if n, err := testutil.GatherAndCount(reg, "rpc_calls_total"); n != 1 || err != nil {
		t.Errorf("%d series, %v", n, err)
	}
}

func TestCall_KeepsItsDeadline(t *testing.T) {
	t.Parallel()
	s, _ := callee(t, 200)
	c := rpc.New(rpc.Options{Callee: "x", Addresses: []string{s.URL}})
	if _, err := rpc.Call(t.Context(), c, slow, struct{}{}); !errors.Is(err, errs.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestCall_ForwardsWhoAndWhat(t *testing.T) {
	t.Parallel()
	s, _ := callee(t, 200)
	c := rpc.New(rpc.Options{
		Callee: "x", Addresses: []string{s.URL}, Propagator: propagation.TraceContext{},
		Token: func(context.Context) (string, error) { return "service-token", nil },
	})
	ctx := logging.WithRequestID(t.Context(), "rid")
	ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}}))
	got, err := rpc.Call(ctx, c, write, answer{})
	if want := "rid|Bearer service-token|00-01000000000000000000000000000000-0200000000000000-00"; err != nil || got.Text != want {
		t.Errorf("got %q, %v", got.Text, err)
	}
}
