package httpx

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/logging"
	"github.com/pyairtable/pyairtable/pkg/metrics"
	"github.com/pyairtable/pyairtable/pkg/origin"
	"github.com/pyairtable/pyairtable/pkg/refusals"
)

// HeaderRequestID names a request in every log line and error, across services.
const HeaderRequestID = "X-Request-ID"

// Keys of what the chain leaves in the Gin context.
const (
	whoKey       = "pyairtable.who"
	deniedKey    = "pyairtable.denied"
	requestIDKey = "pyairtable.request_id"
	errorKey     = "pyairtable.error"
)

// ginKey finds the Gin context from a handler's context.
type ginKey struct{}

var errPanic = errs.New(errs.Internal, "panic", "A handler panicked.")

// chain is what stands before every Op's handler.
func (a *API) chain(spec api.Spec) []gin.HandlerFunc {
	chain := a.rawChain(spec)
	if spec.Idempotent {
		chain = append(chain, a.idempotent(spec))
	}
	return chain
}

func (a *API) rawChain(spec api.Spec) []gin.HandlerFunc {
	return []gin.HandlerFunc{
		a.observe(a.Metrics.Op(spec.Name, spec.Method), spec.Name, spec.Path),
		limits(spec),
		a.admit(spec),
	}
}

// observe names the request, gives it a logger and a span, counts it, survives
// its panics, writes its one line in the access log, and has a refusal recorded. The path
// is the operation's as declared; what matches none is not worth a record.
func (a *API) observe(op *metrics.Op, name, path string) gin.HandlerFunc {
	return func(c *gin.Context) {
		start := time.Now()
		rid := requestID(c.GetHeader(HeaderRequestID))
		c.Set(requestIDKey, rid)
		c.Header(HeaderRequestID, rid)
		ctx := a.Tracer.Propagator.Extract(c.Request.Context(), propagation.HeaderCarrier(c.Request.Header))
		ctx, span := a.Tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer))
		log := a.Log.With(zap.String("request_id", rid))
		if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
			log = log.With(zap.String("trace_id", sc.TraceID().String()))
		}
		ctx = context.WithValue(logging.Into(logging.WithRequestID(ctx, rid), log), ginKey{}, c)
		from := origin.Of(c.Request)
		from.Request = rid
		ctx = origin.Into(ctx, from)
		c.Request = c.Request.WithContext(ctx)
		op.Begin()
		func() {
			defer a.recover(c)
			c.Next()
		}()
		status, code := strconv.Itoa(c.Writer.Status()), ""
		e := errorOf(c)
		if e != nil {
			code = e.Code
		}
		op.End(time.Since(start).Seconds(), status, code)
		if a.Tracer.Enabled() {
			span.SetAttributes(attribute.Int("http.response.status_code", c.Writer.Status()), attribute.String("request_id", rid))
		}
		span.End()
		a.line(c, log, name, time.Since(start), e)
		if e != nil && path != "" && refusals.Counts(c.Writer.Status()) {
			a.Refusals.Note(origin.From(c.Request.Context()), Who(c).TenantID, auditapi.RequestRefusedData{
				Op: name, Method: c.Request.Method, Path: path, Status: c.Writer.Status(), Code: code,
			})
		}
	}
}

// line writes the access log. Only what a person should look into is an error.
func (a *API) line(c *gin.Context, log *zap.Logger, name string, took time.Duration, e *errs.Error) {
	who := Who(c)
	fields := []zap.Field{
		zap.String("op", name), zap.String("method", c.Request.Method), zap.Int("status", c.Writer.Status()),
		zap.Float64("ms", float64(took.Microseconds())/1000),
	}
	if !who.IsZero() {
		fields = append(fields, zap.Stringer("tenant", who.TenantID), zap.String("principal", who.Subject()))
	}
	if e == nil {
		log.Info("request", fields...)
		return
	}
	fields = append(fields, zap.String("code", e.Code))
	if e.Kind == errs.Internal {
		log.Error("request", append(fields, zap.Error(errors.Unwrap(e)))...)
		return
	}
	if cause := errors.Unwrap(e); cause != nil {
		fields = append(fields, zap.NamedError("cause", cause))
	}
	log.Info("request", fields...)
}

func (a *API) recover(c *gin.Context) {
	r := recover()
	switch r {
	case nil:
		return
	case http.ErrAbortHandler: // the server wants it back
		panic(r)
	}
	e := errPanic.Because(fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
	if c.Writer.Written() {
		setError(c, e)
		c.Abort()
		return
	}
	Fail(c, e)
}

// limits bounds the body and the time of a request.
func limits(spec api.Spec) gin.HandlerFunc {
	return func(c *gin.Context) {
		if c.Request.ContentLength > spec.BodyLimit {
			Fail(c, errs.New(errs.TooLarge, "body_too_large", fmt.Sprintf("The body may have %d bytes at the most.", spec.BodyLimit)))
			return
		}
		c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, spec.BodyLimit)
		ctx, cancel := context.WithTimeout(c.Request.Context(), spec.Timeout)
		defer cancel()
		c.Request = c.Request.WithContext(ctx)
		c.Next()
	}
}

