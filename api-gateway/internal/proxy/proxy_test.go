package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/await"
)

// serve is a gateway with nothing but the proxy.
func serve(t *testing.T, s *Service, f Forward) *httptest.Server {
	t.Helper()
	if f.Timeout == 0 {
		f.Timeout = 5 * time.Second
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fwd := f
		fwd.Authorization = r.Header.Get("Authorization")
		res := s.Serve(w, r, &fwd)
		if res.Err == nil {
			return
		}
		if res.Started {
			panic(http.ErrAbortHandler)
		}
		status := http.StatusBadGateway
		switch {
		case errors.Is(res.Err, ErrTimeout):
			status = http.StatusGatewayTimeout
		case errors.Is(res.Err, ErrOpen):
			status = http.StatusServiceUnavailable
		case errors.Is(res.Err, ErrTooLarge):
			status = http.StatusRequestEntityTooLarge
		}
		w.Header().Set("Connection", "close")
		http.Error(w, res.Err.Error(), status)
	}))
	t.Cleanup(srv.Close)
	return srv
}

func service(t *testing.T, addrs ...string) *Service {
	t.Helper()
	s, err := New("svc", addrs)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

// script is an upstream that answers each request of each connection with fixed bytes,
// and tells what it was sent.
type script struct {
	net.Listener
	mu    sync.Mutex
	heads []string
	conns atomic.Int64
}

// scripted answers what answer returns for the n-th connection's m-th request (from 1);
// nil closes the connection without an answer. The connection is closed after an answer
// that close says so of.
func scripted(t *testing.T, answer func(conn, req int, r *http.Request) (raw string, close bool)) *script {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{Listener: l}
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := int(s.conns.Add(1))
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				stop := context.AfterFunc(t.Context(), func() { _ = c.Close() })
				defer stop()
				s.talk(c, n, answer)
			})
		}
	})
	return s
}

func (s *script) talk(c net.Conn, n int, answer func(int, int, *http.Request) (string, bool)) {
	var seen bytes.Buffer
	br := bufio.NewReader(io.TeeReader(c, &seen))
	for m := 1; ; m++ {
		seen.Reset()
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(r.Body)
		_ = body
		s.mu.Lock()
		s.heads = append(s.heads, seen.String())
		s.mu.Unlock()
		raw, closing := answer(n, m, r)
		if raw != "" {
			if _, err := io.WriteString(c, raw); err != nil {
				return
			}
		}
		if raw == "" || closing {
			return
		}
	}
}

func (s *script) url() string { return "http://" + s.Addr().String() }

func (s *script) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.heads) == 0 {
		return ""
	}
	return s.heads[len(s.heads)-1]
}

// exchangeRaw sends raw bytes and returns all that comes back until the connection ends.
func exchangeRaw(t *testing.T, addr, raw string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(c)
	return string(b)
}

// canonicalAnswer makes answers comparable: the order of headers, and whether a body that
// came in chunks goes on in chunks or with a length, are the server's business.
func canonicalAnswer(t *testing.T, raw, method string) string {
	t.Helper()
	var out strings.Builder
	br := bufio.NewReader(strings.NewReader(raw))
	for {
		res, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return errClass(err)
		}
		body, err := io.ReadAll(res.Body)
		fmt.Fprintf(&out, "%s\n", res.Status)
		for _, k := range sorted(res.Header) {
			if k != "Date" && (k != "Content-Length" || method == "HEAD") {
				vv := slices.Clone(res.Header[k])
				if k == "Trailer" { // net/http names them in any order
					vv = strings.Split(strings.Join(vv, ", "), ", ")
					slices.Sort(vv)
				}
				fmt.Fprintf(&out, "%s: %q\n", k, vv)
			}
		}
		for _, k := range sorted(res.Trailer) {
			fmt.Fprintf(&out, "trailer %s: %q\n", k, res.Trailer[k])
		}
		if err != nil {
			return "cut off" // before or after the head: a matter of buffers
		}
		fmt.Fprintf(&out, "%d %q %v\n", len(body), short(string(body)), errClass(err))
		if res.StatusCode >= 200 {
			return out.String()
		}
	}
}

