package gate

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	"github.com/pyairtable/pyairtable/pkg/id"

	"github.com/pyairtable/pyairtable/api-gateway/internal/accesslog"
	"github.com/pyairtable/pyairtable/api-gateway/internal/clientip"
	"github.com/pyairtable/pyairtable/api-gateway/internal/proxy"
	"github.com/pyairtable/pyairtable/api-gateway/internal/ratelimit"
	"github.com/pyairtable/pyairtable/api-gateway/internal/routes"
	"github.com/pyairtable/pyairtable/api-gateway/internal/tokens"
)

type keys struct{ ed25519.PrivateKey }

func (k keys) Key(context.Context, string) (ed25519.PublicKey, error) {
	return k.Public().(ed25519.PublicKey), nil
}
func (keys) Generation() uint64 { return 0 }

var services = []api.Service{{
	Name: "thing-service", Ops: []api.Spec{
		{Name: "getThing", Method: "GET", Path: "/api/v1/things/{id}"},
		{Name: "makeThing", Method: "POST", Path: "/api/v1/things", BodyLimit: 100},
		{Name: "login", Method: "POST", Path: "/api/v1/auth/login", Access: api.Public, Rate: api.RateAuth},
		{Name: "hidden", Method: "GET", Path: "/internal/v1/hidden", Access: api.Internal},
		{Name: "below", Method: "GET", Path: "/api/v1/files/list"},
	},
	Raw: []api.RawRoute{{Prefix: "/v0/", Access: api.Public}, {Prefix: "/api/v1/files/"}, {Prefix: "/scim/v2/", Access: api.Own}},
}}

// bundle is a gateway in front of one upstream that tells what it was asked.
type bundle struct {
	*httptest.Server
	token    string
	log      *bytes.Buffer
	registry *prometheus.Registry
	flush    func()
}

func start(t *testing.T, change func(*Options)) *bundle {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "https://evil.example")
		w.Header().Set("X-Request-Id", "the service's own")
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"uri": r.RequestURI, "header": r.Header, "host": r.Host})
	}))
	t.Cleanup(upstream.Close)
	svc, err := proxy.New("thing-service", []string{upstream.URL})
	if err != nil {
		t.Fatal(err)
	}
	table, err := routes.Table(services)
	if err != nil {
		t.Fatal(err)
	}
	_, key, _ := ed25519.GenerateKey(nil)
	b := &bundle{log: &bytes.Buffer{}, registry: prometheus.NewRegistry()}
	access := accesslog.New(b.log, "api-gateway")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = access.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	b.flush = func() { cancel(); <-done }
	o := Options{
		Routes: table, Services: map[string]*proxy.Service{"thing-service": svc},
		Limits: ratelimit.New([]ratelimit.Policy{{Class: routes.DefaultRate, Quota: 1000, Window: time.Minute}, {Class: api.RateAuth, Quota: 3, Window: time.Minute}}, nil),
		Tokens: tokens.NewChecker(auth.NewVerifier("test", keys{key}, nil), nil, func() bool { return true }), Origins: []string{"https://app.example.com"},
		Access: access, Log: zap.NewNop(), Metrics: b.registry,
	}
	if change != nil {
		change(&o)
	}
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	engine := httpx.NewEngine()
	if err := g.Register(engine); err != nil {
		t.Fatal(err)
	}
	b.Server = httptest.NewServer(engine)
	t.Cleanup(b.Close)
	tok := jwt.NewWithClaims(jwt.SigningMethodEdDSA, auth.Claims{RegisteredClaims: jwt.RegisteredClaims{
		Issuer: "test", Audience: jwt.ClaimStrings{auth.AudienceUser}, Subject: id.New[id.User]().String(),
		ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)),
	}, Tenant: id.New[id.Tenant]().String()})
	tok.Header["kid"] = "k"
	if b.token, err = tok.SignedString(key); err != nil {
		t.Fatal(err)
	}
	return b
}

