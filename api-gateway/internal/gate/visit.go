package gate

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
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

	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/origin"
	"github.com/pyairtable/pyairtable/pkg/refusals"

	"github.com/pyairtable/pyairtable/api-gateway/internal/accesslog"
	"github.com/pyairtable/pyairtable/api-gateway/internal/clientip"
	"github.com/pyairtable/pyairtable/api-gateway/internal/proxy"
	"github.com/pyairtable/pyairtable/api-gateway/internal/ratelimit"
)

// visit is one request on its way through the gateway. Visits are reused, with the slices
// that headers' values lie in; the strings are not, since the server, which copies a
// header's slices when the answer begins, writes its strings after the handler has returned.
type visit struct {
	g      *Gate
	c      *gin.Context
	w      gin.ResponseWriter
	r      *http.Request
	rt     *route
	m      *routeMetrics
	start  time.Time
	origin clientip.Origin

	requestID   string
	traceparent string
	span        trace.Span
	who         auth.Principal
	header      string // Authorization for the service
	limited     ratelimit.Decision
	counted     bool // limited holds a decision
	fwd         proxy.Forward
	res         proxy.Result
	fault       *fault
	entry       accesslog.Entry
	values      [2]string // of X-Request-Id and RateLimit
}

// name gives the request its id and its place in a trace. Without a client's own, one
// random number is both.
func (v *visit) name() {
	given := v.r.Header["X-Request-Id"]
	parent := v.r.Header["Traceparent"]
	if len(given) == 1 && sane(given[0]) {
		v.requestID = given[0]
	}
	if len(parent) == 1 && validTraceparent(parent[0]) {
		v.traceparent = parent[0]
	}
	if t := v.g.Tracer; t != nil && t.Enabled() {
		v.trace()
	}
	if v.traceparent == "" {
		v.traceparent = newTraceparent()
		v.r.Header.Del("Tracestate") // it belongs to the trace that was refused
	}
	if v.requestID == "" {
		if len(parent) == 0 {
			v.requestID = v.traceparent[3:35]
		} else {
			v.requestID = newTraceparent()[3:35]
		}
	}
}

// trace opens a span and passes its context on.
func (v *visit) trace() {
	t := v.g.Tracer
	ctx := v.r.Context()
	if v.traceparent != "" {
		ctx = t.Propagator.Extract(ctx, propagation.HeaderCarrier(v.r.Header))
	}
	ctx, v.span = t.Start(ctx, v.rt.Name, trace.WithSpanKind(trace.SpanKindServer))
	carrier := propagation.MapCarrier{}
	t.Propagator.Inject(ctx, carrier)
	if tp := carrier.Get("traceparent"); tp != "" {
		v.traceparent = tp
	}
}

const requestIDMost = 64

