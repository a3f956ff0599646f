package gate

import (
	"net/http"
	"strings"
)

// Header values that never change are shared; nobody may write to them.
var (
	nosniff    = []string{"nosniff"}
	denyFrames = []string{"DENY"}
	noReferrer = []string{"no-referrer"}
	strictTLS  = []string{"max-age=31536000; includeSubDomains"}
	anyOrigin  = []string{"*"}
	exposed    = []string{"X-Request-Id, RateLimit, RateLimit-Policy, Retry-After, ETag, Location, Age, X-Cache"}
	varyOrigin = []string{"Origin"}
	allMethods = []string{"DELETE,GET,HEAD,OPTIONS,PATCH,POST,PUT"}
	corsAge    = []string{"7200"}
	corsTakes  = []string{"authorization,content-type,if-match,if-none-match,idempotency-key,x-request-id,traceparent,tracestate,cache-control,x-requested-with,share-grant"}
	// What Airtable's API allows, which browsers' Airtable clients ask for.
	corsAirtable = []string{"authorization,content-length,content-type,user-agent,x-airtable-application-id,x-airtable-user-agent,x-api-version,x-requested-with,x-request-id,traceparent,cache-control,if-none-match,x-pyairtable-coalesce,x-pyairtable-marker-field,x-pyairtable-priority"}
)

// Decorate sets the gateway's own headers on an answer. Those of a service that say the
// same have been dropped before, but for the ones that harden its own pages.
func (v *visit) Decorate(h http.Header) {
	v.values[0] = v.requestID
	h["X-Request-Id"] = v.values[0:1:1]
	if v.counted {
		v.values[1] = v.rt.limits.value(v.limited)
		h["Ratelimit"] = v.values[1:2:2]
		h["Ratelimit-Policy"] = v.rt.limits.policy
	}
	setAbsent(h, "X-Content-Type-Options", nosniff)
	if !data(h) { // what a browser might show as a page
		setAbsent(h, "X-Frame-Options", denyFrames)
		setAbsent(h, "Referrer-Policy", noReferrer)
	}
	if v.origin.Proto == "https" {
		h["Strict-Transport-Security"] = strictTLS
	}
	v.cors(h)
}

// data says whether the answer is of a kind that no browser shows as a page, given that
// it must not guess.
func data(h http.Header) bool {
	kind := h["Content-Type"]
	return len(kind) == 1 && (strings.HasPrefix(kind[0], "application/json") || strings.HasPrefix(kind[0], "application/problem+json"))
}

func setAbsent(h http.Header, k string, v []string) {
	if _, ok := h[k]; !ok {
		h[k] = v
	}
}

// cors tells the browser whether the page may read the answer. Tokens travel in a header
// that the page sets itself, so credentials are never allowed.
func (v *visit) cors(h http.Header) {
	if v.rt.Airtable || v.g.anywhere {
		h["Access-Control-Allow-Origin"] = anyOrigin
		h["Access-Control-Expose-Headers"] = exposed
		return
	}
	if prev, ok := h["Vary"]; ok {
		h["Vary"] = append(prev[:len(prev):len(prev)], "Origin")
	} else {
		h["Vary"] = varyOrigin
	}
	if origin := v.r.Header["Origin"]; len(origin) == 1 && v.g.origins[origin[0]] {
		h["Access-Control-Allow-Origin"] = origin[0:1:1]
		h["Access-Control-Expose-Headers"] = exposed
	}
}

// preflight answers a browser's question before a request across origins. It needs no
// token, since the browser sends none with it.
func (v *visit) preflight() bool {
	if v.r.Method != http.MethodOptions || len(v.r.Header["Origin"]) == 0 || len(v.r.Header["Access-Control-Request-Method"]) == 0 {
		return false
	}
	if !v.limit() {
		return true
	}
	airtable := strings.HasPrefix(v.r.URL.Path, "/v0/")
	h := v.w.Header()
	h.Del("Allow")
	v.Decorate(h)
	if airtable {
		h["Access-Control-Allow-Origin"] = anyOrigin
	}
	if len(h["Access-Control-Allow-Origin"]) > 0 {
		h["Access-Control-Allow-Methods"] = allMethods
		h["Access-Control-Allow-Headers"] = corsTakes
		if airtable {
			h["Access-Control-Allow-Headers"] = corsAirtable
		}
		h["Access-Control-Max-Age"] = corsAge
	}
	v.w.WriteHeader(http.StatusNoContent)
	v.w.WriteHeaderNow()
	return true
}
