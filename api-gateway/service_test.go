package apigateway_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/redistest"

	apigateway "github.com/pyairtable/pyairtable/api-gateway"
)

const (
	knownPAT  = "patTestTestTestTe.0123456789"
	nearPAT   = "patTestTestTestNe.0123456789" // to be used from here
	farPAT    = "patTestTestTestFa.0123456789" // from elsewhere
	factorPAT = "patTestTestTestMf.0123456789" // of whom a second factor is demanded
)

var rangesOf = map[string][]string{knownPAT: nil, nearPAT: {"192.0.2.0/24", "127.0.0.0/8"}, farPAT: {"192.0.2.0/24"}}

// fleet stands for all services behind the gateway.
func fleet(t *testing.T) (url string, sign func(...func(*auth.Claims)) string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	sign = func(change ...func(*auth.Claims)) string {
		c := auth.Claims{RegisteredClaims: jwt.RegisteredClaims{
			Issuer: "pyairtable", Audience: jwt.ClaimStrings{auth.AudienceUser}, Subject: id.New[id.User]().String(),
			ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)),
		}, Tenant: id.New[id.Tenant]().String(), Session: id.New[id.Session]().String()}
		for _, f := range change {
			f(&c)
		}
		tok := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
		tok.Header["kid"] = "k"
		s, err := tok.SignedString(key)
		if err != nil {
			t.Error(err)
		}
		return s
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/jwks.json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"k","x":%q}]}`, base64.RawURLEncoding.EncodeToString(pub))
	})
	mux.HandleFunc("POST /internal/v1/tokens/service", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": sign(func(c *auth.Claims) {
			c.Subject, c.Audience = auth.ServiceSubject("api-gateway"), jwt.ClaimStrings{auth.AudienceService}
		}), "token_type": "Bearer", "expires_in": 900})
	})
	mux.HandleFunc("POST /internal/v1/tokens/pat", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Token string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		ranges, known := rangesOf[in.Token]
		if !known || !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
			refusal := authapi.ErrBadToken
			if in.Token == factorPAT {
				refusal = authapi.ErrMFARequired
			}
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(refusal.Kind.Status())
			_ = json.NewEncoder(w).Encode(refusal.Problem("", ""))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": sign(func(c *auth.Claims) { c.PAT = "p" }), "expires_at": time.Now().Add(time.Hour), "token_id": "p", "ip_ranges": ranges})
	})
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"openapi":"3.1.0","paths":{"/api/v1/users/me":{"get":{"operationId":"me","responses":{"200":{"description":"ok"}}}},"/internal/v1/secret":{"get":{}}}}`)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s", r.RequestURI, r.Header.Get("Authorization"))
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL, sign
}

func run(t *testing.T, vars map[string]string) (base string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	started, ready, ended := make(chan string, 1), make(chan struct{}), make(chan error, 1)
	svc := app.Define("api-gateway", apigateway.Wire)
	vars["PORT"], vars["LOG_LEVEL"], vars["SERVICE_SECRET"] = "0", "error", strings.Repeat("s", 40)
	none := func(string) (string, bool) { return "", false }
	go func() {
		ended <- svc.Run(ctx, app.Options{
			Env: config.Overlay(vars, none), Log: io.Discard,
			Started: func(a string) { started <- a }, Ready: func() { close(ready) },
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("stop: %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatalf("start: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("not ready in time")
	}
	return "http://" + <-started
}

func get(t *testing.T, url, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(b)
}

func TestGateway_RefusesTokensAsTheirTenantDemands(t *testing.T) {
	t.Parallel()
	up, _ := fleet(t)
	base := run(t, map[string]string{
		"REDIS_URL": redistest.URL(t), "AUTH_SERVICE_URL": up, "USER_SERVICE_URL": up, "AIRTABLE_GATEWAY_URL": up, "ACCESS_LOG": "false",
	})
	for token, want := range map[string]struct {
		status int
		code   string // here
		kind   string // at Airtable
	}{
		nearPAT:   {200, "", ""},
		farPAT:    {403, "ip_not_allowed", "INVALID_PERMISSIONS"},
		factorPAT: {403, "mfa_required", "INVALID_PERMISSIONS"},
	} {
		for range 2 { // asked for, and then known
			status, body := get(t, base+"/api/v1/users/me", token)
			if status != want.status || want.code != "" && !strings.Contains(body, `"code":"`+want.code+`"`) {
				t.Errorf("%s: %d %s", token, status, body)
			}
			status, body = get(t, base+"/v0/meta/bases", token)
			if status != want.status || want.kind != "" && (!strings.HasPrefix(body, `{"error":{`) || !strings.Contains(body, `"type":"`+want.kind+`"`)) {
				t.Errorf("%s at /v0: %d %s", token, status, body)
			}
		}
	}
}

func TestGateway_Whole(t *testing.T) {
	t.Parallel()
	up, sign := fleet(t)
	for name, redis := range map[string]string{"with Redis": redistest.URL(t), "with Redis away": "redis://127.0.0.1:1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := run(t, map[string]string{
				"REDIS_URL": redis, "AUTH_SERVICE_URL": up, "USER_SERVICE_URL": up, "AIRTABLE_GATEWAY_URL": up, "RATE_LIMIT_AUTH": "2/1m", "ACCESS_LOG": "false",
			})
			for _, path := range []string{"/health", "/ready"} {
				if status, body := get(t, base+path, ""); status != 200 {
					t.Errorf("%s: %d %s", path, status, body)
				}
			}
			token := sign()
			if status, body := get(t, base+"/api/v1/users/me?x=1", token); status != 200 || body != "/api/v1/users/me?x=1 Bearer "+token {
				t.Errorf("with a token: %d %s", status, body)
			}
			if status, body := get(t, base+"/v0/app/T", knownPAT); status != 200 || strings.Contains(body, knownPAT) || !strings.Contains(body, "Bearer ey") {
				t.Errorf("with a personal access token: %d %s; want a JWT at the service", status, body)
			}
			if status, body := get(t, base+"/api/v1/users/me", "patUnknown.0"); status != 401 {
				t.Errorf("unknown personal access token: %d %s", status, body)
			}
			if status, _ := get(t, base+"/api/v1/users/me", ""); status != 401 {
				t.Errorf("no token: %d", status)
			}
			if status, _ := get(t, base+"/internal/v1/tokens/pat", token); status != 404 {
				t.Errorf("internal route: %d", status)
			}
			codes := ""
			for range 4 {
				res, err := http.Post(base+"/api/v1/auth/login", "application/json", strings.NewReader("{}"))
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
				codes += fmt.Sprint(res.StatusCode, " ")
			}
			if codes != "200 200 429 429 " {
				t.Errorf("logins: %s", codes)
			}
			if status, body := get(t, base+"/metrics", ""); status != 200 || !strings.Contains(body, `gateway_requests_total{class="2xx",method="GET",route=`) {
				t.Errorf("metrics: %d", status)
			}
			if status, body := get(t, base+"/docs", ""); status != 200 || strings.Contains(body, "<link") || strings.Contains(body, "src=") || strings.Contains(body, "url(") {
				t.Errorf("docs: %d; want a page that needs nothing from elsewhere", status)
			}
			var doc string
			await.True(t, "a merged document", func() bool {
				_, doc = get(t, base+"/openapi.json", "")
				return strings.Contains(doc, `"/api/v1/users/me"`)
			})
			if strings.Contains(doc, "/internal/") || !strings.Contains(doc, `"openapi":"3.1.0"`) || !strings.Contains(doc, "/v0/{path}") {
				t.Errorf("openapi: %s", doc)
			}
		})
	}
}