func errClass(err error) string {
	switch {
	case err == nil:
		return "whole"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "cut off"
	}
	return err.Error()
}

func short(s string) string {
	if len(s) > 60 {
		return s[:60]
	}
	return s
}

func sorted(h http.Header) []string {
	keys := make([]string, 0, len(h))
	for k := range h {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// canonicalRequest makes requests comparable: lines sorted, what differs on purpose left out.
func canonicalRequest(raw string) string {
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	var kept []string
	for _, l := range lines[1:] {
		k, v, _ := strings.Cut(l, ": ")
		k = http.CanonicalHeaderKey(k)
		switch k {
		case "Host", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto":
			continue
		}
		kept = append(kept, k+": "+v)
	}
	sort.Strings(kept)
	return lines[0] + "\n" + strings.Join(kept, "\n") + "\n" + short(body)
}

// The odd answers of services, and odd requests, that the fast path must treat as
// ReverseProxy does.
var oddAnswers = map[string]string{
	"plain":                        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
	"no reason":                    "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok",
	"lower case names":             "HTTP/1.1 200 OK\r\ncontent-type: a/b\r\nx-foo: 1\r\ncontent-length: 2\r\n\r\nok",
	"many values":                  "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-A: 1\r\nSet-Cookie: c=3\r\nContent-Length: 0\r\n\r\n",
	"spaces around values":         "HTTP/1.1 200 OK\r\nX-A:  \t padded \t \r\nX-B:\r\nContent-Length: 0\r\n\r\n",
	"connection close":             "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
	"connection names a header":    "HTTP/1.1 200 OK\r\nConnection: X-Secret\r\nX-Secret: 1\r\nX-Open: 1\r\nContent-Length: 2\r\n\r\nok",
	"hop by hop headers":           "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nTe: x\r\nUpgrade: h2c\r\nProxy-Connection: x\r\nContent-Length: 2\r\n\r\nok",
	"chunked":                      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n",
	"chunked and length":           "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"announced trailers":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Other\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\nX-Other: 1\r\n\r\n",
	"unannounced trailer":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n",
	"early hints":                  "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"two interim answers":          "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok",
	"no content":                   "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
	"not modified":                 "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n",
	"http 1.0":                     "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold",
	"until close":                  "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end",
	"unusual status":               "HTTP/1.1 299 Weird\r\nContent-Length: 2\r\n\r\nok",
	"error status":                 "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\nno",
	"same length twice":            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
	"different lengths":            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
	"negative length":              "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
	"signed length":                "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
	"length that is no number":     "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
	"bare line feeds":              "HTTP/1.1 200 OK\nX-A: 1\nContent-Length: 2\n\nok",
	"folded header":                "HTTP/1.1 200 OK\r\nX-A: one\r\n two\r\nContent-Length: 2\r\n\r\nok",
	"space before colon":           "HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 2\r\n\r\nok",
	"no colon":                     "HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 2\r\n\r\nok",
	"not http":                     "SSH-2.0-OpenSSH\r\n\r\n",
	"bad status":                   "HTTP/1.1 2xx OK\r\nContent-Length: 0\r\n\r\n",
	"body cut off":                 "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nshort",
	"chunk cut off":                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",
	"bad chunk":                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nshort\r\n0\r\n\r\n",
	"unknown transfer coding":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	"head of more than the buffer": "HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", 20<<10) + "\r\nContent-Length: 2\r\n\r\nok",
	"long body":                    "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat("x", 200000),
	"event stream":                 "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n0\r\n\r\n",
	"utf-8 value":                  "HTTP/1.1 200 OK\r\nX-A: gr\xc3\xbc\xc3\x9fe\r\nContent-Length: 2\r\n\r\nok",
	"trailing bytes":               "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\npoison!",
	"switching unasked":            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
	"nothing":                      "",
}

var oddRequests = map[string]string{
	"get":               "GET /a HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close\r\n\r\n",
	"head":              "HEAD /a HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close\r\n\r\n",
	"post":              "POST /a HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody",
	"post of nothing":   "POST /a HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
	"put of nothing":    "PUT /a HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close\r\n\r\n",
	"get with body":     "GET /a HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody",
	"delete with body":  "DELETE /a HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody",
	"own method":        "PURGE /a HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close\r\n\r\n",
	"query":             "GET /a?x=1&y=%20z&y=2 HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close\r\n\r\n",
	"bare query":        "GET /a? HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close\r\n\r\n",
	"encoded slash":     "GET /a%2Fb/c%20d/%E2%82%AC HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close\r\n\r\n",
	"no user agent":     "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
	"hop by hop":        "GET /a HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close, X-Drop\r\nX-Drop: 1\r\nKeep-Alive: 5\r\nProxy-Authorization: Basic x\r\nX-Keep: 1\r\n\r\n",
	"te trailers":       "GET /a HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close, te\r\nTe: trailers\r\n\r\n",
	"many values":       "GET /a HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close\r\nCookie: a=1\r\nCookie: b=2\r\nAccept: a\r\nAccept: b\r\n\r\n",
	"accept encoding":   "GET /a HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close\r\nAccept-Encoding: br, gzip\r\n\r\n",
	"http 1.0":          "GET /a HTTP/1.0\r\nHost: x\r\nUser-Agent: t\r\n\r\n",
	"absolute form":     "GET http://x/a?b=c HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close\r\n\r\n",
	"not ascii":         "GET /gr\xc3\xbcn HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close\r\n\r\n",
	"expect":            "POST /a HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody",
	"chunked":           "POST /a HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
	"chunked, trailers": "POST /a HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n",
	"authorization":     "GET /a HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close\r\nAuthorization: Bearer t\r\n\r\n",
	"length and chunks": "POST /a HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nConnection: close\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
}

// reference is ReverseProxy in front of the same upstream.
func reference(t *testing.T, upstream string) *httptest.Server {
	t.Helper()
	u, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DisableCompression: true}
	rp := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(u) },
		Transport: tr,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A type that the server guesses is the one thing that ours leaves out.
		rp.ServeHTTP(&progressWriter{ResponseWriter: w}, r)
	}))
	t.Cleanup(func() { srv.Close(); tr.CloseIdleConnections() })
	return srv
}