// do sends a request with the bytes of its target as they are.
func (b *bundle) do(t *testing.T, method, target string, header ...string) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", b.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	var raw strings.Builder
	fmt.Fprintf(&raw, "%s %s HTTP/1.1\r\nHost: gateway.example\r\nConnection: close\r\n", method, target)
	for i := 0; i < len(header); i += 2 {
		fmt.Fprintf(&raw, "%s: %s\r\n", header[i], header[i+1])
	}
	raw.WriteString("\r\n")
	_, _ = io.WriteString(c, raw.String())
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	body, _ := io.ReadAll(res.Body)
	return res, string(body)
}

func (b *bundle) bearer() []string { return []string{"Authorization", "Bearer " + b.token} }

func TestGate_PassesPathsByteForByte(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	for _, target := range []string{
		"/v0/app1/a%2Fb", "/v0/app1/T/?", "/v0/app1/T?", "/v0/app1/T/", "/v0/app1//T", "/v0/app1/../x", "/v0/app1/%2e%2e/x", "/v0/a%20b?q=%2F+%20&x[]=1",
		"/api/v1/things/a%2Fb", "/api/v1/files/a/b%2F", "/api/v1/files/list",
	} {
		res, body := b.do(t, "GET", target, b.bearer()...)
		var got struct{ URI string }
		if json.Unmarshal([]byte(body), &got) != nil || got.URI != target {
			t.Errorf("%s: %d, the service saw %q", target, res.StatusCode, got.URI)
		}
	}
}

func TestGate_AnswersByItself(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	for _, c := range []struct {
		method, target string
		header         []string
		status         int
		kind, body     string
	}{
		{"GET", "/api/v1/nothing", nil, 404, "application/problem+json", `"code":"not_found"`},
		{"GET", "/api/v1/things/", b.bearer(), 404, "application/problem+json", `"code":"not_found"`},
		{"PUT", "/api/v1/things", nil, 405, "application/problem+json", `"code":"method_not_allowed"`},
		{"GET", "/internal/v1/hidden", b.bearer(), 404, "application/problem+json", `"code":"not_found"`},
		{"GET", "/api/v1/things/1", nil, 401, "application/problem+json", `"code":"unauthenticated"`},
		{"GET", "/api/v1/things/1", []string{"Authorization", "Bearer x.y.z"}, 401, "application/problem+json", `"code":"unauthenticated"`},
		{"GET", "/api/v1/files/x", nil, 401, "application/problem+json", `"code":"unauthenticated"`},
		{"POST", "/api/v1/things", append(b.bearer(), "Content-Length", "101"), 413, "application/problem+json", `"code":"body_too_large"`},
		{"GET", "/v0", nil, 404, "application/problem+json", `"code":"not_found"`},
	} {
		res, body := b.do(t, c.method, c.target, c.header...)
		if res.StatusCode != c.status || res.Header.Get("Content-Type") != c.kind || !strings.Contains(body, c.body) {
			t.Errorf("%s %s: %d %s %s", c.method, c.target, res.StatusCode, res.Header.Get("Content-Type"), body)
		}
		if res.Header.Get("X-Request-Id") == "" || !strings.Contains(body, res.Header.Get("X-Request-Id")) {
			t.Errorf("%s %s: request id %q, body %s", c.method, c.target, res.Header.Get("X-Request-Id"), body)
		}
		if c.status == 401 && res.Header.Get("Www-Authenticate") != "Bearer" || c.status == 405 && res.Header.Get("Allow") != "POST" {
			t.Errorf("%s %s: headers %v", c.method, c.target, res.Header)
		}
	}
}

func TestGate_SpeaksAirtableBelowV0(t *testing.T) {
	t.Parallel()
	b := start(t, func(o *Options) {
		o.Limits = ratelimit.New([]ratelimit.Policy{{Class: routes.DefaultRate, Quota: 2, Window: time.Hour}, {Class: api.RateAuth, Quota: 3, Window: time.Minute}}, nil)
	})
	res, body := b.do(t, "POST", "/v0/app/T", "Content-Length", "99999999")
	if res.StatusCode != 413 || !strings.HasPrefix(body, `{"error":{"message"`) {
		t.Errorf("too large: %d %s", res.StatusCode, body)
	}
	res, body = b.do(t, "GET", "/v0/app/T", "Authorization", "Bearer nonsense")
	if res.StatusCode != 200 || strings.Contains(body, "nonsense") {
		t.Errorf("public route, bad token: %d %s; want the service to see nobody", res.StatusCode, body)
	}
	res, body = b.do(t, "GET", "/v0/app/T")
	if res.StatusCode != 429 || body != `{"errors":[{"error":"RATE_LIMIT_REACHED","message":"Rate limit exceeded. Please try again later"}]}` || res.Header.Get("Retry-After") == "" {
		t.Errorf("too many: %d %s %v", res.StatusCode, body, res.Header)
	}
}

