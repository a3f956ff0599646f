package proxy

import (
	"bytes"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// hopByHop says whether a header belongs to one connection only (RFC 9110, 7.6.1, and the
// older ones that ReverseProxy drops as well).
func hopByHop(k string) bool {
	switch k {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// forged says whether a client's header claims what only the gateway may say: who the
// user is, where the request came from, which path was meant.
func forged(k string) bool {
	switch k {
	case "Forwarded", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip",
		"X-Original-Url", "X-Rewrite-Url", "X-Request-Id", "X-Service", "X-Role", "X-Scopes":
		return true
	}
	if len(k) > 2 && (k[0] == 'X' || k[0] == 'x') {
		if hasPrefixFold(k, "X-User-") || hasPrefixFold(k, "X-Tenant-") || hasPrefixFold(k, "X-Forwarded-") || hasPrefixFold(k, "X-Auth-") {
			return true
		}
	}
	return false
}

// hasPrefixFold compares without case and takes '_' for '-', since servers that turn
// headers into variables cannot tell them apart.
func hasPrefixFold(k, prefix string) bool {
	if len(k) < len(prefix)-1 {
		return false
	}
	for i := 0; i < len(prefix); i++ {
		if i == len(k) {
			return i == len(prefix)-1 // "X-User" itself
		}
		c := k[i]
		if c == '_' {
			c = '-'
		}
		if c|0x20 != prefix[i]|0x20 {
			return false
		}
	}
	return true
}

// named says whether a Connection header names k.
func named(connection []string, k string) bool {
	for _, v := range connection {
		for tok := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(textproto.TrimString(tok), k) {
				return true
			}
		}
	}
	return false
}

// target is the request-target to send: the client's own bytes, so that encoded slashes,
// a bare '?' and a trailing slash arrive as they were written. What a service might read
// in another way than the router did is written in its canonical form.
func target(r *http.Request) string {
	u := r.RequestURI
	if len(u) == 0 || u[0] != '/' {
		return r.URL.RequestURI()
	}
	for i := 0; i < len(u); i++ {
		if c := u[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return r.URL.RequestURI()
		}
	}
	return u
}

// appendRequest writes the head of the request as it goes to host.
func appendRequest(b []byte, r *http.Request, f *Forward, host string) []byte {
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, target(r)...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	b = append(b, "\r\n"...)
	connection := r.Header["Connection"]
	for k, vv := range r.Header {
		if k == "Authorization" || k == "Content-Length" || k == "Host" || k == "Traceparent" || hopByHop(k) || forged(k) {
			continue
		}
		if len(connection) > 0 && named(connection, k) {
			continue
		}
		for _, v := range vv {
			b = appendField(b, k, v)
		}
	}
	b = f.appendFields(b)
	if n := r.ContentLength; n > 0 || n == 0 && (r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch) {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, n, 10)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

func appendField(b []byte, k, v string) []byte {
	b = append(b, k...)
	b = append(b, ": "...)
	b = append(b, v...)
	return append(b, "\r\n"...)
}

// appendFields writes what the gateway vouches for.
func (f *Forward) appendFields(b []byte) []byte {
	f.each(func(k, v string) { b = appendField(b, k, v) })
	return b
}

func (f *Forward) each(field func(k, v string)) {
	if f.Authorization != "" {
		field("Authorization", f.Authorization)
	}
	if f.RequestID != "" {
		field("X-Request-Id", f.RequestID)
	}
	if f.Traceparent != "" {
		field("Traceparent", f.Traceparent)
	}
	if f.ForwardedFor != "" {
		field("X-Forwarded-For", f.ForwardedFor)
	}
	if f.ForwardedHost != "" {
		field("X-Forwarded-Host", f.ForwardedHost)
	}
	if f.ForwardedProto != "" {
		field("X-Forwarded-Proto", f.ForwardedProto)
	}
}

// plainHead is an answer's head in its most common form: HTTP/1.1, a final status, one
// Content-Length or none allowed, no coding, no folding.
type plainHead struct {
	size   int // bytes, the empty line included
	status int
	length int64 // of the body that follows
}

// endOfHead returns the number of bytes up to and with the empty line, 0 if it has not
// arrived yet. It looks from byte from on.
func endOfHead(b []byte, from int) int {
	from = max(0, from-3)
	if i := bytes.Index(b[from:], crlfcrlf); i >= 0 {
		return from + i + 4
	}
	return 0
}

var (
	crlfcrlf = []byte("\r\n\r\n")
	crlf     = []byte("\r\n")
)

// parsePlain reads a plain head from b, which ends with the empty line, into h. It
// returns false, and may have written to h, if the answer is not plain: net/http then
// reads it, from the start.
func (f *Forward) parsePlain(b []byte, method string, h http.Header) (plainHead, bool) {
	p := plainHead{size: len(b), length: -1}
	if len(b) < 17 || string(b[:9]) != "HTTP/1.1 " || b[12] != ' ' && b[12] != '\r' {
		return p, false
	}
	for _, c := range b[9:12] {
		if c < '0' || c > '9' {
			return p, false
		}
		p.status = p.status*10 + int(c-'0')
	}
	if p.status < 200 {
		return p, false
	}
	i := bytes.Index(b, crlf)
	if bytes.IndexByte(b[12:i], '\n') >= 0 {
		return p, false // the first line ended before
	}
	text := string(b[i+2 : len(b)-2]) // one allocation for all keys and values
	values := f.Scratch[:0]
	for text != "" {
		end := strings.Index(text, "\r\n")
		if end < 0 {
			return p, false
		}
		line := text[:end]
		text = text[end+2:]
		colon := strings.IndexByte(line, ':')
		if colon <= 0 {
			return p, false
		}
		k, v := canonical(line[:colon]), trim(line[colon+1:])
		if k == "" || !httpguts.ValidHeaderFieldValue(v) {
			return p, false
		}
		switch k {
		case "Content-Length":
			n, err := strconv.ParseUint(v, 10, 62)
			if err != nil || p.length >= 0 || v[0] == '+' {
				return p, false
			}
			p.length = int64(n)
		case "Connection", "Transfer-Encoding", "Trailer", "Upgrade", "Te", "Keep-Alive",
			"Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization":
			if k != "Connection" || v != "keep-alive" {
				return p, false
			}
			continue
		}
		if ours(k) {
			continue
		}
		if prev := h[k]; prev != nil {
			h[k] = append(prev, v)
			continue
		}
		values = append(values, v)
		h[k] = values[len(values)-1 : len(values) : len(values)]
	}
	f.Scratch = values
	if method == http.MethodHead || p.status == http.StatusNoContent || p.status == http.StatusNotModified {
		p.length = 0
		return p, true
	}
	return p, p.length >= 0
}

func trim(s string) string {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// ours says whether an answer's header is the gateway's to set, so that what a service
// says of it is dropped.
func ours(k string) bool {
	switch k {
	case "X-Request-Id", "Ratelimit", "Ratelimit-Policy", "Strict-Transport-Security":
		return true
	}
	return strings.HasPrefix(k, "Access-Control-")
}

// canonical returns the canonical form of a header's name, "" if it is none. The usual
// names cost no allocation.
func canonical(k string) string {
	if c, ok := usual[k]; ok {
		return c
	}
	if !httpguts.ValidHeaderFieldName(k) {
		return ""
	}
	return textproto.CanonicalMIMEHeaderKey(k)
}

var usual = func() map[string]string {
	m := map[string]string{}
	for _, k := range []string{"Content-Type", "Content-Length", "Date", "Server", "Cache-Control", "Etag", "Vary",
		"Location", "Last-Modified", "X-Request-Id", "Content-Encoding", "Content-Language", "Retry-After", "Set-Cookie",
		"Connection", "X-Content-Type-Options", "X-Cache", "Age", "Expires", "Accept-Ranges", "Transfer-Encoding",
		"X-Frame-Options", "Referrer-Policy", "Www-Authenticate", "Allow", "Link", "Content-Disposition"} {
		m[k] = k
		m[strings.ToLower(k)] = k
	}
	m["ETag"], m["X-Request-ID"], m["WWW-Authenticate"] = "Etag", "X-Request-Id", "Www-Authenticate"
	return m
}()