// forgive leaves out what may differ.
func forgive(answer string) string {
	// The text of a 502 is the gateway's own.
	if strings.HasPrefix(answer, "502") {
		return "502"
	}
	return answer
}

func TestServe_TreatsOddAnswersAsReverseProxyDoes(t *testing.T) {
	t.Parallel()
	for name, raw := range oddAnswers {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			t.Run(method+" "+name, func(t *testing.T) {
				t.Parallel()
				up := scripted(t, func(int, int, *http.Request) (string, bool) {
					if method == "HEAD" {
						head, _, _ := strings.Cut(raw, "\r\n\r\n")
						if raw != "" && !strings.Contains(name, "interim") && name != "early hints" {
							return head + "\r\n\r\n", true
						}
					}
					return raw, true
				})
				req := method + " /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
				if method == "POST" {
					req += "Content-Length: 2\r\n\r\nhi"
				} else {
					req += "\r\n"
				}
				if method == "HEAD" && (name == "two interim answers" || name == "early hints") {
					t.Skip("a HEAD answer has no body; the script has one")
				}
				want := forgive(canonicalAnswer(t, exchangeRaw(t, reference(t, up.url()).Listener.Addr().String(), req), method))
				got := forgive(canonicalAnswer(t, exchangeRaw(t, serve(t, service(t, up.url()), Forward{}).Listener.Addr().String(), req), method))
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("ReverseProxy (-) and ours (+):\n%s", d)
				}
			})
		}
	}
}