func TestGate_LimitsByClass(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	for i := range 3 {
		res, _ := b.do(t, "POST", "/api/v1/auth/login", "Content-Length", "0")
		if res.StatusCode != 200 || res.Header.Get("Ratelimit") != fmt.Sprintf(`"auth";r=%d;t=%d`, 2-i, 20*(i+1)) || res.Header.Get("Ratelimit-Policy") != `"auth";q=3;w=60` {
			t.Errorf("login %d: %d %v", i+1, res.StatusCode, res.Header)
		}
	}
	res, body := b.do(t, "POST", "/api/v1/auth/login", "Content-Length", "0", "X-Forwarded-For", "203.0.113.9")
	if res.StatusCode != 429 || res.Header.Get("Retry-After") != "20" || !strings.Contains(body, `"retry_after":20`) {
		t.Errorf("fourth login, with a made-up address: %d %v %s", res.StatusCode, res.Header, body)
	}
	if res, _ := b.do(t, "GET", "/api/v1/things/1", b.bearer()...); res.StatusCode != 200 {
		t.Errorf("other class: %d", res.StatusCode)
	}
}

func TestGate_BelievesTrustedProxiesOnly(t *testing.T) {
	t.Parallel()
	trusting, err := clientip.New([]string{"127.0.0.0/8", "10.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	b := start(t, func(o *Options) { o.Clients = trusting })
	for i, addr := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::3"} {
		if res, _ := b.do(t, "POST", "/api/v1/auth/login", "Content-Length", "0", "X-Forwarded-For", "6.6.6.6, "+addr+", 10.0.0.1"); res.StatusCode != 200 {
			t.Errorf("login %d: %d", i+1, res.StatusCode)
		}
	}
	if res, _ := b.do(t, "POST", "/api/v1/auth/login", "Content-Length", "0", "X-Forwarded-For", "2001:db8::ffff"); res.StatusCode != 429 {
		t.Errorf("fourth of the same /64: %d, want 429", res.StatusCode)
	}
	res, body := b.do(t, "POST", "/api/v1/auth/login", "Content-Length", "0", "X-Forwarded-For", "192.0.2.7", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "pub.example")
	for _, want := range []string{`"X-Forwarded-For":["192.0.2.7, 127.0.0.1"]`, `"X-Forwarded-Proto":["https"]`, `"X-Forwarded-Host":["pub.example"]`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is not in %s", want, body)
		}
	}
	if res.Header.Get("Strict-Transport-Security") == "" {
		t.Error("no HSTS behind a proxy that speaks TLS")
	}
}

func TestGate_CORS(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	for origin, want := range map[string]string{"https://app.example.com": "https://app.example.com", "https://evil.example": ""} {
		res, _ := b.do(t, "GET", "/api/v1/things/1", append(b.bearer(), "Origin", origin)...)
		if got := res.Header.Get("Access-Control-Allow-Origin"); got != want || res.Header.Get("Vary") != "Origin" {
			t.Errorf("origin %s: allowed %q, vary %q", origin, got, res.Header.Get("Vary"))
		}
		res, _ = b.do(t, "OPTIONS", "/api/v1/things/1", "Origin", origin, "Access-Control-Request-Method", "GET")
		if got := res.Header.Get("Access-Control-Allow-Origin"); res.StatusCode != 204 || got != want || (want != "") != (res.Header.Get("Access-Control-Allow-Methods") != "") {
			t.Errorf("preflight of %s: %d %v", origin, res.StatusCode, res.Header)
		}
	}
	res, _ := b.do(t, "OPTIONS", "/v0/app/T", "Origin", "https://any.example", "Access-Control-Request-Method", "PATCH", "Access-Control-Request-Headers", "authorization")
	if res.StatusCode != 204 || res.Header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(res.Header.Get("Access-Control-Allow-Headers"), "x-airtable-user-agent") {
		t.Errorf("Airtable's preflight: %d %v", res.StatusCode, res.Header)
	}
	res, _ = b.do(t, "GET", "/v0/app/T", "Origin", "https://any.example")
	if res.Header.Get("Access-Control-Allow-Origin") != "*" || res.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("Airtable's CORS: %v", res.Header)
	}
}