// sane says whether a client's id may go into logs and headers.
func sane(id string) bool {
	if id == "" || len(id) > requestIDMost {
		return false
	}
	for i := 0; i < len(id); i++ {
		c := id[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

// validTraceparent checks version 00 of the W3C's header.
func validTraceparent(s string) bool {
	if len(s) != 55 || s[0] != '0' || s[1] != '0' || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return false
	}
	zero := true
	for i := 3; i < 55; i++ {
		if i == 35 || i == 52 {
			if zero {
				return false
			}
			zero = i == 35
			continue
		}
		if c := s[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		} else if c != '0' && i < 52 {
			zero = false
		}
	}
	return true
}

// newTraceparent begins a trace that nobody has asked to be sampled. Its ids need to be
// distinct, not secret.
func newTraceparent() string {
	var raw [24]byte
	for i := 0; i < 24; i += 8 {
		n := rand.Uint64() | 1
		for j := range 8 {
			raw[i+j] = byte(n >> (8 * j))
		}
	}
	b := make([]byte, 55)
	copy(b, "00-")
	hex.Encode(b[3:35], raw[:16])
	b[35] = '-'
	hex.Encode(b[36:52], raw[16:])
	copy(b[52:], "-00")
	return string(b)
}

// limit counts the request against its client's limit.
func (v *visit) limit() bool {
	l := v.rt.limit
	v.limited, v.counted = l.Allow(v.r.Context(), ratelimit.KeyOf(v.origin.IP), v.start), true
	if v.limited.Allowed {
		v.g.metrics.allowed(l.Class).Inc()
		return true
	}
	v.g.metrics.refused(l.Class).Inc()
	v.fail(faultTooMany.after(v.limited.RetryAfter), nil)
	return false
}

// routed refuses what the table does not know.
func (v *visit) routed() bool {
	if v.rt.service != nil {
		return true
	}
	if allow := v.w.Header().Get("Allow"); allow != "" { // set by Gin with its 405
		v.fail(faultMethod.allow(allow), nil)
		return false
	}
	v.fail(faultNotFound, nil)
	return false
}

// refused goes to a public route in the place of a token that is not good, so that the
// service can tell it from none, and nothing else.
const refused = "Bearer refused"

// identify finds out who asks.
func (v *visit) identify() bool {
	var given string
	if h := v.r.Header["Authorization"]; len(h) > 0 {
		given = h[0]
		if len(h) > 1 {
			given = "ambiguous" // no scheme: refused, or nobody on a public route
		}
	}
	if v.rt.Own {
		v.header = given
		return true
	}
	var err error
	v.who, v.header, err = v.g.Tokens.Check(v.r.Context(), given, v.origin.IP)
	switch {
	case err == nil && (v.rt.Public || !v.who.IsZero()):
		return true
	case err == nil:
		v.fail(faultNoToken, nil)
	case v.rt.Public && (errors.Is(err, errs.ErrUnauthenticated) || errs.From(err).Kind == errs.Forbidden && !v.rt.Airtable):
		v.header = refused // the service answers in its own way
		return true
	case errors.Is(err, authapi.ErrIPNotAllowed):
		v.fail(faultAddress, err)
	case errors.Is(err, authapi.ErrMFARequired):
		v.fail(faultFactor, err)
	case errors.Is(err, errs.ErrUnauthenticated):
		v.fail(faultBadToken.saying(errs.From(err).Message), err)
	default:
		v.fail(faultAuthAway, err)
	}
	return false
}

// forward hands the request to its service.
func (v *visit) forward() {
	v.fwd = proxy.Forward{
		Authorization: v.header, RequestID: v.requestID, Traceparent: v.traceparent,
		ForwardedFor: v.origin.For, ForwardedHost: v.origin.Host, ForwardedProto: v.origin.Proto,
		Timeout: v.rt.Timeout, Replayable: v.rt.Replayable, BodyLimit: v.rt.BodyLimit, Decorate: v,
		Scratch: v.fwd.Scratch,
	}
	v.res = v.rt.service.Serve(v.w, v.r, &v.fwd)
	if v.res.Err != nil && !v.res.Started {
		v.fail(faultOf(v.res.Err, v.r.Method), v.res.Err)
	}
}

// end notes the request, whatever became of it, and frees the visit.
func (v *visit) end() {
	p := recover()
	if p != nil && p != http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
		v.g.Log.Error("a handler panicked", zap.String("request_id", v.requestID), zap.String("panic", fmt.Sprint(p)), zap.ByteString("stack", debug.Stack()))
		if !v.res.Started && !v.w.Written() {
			v.fail(faultInternal, fmt.Errorf("panic: %v", p))
			p = nil
		}
	}
	cut := p != nil || v.res.Err != nil && v.res.Started
	status, bytes := v.res.Status, v.res.Bytes
	if v.fault != nil || status == 0 {
		status, bytes = v.w.Status(), int64(max(0, v.w.Size()))
	}
	if errors.Is(v.res.Err, proxy.ErrClientGone) {
		status = statusClientGone
	}
	took := time.Since(v.start)
	v.m.observe(status, took)
	v.g.metrics.inFlight.Add(-1)
	v.note(status, bytes, took)
	if v.fault != nil && v.rt.service != nil && refusals.Counts(status) {
		v.refusal(status)
	}
	if !cut {
		v.w.WriteHeaderNow() // before the values of its headers are used again
	}
	g, scratch := v.g, v.fwd.Scratch
	clear(scratch)
	*v = visit{g: g, fwd: proxy.Forward{Scratch: scratch[:0]}}
	g.visits.Put(v)
	if cut {
		panic(http.ErrAbortHandler) // the client must see that the answer is not whole
	}
}

// note writes the access log's line and ends the span.
func (v *visit) note(status int, bytes int64, took time.Duration) {
	code, cause := "", v.res.Err
	if v.fault != nil {
		code, cause = v.fault.code, v.fault.cause
	}
	if v.span != nil {
		v.span.SetAttributes(attribute.Int("http.response.status_code", status), attribute.String("request_id", v.requestID))
		v.span.End()
	}
	if v.g.Access == nil {
		return
	}
	e := &v.entry
	*e = accesslog.Entry{
		Time: v.start, Took: took, Status: status, Bytes: bytes, Method: v.r.Method, Route: v.rt.Name,
		Path: pathOf(v.r), IP: v.origin.IP, RequestID: v.requestID, Trace: v.traceparent[3:35],
		UserAgent: first(v.r.Header["User-Agent"]), Upstream: v.res.Addr, Code: code,
		Tenant: v.who.TenantID, User: v.who.UserID,
	}
	if cause != nil {
		e.Cause = cause.Error()
	}
	v.g.Access.Add(e)
}

// refusal has a request recorded that the gateway itself refused; services record theirs.
func (v *visit) refusal(status int) {
	from := origin.Origin{
		User: v.who.Subject(), Token: v.who.PAT, Session: v.who.SessionID.String(),
		Agent: origin.Agent(v.r), Request: v.requestID,
	}
	if v.origin.IP.IsValid() {
		from.IP = v.origin.IP.String()
	}
	v.g.Refusals.Note(from, v.who.TenantID, auditapi.RequestRefusedData{
		Op: v.rt.Name, Method: v.r.Method, Path: v.rt.Path, Status: status, Code: v.fault.code,
	})
}

func first(vv []string) string {
	if len(vv) == 0 {
		return ""
	}
	return vv[0]
}

// pathOf is the path without its query, which may hold what must not be logged.
func pathOf(r *http.Request) string {
	if p, _, _ := strings.Cut(r.RequestURI, "?"); strings.HasPrefix(p, "/") {
		return p
	}
	return r.URL.EscapedPath()
}

// limitText is the constant part of the limit's headers.
type limitText struct {
	policy []string
	name   string
}

func newLimitText(p ratelimit.Policy) limitText {
	return limitText{
		policy: []string{fmt.Sprintf("%q;q=%d;w=%d", p.Class, p.Quota, max(1, int(p.Window.Seconds())))},
		name:   fmt.Sprintf("%q;r=", p.Class),
	}
}

func (t limitText) value(d ratelimit.Decision) string {
	var buf [64]byte
	b := append(buf[:0], t.name...)
	b = strconv.AppendInt(b, int64(d.Remaining), 10)
	b = append(b, ";t="...)
	b = strconv.AppendInt(b, seconds(d.Reset), 10)
	return string(b)
}

// seconds rounds up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

const statusClientGone = 499 // nginx's number, in logs and metrics only