func TestServe_SendsOddRequestsAsReverseProxyDoes(t *testing.T) {
	t.Parallel()
	for name, raw := range oddRequests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := scripted(t, func(int, int, *http.Request) (string, bool) {
				return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true
			})
			method, _, _ := strings.Cut(raw, " ")
			want := canonicalAnswer(t, exchangeRaw(t, reference(t, up.url()).Listener.Addr().String(), raw), method)
			sent := canonicalRequest(up.last())
			got := canonicalAnswer(t, exchangeRaw(t, serve(t, service(t, up.url()), Forward{}).Listener.Addr().String(), raw), method)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("answers of ReverseProxy (-) and ours (+):\n%s", d)
			}
			if d := cmp.Diff(sent, canonicalRequest(up.last())); d != "" {
				t.Errorf("requests of ReverseProxy (-) and ours (+):\n%s", d)
			}
		})
	}
}

const ok2 = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func send(t *testing.T, srv *httptest.Server, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := srv.Client().Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: read: %v", method, path, err)
	}
	return res, string(b)
}

func TestServe_StripsWhatClientsMakeUp(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"short", strings.Repeat("long", bodyMost)} { // both ways
		up := scripted(t, func(int, int, *http.Request) (string, bool) { return ok2, false })
		srv := serve(t, service(t, up.url()), Forward{ForwardedFor: "192.0.2.1", RequestID: "mine", ForwardedProto: "http", ForwardedHost: "example.com"})
		send(t, srv, "POST", "/a", body, "X-User-Id", "u", "x-user-role", "admin", "X-User", "x", "X_User_Id", "u", "X-Tenant-Id", "t", "X_Tenant-ID", "t",
			"X-Forwarded-For", "6.6.6.6", "X-Forwarded-Anything", "x", "Forwarded", "for=6.6.6.6", "X-Real-Ip", "6.6.6.6", "X-Request-Id", "theirs",
			"X-Original-Url", "/internal", "X-Userland", "stays")
		head, _, _ := strings.Cut(up.last(), "\r\n\r\n")
		for _, bad := range []string{"6.6.6.6", "theirs", "admin", "Tenant", "/internal", "Anything", "X-User-", "X-User:", "X_"} {
			if strings.Contains(head, bad) {
				t.Errorf("%q reached the service:\n%s", bad, head)
			}
		}
		for _, good := range []string{"X-Forwarded-For: 192.0.2.1", "X-Request-Id: mine", "X-Userland: stays", "X-Forwarded-Host: example.com"} {
			if !strings.Contains(head, good) {
				t.Errorf("%q did not reach the service:\n%s", good, head)
			}
		}
	}
}

func TestServe_RepeatsSafeRequestsOnStaleConnections(t *testing.T) {
	t.Parallel()
	// Every connection answers once and is closed at the second request, without a word.
	up := scripted(t, func(_, m int, _ *http.Request) (string, bool) {
		if m == 1 {
			return ok2, false
		}
		return "", true
	})
	s := service(t, up.url())
	srv := serve(t, s, Forward{Replayable: true})
	for range 3 {
		if res, body := send(t, srv, "GET", "/a", ""); res.StatusCode != 200 || body != "ok" {
			t.Fatalf("GET: %d %q", res.StatusCode, body)
		}
	}
	if got := s.Stale.Load(); got != 2 {
		t.Errorf("%d stale connections were noticed, want 2", got)
	}
	if res, _ := send(t, srv, "POST", "/a", "x"); res.StatusCode != http.StatusBadGateway {
		t.Errorf("POST on a connection that closes without an answer: %d, want 502, since it may have been done", res.StatusCode)
	}
	send(t, srv, "GET", "/a", "")
	if res, _ := send(t, srv, "POST", "/a", "x", "Idempotency-Key", "k"); res.StatusCode != 200 {
		t.Errorf("POST with Idempotency-Key where that is honoured: %d, want 200", res.StatusCode)
	}
	if st := s.addresses[0].State(); st != Closed {
		t.Errorf("stale connections opened the breaker")
	}
}

