// Package httpx serves the operations that package api declares, on Gin through
// Huma: it binds and validates requests, checks who is asking, answers errors as
// RFC 9457 problems, and describes all of it as OpenAPI 3.1.
package httpx

import (
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/idempotency"
	"github.com/pyairtable/pyairtable/pkg/metrics"
	"github.com/pyairtable/pyairtable/pkg/refusals"
	"github.com/pyairtable/pyairtable/pkg/tracing"
)

// Options are what an API works with.
type Options struct {
	Service  string
	Title    string
	Log      *zap.Logger
	Verifier *auth.Verifier // nil refuses every token
	Metrics  *metrics.HTTP
	Tracer   *tracing.Tracer
	Refusals *refusals.Recorder // nil: refused requests are not told of
}

// API is where a service's operations are served.
type API struct {
	Options
	engine      *gin.Engine
	huma        huma.API
	idempotency *idempotency.Store
	served      []string
}

// New returns an API that serves on engine, with /openapi.json. Requests that no
// route matches are answered with a problem.
func New(engine *gin.Engine, o Options) *API {
	a := &API{Options: o, engine: engine}
	cfg := huma.DefaultConfig(o.Title, "1.0.0")
	cfg.CreateHooks, cfg.DocsPath, cfg.OpenAPIPath, cfg.SchemasPath = nil, "", "", ""
	cfg.Transformers = []huma.Transformer{asProblem}
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		bearer: {Type: "http", Scheme: "bearer", Description: "An access token, or a personal access token."},
	}
	a.huma = huma.NewAPI(cfg, adapter{a})
	engine.HandleMethodNotAllowed = true
	engine.NoRoute(a.refuse(errs.ErrNotFound.Saying("There is no such route.")))
	engine.NoMethod(a.refuse(errs.New(errs.NotFound, "method_not_allowed", "The route does not take this method.")))
	engine.GET("/openapi.json", func(c *gin.Context) { c.JSON(http.StatusOK, a.huma.OpenAPI()) })
	return a
}

// Remember gives the operations that honour Idempotency-Key their memory.
func (a *API) Remember(store *idempotency.Store) { a.idempotency = store }

// Served lists what is served, as "METHOD /path" in OpenAPI's form.
func (a *API) Served() []string { return a.served }

const bearer = "bearer"

// adapter lets Huma register at Gin with this package's chain before its own
// handler.
type adapter struct{ a *API }

func (ad adapter) ServeHTTP(w http.ResponseWriter, r *http.Request) { ad.a.engine.ServeHTTP(w, r) }

func (ad adapter) Handle(op *huma.Operation, handler func(huma.Context)) {
	spec := op.Metadata[specKey].(api.Spec)
	ad.a.served = append(ad.a.served, op.Method+" "+op.Path)
	chain := append(ad.a.chain(spec), func(c *gin.Context) { handler(humagin.NewContext(op, c)) })
	ad.a.engine.Handle(op.Method, ginPath(op.Path), chain...)
}

func ginPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}

func (a *API) refuse(e *errs.Error) gin.HandlerFunc {
	observe := a.observe(a.Metrics.Op("unmatched", ""), "unmatched", "")
	return func(c *gin.Context) {
		observe(c)
		if c.Writer.Written() {
			return
		}
		Fail(c, e)
	}
}

// asProblem turns Huma's own refusals into ours. Submitted values are left out,
// since one of them may be a password.
func asProblem(ctx huma.Context, status string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	e := &errs.Error{Kind: errs.KindOf(m.Status), Code: "invalid", Message: m.Detail}
	switch {
	case m.Status == http.StatusBadRequest:
		e.Code = "malformed"
	case e.Kind == errs.TooLarge:
		e.Code = "body_too_large"
	case e.Kind == errs.Internal:
		e = errs.ErrInternal
	}
	for _, d := range m.Errors {
		e.Fields = append(e.Fields, errs.Field{Pointer: pointer(d.Location), Detail: d.Message})
	}
	c := humagin.Unwrap(ctx)
	setError(c, e)
	return e.Problem(c.Request.URL.Path, RequestID(c)), nil
}

// pointer turns Huma's body.a[0].b into /a/0/b, and query.limit into limit.
func pointer(location string) string {
	if location == "body" {
		return ""
	}
	rest, ok := strings.CutPrefix(location, "body.")
	if !ok {
		_, name, _ := strings.Cut(location, ".")
		return name
	}
	return "/" + strings.NewReplacer(".", "/", "[", "/", "]", "").Replace(rest)
}

// problem is an errs.Error in the shape in which Huma takes errors.
type problem struct {
	errs.Problem
	headers http.Header
}

func (p *problem) Error() string               { return p.Code }
func (p *problem) GetStatus() int              { return p.Status }
func (p *problem) GetHeaders() http.Header     { return p.headers }
func (p *problem) ContentType(_ string) string { return errs.ContentType }

var _ huma.StatusError = (*problem)(nil)

// asHuma renders a handler's error for the client and notes it for the log.
func asHuma(c *gin.Context, err error) error {
	e := classify(c, err)
	setError(c, e)
	return &problem{e.Problem(c.Request.URL.Path, RequestID(c)), errorHeaders(e)}
}

// classify finds err's place on the wire. A request whose client went away, or
// whose time is up, is not this service's fault.
func classify(c *gin.Context, err error) *errs.Error {
	e := errs.From(err)
	if e.Kind == errs.Internal && c.Request.Context().Err() != nil && !errors.Is(e, errPanic) {
		return errs.ErrUnavailable.Saying("The request took too long.").Because(err)
	}
	return e
}