func TestGate_NamesRequests(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	parent := "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	res, body := b.do(t, "GET", "/v0/x", "X-Request-Id", "my-id.1", "Traceparent", parent, "Tracestate", "a=b")
	if res.Header.Get("X-Request-Id") != "my-id.1" || !strings.Contains(body, `"X-Request-Id":["my-id.1"]`) || !strings.Contains(body, parent) || !strings.Contains(body, "a=b") {
		t.Errorf("sane id: %v %s", res.Header, body)
	}
	for _, bad := range []string{"a b", "<script>", strings.Repeat("x", 65), "ä", `"`} {
		if res, _ := b.do(t, "GET", "/v0/x", "X-Request-Id", bad); len(res.Header.Get("X-Request-Id")) != 32 {
			t.Errorf("id %q became %q", bad, res.Header.Get("X-Request-Id"))
		}
	}
	if _, body := b.do(t, "GET", "/v0/x", "Traceparent", strings.ToUpper(parent)); strings.Contains(body, "4BF9") || !strings.Contains(body, `"Traceparent":["00-`) {
		t.Errorf("malformed traceparent: %s", body)
	}
}

func TestGate_LogsOneLineThatCannotBeForged(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.do(t, "GET", "/v0/%0a\"},{\"x\":\"?secret=1", "User-Agent", "evil\"\\\u2028\u0085\xff"+strings.Repeat("A", 4000), "Authorization", "Bearer "+b.token)
	b.do(t, "GET", "/api/v1/nothing")
	b.flush()
	lines := strings.Split(strings.TrimSuffix(b.log.String(), "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines: %q", len(lines), lines)
	}
	for _, l := range lines {
		var m map[string]any
		if err := json.Unmarshal([]byte(l), &m); err != nil || m["request_id"] == "" || m["op"] == "" || m["x"] != nil {
			t.Errorf("%v: %s", err, l)
		}
		for _, bad := range []string{"secret", b.token, "\x1b", "\u2028"} {
			if strings.Contains(l, bad) {
				t.Errorf("%q is in the log: %.200s", bad, l)
			}
		}
		if len(l) > 2000 {
			t.Errorf("a line of %d bytes", len(l))
		}
	}
}

func TestGate_CountsByRoute(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	for range 2 {
		b.do(t, "GET", "/api/v1/things/1", b.bearer()...)
	}
	b.do(t, "GET", "/api/v1/things/2")
	b.do(t, "BREW", "/wherever")
	got, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range got {
		if f.GetName() != "gateway_requests_total" {
			continue
		}
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetValue())
			}
			if v := m.Counter.GetValue(); v > 0 {
				counts[strings.Join(labels, " ")] = v
			}
		}
	}
	if len(counts) != 3 || counts["2xx GET getThing"] != 2 || counts["4xx GET getThing"] != 1 || counts["4xx other unmatched"] != 1 {
		t.Errorf("%v", counts)
	}
	if problems, err := testutil.GatherAndLint(b.registry); err != nil || len(problems) > 0 {
		t.Errorf("metric names: %v %v", problems, err)
	}
}

// A route with credentials of its own is given what the client sent; anything else that
// says who asks is taken away as everywhere.
func TestGate_PassesCredentialsThatAreNotItsOwn(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	for _, given := range []string{"Bearer scim_secret", "Bearer " + b.token, ""} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.URL+"/scim/v2/Users", nil)
		if err != nil {
			t.Fatal(err)
		}
		if given != "" {
			req.Header.Set("Authorization", given)
		}
		req.Header.Set("X-User-Id", "forged")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ Header http.Header }
		err = json.NewDecoder(resp.Body).Decode(&got)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || got.Header.Get("Authorization") != given || got.Header.Get("X-User-Id") != "" {
			t.Errorf("%q: %d, %v, %v", given, resp.StatusCode, err, got.Header)
		}
	}
}