func TestServe_NoticesClosedConnectionsBeforePosting(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{}, 8)
	up := scripted(t, func(int, int, *http.Request) (string, bool) {
		closed <- struct{}{}
		return ok2, true // closed right after the answer, which promised to stay
	})
	s := service(t, up.url())
	srv := serve(t, s, Forward{})
	for range 4 {
		if res, _ := send(t, srv, "POST", "/a", "x"); res.StatusCode != 200 {
			t.Fatalf("POST: %d", res.StatusCode)
		}
		<-closed
		// Wait until the end of the connection can be seen on this side.
		await.True(t, "the connection is no longer fresh", func() bool {
			p := &s.addresses[0].pool
			p.mu.Lock()
			defer p.mu.Unlock()
			return len(p.idle) == 0 || !p.idle[0].fresh()
		})
	}
}

func TestServe_OpensTheBreakerAndProbes(t *testing.T) {
	t.Parallel()
	var dead atomic.Bool
	dead.Store(true)
	up := scripted(t, func(int, int, *http.Request) (string, bool) {
		if dead.Load() {
			return "", true
		}
		return ok2, false
	})
	s := service(t, up.url())
	srv := serve(t, s, Forward{})
	for range breakerFailures {
		if res, _ := send(t, srv, "POST", "/a", ""); res.StatusCode != http.StatusBadGateway {
			t.Fatalf("broken service: %d, want 502", res.StatusCode)
		}
	}
	n := up.conns.Load()
	if res, _ := send(t, srv, "GET", "/a", ""); res.StatusCode != http.StatusServiceUnavailable || up.conns.Load() != n {
		t.Errorf("open breaker: %d and %d further connections, want 503 and none", res.StatusCode, up.conns.Load()-n)
	}
	if st := s.addresses[0].State(); st != Open {
		t.Errorf("state %v, want open", st)
	}
	dead.Store(false)
	s.addresses[0].breaker.until.Store(time.Now().UnixNano()) // its rest is over
	if res, _ := send(t, srv, "GET", "/a", ""); res.StatusCode != 200 || s.addresses[0].State() != Closed {
		t.Errorf("probe: %d, state %v; want 200, closed", res.StatusCode, s.addresses[0].State())
	}
}

func TestBreaker_LetsOneProbePass(t *testing.T) {
	t.Parallel()
	var b breaker
	now := time.Now()
	for range breakerFailures {
		b.failure(now, false)
	}
	if ok, _ := b.allow(now); ok {
		t.Fatal("an open breaker let a request pass")
	}
	later := now.Add(breakerMost)
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if ok, probe := b.allow(later); ok && probe {
				passed.Add(1)
			}
		})
	}
	wg.Wait()
	if passed.Load() != 1 {
		t.Errorf("%d probes passed at once, want 1", passed.Load())
	}
	b.failure(later, true)
	if b.state(later) != Open {
		t.Error("a failed probe did not keep the breaker open")
	}
}

func TestServe_TriesAnotherAddress(t *testing.T) {
	t.Parallel()
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := "http://" + refused.Addr().String()
	_ = refused.Close()
	up := scripted(t, func(int, int, *http.Request) (string, bool) { return ok2, false })
	for _, method := range []string{"GET", "POST", "DELETE"} {
		srv := serve(t, service(t, gone, up.url()), Forward{})
		for range 8 {
			if res, _ := send(t, srv, method, "/a", ""); res.StatusCode != 200 {
				t.Errorf("%s beside an address that refuses connections: %d", method, res.StatusCode)
			}
		}
		// The same with a body that net/http carries.
		if res, body := send(t, srv, "POST", "/a", strings.Repeat("x", 2*bodyMost)); res.StatusCode != 200 {
			t.Errorf("long POST beside an address that refuses connections: %d %s", res.StatusCode, body)
		}
	}
}