// admit finds out who is asking, and refuses who may not.
func (a *API) admit(spec api.Spec) gin.HandlerFunc {
	return func(c *gin.Context) {
		if spec.Access == api.Own {
			c.Next()
			return
		}
		who, err := a.identify(c)
		if err != nil && spec.Access != api.Public && spec.Access != api.InternalPublic {
			Fail(c, err)
			return
		}
		if err != nil {
			c.Set(deniedKey, err)
		}
		if err == nil && !who.IsZero() {
			c.Set(whoKey, who)
			ctx := logging.With(c.Request.Context(), zap.Stringer("tenant", who.TenantID), zap.String("principal", who.Subject()))
			c.Request = c.Request.WithContext(origin.Into(ctx, named(origin.From(ctx), who)))
		}
		if err := permit(spec, who); err != nil {
			Fail(c, err)
			return
		}
		c.Next()
	}
}

// named is the origin of a request by who.
func named(from origin.Origin, who auth.Principal) origin.Origin {
	from.User, from.Token = who.Subject(), who.PAT
	if !who.SessionID.IsZero() {
		from.Session = who.SessionID.String()
	}
	if who.Actor != nil {
		from.Actor = who.Actor.Subject
	}
	return from
}

func permit(spec api.Spec, who auth.Principal) error {
	switch {
	case spec.Access == api.Public || spec.Access == api.InternalPublic:
		return nil
	case who.IsZero():
		return errs.ErrUnauthenticated
	case spec.Access == api.Internal && !who.IsService():
		return errs.ErrForbidden.Saying("Only services may call this.")
	case spec.Access == api.Internal && !spec.Admits(who.Service):
		return errs.ErrForbidden.Saying("%s may not call this.", who.Service)
	case spec.Access == api.User && who.IsService():
		return errs.ErrForbidden.Saying("A service may call this for a user only.")
	case who.PAT != "" && spec.Scope == "":
		return errs.ErrForbidden.Saying("Personal access tokens do not open this operation.")
	case who.PAT != "" && spec.Scope != auth.Any && !who.HasScope(spec.Scope):
		return errs.ErrForbidden.Saying("The token lacks the scope %s.", spec.Scope)
	}
	return nil
}

func (a *API) identify(c *gin.Context) (auth.Principal, error) {
	header := c.GetHeader("Authorization")
	if header == "" {
		return auth.Principal{}, errs.ErrUnauthenticated
	}
	scheme, token, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || a.Verifier == nil {
		return auth.Principal{}, errs.ErrUnauthenticated
	}
	return a.Verifier.Verify(c.Request.Context(), strings.TrimSpace(token))
}

// Who is who asks; the zero Principal for nobody.
func Who(c *gin.Context) auth.Principal {
	who, _ := c.Get(whoKey)
	p, _ := who.(auth.Principal)
	return p
}

// Denied is why a public route has nobody in Who: errs.ErrUnauthenticated without a
// token or with a bad one, errs.ErrUnavailable when tokens cannot be verified at the
// moment. It is nil when somebody is asking.
func Denied(c *gin.Context) error {
	v, _ := c.Get(deniedKey)
	err, _ := v.(error)
	return err
}

// RequestID is the request's id.
func RequestID(c *gin.Context) string { return c.GetString(requestIDKey) }

// Fail answers err as a problem and ends the request. Handlers under Raw use it;
// those of Ops return their error.
func Fail(c *gin.Context, err error) {
	e := classify(c, err)
	setError(c, e)
	for k, v := range errorHeaders(e) {
		c.Writer.Header()[k] = v
	}
	c.Header("Content-Type", errs.ContentType)
	c.AbortWithStatusJSON(e.Kind.Status(), e.Problem(c.Request.URL.Path, RequestID(c)))
}

// Note records the error of an answer that a Raw handler wrote in another shape,
// for the access log and the metrics.
func Note(c *gin.Context, e *errs.Error) { setError(c, e) }

func errorHeaders(e *errs.Error) http.Header {
	h := http.Header{}
	if s := e.RetrySeconds(); s > 0 {
		h.Set("Retry-After", strconv.Itoa(s))
	}
	if e.Kind == errs.Unauthenticated {
		h.Set("WWW-Authenticate", "Bearer")
	}
	return h
}

func setError(c *gin.Context, e *errs.Error) { c.Set(errorKey, e) }

func errorOf(c *gin.Context) *errs.Error {
	v, _ := c.Get(errorKey)
	e, _ := v.(*errs.Error)
	return e
}

// maxRequestID bounds a request id that a client chose.
const maxRequestID = 64

// requestID takes the client's id when it is sane, since it goes into logs and
// headers, and makes one otherwise.
func requestID(given string) string {
	if given != "" && len(given) <= maxRequestID && strings.IndexFunc(given, insane) < 0 {
		return given
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (Go 1.24)
	return hex.EncodeToString(b[:])
}

func insane(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.:", r))
}
