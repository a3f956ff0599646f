// Package rpc calls the operations that package api declares, with the types
// that the callee serves them with. An error comes back as the errs.Error that
// the callee returned: errors.Is works across processes.
package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/propagation"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/logging"
)

// Limits of one client.
const (
	maxAnswer         = 32 << 20
	idleConns         = 64
	breakerFailures   = 5
	breakerDelay      = 2 * time.Second
	retryDelay        = 20 * time.Millisecond
	headerRequestID   = "X-Request-ID"
	userAgent         = "pyairtable-rpc"
	contentTypeOfJSON = "application/json"
)

// TokenSource gives the token that a service calls others with in its own name.
type TokenSource func(ctx context.Context) (string, error)

// Options are what a client works with.
type Options struct {
	Callee     string
	Addresses  []string // base URLs; tried in turn
	Token      TokenSource
	Propagator propagation.TextMapPropagator
	Metrics    *Metrics
}

// Client calls one service. It is safe for concurrent use.
type Client struct {
	Options
	http    *http.Client
	next    *atomic.Uint64
	breaker circuitbreaker.CircuitBreaker[answer]
	user    string // token of the user on whose behalf calls are made
}

// Metrics counts calls, by callee, operation and outcome.
type Metrics struct{ calls *prometheus.CounterVec }

// NewMetrics registers the metrics of calls to other services.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{calls: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rpc_calls_total", Help: "Calls to other services, by callee, operation and error code.",
	}, []string{"callee", "op", "code"})}
	r.MustRegister(m.calls)
	return m
}

// New returns a client of one service.
func New(o Options) *Client {
	return &Client{
		Options: o, next: &atomic.Uint64{},
		http: &http.Client{Transport: &http.Transport{
			MaxIdleConnsPerHost: idleConns, IdleConnTimeout: 90 * time.Second, ResponseHeaderTimeout: 2 * time.Minute,
		}},
		breaker: circuitbreaker.NewBuilder[answer]().
			HandleIf(func(a answer, err error) bool {
				return err != nil && !errors.Is(err, context.Canceled) || a.status >= 500
			}).
			WithFailureThreshold(breakerFailures).WithDelay(breakerDelay).Build(),
	}
}

// As returns a client that calls with who's own token: the callee sees the user,
// not the service. It shares everything else with c.
func (c *Client) As(who auth.Principal) *Client {
	u := *c
	u.user = who.Token
	return &u
}

// answer is a reply, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// Call calls op. Without a deadline of ctx's own the operation's timeout holds.
// A safe call (GET) is repeated once, at another address if there is one, when no
// connection could be made or the answer was 503. Errors are *errs.Error: the
// callee's own, or errs.ErrUnavailable when it could not be asked.
func Call[In, Out any](ctx context.Context, c *Client, op api.Op[In, Out], in In) (Out, error) {
	var out Out
	spec := op.Spec()
	ctx, cancel := context.WithTimeout(ctx, spec.Timeout)
	defer cancel()
	req, err := encode(spec, in)
	if err != nil {
		return out, fmt.Errorf("call %s: %w", spec.Name, err)
	}
	a, err := c.do(ctx, spec, req)
	if err == nil && a.status >= 300 {
		err = refusal(a)
	}
	c.count(spec.Name, err)
	if err != nil {
		return out, fmt.Errorf("call %s: %w", spec.Name, err)
	}
	if err := decode(a, &out); err != nil {
		return out, fmt.Errorf("call %s: read the answer: %w", spec.Name, err)
	}
	return out, nil
}

func (c *Client) do(ctx context.Context, spec api.Spec, r request) (answer, error) {
	policies := []failsafe.Policy[answer]{c.breaker}
	if spec.Method == http.MethodGet {
		policies = append([]failsafe.Policy[answer]{retrypolicy.NewBuilder[answer]().
			WithMaxRetries(1).WithDelay(retryDelay).AbortOnErrors(circuitbreaker.ErrOpen).ReturnLastFailure().
			HandleIf(func(a answer, err error) bool { return err != nil || a.status == http.StatusServiceUnavailable }).
			Build()}, policies...)
	}
	a, err := failsafe.With(policies...).WithContext(ctx).GetWithExecution(func(e failsafe.Execution[answer]) (answer, error) {
		return c.once(e.Context(), spec, r)
	})
	if err == nil {
		return a, nil
	}
	var known *errs.Error
	if errors.As(err, &known) {
		return a, known
	}
	return a, errs.ErrUnavailable.Because(fmt.Errorf("%s: %w", c.Callee, err))
}

func (c *Client) once(ctx context.Context, spec api.Spec, r request) (answer, error) {
	base := c.Addresses[c.next.Add(1)%uint64(len(c.Addresses))]
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, spec.Method, base+r.target, body)
	if err != nil {
		return answer{}, err
	}
	req.Header = r.header.Clone()
	if r.body != nil {
		req.Header.Set("Content-Type", contentTypeOfJSON)
	}
	if err := c.identify(ctx, req, spec); err != nil {
		return answer{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return answer{}, fmt.Errorf("read the answer: %w", err)
	}
	if len(b) > maxAnswer {
		return answer{}, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return answer{resp.StatusCode, resp.Header, b}, nil
}

// identify adds who calls, and what lets the call be followed through the fleet.
func (c *Client) identify(ctx context.Context, req *http.Request, spec api.Spec) error {
	token := c.user
	if token == "" && c.Token != nil && (spec.Access == api.Internal || spec.Access == api.User) {
		var err error
		if token, err = c.Token(ctx); err != nil {
			return err
		}
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("User-Agent", userAgent)
	if id := logging.RequestID(ctx); id != "" {
		req.Header.Set(headerRequestID, id)
	}
	if c.Propagator != nil {
		c.Propagator.Inject(ctx, propagation.HeaderCarrier(req.Header))
	}
	return nil
}

// refusal is the error that the callee answered.
func refusal(a answer) error {
	if e := errs.ParseProblem(a.body); e != nil && e.Kind != errs.Internal {
		return e
	}
	if a.status >= 500 {
		return errs.ErrUnavailable.Because(fmt.Errorf("status %d", a.status))
	}
	return fmt.Errorf("status %d: %.200s", a.status, a.body)
}

func (c *Client) count(op string, err error) {
	if c.Metrics == nil {
		return
	}
	code := "ok"
	if err != nil {
		code = errs.From(err).Code
	}
	c.Metrics.calls.WithLabelValues(c.Callee, op, code).Inc()
}