func TestServe_RepeatsOnlySafeRequestsElsewhere(t *testing.T) {
	t.Parallel()
	var broken atomic.Int64
	bad := scripted(t, func(int, int, *http.Request) (string, bool) { broken.Add(1); return "", true })
	busy := scripted(t, func(int, int, *http.Request) (string, bool) {
		return "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy", false
	})
	good := scripted(t, func(int, int, *http.Request) (string, bool) { return ok2, false })

	srv := serve(t, service(t, bad.url(), good.url()), Forward{})
	for range 6 {
		if res, _ := send(t, srv, "GET", "/a", ""); res.StatusCode != 200 {
			t.Errorf("GET: %d, want the other address's 200", res.StatusCode)
		}
	}
	srv = serve(t, service(t, bad.url(), good.url()), Forward{})
	broken.Store(0)
	lost := 0
	for range 12 {
		if res, _ := send(t, srv, "POST", "/a", "x"); res.StatusCode == http.StatusBadGateway {
			lost++
		}
	}
	if int64(lost) != broken.Load() {
		t.Errorf("%d POSTs were broken off and %d failed: one was sent twice", broken.Load(), lost)
	}
	srv = serve(t, service(t, busy.url(), good.url()), Forward{})
	for range 6 {
		if res, _ := send(t, srv, "GET", "/a", ""); res.StatusCode != 200 {
			t.Errorf("GET beside an address that is overloaded: %d", res.StatusCode)
		}
	}
	srv = serve(t, service(t, busy.url()), Forward{})
	if res, body := send(t, srv, "GET", "/a", ""); res.StatusCode != 503 || body != "busy" {
		t.Errorf("only address overloaded: %d %q, want its own answer", res.StatusCode, body)
	}
}

func TestServe_GivesUpInTime(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	up := scripted(t, func(int, int, *http.Request) (string, bool) { <-hang; return "", true })
	defer close(hang)
	srv := serve(t, service(t, up.url()), Forward{Timeout: 60 * time.Millisecond})
	for _, body := range []string{"", strings.Repeat("x", 2*bodyMost)} {
		began := time.Now()
		if res, _ := send(t, srv, "POST", "/a", body); res.StatusCode != http.StatusGatewayTimeout {
			t.Errorf("silent service: %d, want 504", res.StatusCode)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("took %v", took)
		}
	}
}

// The client is watched from some moment on, which depends on the body's size. It must
// cost the service none of its time.
func TestServe_ASlowAnswerIsAwaitedWhateverTheBodysSize(t *testing.T) {
	t.Parallel()
	up := scripted(t, func(int, int, *http.Request) (string, bool) {
		slow := time.After(2 * unwatchedMost)
		<-slow
		return ok2, false
	})
	s := service(t, up.url())
	srv := serve(t, s, Forward{Timeout: time.Minute})
	for _, size := range []int{0, 1, writeBuffer - 1<<10, writeBuffer + 1, bodyMost, 2 * bodyMost} {
		for range 2 { // the second over the first one's connection
			if res, body := send(t, srv, "POST", "/a", strings.Repeat("x", size)); res.StatusCode != http.StatusOK {
				t.Errorf("a body of %d bytes: %d %q", size, res.StatusCode, body)
			}
		}
	}
}

func TestServe_CancelsWhenTheClientLeaves(t *testing.T) {
	t.Parallel()
	cancelled := make(chan string, 4)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/stream" {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: 1\n\n")
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
		cancelled <- r.URL.Path
	}))
	defer upstream.Close()
	s := service(t, upstream.URL)
	srv := serve(t, s, Forward{Timeout: time.Minute})
	for _, path := range []string{"/wait", "/stream", "/long"} {
		ctx, leave := context.WithCancel(t.Context())
		var body io.Reader
		if path == "/long" {
			body = strings.NewReader(strings.Repeat("x", 2*bodyMost))
		}
		req, _ := http.NewRequestWithContext(ctx, "POST", srv.URL+path, body)
		go func() {
			before := time.After(50 * time.Millisecond)
			<-before
			leave()
		}()
		if res, err := srv.Client().Do(req); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
		select {
		case got := <-cancelled:
			if got != path {
				t.Errorf("%s was cancelled, want %s", got, path)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s went on after its client had left", path)
		}
	}
	await.True(t, "nothing is in flight", func() bool { return s.addresses[0].inFlight.Load() == 0 })
	if s.addresses[0].Failures() != 0 {
		t.Error("a client that left was held against the service")
	}
}

