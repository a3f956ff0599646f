package gate

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/errs"

	"github.com/pyairtable/pyairtable/api-gateway/internal/proxy"
)

// fault is an answer that the gateway gives by itself. It has statuses that errs does not
// know, since no service ever needs them.
type fault struct {
	status     int
	code       string
	detail     string
	retryAfter time.Duration
	allowed    string // methods, with 405
	close      bool   // the connection cannot be used any further
	cause      error  // for the log

	airtable any // body in Airtable's shape; nil for type and message made of the above
}

// Airtable's shapes of an error (reference, section 3.1).
type (
	shapeB string // {"error":"NOT_FOUND"}
	shapeA struct{ kind, message string }
	shapeC struct{ kind, message string } // what the real service sends with 429
)

var (
	faultNotFound = fault{status: 404, code: "not_found", detail: "There is no such route.", airtable: shapeB("NOT_FOUND")}
	faultMethod   = fault{status: 405, code: "method_not_allowed", detail: "The route does not take this method.", airtable: shapeB("NOT_FOUND")}
	faultNoToken  = fault{status: 401, code: "unauthenticated", detail: "A valid access token is required.", airtable: shapeA{"AUTHENTICATION_REQUIRED", "Authentication required"}}
	faultBadToken = fault{status: 401, code: "unauthenticated", detail: "A valid access token is required.", airtable: shapeA{"AUTHENTICATION_REQUIRED", "Authentication required"}}
	faultAddress  = fault{status: 403, code: authapi.ErrIPNotAllowed.Code, detail: authapi.ErrIPNotAllowed.Message, airtable: shapeA{"INVALID_PERMISSIONS", authapi.ErrIPNotAllowed.Message}}
	faultFactor   = fault{status: 403, code: authapi.ErrMFARequired.Code, detail: noFactor, airtable: shapeA{"INVALID_PERMISSIONS", noFactor}}
	faultAuthAway = fault{status: 503, code: "unavailable", detail: "The token cannot be checked at the moment.", retryAfter: time.Second, airtable: shapeA{"RETRIABLE_ERROR", retriable}}
	faultTooMany  = fault{status: 429, code: "rate_limited", detail: "Too many requests from this address.", airtable: shapeC{"RATE_LIMIT_REACHED", "Rate limit exceeded. Please try again later"}}
	faultTooLarge = fault{status: 413, code: "body_too_large", detail: "The request's body is larger than this route takes.", close: true, airtable: shapeA{"REQUEST_TOO_LARGE", "The request body is too large"}}
	faultBody     = fault{status: 400, code: "malformed", detail: "The request's body could not be read.", close: true, airtable: shapeA{"INVALID_REQUEST_BODY", "Could not parse request body"}}
	faultSlow     = fault{status: 408, code: "body_too_slow", detail: "The request's body came too slowly.", close: true, airtable: shapeA{"INVALID_REQUEST_BODY", "The request body came too slowly"}}
	faultOpen     = fault{status: 503, code: "unavailable", detail: "The service cannot answer at the moment.", retryAfter: time.Second, airtable: shapeA{"RETRIABLE_ERROR", retriable}}
	faultBroken   = fault{status: 502, code: "bad_gateway", detail: "The service broke the request off.", airtable: shapeA{"SERVER_ERROR", "The server broke the request off"}}
	faultTimeout  = fault{status: 504, code: "gateway_timeout", detail: "The service did not answer in time.", airtable: shapeA{"SERVER_ERROR", "The server did not answer in time"}}
	faultGone     = fault{status: statusClientGone, code: "client_gone", detail: "The client went away.", close: true}
	faultInternal = fault{status: 500, code: "internal", detail: errs.ErrInternal.Message, airtable: shapeA{"SERVER_ERROR", "Server error"}}
)

const noFactor = "The tenant demands a second factor of whose the token is: enable one, and the token works again."

const retriable = "Server encountered an error while processing your request, and it is safe to retry the request"

// faultOf is the answer to a request that no service answered.
func faultOf(err error, method string) fault {
	switch {
	case errors.Is(err, proxy.ErrTooLarge):
		return faultTooLarge
	case errors.Is(err, proxy.ErrBodySlow):
		return faultSlow
	case errors.Is(err, proxy.ErrBody):
		return faultBody
	case errors.Is(err, proxy.ErrClientGone):
		return faultGone
	case errors.Is(err, proxy.ErrOpen):
		return faultOpen
	}
	f := faultBroken
	if errors.Is(err, proxy.ErrTimeout) {
		f = faultTimeout
	}
	if method == http.MethodGet || method == http.MethodHead {
		f.airtable = shapeA{"RETRIABLE_ERROR", retriable}
	}
	return f
}

func (f fault) after(d time.Duration) fault { f.retryAfter = d; return f }
func (f fault) saying(detail string) fault  { f.detail = detail; return f }
func (f fault) allow(methods string) fault  { f.allowed = methods; return f }
func (f fault) body(v *visit) (string, []byte) {
	if !v.airtable() {
		b, _ := json.Marshal(errs.Problem{
			Type: "/problems/" + strings.ReplaceAll(f.code, "_", "-"), Title: title(f.code), Status: f.status,
			Detail: f.detail, Instance: v.r.URL.Path, Code: f.code, RequestID: v.requestID, RetryAfter: int(seconds(f.retryAfter)),
		})
		return errs.ContentType, b
	}
	var body any
	switch s := f.airtable.(type) {
	case shapeB:
		body = map[string]any{"error": string(s)}
	case shapeC:
		body = map[string]any{"errors": []any{map[string]string{"error": s.kind, "message": s.message}}}
	case shapeA:
		body = map[string]any{"error": map[string]string{"type": s.kind, "message": s.message}}
	}
	b, _ := json.Marshal(body)
	return "application/json; charset=utf-8", b
}

func title(code string) string {
	words := strings.ReplaceAll(code, "_", " ")
	return strings.ToUpper(words[:1]) + words[1:]
}

// airtable says whether the client expects Airtable's shapes.
func (v *visit) airtable() bool {
	return v.rt.Airtable || v.rt.service == nil && strings.HasPrefix(v.r.URL.Path, "/v0/")
}

// fail answers f in the shape that the client expects.
func (v *visit) fail(f fault, cause error) {
	f.cause = cause
	v.fault = &f
	if f.status == statusClientGone {
		// Nobody reads it, but the server wants an answer.
		v.w.WriteHeader(http.StatusBadGateway)
		v.w.WriteHeaderNow()
		return
	}
	h := v.w.Header()
	clear(h)
	kind, body := f.body(v)
	h.Set("Content-Type", kind)
	v.Decorate(h)
	if f.retryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(max(1, seconds(f.retryAfter)), 10))
	}
	if f.allowed != "" {
		h.Set("Allow", f.allowed)
	}
	if f.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if f.close {
		h.Set("Connection", "close")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	v.w.WriteHeader(f.status)
	v.w.WriteHeaderNow()
	if v.r.Method != http.MethodHead {
		_, _ = v.w.Write(body)
	}
}