func TestServe_StreamsWithoutDelay(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.URL.Query().Get("type"))
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			<-next
		}
	}))
	defer upstream.Close()
	srv := serve(t, service(t, upstream.URL), Forward{})
	for _, kind := range []string{"text/event-stream", "application/x-ndjson"} {
		res, err := srv.Client().Get(srv.URL + "/?type=" + url.QueryEscape(kind))
		if err != nil {
			t.Fatal(err)
		}
		br := bufio.NewReader(res.Body)
		for i := range 3 { // each arrives before the service goes on
			line, err := br.ReadString('\n')
			if err != nil || line != fmt.Sprintf("data: %d\n", i) {
				t.Fatalf("%s: %q, %v", kind, line, err)
			}
			_, _ = br.ReadString('\n')
			next <- struct{}{}
		}
		_ = res.Body.Close()
	}
}

func TestServe_UpgradesAndEchoes(t *testing.T) {
	t.Parallel()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Sec-Websocket-Key") != "k" {
			http.Error(w, "no upgrade", http.StatusBadRequest)
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\n")
		_ = rw.Flush()
		_, _ = io.Copy(c, rw)
	}))
	defer upstream.Close()
	s := service(t, upstream.URL)
	srv := serve(t, s, Forward{Timeout: 100 * time.Millisecond})
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n")
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("Sec-Websocket-Accept") != "a" {
		t.Fatalf("upgrade: %v %v", res, err)
	}
	for _, msg := range []string{"one\n", "two\n"} {
		<-time.After(120 * time.Millisecond) // the route's time for an answer is over: the tunnel stays
		_, _ = io.WriteString(c, msg)
		if got, err := br.ReadString('\n'); got != msg {
			t.Fatalf("echo %q, %v", got, err)
		}
	}
	_ = c.Close()
	await.True(t, "nothing is in flight", func() bool { return s.addresses[0].inFlight.Load() == 0 })
}

func TestServe_BoundsBodies(t *testing.T) {
	t.Parallel()
	up := scripted(t, func(int, int, *http.Request) (string, bool) { return ok2, false })
	for _, limit := range []int64{10, 100 << 10} {
		srv := serve(t, service(t, up.url()), Forward{BodyLimit: limit})
		addr := srv.Listener.Addr().String()
		over := strings.Repeat("x", int(limit)+1)
		for name, raw := range map[string]string{
			"with a length": fmt.Sprintf("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(over), over),
			"in chunks":     fmt.Sprintf("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(over), over),
		} {
			if got := exchangeRaw(t, addr, raw); !strings.HasPrefix(got, "HTTP/1.1 413") {
				t.Errorf("limit %d, body %s: %.40q, want 413", limit, name, got)
			}
		}
		if res, _ := send(t, srv, "POST", "/a", over[1:]); res.StatusCode != 200 {
			t.Errorf("body as long as the limit: %d", res.StatusCode)
		}
	}
}

func TestServe_KeepsConnectionsApart(t *testing.T) {
	t.Parallel()
	// Many clients over few connections: nobody may get another's answer.
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		n := len(b) * 37 % 30000
		if len(b)%3 == 0 {
			w.Header().Set("Content-Length", fmt.Sprint(len(r.URL.Path)+n))
		}
		_, _ = io.WriteString(w, r.URL.Path+strings.Repeat("-", n))
	}))
	defer upstream.Close()
	srv := serve(t, service(t, upstream.URL), Forward{})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 40 {
				path := fmt.Sprintf("/%d/%d", i, j)
				res, err := http.Post(srv.URL+path, "text/plain", strings.NewReader(strings.Repeat("b", i*j*11)))
				if err != nil {
					t.Errorf("%s: %v", path, err)
					return
				}
				b, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil || strings.TrimRight(string(b), "-") != path || len(b) != len(path)+(i*j*11)*37%30000 {
					t.Errorf("%s got %.20q of %d bytes, %v", path, b, len(b), err)
				}
			}
		})
	}
	wg.Wait()
}
